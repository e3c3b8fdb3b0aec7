// Broken tables by the thousand, from one seed: whatever stands in a table, loading it ends with a body or
// with problems, and a body keeps its promises.
#include <gtest/gtest.h>

#include <random>

#include "routing/decide/row_index.h"
#include "routing/table/yaml.h"
#include "tests/routing/table/example.h"

namespace weir::routing {
namespace {

constexpr uint32_t kSeed = 20261201;
constexpr int kRounds = 4000;

class Mutator {
 public:
  explicit Mutator(std::string text) : original_(std::move(text)) {}

  std::string next() {
    std::string text = original_;
    for (size_t count = 1 + pick(4); count > 0; count--) mutate(text);
    return text;
  }

 private:
  size_t pick(size_t count) { return std::uniform_int_distribution<size_t>(0, count - 1)(random_); }

  void mutate(std::string& text) {
    if (text.empty()) return;
    static constexpr std::string_view kPieces[] = {
        "{",    "}",   "[",  "]",       ",",    ":",    "\"", "'",  "\n",    "  ",   "- ",   "&a ",
        "*a ",  "!t ", "<<", "|",       ">",    "#",    "%",  "@",  "~",     "null", "true", "-1",
        "1e99", "{{",  "}}", "\\u0000", "\x04", "\xff", "é",  "0x", "---\n", "? "};
    const size_t at = pick(text.size());
    const size_t length = std::min(text.size() - at, 1 + pick(12));
    switch (pick(6)) {
      case 0:
        text.erase(at, length);
        break;
      case 1:
        text.insert(at, kPieces[pick(std::size(kPieces))]);
        break;
      case 2:
        text.replace(at, length, kPieces[pick(std::size(kPieces))]);
        break;
      case 3:
        text[at] = static_cast<char>(pick(256));
        break;
      case 4:
        text.insert(pick(text.size()), text.substr(at, length));
        break;
      default:
        text.insert(at, text.substr(pick(text.size()), 1 + pick(200)));
        break;
    }
  }

  std::string original_;
  std::mt19937 random_{kSeed};
};

void expect_sound(const CompiledTable& table) {
  const TableBody& body = *table.body;
  const TenantTable& tenants = *table.tenants;
  ASSERT_EQ(body.basis, tenants.basis());
  for (const Unit& unit : body.units) {
    ASSERT_LT(static_cast<size_t>(unit.model), body.models.size());
    ASSERT_LT(static_cast<size_t>(unit.base), body.units.size());
  }
  for (const Model& model : body.models)
    ASSERT_LT(static_cast<size_t>(model.provider), body.providers.size());
  for (const Scenario& scenario : body.scenarios) {
    ASSERT_EQ(scenario.combinations.size(), size_t{1} << scenario.flags.size());
    ASSERT_EQ(scenario.combinations[0], scenario.stable);
    for (const UnitIndex unit : scenario.combinations)
      ASSERT_LT(static_cast<size_t>(unit), body.units.size());
  }
  for (uint32_t i = 0; i < tenants.tenant_end(); i++) {
    const Tenant tenant = tenants[TenantIndex{i}];
    ASSERT_FALSE(tenant.id().empty());
    for (uint32_t f = 0; f < body.flags.size(); f++) {
      const auto row = find_row(body, tenant, FlagIndex{f});
      if (!row) continue;
      ASSERT_LT(static_cast<size_t>(row->previous), body.units.size());
      ASSERT_LE(row->milli_percent, 100'000u);
    }
  }
  for (uint32_t i = 0; i < tenants.key_end(); i++) {
    ASSERT_LT(static_cast<uint32_t>(tenants[KeyIndex{i}].tenant()), tenants.tenant_end());
  }
  ASSERT_EQ(body.direct_units.size(), body.models.size());
}

void load_mutations(const std::string& original, TableFormat format) {
  Mutator mutator(original);
  int compiled = 0;
  for (int round = 0; round < kRounds; round++) {
    const std::string text = mutator.next();
    const CompileResult result = compile_text(text, format, test_options());
    if (result) {
      compiled++;
      ASSERT_NO_FATAL_FAILURE(expect_sound(*result)) << text;
    } else {
      ASSERT_FALSE(result.error().empty());
      for (const Problem& problem : result.error()) ASSERT_FALSE(problem.message.empty());
    }
  }
  EXPECT_GT(compiled, kRounds / 100) << "mutations this rough test the parser alone";
  EXPECT_LT(compiled, kRounds);
}

TEST(Mutations, OfYamlEndInABodyOrInProblems) {
  load_mutations(example(), TableFormat::yaml);
}

TEST(Mutations, OfJsonEndInABodyOrInProblems) {
  load_mutations(*yaml_to_json(example()), TableFormat::json);
}

// A document that is YAML and JSON at once reads the same either way.
TEST(Mutations, OfJsonMeanTheSameAsYaml) {
  Mutator mutator(*yaml_to_json(example()));
  for (int round = 0; round < kRounds / 10; round++) {
    const std::string text = mutator.next();
    const CompileResult as_json = compile_text(text, TableFormat::json, test_options());
    if (!as_json) continue;
    const CompileResult as_yaml = compile_text(text, TableFormat::yaml, test_options());
    if (!as_yaml) continue;  // yaml-cpp refuses some of what JSON allows, such as tabs
    ASSERT_EQ(as_json->body->units.size(), as_yaml->body->units.size());
    for (size_t i = 0; i < as_json->body->units.size(); i++) {
      ASSERT_EQ(as_json->body->units[i].hash_hex, as_yaml->body->units[i].hash_hex) << text;
    }
  }
}

}  // namespace
}  // namespace weir::routing
