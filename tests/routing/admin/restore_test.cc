// Back to how it was at a time: the same people get the same answers as then.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "core/timestamp.h"
#include "routing/decide/decide.h"
#include "routing/decide/segments.h"
#include "tests/routing/admin/admin_fixture.h"
#include "tests/routing/table/tenant_world.h"

namespace weir::routing {
namespace {

using nlohmann::json;

constexpr int kTenants = 300;
constexpr int kContexts = 100'000;

// A request as it was, and what was decided.
struct Context {
  int tenant;
  std::string_view scenario;
  std::string user;
  std::string_view region;
  bool staff;
  int64_t wall_ns;
  std::string decision;
};

std::string tenant_name(int tenant) {
  return fmt::format("t-{}", tenant);
}

std::vector<Context> contexts() {
  static constexpr std::array<std::string_view, 3> kScenarios = {"chat", "search", "idle"};
  static constexpr std::array<std::string_view, 3> kRegions = {"eu-1", "us-1", ""};
  constexpr int64_t kBegin = 1'767'225'600'000'000'000;  // 2026-01-01: rows start and end while it goes on
  constexpr int64_t kDay = 86'400'000'000'000;
  std::mt19937_64 random(3);
  std::vector<Context> all;
  for (int i = 0; i < kContexts; i++) {
    all.push_back({.tenant = static_cast<int>(random() % kTenants),
                   .scenario = kScenarios[random() % kScenarios.size()],
                   .user = random() % 5 == 0 ? "" : fmt::format("u-{}", random() % 5000),
                   .region = kRegions[random() % kRegions.size()],
                   .staff = random() % 4 == 0,
                   .wall_ns = kBegin + static_cast<int64_t>(random() % 600) * kDay,
                   .decision = {}});
  }
  return all;
}

std::string decide_now(const Table& table, const Context& context) {
  const auto tenant = table.tenants->find(tenant_name(context.tenant));
  if (!tenant) return "no such tenant";
  AttributeValues attributes;
  if (!context.region.empty()) {
    if (!parse_attribute(*table.body, "region", context.region, attributes)) return "no such attribute";
  }
  if (!parse_attribute(*table.body, "staff", context.staff ? "true" : "false", attributes)) {
    return "no such attribute";
  }
  DecideInput input;
  input.tenant = *tenant;
  input.scenario_header = context.scenario;
  input.user = context.user;
  input.attributes = &attributes;
  input.wall_now_ns = context.wall_ns;
  const auto choice = choose_scenario(table, input);
  if (!choice) return "no such scenario";
  const auto decision = decide(table, *choice, input);
  if (!decision) return std::string(core::describe(decision.error().code).code);
  const TableBody& body = *table.body;
  const Unit& unit = body[decision->unit];
  return fmt::format("{} {} {} {} {} {} {}", unit.name, unit.hash_hex, token(decision->arm),
                     decision->flag ? body[*decision->flag].name : "-", token(decision->state),
                     token(decision->reason), decision->limited);
}

int count_changed(const Table& table, const std::vector<Context>& recorded) {
  int changed = 0;
  std::string example;
  for (const Context& context : recorded) {
    const std::string now = decide_now(table, context);
    if (now == context.decision) continue;
    if (changed++ == 0) {
      example = fmt::format("{} {} {}: {} then, {} now", tenant_name(context.tenant), context.scenario,
                            context.user, context.decision, now);
    }
  }
  if (changed != 0) ::testing::Test::RecordProperty("first_changed", example);
  return changed;
}

struct Restore : ::testing::Test {
  Restore() {
    for (int t = 0; t < kTenants; t++) world.tenants[tenant_name(t)] = world.random_tenant();
  }
  void expect_done(const Reply& reply) { ASSERT_EQ(reply.status, 200) << reply.body; }
  void put_tenant(AdminHost& weir, int tenant) {
    expect_done(weir.call("PUT", "/v1/tenants/" + tenant_name(tenant) + "?reason=r", world.random_tenant(),
                          "content-type: application/json\r\n"));
  }
  // Everything that a bad day may bring.
  void change_everything(AdminHost& weir) {
    for (int t = 0; t < kTenants; t += 2) put_tenant(weir, t);
    for (int t = 1; t < kTenants; t += 30) {
      expect_done(weir.del("/v1/tenants/" + tenant_name(t) + "?reason=gone"));
    }
    expect_done(weir.put("/v1/units/a-new?reason=r", {{"model", "m-1"}, {"params", {{"seed", 99}}}}));
    expect_done(
        weir.patch("/v1/flags/f-1?reason=r", {{"candidate", {{"unit", "a-new"}}}, {"salt", "other"}}));
    expect_done(weir.put("/v1/segments/a-first?reason=r", {{"staff", false}}));
    expect_done(weir.patch("/v1/flags/f-0?reason=r", {{"exclude", {"a-first"}}}));
    expect_done(weir.put("/v1/segments/eu?reason=r", {{"region", {{"starts_with", "us-"}}}}));
    expect_done(weir.patch("/v1/scenarios/idle?reason=r", {{"stable", "big"}}));
    expect_done(weir.put("/v1/tenants/new?reason=r", {{"name", "New"}}));
  }

  TenantWorld world{11};
};

TEST_F(Restore, AtATimeAHundredThousandDecisionsAreThoseOfThen) {
  AdminHost weir({.table = world.document()});
  for (int t = 0; t < kTenants; t += 3) put_tenant(weir, t);
  tests::run_for(*weir.loop, std::chrono::milliseconds(2));  // times are told in milliseconds
  const std::string then(core::timestamp(weir.loop->wall_now_ns()).view());
  std::vector<Context> recorded = contexts();
  for (Context& context : recorded) context.decision = decide_now(weir.control.table(), context);
  tests::run_for(*weir.loop, std::chrono::milliseconds(2));
  const uint64_t revision = weir.control.revision();

  change_everything(weir);
  EXPECT_GT(count_changed(weir.control.table(), recorded), kContexts / 10) << "or this shows nothing";

  // As it was then, to be looked at ...
  auto document =
      Document::parse(weir.get("/v1/table?revision=" + std::to_string(revision)).body, TableFormat::json);
  ASSERT_TRUE(document.has_value());
  TableLoader loader({}, {}, nullptr);
  auto loaded = loader.load(*std::move(document));
  ASSERT_TRUE(loaded.has_value());
  Table past;
  past.body = loaded->body;
  past.tenants = loaded->tenants;
  EXPECT_EQ(count_changed(past, recorded), 0);

  // ... and to be served again.
  const Reply rolled =
      weir.post("/v1/rollback", {{"scope", "all"}, {"to", then}, {"reason", "incident 311"}});
  ASSERT_EQ(rolled.status, 200) << rolled.body;
  EXPECT_EQ(rolled.json()["restored_revision"], revision);
  EXPECT_EQ(count_changed(weir.control.table(), recorded), 0);
}

}  // namespace
}  // namespace weir::routing
