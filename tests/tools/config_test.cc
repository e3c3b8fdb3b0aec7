#include "tools/weir/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/limits.h"
#include "tests/support/process.h"

namespace weir::tools::config_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr std::string_view kSecret = "0123456789abcdef0123456789abcdef";
constexpr std::string_view kLeast = "table: table.yaml\nkey_hash_secret: ${SECRET}\n";

Environment environment() {
  return [](std::string_view name) -> std::optional<std::string> {
    if (name == "SECRET") return std::string(kSecret);
    if (name == "SHORT") return "abc";
    if (name == "EMPTY") return "";
    if (name == "SEVEN") return "7";
    if (name == "HOST") return "127.0.0.9";
    if (name == "NESTED") return "${SECRET}";
    return std::nullopt;
  };
}

// The least configuration plus `more`; must be without problems.
Config accept(std::string_view more, std::string_view least = kLeast) {
  auto config = parse_config(std::string(least) + std::string(more), "/etc/weir/weir.yaml", environment());
  if (config) return *config;
  for (const auto& problem : config.error()) ADD_FAILURE() << to_string(problem);
  return {};
}

// The problems of the least configuration plus `more`, as printed.
std::vector<std::string> refuse(std::string_view more, std::string_view least = kLeast) {
  auto config = parse_config(std::string(least) + std::string(more), "/etc/weir/weir.yaml", environment());
  std::vector<std::string> lines;
  if (!config) {
    for (const auto& problem : config.error()) lines.push_back(to_string(problem));
  }
  return lines;
}

TEST(Config, FillsInSafeDefaults) {
  Config config = accept("");
  ASSERT_EQ(config.listen.size(), 1u);
  EXPECT_EQ(config.listen[0].to_string(), "127.0.0.1:8080");
  EXPECT_FALSE(config.shards);
  EXPECT_EQ(config.table_path, "/etc/weir/table.yaml");
  EXPECT_EQ(config.key_hash_secret, kSecret);
  EXPECT_EQ(config.registry_path, "/var/lib/weir/registry.db");
  EXPECT_EQ(config.guard_state_path, "/var/lib/weir/registry.db-guards");
  EXPECT_EQ(config.admin_socket, "/run/weir/admin.sock");
  EXPECT_EQ(config.admin_socket_mode, 0660u);
  EXPECT_EQ(config.access_log, AccessLog::standard_output);
  EXPECT_EQ(config.limits.max_body_bytes, core::limits::kMaxBodyBytes);
  EXPECT_EQ(config.limits.head_timeout_ms, core::limits::kHeadTimeoutMs);
  EXPECT_EQ(config.limits.user_memory_bytes, routing::kUserMemoryBytes);
  EXPECT_EQ(config.limits.cache_memory_bytes, routing::kCacheMemoryBytes);
}

TEST(Config, ReadsEveryKey) {
  Config config = accept(R"(
listen: ["127.0.0.1:0", "[::1]:8080"]
tls: { listen: "0.0.0.0:8443", certificates: [ { cert: a.pem, key: /keys/a.key }, { cert: b.pem, key: b.key } ] }
shards: 3
admin: { socket: admin.sock, mode: "0600" }
access_log: access.jsonl
guard_state: guards.state
shadow: { log: shadow.jsonl, text: digest, mask: [Falcon], tenants: { b: { text: none }, c: { mask: [Heron] } } }
alerts: { url: "https://ops.example/weir", secret: "${SECRET}" }
limits: { max_body_bytes: 2048, max_connections_per_shard: 7, max_exchanges_per_shard: 5, head_timeout: 250ms,
          body_stall_timeout: 2s, idle_timeout: 1m, write_stall_timeout: 3s, upstream_idle: 1h,
          drain_timeout: 10m, user_memory: 1073741824, cache_memory: 1048576 }
)");
  ASSERT_EQ(config.listen.size(), 2u);
  EXPECT_EQ(config.listen[0].to_string(), "127.0.0.1:0");
  EXPECT_EQ(config.listen[1].to_string(), "[::1]:8080");
  EXPECT_EQ(config.shadow_log_path, "/etc/weir/shadow.jsonl");
  EXPECT_EQ(config.shadow_policies.of("a").text, routing::ShadowText::digest);
  EXPECT_THAT(config.shadow_policies.of("a").mask, ElementsAre("Falcon"));
  EXPECT_EQ(config.shadow_policies.of("b").text, routing::ShadowText::none);
  EXPECT_THAT(config.shadow_policies.of("b").mask, ElementsAre("Falcon"));
  EXPECT_EQ(config.shadow_policies.of("c").text, routing::ShadowText::digest);
  EXPECT_THAT(config.shadow_policies.of("c").mask, ElementsAre("Falcon", "Heron"));
  EXPECT_EQ(config.alert_url, "https://ops.example/weir");
  EXPECT_EQ(config.alert_secret, kSecret);
  EXPECT_EQ(config.guard_state_path, "/etc/weir/guards.state");
  ASSERT_EQ(config.listen_tls.size(), 1u);
  EXPECT_EQ(config.listen_tls[0].to_string(), "0.0.0.0:8443");
  ASSERT_EQ(config.certificates.size(), 2u);
  EXPECT_EQ(config.certificates[0].certificate_chain_path, "/etc/weir/a.pem");
  EXPECT_EQ(config.certificates[0].private_key_path, "/keys/a.key");
  EXPECT_EQ(config.shards, 3u);
  EXPECT_EQ(config.admin_socket, "/etc/weir/admin.sock");
  EXPECT_EQ(config.admin_socket_mode, 0600u);
  EXPECT_EQ(config.access_log, AccessLog::file);
  EXPECT_EQ(config.access_log_path, "/etc/weir/access.jsonl");
  EXPECT_EQ(config.limits.max_body_bytes, 2048u);
  EXPECT_EQ(config.limits.max_connections_per_shard, 7u);
  EXPECT_EQ(config.limits.max_exchanges_per_shard, 5u);
  EXPECT_EQ(config.limits.head_timeout_ms, 250u);
  EXPECT_EQ(config.limits.body_stall_timeout_ms, 2'000u);
  EXPECT_EQ(config.limits.idle_timeout_ms, 60'000u);
  EXPECT_EQ(config.limits.write_stall_timeout_ms, 3'000u);
  EXPECT_EQ(config.limits.upstream_idle_ms, 3'600'000u);
  EXPECT_EQ(config.limits.drain_timeout_ms, 600'000u);
  EXPECT_EQ(config.limits.user_memory_bytes, routing::kMaxUserMemoryBytes);
  EXPECT_EQ(config.limits.cache_memory_bytes, 1048576u);
}

TEST(Config, KeepsWhatWasSpentWhereItKeepsTheTable) {
  EXPECT_EQ(accept("registry: my.db\n").guard_state_path, "/etc/weir/my.db-guards");
  EXPECT_EQ(accept("registry: none\n").guard_state_path, "");
  EXPECT_EQ(accept("guard_state: none\n").guard_state_path, "");
}

TEST(Config, ReportsAllProblemsAtOnceEachWithItsPath) {
  EXPECT_THAT(
      refuse("listen: [nowhere, \"127.0.0.1:99999\"]\nshards: 0\ncolour: blue\n"
             "limits: { head_timeout: soon }\ntls: { certificates: [ { cert: a.pem } ] }\n",
             ""),
      ElementsAre("colour: unknown field; known here: access_log, admin, alerts, busy_poll_us, guard_state, "
                  "key_hash_secret, limits, listen, "
                  "readable, registry, sandbox, shadow, shards, table, tls",
                  "\"key_hash_secret\" is missing", "\"table\" is missing", StartsWith("listen[0]: "),
                  StartsWith("listen[1]: "), "tls: \"listen\" is missing",
                  "tls.certificates[0]: \"key\" is missing", "shards: must be a whole number from 1 to 128",
                  StartsWith("limits.head_timeout: ")));
}

TEST(Config, TakesMasksThatCanBeMatched) {
  EXPECT_THAT(refuse("shadow: { log: s.jsonl, mask: [\"fal*con\", \"two words\", \"*\"] }\n"),
              ElementsAre("shadow.mask[0]: may have '*' only at its beginning and end",
                          "shadow.mask[1]: must be one word without blanks",
                          "shadow.mask[2]: may have '*' only at its beginning and end"));
}

TEST(Config, SuggestsTheKeyThatWasMeant) {
  EXPECT_THAT(refuse("listne: \"127.0.0.1:1\"\n"),
              ElementsAre("listne: unknown field; did you mean \"listen\"?"));
}

TEST(Config, RefusesAKeyGivenTwice) {
  EXPECT_THAT(refuse("shards: 1\nshards: 2\n"), ElementsAre("shards: appears twice; keep one"));
}

TEST(Config, ReadsJsonToo) {
  auto config = parse_config(R"({"table":"t.json","key_hash_secret":"env:SECRET","shards":2})", "weir.json",
                             environment());
  ASSERT_TRUE(config) << to_string(config.error()[0]);
  EXPECT_EQ(config->table_path, "t.json");
  EXPECT_EQ(config->shards, 2u);
}

TEST(Config, ReplacesVariablesInsideStrings) {
  Config config = accept("listen: \"${HOST}:81\"\naccess_log: /logs/${HOST}.jsonl\n");
  EXPECT_EQ(config.listen[0].to_string(), "127.0.0.9:81");
  EXPECT_EQ(config.access_log_path, "/logs/127.0.0.9.jsonl");
}

TEST(Config, DoesNotExpandWhatAVariableHolds) {
  EXPECT_EQ(accept("access_log: /${NESTED}\n").access_log_path, "/${SECRET}");
}

TEST(Config, NamesAVariableThatIsNotSet) {
  EXPECT_THAT(refuse("access_log: ${NOWHERE}\n"),
              ElementsAre("access_log: the environment variable NOWHERE is not set"));
  EXPECT_THAT(refuse("", "table: t\nkey_hash_secret: env:NOWHERE\n"),
              ElementsAre("key_hash_secret: the environment variable NOWHERE is not set"));
  EXPECT_THAT(refuse("access_log: \"${HOST\"\n"), ElementsAre("access_log: a ${ is not closed by }"));
  EXPECT_THAT(refuse("access_log: \"${1x}\"\n"),
              ElementsAre(HasSubstr("does not name an environment variable")));
}

TEST(Config, TakesNumbersFromVariables) {
  EXPECT_EQ(accept("shards: ${SEVEN}\n").shards, 7u);
  EXPECT_EQ(accept("busy_poll_us: 50\n").busy_poll_us, 50u);
  EXPECT_EQ(accept("").busy_poll_us, 0u);
  EXPECT_THAT(refuse("shards: ${HOST}\n"),
              ElementsAre("shards: \"127.0.0.9\" must be a whole number from 1 to 128"));
}

TEST(Config, RefusesAValueThatIsEmptyOrOfTheWrongKind) {
  EXPECT_THAT(refuse("access_log: ${EMPTY}\n"),
              ElementsAre("access_log: is empty once ${EMPTY} is filled in"));
  for (std::string_view text :
       {"access_log:\n", "access_log: \"\"\n", "access_log: [a]\n", "access_log: 1\n"}) {
    EXPECT_THAT(refuse(text), ElementsAre(StartsWith("access_log: "))) << text;
  }
  EXPECT_THAT(refuse("admin: here\n"), ElementsAre("admin: must be a mapping, not a string"));
  EXPECT_THAT(refuse("tls: here\n"), ElementsAre("tls: must be a mapping, not a string"));
  EXPECT_THAT(refuse("listen: []\n"), ElementsAre(StartsWith("listen: lists no address")));
  EXPECT_THAT(refuse("listen: 8080\n"), ElementsAre("listen: must be a list, not a number"));
  EXPECT_THAT(refuse("tls: { listen: \"0.0.0.0:1\", certificates: [] }\n"),
              ElementsAre(StartsWith("tls.certificates: lists no certificate")));
  EXPECT_THAT(refuse("tls: { listen: \"0.0.0.0:1\", certificates: {} }\n"),
              ElementsAre("tls.certificates: must be a list, not a mapping"));
}

TEST(Config, RefusesASecretInPlainTextWithoutRepeatingIt) {
  auto problems = refuse("", "table: t\nkey_hash_secret: hunter2hunter2hunter2\n");
  EXPECT_THAT(problems,
              ElementsAre(AllOf(StartsWith("key_hash_secret: a secret is not written here in plain text"),
                                ::testing::Not(HasSubstr("hunter2")))));
  // A reference with text around it would be a secret in plain text too.
  EXPECT_THAT(refuse("", "table: t\nkey_hash_secret: prefix-${SECRET}\n"),
              ElementsAre(HasSubstr("not written here in plain text")));
}

TEST(Config, RefusesASecretThatIsTooShort) {
  EXPECT_THAT(refuse("", "table: t\nkey_hash_secret: ${SHORT}\n"),
              ElementsAre(HasSubstr("shorter than 16 bytes")));
}

TEST(Config, ReadsASecretFromAFileWithoutItsLineBreak) {
  weir::testing::TemporaryFolder folder;
  folder.write("secret", std::string(kSecret) + "\n");
  std::string file = folder.write("weir.yaml", "table: table.yaml\nkey_hash_secret: file:secret\n");
  auto config = load_config(file, environment());
  ASSERT_TRUE(config) << to_string(config.error()[0]);
  EXPECT_EQ(config->key_hash_secret, kSecret);
  EXPECT_EQ(config->table_path, folder.file("table.yaml"));
}

TEST(Config, SaysWhyAFileCannotBeRead) {
  auto config = load_config("/nonexistent/weir.yaml", environment());
  ASSERT_FALSE(config);
  EXPECT_THAT(to_string(config.error()[0]), "cannot read /nonexistent/weir.yaml: No such file or directory");
  EXPECT_THAT(refuse("", "table: t\nkey_hash_secret: file:/nonexistent/secret\n"),
              ElementsAre(HasSubstr("/nonexistent/secret: No such file or directory")));
  EXPECT_FALSE(load_config("/", environment()));
}

TEST(Config, NamesTheLineOfBrokenYaml) {
  EXPECT_THAT(refuse("listen: [\n"), ElementsAre(HasSubstr("line 4, column ")));
  EXPECT_THAT(refuse("", "just a sentence"), ElementsAre(HasSubstr("must be a mapping")));
  EXPECT_THAT(refuse("", ""), ElementsAre(StartsWith("empty; ")));
}

TEST(Config, RefusesTheSameAddressTwiceButNotPortZero) {
  EXPECT_THAT(refuse("listen: [\"127.0.0.1:81\", \"127.0.0.1:81\"]\n"),
              ElementsAre(HasSubstr("listed twice")));
  EXPECT_EQ(accept("listen: [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n").listen.size(), 2u);
}

TEST(Config, BoundsShardsByKMaxShards) {
  EXPECT_EQ(accept("shards: 128\n").shards, core::limits::kMaxShards);
  EXPECT_THAT(refuse("shards: 129\n"), ElementsAre("shards: must be a whole number from 1 to 128"));
  EXPECT_FALSE(accept("shards: auto\n").shards);
  EXPECT_THAT(refuse("shards: many\n"), ElementsAre("shards: \"many\" must be a whole number from 1 to 128"));
}

TEST(Config, BoundsOverridesByTheLimits) {
  EXPECT_THAT(refuse("limits: { max_body_bytes: " + std::to_string(core::limits::kMaxBodyBytes + 1) + " }\n"),
              ElementsAre(StartsWith("limits.max_body_bytes: ")));
  EXPECT_THAT(refuse("limits: { max_connections_per_shard: " +
                     std::to_string(core::limits::kMaxConnectionsPerShard + 1) + " }\n"),
              ElementsAre(StartsWith("limits.max_connections_per_shard: ")));
  EXPECT_THAT(refuse("limits: { max_exchanges_per_shard: " +
                     std::to_string(core::limits::kMaxExchangesPerShard + 1) + " }\n"),
              ElementsAre(StartsWith("limits.max_exchanges_per_shard: ")));
  const auto given = [](const char* limit, uint64_t bytes) {
    return std::string("limits: { ") + limit + ": " + std::to_string(bytes) + " }\n";
  };
  EXPECT_EQ(accept(given("cache_memory", routing::kMaxCacheMemoryBytes)).limits.cache_memory_bytes,
            routing::kMaxCacheMemoryBytes);
  EXPECT_THAT(refuse(given("cache_memory", routing::kMaxCacheMemoryBytes + 1)),
              ElementsAre("limits.cache_memory: must be a whole number from 1048576 to 68719476736"));
  EXPECT_THAT(refuse(given("user_memory", routing::kMaxUserMemoryBytes + 1)),
              ElementsAre("limits.user_memory: must be a whole number from 1048576 to 1073741824"));
  EXPECT_THAT(refuse(given("user_memory", 1048575)),
              ElementsAre("limits.user_memory: must be a whole number from 1048576 to 1073741824"));
  EXPECT_THAT(refuse("limits: { user_memory: 64MB }\n"), ElementsAre(StartsWith("limits.user_memory: ")));
  EXPECT_THAT(refuse("limits: { idle_timeout: 0s }\n"),
              ElementsAre(StartsWith("limits.idle_timeout: 0s is out of range")));
  EXPECT_THAT(refuse("limits: { idle_timeout: 25h }\n"),
              ElementsAre(StartsWith("limits.idle_timeout: 25h is out of range")));
}

TEST(Config, RefusesASocketPathThatNoSocketCanHave) {
  EXPECT_THAT(refuse("admin: { socket: /" + std::string(107, 'x') + " }\n"),
              ElementsAre(StartsWith("admin.socket: ")));
  EXPECT_EQ(accept("admin: { socket: /" + std::string(106, 'x') + " }\n").admin_socket.size(), 107u);
}

TEST(Config, RefusesAModeThatIsNone) {
  EXPECT_THAT(refuse("admin: { mode: rw-rw---- }\n"), ElementsAre(StartsWith("admin.mode: ")));
  EXPECT_THAT(refuse("admin: { mode: \"7777\" }\n"), ElementsAre(StartsWith("admin.mode: ")));
}

TEST(Config, KnowsThreeKindsOfAccessLog) {
  EXPECT_EQ(accept("access_log: none\n").access_log, AccessLog::none);
  EXPECT_EQ(accept("access_log: stdout\n").access_log, AccessLog::standard_output);
  EXPECT_EQ(accept("access_log: ./none\n").access_log, AccessLog::file);
}

}  // namespace
}  // namespace weir::tools::config_test
