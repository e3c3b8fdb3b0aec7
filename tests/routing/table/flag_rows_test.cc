#include "routing/table/flag_rows.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/routing/table/example.h"

namespace weir::routing {
namespace {

// The example with tenants of these states besides bank-17, which is in pilot.
Table table_with(std::initializer_list<std::pair<const char*, const char*>> tenants) {
  std::string text;
  for (const auto& [id, state] : tenants) {
    text +=
        std::string(state).empty()
            ? fmt::format("  {}: {{}}\n", id)
            : fmt::format("  {}: {{ flags: {{ support-v2: {{ state: {}, {} }} }} }}\n", id, state, kLaunch);
  }
  Compiled compiled = must_compile(replaced(example(), "tenants:\n", "tenants:\n" + text));
  Table table;
  table.body = std::move(compiled.body);
  table.tenants = std::move(compiled.tenants);
  return table;
}

using Ids = std::vector<std::string>;

TEST(FlagRows, AreCountedByStateAndListedById) {
  const Table table = table_with({{"zoo", "pilot"}, {"aero", "production"}, {"gone", "off"}, {"none", ""}});
  const FlagRows rows = list_flag_rows(table, {});
  EXPECT_EQ(rows.counts, (std::array<size_t, 3>{1, 2, 1}));
  EXPECT_EQ(rows.tenants, (Ids{"aero", "bank-17", "gone", "zoo"}));
  EXPECT_FALSE(rows.more);
}

TEST(FlagRows, AreListedOfTheWantedStatesAndCountedOfAll) {
  const Table table = table_with({{"zoo", "pilot"}, {"aero", "production"}, {"gone", "off"}});
  const FlagRows rows = list_flag_rows(table, {.states = *parse_flag_states("pilot,production")});
  EXPECT_EQ(rows.counts, (std::array<size_t, 3>{1, 2, 1}));
  EXPECT_EQ(rows.tenants, (Ids{"aero", "bank-17", "zoo"}));
}

TEST(FlagRows, ComeInPages) {
  const Table table = table_with({{"zoo", "pilot"}, {"aero", "production"}, {"gone", "off"}});
  FlagRows page = list_flag_rows(table, {.limit = 2});
  EXPECT_EQ(page.tenants, (Ids{"aero", "bank-17"}));
  EXPECT_TRUE(page.more);
  page = list_flag_rows(table, {.after = "bank-17", .limit = 2});
  EXPECT_EQ(page.tenants, (Ids{"gone", "zoo"}));
  EXPECT_FALSE(page.more);
  EXPECT_EQ(page.counts[1], 2u) << "of all pages";
  EXPECT_EQ(list_flag_rows(table, {.after = "zzz"}).tenants, Ids());
}

TEST(FlagStates, AreAList) {
  EXPECT_EQ(parse_flag_states("off"), 1u);
  EXPECT_EQ(parse_flag_states("production,pilot"), 0b110u);
  EXPECT_NE(parse_flag_states("pilto").error().find("did you mean \"pilot\"?"), std::string::npos);
  EXPECT_FALSE(parse_flag_states("").has_value());
  EXPECT_FALSE(parse_flag_states("off,").has_value());
}

}  // namespace
}  // namespace weir::routing
