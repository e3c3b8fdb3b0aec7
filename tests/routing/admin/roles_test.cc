#include "routing/admin/roles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>

#include "routing/admin/calls.h"
#include "tests/routing/admin/admin_fixture.h"

namespace weir::routing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// Who may do what, as a person reviews it: the least role of each call, and what a token needs besides.
struct Expected {
  std::string_view method, target;
  Role least;
  Scope scope;
};
constexpr auto kViewer = Role::viewer, kOperator = Role::operator_role, kAdmin = Role::admin;
constexpr auto kMatrix = std::to_array<Expected>({
    {"GET", "/healthz", kViewer, Scope::metrics},
    {"GET", "/metrics", kViewer, Scope::metrics},
    {"GET", "/v1/status", kViewer, Scope::read},
    {"GET", "/v1/table", kViewer, Scope::read},
    {"PUT", "/v1/table", kAdmin, Scope::deploy},
    {"POST", "/v1/table:validate", kOperator, Scope::change},
    {"GET", "/v1/diff", kViewer, Scope::read},
    {"GET", "/v1/explain", kViewer, Scope::read},
    {"POST", "/v1/kill", kOperator, Scope::kill},
    {"POST", "/v1/unkill", kOperator, Scope::kill},
    {"POST", "/v1/kill:unkill", kOperator, Scope::kill},
    {"POST", "/v1/rollback", kOperator, Scope::rollback},
    {"GET", "/v1/limits", kViewer, Scope::read},
    {"GET", "/v1/budgets", kViewer, Scope::read},
    {"GET", "/v1/breakers", kViewer, Scope::read},
    {"POST", "/v1/cache:purge", kOperator, Scope::change},
    {"GET", "/v1/audit", kViewer, Scope::read},
    {"GET", "/v1/audit:verify", kViewer, Scope::read},
    {"GET", "/v1/changes/1", kViewer, Scope::read},
    {"GET", "/v1/export", kViewer, Scope::read},
    {"GET", "/v1/labels/known_good", kViewer, Scope::read},
    {"POST", "/v1/labels/known_good", kOperator, Scope::change},
    {"GET", "/v1/proposals", kViewer, Scope::read},
    {"GET", "/v1/proposals/1", kViewer, Scope::read},
    {"POST", "/v1/proposals/1:approve", kOperator, Scope::approve},
    {"POST", "/v1/proposals/1:withdraw", kOperator, Scope::approve},
    {"POST", "/v1/upgrade", kAdmin, Scope::deploy},
    {"GET", "/v1/flags/v2/tenants", kViewer, Scope::read},
    {"POST", "/v1/flags/v2/tenants/acme", kOperator, Scope::change},
    {"GET", "/v1/flags", kViewer, Scope::read},
    {"GET", "/v1/flags/v2", kViewer, Scope::read},
    {"PUT", "/v1/flags/v2", kOperator, Scope::change},
    {"PATCH", "/v1/flags/v2", kOperator, Scope::change},
    {"DELETE", "/v1/flags/v2", kAdmin, Scope::deploy},
    {"PUT", "/v1/segments/paying", kOperator, Scope::change},
    {"PUT", "/v1/tenants/acme", kOperator, Scope::change},
    {"PATCH", "/v1/tenants/acme", kOperator, Scope::change},
    {"DELETE", "/v1/tenants/acme", kAdmin, Scope::deploy},
    {"PUT", "/v1/providers/local", kAdmin, Scope::deploy},
    {"PUT", "/v1/models/m-1", kAdmin, Scope::deploy},
    {"PUT", "/v1/prompts/p@1.0.0", kAdmin, Scope::deploy},
    {"PUT", "/v1/units/big", kAdmin, Scope::deploy},
    {"PUT", "/v1/attributes/plan", kAdmin, Scope::deploy},
    {"PUT", "/v1/scenarios/chat", kAdmin, Scope::deploy},
    {"PATCH", "/v1/scenarios/chat", kAdmin, Scope::deploy},
    {"PUT", "/v1/keys/acme-app", kAdmin, Scope::deploy},
    {"PUT", "/v1/settings/table", kAdmin, Scope::deploy},
});

net::Method method_of(std::string_view name) {
  for (const CallRow& row : call_rows()) {
    if (net::method_name(row.method) == name) return row.method;
  }
  return net::Method::other;
}

TEST(Roles, TheMatrixNamesEveryCall) {
  std::map<size_t, int> seen;
  for (const Expected& expected : kMatrix) {
    const auto match = match_call(expected.target, method_of(expected.method));
    ASSERT_TRUE(match) << expected.method << " " << expected.target;
    ++seen[match->row];
  }
  for (size_t row = 0; row < call_rows().size(); ++row) {
    EXPECT_TRUE(seen.contains(row)) << call_rows()[row].handler << " is not in the matrix";
  }
}

// Through the socket: whoever may not is refused with a sentence that says who may, whatever the body says.
TEST(Roles, EachRoleMayMakeItsCallsAndNoOthers) {
  for (const Role role : {Role::viewer, Role::operator_role, Role::approver, Role::admin}) {
    AdminHost weir({.access = {.peers = {{.role = role, .who = AccessRules::Who::everybody}}}});
    for (const Expected& expected : kMatrix) {
      const bool body = expected.method != "GET" && expected.method != "DELETE";
      const Reply reply = weir.call(expected.method, expected.target, body ? "{" : "",
                                    body ? "content-type: application/json\r\n" : "");
      EXPECT_EQ(reply.status == 403, role < expected.least)
          << to_string(role) << ": " << expected.method << " " << expected.target << " " << reply.body;
      if (reply.status != 403) continue;
      EXPECT_EQ(reply.json()["error"]["code"], "forbidden");
      EXPECT_THAT(reply.json()["error"]["message"].get<std::string>(),
                  HasSubstr("this takes " + std::string(to_string(expected.least))));
    }
    EXPECT_EQ(weir.status()["revision"], 1) << "nothing that was refused changed anything";
  }
}

TEST(Roles, ATokensScopesNarrowItsRole) {
  for (const Expected& expected : kMatrix) {
    const auto match = match_call(expected.target, method_of(expected.method));
    ASSERT_TRUE(match);
    const Caller none{.name = "token ci", .role = Role::admin, .scopes = 0};
    EXPECT_THAT(refusal_of(none, match->permission).value_or(""),
                HasSubstr("does not have the scope " + std::string(to_string(expected.scope))));
    const Caller one{.name = "token ci", .role = Role::admin, .scopes = bit(expected.scope)};
    EXPECT_FALSE(refusal_of(one, match->permission)) << expected.target;
    const Caller others{
        .name = "token ci", .role = Role::admin, .scopes = static_cast<uint8_t>(~bit(expected.scope))};
    EXPECT_TRUE(refusal_of(others, match->permission)) << expected.target;
  }
}

TEST(Roles, NamesAreReadBack) {
  for (const Role role : {Role::viewer, Role::operator_role, Role::approver, Role::admin}) {
    EXPECT_EQ(parse_role(to_string(role)), role);
  }
  EXPECT_FALSE(parse_role("root"));
#define X(scope, what) EXPECT_EQ(parse_scope(to_string(Scope::scope)), Scope::scope);
  WEIR_ADMIN_SCOPES(X)
#undef X
  EXPECT_FALSE(parse_scope("all"));
}

}  // namespace
}  // namespace weir::routing
