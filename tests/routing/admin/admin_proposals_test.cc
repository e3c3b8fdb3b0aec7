// Changes that wait for approval: who may give it, in which order, and what voids it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/routing/admin/admin_fixture.h"

namespace weir::routing {
namespace {

using nlohmann::json;
using ::testing::SizeIs;

// Who is calling is set by the test: `people` are tokens of one AdminHost would need TLS, so the host's only
// rule is changed between calls by asking ControlThread directly.
struct AdminProposals : ::testing::Test {
  static std::string table() {
    std::string text = table_text();
    const std::string flag = "v2: { scenario: chat, candidate: { unit: big }, owner: u-1 }";
    text.replace(text.find(flag), flag.size(),
                 "v2: { scenario: chat, candidate: { unit: big }, owner: u-1,\n"
                 "        approvals: { for: [production, widen], by: [operator, approver] } }");
    return text;
  }
  static Caller caller(const std::string& name, Role role) { return {.name = name, .role = role}; }

  // The proposal's id.
  uint64_t propose(const json& members = {{"percent", 75}, {"reason", "looks good"}}) {
    const Reply reply = weir.post("/v1/flags/v2/tenants/acme", members);
    EXPECT_EQ(reply.status, 202) << reply.body;
    EXPECT_EQ(reply.json()["waits_for"], "operator");
    return reply.json().value("proposal", 0u);
  }
  // What becomes of an approval: "proposed", "made", or the refusal's code.
  std::string approve(uint64_t id, const std::string& name, Role role) {
    return wait([&](ChangeDone done) {
      weir.control.approve({.caller = caller(name, role), .proposal = id, .reason = "agreed"},
                           std::move(done));
    });
  }
  std::string withdraw(uint64_t id, const std::string& name, Role role) {
    return wait([&](ChangeDone done) {
      weir.control.withdraw({.caller = caller(name, role), .proposal = id, .reason = "no"}, std::move(done));
    });
  }
  template <typename Ask>
  std::string wait(Ask ask) {
    std::string became;
    ask([&](const ChangeResult& result) {
      became = !result                                     ? std::string(describe(result.error().kind).code)
               : result->kind == ChangeOutcome::Kind::made ? "made"
                                                           : "proposed";
    });
    EXPECT_TRUE(tests::run_until(*weir.loop, [&] { return !became.empty(); }));
    return became;
  }
  json proposal(uint64_t id) { return weir.get("/v1/proposals/" + std::to_string(id)).json(); }
  json percent() { return weir.get("/v1/tenants/acme").json()["flags"]["v2"]["percent"]; }

  AdminHost weir{{.table = table()}};
};

TEST_F(AdminProposals, AWideningWaitsAndTheLastApprovalMakesIt) {
  const uint64_t id = propose();
  EXPECT_EQ(percent(), 50);
  EXPECT_EQ(weir.status()["revision"], 1);
  const json open = proposal(id);
  EXPECT_EQ(open["state"], "open");
  EXPECT_EQ(open["required"], (json{"operator", "approver"}));
  EXPECT_EQ(open["objects"][0]["after"]["flags"]["v2"]["percent"], 75);
  EXPECT_THAT(weir.get("/v1/proposals").json()["proposals"], SizeIs(1));

  EXPECT_EQ(approve(id, "bob", Role::operator_role), "proposed");
  EXPECT_EQ(proposal(id)["waits_for"], "approver");
  EXPECT_EQ(approve(id, "carol", Role::approver), "made");
  EXPECT_EQ(percent(), 75);
  EXPECT_EQ(proposal(id)["state"], "applied");
  EXPECT_TRUE(weir.get("/v1/proposals").json()["proposals"].empty());
  EXPECT_THAT(weir.get("/v1/proposals?all=true").json()["proposals"], SizeIs(1));

  const json change = weir.get("/v1/changes/2").json();
  EXPECT_EQ(change["reason"], "looks good");
  ASSERT_THAT(change["approved_by"], SizeIs(2));
  EXPECT_EQ(change["approved_by"][0]["name"], "bob");
  EXPECT_EQ(change["approved_by"][1]["role"], "approver");
}

TEST_F(AdminProposals, ApprovalsComeInOrderFromOthersAndOnce) {
  const uint64_t id = propose();
  const std::string author = proposal(id)["author"]["name"];
  EXPECT_EQ(approve(id, author, Role::admin), "self_approval");
  EXPECT_EQ(approve(id, "victor", Role::viewer), "forbidden");
  EXPECT_EQ(approve(id, "bob", Role::approver), "proposed");
  EXPECT_EQ(approve(id, "bob", Role::approver), "approved_already");
  EXPECT_EQ(approve(id, "oscar", Role::operator_role), "forbidden") << "it waits for an approver now";
  EXPECT_EQ(percent(), 50);
  EXPECT_EQ(approve(id, "carol", Role::admin), "made");
  EXPECT_EQ(approve(id, "dave", Role::admin), "proposal_not_open");
  EXPECT_EQ(approve(99, "dave", Role::admin), "unknown_proposal");
}

TEST_F(AdminProposals, WhatNarrowsWaitsForNobody) {
  EXPECT_EQ(weir.post("/v1/flags/v2/tenants/acme", {{"percent", 5}, {"reason", "r"}}).status, 200);
  EXPECT_EQ(weir.post("/v1/flags/v2/tenants/acme", {{"state", "off"}, {"reason", "r"}}).status, 200);
  EXPECT_EQ(
      weir.post("/v1/rollback", {{"scope", "tenant"}, {"name", "acme"}, {"to", 1}, {"reason", "r"}}).status,
      200)
      << "a rollback never waits, though it widens here";
  EXPECT_EQ(percent(), 50);
  EXPECT_EQ(weir.post("/v1/kill", {{"scope", "flag"}, {"name", "v2"}, {"reason", "r"}}).status, 200);
}

TEST_F(AdminProposals, NobodyWritesThemselvesOutOfTheRules) {
  EXPECT_EQ(weir.patch("/v1/flags/v2?reason=r", {{"approvals", nullptr}}).status, 202);
  EXPECT_EQ(weir.put_table(table_text(90)).status, 202);
  EXPECT_EQ(weir.status()["revision"], 1);
}

TEST_F(AdminProposals, AnEditVoidsTheApprovals) {
  const uint64_t id = propose();
  EXPECT_EQ(approve(id, "bob", Role::operator_role), "proposed");
  const Reply edited = weir.post("/v1/flags/v2/tenants/acme?proposal=" + std::to_string(id),
                                 {{"percent", 80}, {"reason", "a bit more"}});
  EXPECT_EQ(edited.status, 202) << edited.body;
  EXPECT_EQ(edited.json()["proposal"], id);
  EXPECT_TRUE(proposal(id)["approvals"].empty());
  EXPECT_EQ(approve(id, "bob", Role::operator_role), "proposed");
  EXPECT_EQ(approve(id, "carol", Role::approver), "made");
  EXPECT_EQ(percent(), 80);
}

TEST_F(AdminProposals, AProposalWhoseGroundHasMovedIsVoid) {
  const uint64_t id = propose();
  EXPECT_EQ(approve(id, "bob", Role::operator_role), "proposed");
  EXPECT_EQ(weir.post("/v1/flags/v2/tenants/acme", {{"percent", 5}, {"reason", "r"}}).status, 200);
  EXPECT_EQ(approve(id, "carol", Role::approver), "stale_proposal");
  EXPECT_EQ(percent(), 5);
  EXPECT_EQ(proposal(id)["state"], "stale");
  EXPECT_EQ(approve(id, "carol", Role::approver), "proposal_not_open");
}

TEST_F(AdminProposals, ItsAuthorOrAnAdminWithdrawsIt) {
  const uint64_t id = propose();
  EXPECT_EQ(withdraw(id, "bob", Role::approver), "forbidden");
  EXPECT_EQ(withdraw(id, "root", Role::admin), "proposed");
  EXPECT_EQ(proposal(id)["state"], "withdrawn");
  EXPECT_EQ(approve(id, "bob", Role::operator_role), "proposal_not_open");
  const uint64_t other = propose();
  const Reply reply =
      weir.post("/v1/proposals/" + std::to_string(other) + ":withdraw", {{"reason", "not yet"}});
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.json()["state"], "withdrawn");
}

TEST_F(AdminProposals, TheApiApprovesByTheSameRules) {
  const uint64_t id = propose();
  const std::string path = "/v1/proposals/" + std::to_string(id) + ":approve";
  const Reply own = weir.post(path, {{"reason", "I like it"}});
  EXPECT_EQ(own.status, 403);
  EXPECT_EQ(own.json()["error"]["code"], "self_approval");
  EXPECT_EQ(weir.post(path, json::object()).json()["error"]["param"], "reason");
  EXPECT_EQ(weir.post("/v1/proposals/none:approve", {{"reason", "r"}}).status, 404);
  EXPECT_EQ(weir.get("/v1/proposals/7").json()["error"]["code"], "unknown_proposal");
}

TEST_F(AdminProposals, ADryRunSaysWhoWouldHaveToApprove) {
  const Reply reply = weir.post("/v1/flags/v2/tenants/acme?dry_run=true", {{"percent", 75}, {"reason", "r"}});
  EXPECT_EQ(reply.json()["approvals"], (json{"operator", "approver"})) << reply.body;
  EXPECT_TRUE(weir.get("/v1/proposals").json()["proposals"].empty());
}

TEST(AdminPromptSource, PromptsOfGitComeWithTheWholeTableOnly) {
  AdminHost weir({.table = "prompt_source: git\n" + table_text()});
  const Reply put = weir.put("/v1/prompts/p@1.0.0?reason=r", {{"system", "Be kind."}});
  EXPECT_EQ(put.status, 409);
  EXPECT_EQ(put.json()["error"]["code"], "prompt_source_git");
  EXPECT_EQ(weir.put("/v1/settings/table?reason=r", {{"prompt_source", "api"}}).status, 409);
  const std::string with_prompt =
      "prompt_source: git\nprompts: { p@1.0.0: { system: \"Be kind.\" } }\n" + table_text();
  EXPECT_EQ(weir.put_table(with_prompt).status, 200);
}

TEST(AdminFrozenRows, MayOnlyBeSwitchedOffOrRenewed) {
  std::string text = table_text();
  text.replace(text.find("expires: 2200-01-15"), 19, "expires: 2020-01-15, on_expiry: freeze");
  text.replace(text.find("review: 2200-01-01"), 18, "review: 2020-01-01");
  AdminHost weir({.table = text});
  const std::string row = "/v1/flags/v2/tenants/acme";
  const Reply refused = weir.post(row, {{"percent", 5}, {"reason", "r"}});
  EXPECT_EQ(refused.status, 409) << refused.body;
  EXPECT_EQ(refused.json()["error"]["code"], "frozen");
  EXPECT_EQ(weir.post(row, {{"percent", 5}, {"expires", "2200-01-01"}, {"reason", "r"}}).status, 200);
}

}  // namespace
}  // namespace weir::routing
