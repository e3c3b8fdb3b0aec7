#include "routing/table/approvals.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "routing/table/diff.h"
#include "tests/routing/table/example.h"

namespace weir::routing {
namespace {

// A scenario and a flag with rules; `quiet` is a flag of a scenario without any.
constexpr std::string_view kTable = R"yaml(
models: { m: {} }
prompts: { p@1.0.0: {}, p@2.0.0: {}, p@3.0.0: {} }
units:
  old: { model: m, prompt: p@1.0.0 }
  new: { model: m, prompt: p@2.0.0 }
  third: { model: m, prompt: p@3.0.0 }
  plain: { model: m }
segments: { internal: { staff: true }, beta: { plan: pro }, idle: { plan: free } }
scenarios:
  chat: { stable: old, approvals: { for: [prompt], by: [approver] } }
  other: { stable: old }
flags:
  launch: { scenario: chat, candidate: { unit: new }, exclude: [beta],
            approvals: { for: [production, widen], by: [operator, admin] } }
  quiet: { scenario: other, candidate: { unit: new } }
tenants:
  bank:
    flags:
      launch: { state: pilot, percent: 5, segments: [internal], limits: { rpm: 10, tpm: 5, concurrency: 5, until: 2027-01-01 } }
      quiet: { state: pilot, percent: 5, segments: [internal] }
  shop: { flags: { launch: { state: off, percent: 50 } } }
  done: { flags: { launch: { state: production } } }
)yaml";

class MemorySource {
 public:
  explicit MemorySource(const Document& document) {
    split_document(document.root(), [&](const ObjectView& object) {
      bodies_[{object.kind, std::string(object.name)}] = object.body;
    });
  }
  ObjectSource source() const {
    return {.find = [this](ObjectKind kind, std::string_view name) -> std::optional<std::string> {
              const auto found = bodies_.find({kind, std::string(name)});
              return found == bodies_.end() ? std::nullopt : std::optional(found->second);
            },
            .for_each =
                [this](const std::function<void(const ObjectView&)>& each) {
                  for (const auto& [key, body] : bodies_) each({key.first, key.second, body});
                }};
  }

 private:
  std::map<std::pair<ObjectKind, std::string>, std::string> bodies_;
};

NeededApprovals needed(std::string_view table_before, std::string_view table_after, bool with_before = true) {
  const Document before = *Document::parse(std::string(table_before), TableFormat::yaml);
  const Document after = *Document::parse(std::string(table_after), TableFormat::yaml);
  const MemorySource memory(before);
  std::vector<ObjectChange> changes = diff_documents(before.root(), after.root());
  if (!with_before) {
    for (ObjectChange& change : changes) change.before.reset();
  }
  return needed_approvals(changes, memory.source());
}

// "widen launch bank (percent 5 -> 6); roles: operator admin"
std::string shown(const NeededApprovals& needed) {
  std::string text;
  for (const Touch& touch : needed.touches) {
    const std::string& what = touch.flag.empty() ? touch.scenario : touch.flag;
    text += fmt::format("{} {}{}{} ({}); ", to_string(touch.kind), what, touch.tenant.empty() ? "" : " ",
                        touch.tenant, touch.detail);
  }
  return needed.roles.empty() && text.empty()
             ? "nothing"
             : fmt::format("{}roles: {}", text, fmt::join(needed.roles, " "));
}

struct Row {
  std::string_view from, to;  // in kTable
  std::string_view needed;
};

constexpr Row kRows[] = {
    // rows
    {"launch: { state: pilot, percent: 5", "launch: { state: pilot, percent: 6",
     "widen launch bank (percent 5 -> 6); roles: operator admin"},
    {"launch: { state: pilot, percent: 5", "launch: { state: pilot, percent: 5.001",
     "widen launch bank (percent 5 -> 5.001); roles: operator admin"},
    {"launch: { state: pilot, percent: 5", "launch: { state: pilot, percent: 4", "nothing"},
    {"launch: { state: pilot, percent: 5", "launch: { state: off, percent: 90", "nothing"},
    {"launch: { state: pilot, percent: 5", "launch: { state: production",
     "production launch bank (state pilot -> production); roles: operator admin"},
    {"      launch: { state: pilot, percent: 5, segments: [internal], limits: { rpm: 10, tpm: 5, "
     "concurrency: 5, until: 2027-01-01 } "
     "}\n",
     "", "nothing"},
    {"segments: [internal], limits", "segments: [internal, beta], limits",
     "widen launch bank (segment beta joins); roles: operator admin"},
    {"segments: [internal], limits", "limits", "nothing"},
    {"rpm: 10", "rpm: 11", "widen launch bank (limits.rpm is looser); roles: operator admin"},
    {"rpm: 10, ", "", "widen launch bank (limits.rpm is looser); roles: operator admin"},
    {"rpm: 10, ", "rpm: 10, total_requests: 5, ", "nothing"},
    {"concurrency: 5, ", "concurrency: 6, ",
     "widen launch bank (limits.concurrency is looser); roles: operator admin"},
    {"tpm: 5, ", "", "widen launch bank (limits.tpm is looser); roles: operator admin"},
    {"until: 2027-01-01", "until: 2027-01-02",
     "widen launch bank (limits.until is later); roles: operator admin"},
    {"until: 2027-01-01", "until: 2026-12-01", "nothing"},
    {"quiet: { state: pilot, percent: 5", "quiet: { state: production", "nothing"},
    {"state: off, percent: 50", "state: pilot, percent: 50",
     "widen launch shop (percent 0 -> 50); roles: operator admin"},
    {"state: off, percent: 50", "state: off, percent: 100", "nothing"},
    {"state: off, percent: 50", "state: pilot", "nothing"},
    {"state: off, percent: 50", "state: pilot, segments: [internal]",
     "widen launch shop (segment internal joins); roles: operator admin"},
    {"state: off, percent: 50", "state: production",
     "production launch shop (state off -> production); roles: operator admin"},
    {"launch: { state: production }", "launch: { state: pilot, percent: 99 }", "nothing"},
    {"  done: {", "  fresh: { flags: { launch: { state: production } } }\n  done: {",
     "production launch fresh (state off -> production); roles: operator admin"},
    {"  done: {", "  fresh: { flags: { launch: { state: pilot, percent: 1 } } }\n  done: {",
     "widen launch fresh (percent 0 -> 1); roles: operator admin"},
    {"  done: { flags: { launch: { state: production } } }\n", "", "nothing"},
    // flags
    {"candidate: { unit: new }, exclude", "candidate: { unit: plain }, exclude",
     "production launch (candidate {\"unit\":\"new\"} -> {\"unit\":\"plain\"}); roles: operator admin"},
    {"candidate: { unit: new }, exclude", "candidate: { unit: third }, exclude",
     "prompt launch (prompt p@3.0.0 comes into use); "
     "production launch (candidate {\"unit\":\"new\"} -> {\"unit\":\"third\"}); roles: approver operator "
     "admin"},
    {"candidate: { unit: new }, exclude", "candidate: { prompt: p@1.0.0 }, exclude",
     "production launch (candidate {\"unit\":\"new\"} -> {\"prompt\":\"p@1.0.0\"}); roles: operator admin"},
    {"exclude: [beta]", "exclude: []",
     "widen launch (segment beta is excluded no more); roles: operator admin"},
    {"exclude: [beta]", "exclude: [beta, internal]", "nothing"},
    {"  quiet: {", "  fresh: { scenario: chat, candidate: { prompt: p@3.0.0 } }\n  quiet: {",
     "prompt fresh (prompt p@3.0.0 comes into use); roles: approver"},
    {"  quiet: {", "  fresh: { scenario: chat, candidate: { prompt: p@1.0.0 } }\n  quiet: {", "nothing"},
    {"quiet: { scenario: other", "quiet: { scenario: chat",
     "prompt quiet (prompt p@2.0.0 comes into use); roles: approver"},
    // scenarios
    {"stable: old, approvals", "stable: third, approvals",
     "prompt chat (prompt p@3.0.0 comes into use); roles: approver"},
    {"stable: old, approvals", "stable: plain, approvals", "nothing"},
    {"stable: old, approvals", "stable: old, fallback: [ { unit: third }, { static: x } ], approvals",
     "prompt chat (prompt p@3.0.0 comes into use); roles: approver"},
    {"other: { stable: old }", "other: { stable: third }", "nothing"},
    // rules
    {"[production, widen], by: [operator, admin]", "[production], by: [operator, admin]",
     "rules launch (approvals change); roles: operator admin"},
    {",\n            approvals: { for: [production, widen], by: [operator, admin] }", "",
     "rules launch (approvals change); roles: operator admin"},
    {", approvals: { for: [prompt], by: [approver] }", "", "rules chat (approvals change); roles: approver"},
    {"other: { stable: old }", "other: { stable: old, approvals: { for: [widen], by: [admin] } }", "nothing"},
    // segments
    {"internal: { staff: true }", "internal: { staff: false }",
     "widen launch (segment internal changes); roles: operator admin"},
    {"beta: { plan: pro }", "beta: { plan: free }",
     "widen launch (segment beta changes); roles: operator admin"},
    {"idle: { plan: free }", "idle: { plan: pro }", "nothing"},
    {"idle: { plan: free }", "idle: { plan: free }, fresh: { plan: pro }", "nothing"},
    // the rest
    {"plain: { model: m }", "plain: { model: m }\n  more: { model: m }", "nothing"},
    {"bank:\n", "bank:\n    name: Bank\n", "nothing"},
};

TEST(NeededApprovals, AreThoseOfTheRulesThatAChangeTouches) {
  for (const Row& row : kRows) {
    const std::string after = replaced(kTable, row.from, row.to);
    EXPECT_EQ(shown(needed(kTable, after)), row.needed) << row.from << "\n  becomes " << row.to;
    EXPECT_EQ(shown(needed(kTable, after, false)), row.needed) << "bodies before from the source: " << row.to;
  }
}

TEST(NeededApprovals, GoByTheRulesFromBefore) {
  std::string after =
      replaced(kTable, ",\n            approvals: { for: [production, widen], by: [operator, admin] }", "");
  after = replaced(after, "launch: { state: pilot, percent: 5", "launch: { state: production");
  EXPECT_EQ(shown(needed(kTable, after)),
            "rules launch (approvals change); production launch bank (state pilot -> production); roles: "
            "operator admin");
}

TEST(NeededApprovals, OfANewFlagAreItsOwn) {
  std::string after =
      replaced(kTable, "  quiet: {",
               "  fresh: { scenario: other, candidate: { unit: new }, approvals: { for: [widen], by: "
               "[admin] } }\n  quiet: {");
  after =
      replaced(after, "  done: {", "  user: { flags: { fresh: { state: pilot, percent: 3 } } }\n  done: {");
  EXPECT_EQ(shown(needed(kTable, after)), "widen fresh user (percent 0 -> 3); roles: admin");
}

TEST(NeededApprovals, KeepAFlagWithRulesFromGoingQuietly) {
  std::string after =
      replaced(kTable,
               "  launch: { scenario: chat, candidate: { unit: new }, exclude: [beta],\n"
               "            approvals: { for: [production, widen], by: [operator, admin] } }\n",
               "");
  EXPECT_EQ(shown(needed(kTable, after)), "rules launch (it is taken away); roles: operator admin");
}

TEST(NeededApprovals, HoldEveryRoleOnceInTheOrderOfAllRules) {
  const std::string before =
      replaced(kTable, "for: [prompt], by: [approver]", "for: [widen], by: [operator, approver]");
  EXPECT_EQ(shown(needed(before, replaced(before, "launch: { state: pilot, percent: 5",
                                          "launch: { state: pilot, percent: 6"))),
            "widen launch bank (percent 5 -> 6); roles: operator approver admin");
  const std::string twice =
      replaced(kTable, "for: [prompt], by: [approver]", "for: [widen], by: [admin, admin]");
  EXPECT_EQ(shown(needed(twice, replaced(twice, "launch: { state: pilot, percent: 5",
                                         "launch: { state: pilot, percent: 6"))),
            "widen launch bank (percent 5 -> 6); roles: operator admin admin");
}

TEST(NeededApprovals, ListABoundedNumberOfTouches) {
  std::string tenants;
  for (size_t i = 0; i < kMaxTouches + 5; i++) {
    tenants += fmt::format("  t{}: {{ flags: {{ launch: {{ state: production }} }} }}\n", i);
  }
  const NeededApprovals all = needed(kTable, std::string(kTable) + tenants);
  EXPECT_EQ(all.touches.size(), kMaxTouches);
  EXPECT_EQ(all.roles, (std::vector<std::string>{"operator", "admin"}));
}

}  // namespace
}  // namespace weir::routing
