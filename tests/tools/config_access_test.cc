// weir.yaml: the registry's place, who may use the admin API, and from where.
#include "tools/weir/config_access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "core/limits.h"
#include "tools/weir/config.h"

namespace weir::tools {
namespace {

using routing::AccessRules;
using routing::Role;
using routing::Scope;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using AskingPeer = AccessRules::Peer;
using Who = AccessRules::Who;

constexpr std::string_view kHash =
    "hmac-sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

ConfigResult parse(const std::string& more) {
  return parse_config("table: table.yaml\nkey_hash_secret: ${SECRET}\n" + more, "/etc/weir/weir.yaml",
                      [](std::string_view name) -> std::optional<std::string> {
                        if (name == "SECRET") return "0123456789abcdef0123456789abcdef";
                        return std::nullopt;
                      });
}
Config accept(const std::string& more) {
  auto config = parse(more);
  if (config) return *std::move(config);
  for (const auto& problem : config.error()) ADD_FAILURE() << to_string(problem);
  return {};
}
std::vector<std::string> refuse(const std::string& more) {
  std::vector<std::string> lines;
  if (auto config = parse(more); !config) {
    for (const auto& problem : config.error()) lines.push_back(to_string(problem));
  }
  return lines;
}
std::string tcp(const std::string& members) {
  return "admin: { tcp: { listen: \"127.0.0.1:0\", certificates: [ { cert: a.pem, key: a.key } ], hosts: "
         "[Weir.Internal], " +
         members + " } }\n";
}

TEST(ConfigRegistry, IsAFileUnlessToldOtherwise) {
  EXPECT_EQ(accept("").registry_path, "/var/lib/weir/registry.db");
  EXPECT_EQ(accept("registry: data/registry.db\n").registry_path, "/etc/weir/data/registry.db");
  EXPECT_EQ(accept("registry: none\n").registry_path, ":memory:");
  EXPECT_THAT(refuse("registry: \"\"\n"), ElementsAre(StartsWith("registry: ")));
}

TEST(ConfigAccess, RootAndWeirsOwnUserAreAdminsAndOthersOnlyLook) {
  const AccessRules access = accept("").access;
  EXPECT_THAT(access.peers,
              ElementsAre(AskingPeer{Role::admin, Who::user, 0}, AskingPeer{Role::admin, Who::user, ::geteuid()},
                          AskingPeer{Role::viewer, Who::everybody, 0}));
  EXPECT_THAT(access.user_names, Contains(std::pair<uint32_t, std::string>(0, "root")));
  EXPECT_TRUE(access.tokens.empty());
}

TEST(ConfigAccess, RolesNameUsersAndGroups) {
  const AccessRules access = accept(
                                 "admin: { roles: { admin: [\"user:root\"], operator: [\"uid:1001\", "
                                 "\"group:root\"], approver: [\"gid:4\"] } }\n")
                                 .access;
  EXPECT_THAT(access.peers, ::testing::UnorderedElementsAre(AskingPeer{Role::viewer, Who::everybody, 0},
                                                            AskingPeer{Role::operator_role, Who::user, 1001},
                                                            AskingPeer{Role::operator_role, Who::group, 0},
                                                            AskingPeer{Role::approver, Who::group, 4},
                                                            AskingPeer{Role::admin, Who::user, 0}));
  EXPECT_THAT(accept("admin: { roles: { viewer: [] } }\n").access.peers,
              Not(Contains(AskingPeer{Role::viewer, Who::everybody, 0})))
      << "an empty list takes a default away";
}

TEST(ConfigAccess, RolesThatNameNobodyAreProblems) {
  EXPECT_THAT(refuse("admin: { roles: { admin: [root, \"user:no-such-user-here\", \"uid:x\", "
                     "\"group:no-such-group\", \"gid:-1\", "
                     "\"user:\"], owner: [] } }\n"),
              ElementsAre(HasSubstr("owner"), HasSubstr("none of user:NAME"), HasSubstr("no-such-user-here"),
                          HasSubstr("\"x\" is no number"), HasSubstr("no-such-group"),
                          HasSubstr("is no number"), HasSubstr("none of user:NAME")));
}

TEST(ConfigAccess, TokensComeHashedWithARoleAndScopes) {
  const Config config =
      accept(tcp("origins: [\"https://Console.internal\"], tokens: [ { id: ci, hash: \"" +
                 std::string(kHash) + "\", role: admin, scopes: [read, deploy] }, { id: p, hash: \"" +
                 std::string(kHash) + "\", role: viewer } ]"));
  EXPECT_EQ(config.admin_listen.size(), 1u);
  EXPECT_EQ(config.admin_certificates.size(), 1u);
  EXPECT_THAT(config.access.hosts, ElementsAre("weir.internal"));
  EXPECT_THAT(config.access.origins, ElementsAre("https://console.internal"));
  ASSERT_EQ(config.access.tokens.size(), 2u);
  EXPECT_EQ(config.access.tokens[0].scopes, routing::bit(Scope::read) | routing::bit(Scope::deploy));
  EXPECT_EQ(config.access.tokens[1].scopes, routing::kAllScopes);
  EXPECT_EQ(config.access.token_secret, config.key_hash_secret);
}

TEST(ConfigAccess, TokensThatAreNoneAreProblemsAndNeverRepeated) {
  const auto lines = refuse(tcp("tokens: [ { id: ci, hash: sk-secret, role: admin }, { id: ci, hash: \"" +
                                std::string(kHash) + "\", role: boss, scopes: [everything] } ]"));
  EXPECT_THAT(lines, ElementsAre(HasSubstr("tokens[0].hash: must be hmac-sha256"), HasSubstr("tokens[1].id"),
                                 HasSubstr("tokens[1].role"), HasSubstr("tokens[1].scopes[0]")));
  for (const std::string& line : lines) EXPECT_THAT(line, Not(HasSubstr("sk-secret")));
}

TEST(ConfigAccess, MoreThanMaxAdminTokensAreRefused) {
  std::string list;
  for (uint32_t i = 0; i <= core::limits::kMaxAdminTokens; ++i) {
    list += "{ id: t" + std::to_string(i) + ", role: viewer, hash: \"" + std::string(kHash) + "\" }, ";
  }
  EXPECT_THAT(refuse(tcp("tokens: [ " + list + " ]")), ElementsAre(HasSubstr("lists 65 tokens; at most 64")));
}

TEST(ConfigAccess, TcpNeedsTlsAndHostsAndTokens) {
  EXPECT_THAT(refuse("admin: { tcp: { listen: \"127.0.0.1:0\" } }\n"),
              ElementsAre(HasSubstr("\"certificates\" is missing"), HasSubstr("\"hosts\" is missing"),
                          HasSubstr("\"tokens\" is missing")));
  EXPECT_THAT(
      refuse(
          "listen: \"127.0.0.1:8444\"\nadmin: { tcp: { listen: \"127.0.0.1:8444\", hosts: [a], tokens: [], "
          "certificates: [ { cert: a.pem, key: a.key } ] } }\n"),
      Contains(HasSubstr("is listed twice")));
}

}  // namespace
}  // namespace weir::tools
