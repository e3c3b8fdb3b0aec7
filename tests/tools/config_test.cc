#include "tools/weir/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/limits.h"
#include "tests/support/process.h"

namespace weir::tools {
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
  EXPECT_EQ(to_string(config.listen[0]), "127.0.0.1:8080");
  EXPECT_FALSE(config.shards);
  EXPECT_EQ(config.table_path, "/etc/weir/table.yaml");
  EXPECT_EQ(config.key_hash_secret, kSecret);
  EXPECT_EQ(config.admin_socket, "/run/weir/admin.sock");
  EXPECT_EQ(config.admin_socket_mode, 0660u);
  EXPECT_EQ(config.access_log, AccessLog::standard_output);
  EXPECT_EQ(config.limits.max_body_bytes, core::limits::kMaxBodyBytes);
  EXPECT_EQ(config.limits.head_timeout_ms, core::limits::kHeadTimeoutMs);
}

TEST(Config, ReadsEveryKey) {
  Config config = accept(R"(
listen: ["127.0.0.1:0", "[::1]:8080"]
tls: { listen: "0.0.0.0:8443", certificates: [ { cert: a.pem, key: /keys/a.key }, { cert: b.pem, key: b.key } ] }
shards: 3
admin: { socket: admin.sock, mode: "0600" }
access_log: access.jsonl
limits: { max_body_bytes: 2048, max_connections_per_shard: 7, head_timeout: 250ms, body_stall_timeout: 2s,
          idle_timeout: 1m, write_stall_timeout: 3s, upstream_idle: 1h }
)");
  ASSERT_EQ(config.listen.size(), 3u);
  EXPECT_EQ(config.listen[0], (ListenAddress{"127.0.0.1", 0, false, false}));
  EXPECT_EQ(config.listen[1], (ListenAddress{"::1", 8080, true, false}));
  EXPECT_EQ(config.listen[2], (ListenAddress{"0.0.0.0", 8443, false, true}));
  ASSERT_EQ(config.certificates.size(), 2u);
  EXPECT_EQ(config.certificates[0].cert, "/etc/weir/a.pem");
  EXPECT_EQ(config.certificates[0].key, "/keys/a.key");
  EXPECT_EQ(config.shards, 3u);
  EXPECT_EQ(config.admin_socket, "/etc/weir/admin.sock");
  EXPECT_EQ(config.admin_socket_mode, 0600u);
  EXPECT_EQ(config.access_log, AccessLog::file);
  EXPECT_EQ(config.access_log_path, "/etc/weir/access.jsonl");
  EXPECT_EQ(config.limits.max_body_bytes, 2048u);
  EXPECT_EQ(config.limits.max_connections_per_shard, 7u);
  EXPECT_EQ(config.limits.head_timeout_ms, 250u);
  EXPECT_EQ(config.limits.body_stall_timeout_ms, 2'000u);
  EXPECT_EQ(config.limits.idle_timeout_ms, 60'000u);
  EXPECT_EQ(config.limits.write_stall_timeout_ms, 3'000u);
  EXPECT_EQ(config.limits.upstream_idle_ms, 3'600'000u);
}

TEST(Config, ReportsAllProblemsAtOnceEachWithItsPath) {
  EXPECT_THAT(
      refuse(
          "listen: [nowhere, \"127.0.0.1:99999\"]\nshards: 0\ncolour: blue\nlimits: { head_timeout: soon }\n"
          "tls: { certificates: [ { cert: a.pem } ] }\n",
          ""),
      ElementsAre(StartsWith("colour: "), StartsWith("listen[0]: "), StartsWith("listen[1]: "),
                  StartsWith("tls.listen: "), StartsWith("tls.certificates[0].key: "), StartsWith("shards: "),
                  StartsWith("table: "), StartsWith("key_hash_secret: "),
                  StartsWith("limits.head_timeout: ")));
}

TEST(Config, SuggestsTheKeyThatWasMeant) {
  EXPECT_THAT(refuse("listne: \"127.0.0.1:1\"\n"),
              ElementsAre("listne: there is no such key; did you mean 'listen'?"));
  EXPECT_THAT(refuse("admin: { colour: blue }\n"),
              ElementsAre("admin.colour: there is no such key; there are socket, mode"));
}

TEST(Config, RefusesAKeyGivenTwice) {
  EXPECT_THAT(refuse("shards: 1\nshards: 2\n"), ElementsAre("shards: is given twice"));
}

TEST(Config, ReplacesVariablesInsideStrings) {
  Config config = accept("listen: \"${HOST}:81\"\naccess_log: /logs/${HOST}.jsonl\n");
  EXPECT_EQ(to_string(config.listen[0]), "127.0.0.9:81");
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

TEST(Config, RefusesAValueThatIsEmptyOrOfTheWrongKind) {
  EXPECT_THAT(refuse("access_log: ${EMPTY}\n"), ElementsAre("access_log: is empty"));
  EXPECT_THAT(refuse("access_log:\n"), ElementsAre("access_log: has no value"));
  EXPECT_THAT(refuse("access_log: [a]\n"), ElementsAre("access_log: must be a single value"));
  EXPECT_THAT(refuse("admin: here\n"), ElementsAre("admin: must hold keys and values"));
  EXPECT_THAT(refuse("tls: here\n"), ElementsAre("tls: must hold keys and values"));
  EXPECT_THAT(refuse("listen: []\n"), ElementsAre("listen: lists no address"));
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
  EXPECT_THAT(refuse("listen: [\n"), ElementsAre(StartsWith("not valid YAML, line ")));
  EXPECT_THAT(refuse("", "just a sentence"), ElementsAre(HasSubstr("must hold keys and values")));
  EXPECT_THAT(refuse("", ""), ElementsAre(HasSubstr("must hold keys and values")));
}

TEST(Config, RefusesTheSameAddressTwiceButNotPortZero) {
  EXPECT_THAT(refuse("listen: [\"127.0.0.1:81\", \"127.0.0.1:81\"]\n"),
              ElementsAre(HasSubstr("listed twice")));
  EXPECT_EQ(accept("listen: [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n").listen.size(), 2u);
}

TEST(Config, BoundsShardsByKMaxShards) {
  EXPECT_EQ(accept("shards: 128\n").shards, core::limits::kMaxShards);
  EXPECT_THAT(refuse("shards: 129\n"), ElementsAre("shards: '129' is not a whole number from 1 to 128"));
  EXPECT_FALSE(accept("shards: auto\n").shards);
  EXPECT_THAT(refuse("shards: many\n"), ElementsAre(StartsWith("shards: 'many' is not a whole number")));
}

TEST(Config, BoundsOverridesByKMaxBodyBytesAndKMaxConnectionsPerShard) {
  EXPECT_THAT(refuse("limits: { max_body_bytes: " + std::to_string(core::limits::kMaxBodyBytes + 1) + " }\n"),
              ElementsAre(StartsWith("limits.max_body_bytes: ")));
  EXPECT_THAT(refuse("limits: { max_connections_per_shard: " +
                     std::to_string(core::limits::kMaxConnectionsPerShard + 1) + " }\n"),
              ElementsAre(StartsWith("limits.max_connections_per_shard: ")));
  EXPECT_THAT(refuse("limits: { idle_timeout: 0s }\n"),
              ElementsAre("limits.idle_timeout: must be from 1ms to 24h"));
  EXPECT_THAT(refuse("limits: { idle_timeout: 25h }\n"),
              ElementsAre("limits.idle_timeout: must be from 1ms to 24h"));
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

TEST(ListenAddress, SaysWhatWouldBeRight) {
  auto error = [](std::string_view text) {
    auto address = parse_listen_address(text);
    return address ? "accepted" : address.error();
  };
  EXPECT_THAT(error("8080"), HasSubstr("has no port"));
  EXPECT_THAT(error("127.0.0.1:"), HasSubstr("has no port from 0 to 65535"));
  EXPECT_THAT(error("127.0.0.1:65536"), HasSubstr("has no port from 0 to 65535"));
  EXPECT_THAT(error("127.0.0.1:+1"), HasSubstr("has no port from 0 to 65535"));
  EXPECT_THAT(error("localhost:80"), HasSubstr("is not a numeric address"));
  EXPECT_THAT(error("::1:80"), HasSubstr("needs brackets"));
  EXPECT_THAT(error("[127.0.0.1]:80"), HasSubstr("is not a numeric address"));
  EXPECT_THAT(error("[::1:80"), HasSubstr("needs brackets"));
  EXPECT_THAT(error("[::]:65535"), "accepted");
}

TEST(Duration, ReadsWholeNumbersWithAUnit) {
  EXPECT_EQ(parse_duration_ms("250ms"), 250u);
  EXPECT_EQ(parse_duration_ms("10s"), 10'000u);
  EXPECT_EQ(parse_duration_ms("5m"), 300'000u);
  EXPECT_EQ(parse_duration_ms("2h"), 7'200'000u);
  for (std::string_view text : {"", "s", "10", "10 s", "-1s", "1.5s", "1d", "18446744073709551615s"}) {
    EXPECT_FALSE(parse_duration_ms(text)) << text;
  }
}

}  // namespace
}  // namespace weir::tools
