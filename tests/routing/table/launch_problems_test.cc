#include "routing/table/launch_problems.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "routing/table/kills.h"
#include "routing/table/scalars.h"
#include "tests/routing/table/example.h"

namespace weir::routing::launch_problems_test {
namespace {

const int64_t kNow = *parse_timestamp_ns("2027-06-01T12:00Z");

// The example with other members in its one row.
std::string with_row(std::string_view members) {
  return replaced(
      example(),
      "{ state: pilot, percent: 5, segments: [internal], start: 2026-12-01T09:00Z, review: 2026-12-08,\n"
      "                    expires: 2027-01-15, owner: u-4021, approver: u-1187, reason: \"security review "
      "1182 passed\",\n"
      "                    previous: support-mini, limits: { rpm: 600, total_requests: 50000 } }",
      "{ owner: u-7, reason: why, previous: support-mini, " + std::string(members) + " }");
}

class LaunchProblems : public ::testing::Test {
 protected:
  // "expired support-v2/bank-17" for each finding.
  std::string found(std::string_view yaml) {
    Compiled compiled = must_compile(yaml);
    snapshot.body = std::move(compiled.body);
    snapshot.tenants = std::move(compiled.tenants);
    snapshot.kills = kills.resolve(*snapshot.body, *snapshot.tenants);
    query.wall_now_ns = kNow;
    findings = find_launch_problems(snapshot, objects, query);
    std::string text;
    for (const LaunchFinding& finding : findings.listed) {
      text += fmt::format("{} {}{}{}\n", token(finding.problem), finding.name,
                          finding.tenant.empty() ? "" : "/", finding.tenant);
    }
    return text;
  }

  void want(std::string_view list) { query.wanted = *parse_launch_problems(list); }

  void know_change(std::string_view time) {
    query.changed_at = [at = *parse_timestamp_ns(time)](std::string_view, std::string_view) { return at; };
  }

  Table snapshot;
  KillList kills;
  ObjectSource objects;
  LaunchQuery query;
  LaunchFindings findings;
};

TEST_F(LaunchProblems, AreNoneOfALaunchThatSomebodyLooksAfter) {
  EXPECT_EQ(
      found(with_row("state: pilot, percent: 5, start: 2027-05-20, review: 2027-06-02, expires: 2027-07-01")),
      "");
  EXPECT_EQ(findings.count, 0u);
}

TEST_F(LaunchProblems, FindRowsThatHaveExpired) {
  want("expired,frozen");
  EXPECT_EQ(found(with_row("state: production, review: 2028-01-01, expires: 2027-06-01T12:00Z")),
            "expired support-v2/bank-17\n");
  EXPECT_EQ(findings.listed[0].detail, "the row has expired (at 2027-06-01T12:00Z; stable answers)");
  EXPECT_EQ(findings.listed[0].since_wall_ns, kNow);
  EXPECT_EQ(found(with_row("state: production, review: 2028-01-01, expires: 2027-06-01T12:00:00.1Z")), "");
  EXPECT_EQ(found(with_row("state: pilot, review: 2028-01-01, expires: 2027-05-01, on_expiry: freeze")),
            "expired support-v2/bank-17\nfrozen support-v2/bank-17\n");
  EXPECT_EQ(found(with_row("state: pilot, review: 2028-01-01, expires: 2027-05-01, on_expiry: alert")),
            "expired support-v2/bank-17\n");
  EXPECT_EQ(findings.listed[0].detail, "the row has expired (at 2027-05-01T00:00Z; it goes on as before)");
  EXPECT_EQ(found(with_row("state: off, review: 2028-01-01, expires: 2027-05-01, on_expiry: freeze")), "");
}

TEST_F(LaunchProblems, FindReviewsThatNobodyHeld) {
  want("overdue_review");
  EXPECT_EQ(found(with_row("state: production, review: 2027-06-01")), "overdue_review support-v2/bank-17\n");
  EXPECT_EQ(found(with_row("state: production, review: 2027-06-02")), "");
  EXPECT_EQ(found(with_row("state: off, review: 2027-01-01")), "");
}

TEST_F(LaunchProblems, FindPilotsWhoseTimeIsOver) {
  want("pilot_over,partial_too_long");
  constexpr std::string_view kRow = "review: 2028-01-01, start: 2027-01-01, limits: { until: 2027-06-01 }";
  EXPECT_EQ(found(with_row("state: pilot, percent: 5, " + std::string(kRow))),
            "pilot_over support-v2/bank-17\n");
  EXPECT_EQ(
      findings.listed[0].detail,
      "the pilot's time is over: the previous unit answers (since 2027-06-01T00:00Z: unit support-mini)");
  EXPECT_EQ(found(with_row("state: production, " + std::string(kRow))), "");
}

TEST_F(LaunchProblems, FindPilotsThatLast) {
  want("partial_too_long");
  EXPECT_EQ(found(with_row("state: pilot, percent: 12.5, review: 2028-01-01, start: 2027-05-02T12:00Z")),
            "partial_too_long support-v2/bank-17\n");
  EXPECT_EQ(findings.listed[0].detail,
            "the row has been in pilot for long: widen it, finish it or end it (at 12.5 % since "
            "2027-05-02T12:00Z)");
  EXPECT_EQ(found(with_row("state: pilot, review: 2028-01-01, start: 2027-05-02T12:01Z")), "");
  EXPECT_EQ(found(with_row("state: pilot, review: 2028-01-01, start: 2028-01-01")), "");
  EXPECT_EQ(found(with_row("state: production, review: 2028-01-01, start: 2027-01-01")), "");
  EXPECT_EQ(found(with_row("state: pilot, review: 2028-01-01")), "") << "since when is not known";
  know_change("2027-04-01");
  EXPECT_EQ(found(with_row("state: pilot, review: 2028-01-01")), "partial_too_long support-v2/bank-17\n");
  know_change("2027-05-31");
  EXPECT_EQ(found(with_row("state: pilot, review: 2028-01-01, start: 2027-01-01")), "")
      << "it was just widened";
}

TEST_F(LaunchProblems, FindFlagsWithoutOwner) {
  want("no_owner");
  EXPECT_EQ(found(replaced(with_row("state: pilot, review: 2028-01-01"), "    owner: u-4021\n", "")),
            "no_owner support-v2\n");
  EXPECT_EQ(findings.listed[0].detail, "the flag has no owner (1 rows in pilot, 0 in production)");
}

TEST_F(LaunchProblems, FindRowsThatCannotReturn) {
  want("no_previous");
  kills.add({.scope = KillScope::unit, .name = "support-mini", .reason = "r"});
  EXPECT_EQ(found(with_row("state: production, review: 2028-01-01")), "no_previous support-v2/bank-17\n");
  EXPECT_EQ(found(with_row("state: off, review: 2028-01-01")), "");
  kills.remove(KillScope::unit, "support-mini");
  EXPECT_EQ(found(with_row("state: production, review: 2028-01-01")), "");
  kills.add({.scope = KillScope::provider, .name = "openai", .reason = "r"});
  EXPECT_EQ(found(with_row("state: production, review: 2028-01-01")), "no_previous support-v2/bank-17\n");
}

TEST_F(LaunchProblems, FindFlagsThatDoNothingAnyMore) {
  want("stale");
  EXPECT_EQ(found(with_row("state: pilot, review: 2028-01-01")), "");
  EXPECT_EQ(found(with_row("state: off, review: 2028-01-01")), "stale support-v2\n");
  EXPECT_NE(findings.listed[0].detail.find("(it is off for every tenant)"), std::string::npos);
  EXPECT_EQ(found(with_row("state: production, review: 2028-01-01")), "stale support-v2\n");
  EXPECT_NE(findings.listed[0].detail.find("(every tenant that has a row on it is in production)"),
            std::string::npos);
  know_change("2027-05-20");
  EXPECT_EQ(found(with_row("state: production, review: 2028-01-01")), "") << "it was just finished";
  know_change("2027-01-01");
  EXPECT_EQ(found(with_row("state: production, review: 2028-01-01")), "stale support-v2\n");
  const std::string idle =
      "  idle: { scenario: support-chat, candidate: { unit: support-mini }, owner: u-1 }\n";
  EXPECT_EQ(found(replaced(with_row("state: pilot, review: 2028-01-01"), "flags:\n", "flags:\n" + idle)),
            "stale idle\n");
  EXPECT_NE(findings.listed[0].detail.find("(its candidate is the stable unit already)"), std::string::npos);
}

TEST_F(LaunchProblems, FindUnitsThatNobodyNames) {
  want("unused_unit");
  const std::string table = with_row("state: off, review: 2028-01-01");
  EXPECT_EQ(found(table), "");
  EXPECT_EQ(found(replaced(table, "units:\n", "units:\n  spare: { model: gpt-4.1-2025-04-14 }\n")),
            "unused_unit spare\n");
  EXPECT_EQ(findings.listed[0].detail, "no scenario, flag or row names the unit (model gpt-4.1-2025-04-14)");
  EXPECT_EQ(findings.listed[0].kind, ObjectKind::unit);
  const std::string units =
      "units:\n  rescue: { model: gpt-4.1-2025-04-14 }\n  earlier: { model: gpt-4.1-2025-04-14 }\n";
  std::string used = replaced(replaced(table, "units:\n", units), "[ { unit: support-mini,",
                              "[ { unit: rescue }, { unit: support-mini,");
  EXPECT_EQ(found(used), "unused_unit earlier\n");
  EXPECT_EQ(found(replaced(used, "previous: support-mini", "previous: earlier")), "");
}

TEST_F(LaunchProblems, AreOrderedByProblemAndBounded) {
  std::string tenants;
  for (int i = 0; i < 10; i++) {
    tenants += fmt::format(
        "  t{}: {{ flags: {{ support-v2: {{ state: pilot, review: 2027-01-01, expires: 2027-02-01, "
        "owner: u, reason: r, previous: support-mini }} }} }}\n",
        i);
  }
  const std::string table =
      replaced(with_row("state: off, review: 2028-01-01"), "tenants:\n", "tenants:\n" + tenants);
  query.limit = 13;
  const std::string text = found(table);
  EXPECT_EQ(findings.count, 20u);
  EXPECT_EQ(findings.listed.size(), 13u);
  EXPECT_EQ(text.substr(0, 24), "expired support-v2/t0\nex");
  EXPECT_TRUE(text.ends_with("overdue_review support-v2/t2\n")) << text;
}

TEST_F(LaunchProblems, NameTheOwnerOfTheRowOrElseOfTheFlag) {
  want("expired,stale");
  const std::string table = with_row("state: production, review: 2028-01-01, expires: 2027-05-01");
  found(table);
  EXPECT_EQ(findings.listed.at(0).owner, "u-4021");
  objects.find = [](ObjectKind kind, std::string_view name) -> std::optional<std::string> {
    EXPECT_EQ(kind, ObjectKind::tenant);
    EXPECT_EQ(name, "bank-17");
    return R"({"flags":{"support-v2":{"owner":"u-7"}}})";
  };
  found(table);
  EXPECT_EQ(findings.listed.at(0).owner, "u-7");
  EXPECT_EQ(findings.listed.at(1).owner, "u-4021");

  std::string json;
  append_json(json, findings.listed[0]);
  EXPECT_EQ(json,
            "{\"problem\":\"expired\",\"kind\":\"flag\",\"name\":\"support-v2\",\"tenant\":\"bank-17\","
            "\"owner\":\"u-7\",\"since\":\"2027-05-01T00:00:00.000Z\","
            "\"detail\":\"the row has expired (at 2027-05-01T00:00Z; stable answers)\"}");
  json.clear();
  append_json(json, findings.listed[1]);
  EXPECT_TRUE(nlohmann::json::parse(json)["tenant"].is_null());
  EXPECT_TRUE(nlohmann::json::parse(json)["since"].is_null());
}

TEST(LaunchProblemNames, AreAListOrAll) {
  EXPECT_EQ(parse_launch_problems("expired"), 1u);
  EXPECT_EQ(parse_launch_problems("expired,no_owner,expired"), 0b100001u);
  EXPECT_EQ(parse_launch_problems("all"), (1u << kLaunchProblemCount) - 1);
  EXPECT_EQ(parse_launch_problems("expired,no_onwer").error().substr(0, 26), "\"no_onwer\" is no problem; ");
  EXPECT_NE(parse_launch_problems("no_onwer").error().find("did you mean \"no_owner\"?"), std::string::npos);
  EXPECT_FALSE(parse_launch_problems("").has_value());
  EXPECT_FALSE(parse_launch_problems("expired,").has_value());
}

}  // namespace
}  // namespace weir::routing::launch_problems_test
