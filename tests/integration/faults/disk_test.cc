// The registry of a real weir on a disk that takes no more: changes are refused in words, serving goes on, and after a
// kill exactly what was acknowledged is there. In simulation, with power cuts: tests/sim/control_swarm.h.
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "tests/integration/gateway_fixture.h"
#include "tests/support/sanitized.h"
#include "tools/weirctl/admin_client.h"

namespace weir::tests::disk_test {
namespace {

using nlohmann::json;

constexpr int kTenants = 8;
constexpr int kMostChanges = 20'000;  // more than fit

std::string name_of(int tenant) {
  return "t-" + std::to_string(tenant);
}

std::string table(uint16_t provider) {
  std::string tenants, act_as;
  for (int i = 0; i < kTenants; ++i) {
    tenants += (i == 0 ? "\"" : ",\"") + name_of(i) + "\":{}";
    if (i > 0) act_as += (i == 1 ? "\"" : ",\"") + name_of(i) + '"';
  }
  return R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" + std::to_string(provider) +
         R"(/v1"}},"models":{"m":{"provider":"p","tier":"economy","price":{"input":1,"output":2}}},
    "units":{"old":{"model":"m"},"new":{"model":"m","params":{"temperature":0.5}}},
    "scenarios":{"chat":{"stable":"old"}},"flags":{"launch":{"scenario":"chat","candidate":{"unit":"new"}}},
    "tenants":{)" +
         tenants + R"(},"keys":[{"id":"k","tenant":"t-0","scenario":"chat","act_as":[)" + act_as +
         R"(],"hash":")" + key_hash() + R"("}]})";
}

// What has been acknowledged, and what a gateway answers by.
class FaultyDisk : public ::testing::Test {
 protected:
  FaultyDisk() { acknowledged_.fill("old"); }

  void start(GatewayHow how) {
    how.shards = 1;
    how.access_log = "none";
    gateway_.emplace(table(provider_.port()), "", how);
    ASSERT_NE(gateway_->port(), 0);
    newest_ = gateway_->revision();
  }
  // One change of a tenant's row: its status.
  int change() {
    tools::AdminClient admin(gateway_->admin_socket());
    const auto tenant = static_cast<size_t>(changes_ % kTenants);
    const bool on = changes_ / kTenants % 2 == 0;
    const json row{
        {"state", on ? "production" : "off"}, {"owner", "u"}, {"review", "2200-01-01"}, {"reason", "test"}};
    const auto answer = admin.call({.method = "POST",
                                    .path = "/v1/flags/launch/tenants/" + name_of(static_cast<int>(tenant)),
                                    .body = row.dump()});
    if (!answer) return 0;
    said_ = answer->body;
    if (answer->status != 200) return answer->status;
    newest_ = json::parse(answer->body, nullptr, false).value("revision", 0u);
    acknowledged_[tenant] = on ? "new" : "old";
    ++changes_;
    return 200;
  }
  // Changes until one is refused: its status.
  int change_until_refused() {
    int status = 200;
    while (status == 200 && changes_ < kMostChanges) status = change();
    return status;
  }
  void expect_refused_in_words(int status) const {
    EXPECT_TRUE(status == 507 || status == 503) << status << said_;
    const json body = json::parse(said_, nullptr, false);
    ASSERT_TRUE(body.is_object() && body.contains("error")) << said_;
    EXPECT_EQ(body["error"]["code"], status == 507 ? "registry_full" : "registry_unavailable") << said_;
    EXPECT_FALSE(body["error"]["message"].get<std::string>().empty());
    EXPECT_GT(changes_, 0) << "none was acknowledged before";
  }
  void expect_what_was_acknowledged() const {
    BlockingClient client(gateway_->port());
    for (int tenant = 0; tenant < kTenants; ++tenant) {
      client.send(chat_request("x-weir-tenant: " + name_of(tenant) + "\r\n"));
      const Answer answer = client.receive();
      EXPECT_EQ(answer.status, 200) << answer.head << answer.body;
      EXPECT_EQ(answer.header("x-weir-unit"), acknowledged_[static_cast<size_t>(tenant)]) << tenant;
    }
  }
  void expect_the_log_is_whole() const {
    tools::AdminClient admin(gateway_->admin_socket());
    const auto verified = admin.call({.path = "/v1/audit:verify"});
    ASSERT_TRUE(verified);
    EXPECT_EQ(json::parse(verified->body, nullptr, false)["ok"], true) << verified->body;
  }
  // On a disk with room.
  void expect_the_same_after_a_kill() {
    gateway_->crash_and_restart_without_limits();
    ASSERT_NE(gateway_->port(), 0);
    EXPECT_EQ(gateway_->revision(), newest_);
    expect_what_was_acknowledged();
    expect_the_log_is_whole();
    EXPECT_EQ(change(), 200) << said_;
    expect_what_was_acknowledged();
  }

  EchoProvider provider_;
  std::optional<Gateway> gateway_;
  std::array<std::string, kTenants> acknowledged_;
  std::string said_;  // by the last change
  uint64_t newest_ = 0;
  int changes_ = 0;  // acknowledged
};

TEST_F(FaultyDisk, WhereTheRegistryMayNotGrowLosesNoAcknowledgedChange) {
  ASSERT_NO_FATAL_FAILURE(start({.ulimit = "-f 700"}));
  expect_refused_in_words(change_until_refused());
  expect_what_was_acknowledged();
  EXPECT_NE(change(), 200) << "and it stays so";
  expect_what_was_acknowledged();
  expect_the_same_after_a_kill();
}

// A file system of its own.
class SmallDisk {
 public:
  bool mount() {
    mounted_ =
        ::mount("weir-test", folder_.path().c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=0700") == 0;
    return mounted_;
  }
  bool grow() const {
    return ::mount("weir-test", folder_.path().c_str(), "tmpfs", MS_REMOUNT | MS_NOSUID | MS_NODEV,
                   "size=64m") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(folder_.path().c_str(), MNT_DETACH);
  }
  std::string file(const std::string& name) const { return folder_.file(name); }

 private:
  weir::testing::TemporaryFolder folder_;
  bool mounted_ = false;
};

TEST_F(FaultyDisk, ThatIsFullLosesNoAcknowledgedChange) {
  SmallDisk disk;
  if (!disk.mount()) GTEST_SKIP() << "may not mount a tmpfs: " << std::strerror(errno);
  ASSERT_NO_FATAL_FAILURE(start({.registry = disk.file("registry.db")}));
  const int status = change_until_refused();
  EXPECT_EQ(status, 507) << said_;
  expect_refused_in_words(status);
  expect_what_was_acknowledged();
  ASSERT_TRUE(disk.grow());
  expect_the_same_after_a_kill();
  gateway_.reset();  // before its disk goes
}

// Its first calls are start-up's.
class FailingSync : public FaultyDisk {
 protected:
  // False: skipped.
  bool start_failing(int count) {
    if (kSanitized) return false;
    start({.environment = {{"LD_PRELOAD", FAILING_SYNC_LIBRARY},
                           {"WEIR_FAILING_SYNCS", "40," + std::to_string(count)}}});
    return true;
  }
};
constexpr const char* kNoPreload = "a sanitizer's runtime has to be loaded first";

TEST_F(FailingSync, RefusesTheOneChangeAndLeavesNothingOfIt) {
  if (!start_failing(1)) GTEST_SKIP() << kNoPreload;
  const int status = change_until_refused();
  EXPECT_EQ(status, 503) << said_;
  expect_refused_in_words(status);
  expect_what_was_acknowledged();
  expect_the_same_after_a_kill();
}

TEST_F(FailingSync, ThatFailsAtUndoingTooIsUndoneByTheNextChange) {
  if (!start_failing(3)) GTEST_SKIP() << kNoPreload;
  expect_refused_in_words(change_until_refused());
  expect_what_was_acknowledged();
  int status = 0;
  for (int attempt = 0; attempt < 5 && status != 200; ++attempt) status = change();
  ASSERT_EQ(status, 200) << said_;
  expect_what_was_acknowledged();
  expect_the_same_after_a_kill();
}

// The disk is gone for good: of the one change that was asked for last nobody knows (registry.h, invariant 2).
TEST_F(FailingSync, ForGoodRefusesEveryChangeAndLosesNone) {
  if (!start_failing(1'000'000)) GTEST_SKIP() << kNoPreload;
  expect_refused_in_words(change_until_refused());
  for (int attempt = 0; attempt < 5; ++attempt) expect_refused_in_words(change());
  expect_what_was_acknowledged();
  gateway_->crash_and_restart_without_limits();
  ASSERT_NE(gateway_->port(), 0);
  EXPECT_GE(gateway_->revision(), newest_);
  EXPECT_LE(gateway_->revision(), newest_ + 1);
  if (gateway_->revision() == newest_) expect_what_was_acknowledged();
  expect_the_log_is_whole();
}

}  // namespace
}  // namespace weir::tests::disk_test
