// The control thread and its admin API on the test's own thread: a loop that is turned until something holds,
// a table in memory, and as many shards as a test wants, each of which is a SnapshotReader that takes up a
// table only when told to.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/socket.h"
#include "routing/admin/admin_api.h"
#include "tests/net/net_fixture.h"
#include "tests/support/process.h"

namespace weir::routing {

inline constexpr std::string_view kAcmeKeyHash =
    "hmac-sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

// Two tenants; one has a pilot of the unit `big` at `percent`.
inline std::string table_text(int percent = 50, std::string_view unit = "big") {
  std::string text = R"yaml(
providers: { local: { dialect: openai, base_url: "http://127.0.0.1:1/v1" } }
models:
  m-1: { provider: local, tier: economy, price: { input: 0.15, cached_input: 0.075, output: 0.60 } }
  m-2: { provider: local, tier: standard, price: { input: 2, cached_input: 0.5, output: 8 } }
units: { mini: { model: m-1 }, UNIT: { model: m-2 } }
attributes: { plan: [free, pro] }
segments: { paying: { plan: pro } }
scenarios: { chat: { stable: mini, sticky_by: [conversation, user] } }
flags: { v2: { scenario: chat, candidate: { unit: UNIT }, owner: u-1 } }
tenants:
  acme: { name: Acme, flags: { v2: { state: pilot, percent: PERCENT, segments: [paying], owner: u-1,
          approver: u-2, reason: "try it", review: 2200-01-01, expires: 2200-01-15, previous: mini } } }
  solo: { name: Solo }
keys:
  - { id: acme-app, tenant: acme, hash: "HASH", scenario: chat }
)yaml";
  const auto fill = [&](std::string_view mark, std::string_view value) {
    for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark))
      text.replace(at, mark.size(), value);
  };
  fill("PERCENT", std::to_string(percent));
  fill("UNIT", unit);
  fill("HASH", kAcmeKeyHash);
  return text;
}

struct Reply {
  int status = 0;
  std::string head;
  std::string body;
  nlohmann::json json() const { return nlohmann::json::parse(body, nullptr, false); }
  // The value of a header; empty when there is none.
  std::string header(std::string_view name) const {
    const std::string mark = "\r\n" + std::string(name) + ": ";
    const size_t at = head.find(mark);
    if (at == std::string::npos) return {};
    const size_t begin = at + mark.size();
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
};

// One connection to the admin socket, driven by turning the server's loop.
class AdminClient {
 public:
  AdminClient(core::Loop& loop, const std::string& path) : loop_(loop) {
    descriptor_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const auto address = core::SocketAddress::unix_path(path);
    EXPECT_EQ(::connect(descriptor_, address->get(), address->size()), 0);
  }
  ~AdminClient() { ::close(descriptor_); }
  AdminClient(const AdminClient&) = delete;
  AdminClient& operator=(const AdminClient&) = delete;

  void send(std::string_view bytes) {
    tests::run_until(loop_, [&] {
      while (!bytes.empty()) {
        const ssize_t count = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (count <= 0) return count < 0 && errno != EAGAIN;  // the server has heard enough
        bytes.remove_prefix(static_cast<size_t>(count));
      }
      return true;
    });
  }

  // The next answer; none while it has not come whole.
  std::optional<Reply> poll() {
    char room[65536];
    for (ssize_t count = 0; (count = ::recv(descriptor_, room, sizeof room, 0)) > 0;) {
      received_.append(room, static_cast<size_t>(count));
    }
    const size_t head_end = received_.find("\r\n\r\n");
    if (head_end == std::string::npos) return std::nullopt;
    Reply reply{
        .status = std::stoi(received_.substr(9, 3)), .head = received_.substr(0, head_end + 2), .body = {}};
    const size_t length = std::stoul(reply.header("content-length"));
    if (received_.size() < head_end + 4 + length) return std::nullopt;
    reply.body = received_.substr(head_end + 4, length);
    received_.erase(0, head_end + 4 + length);
    return reply;
  }
  Reply read() {
    std::optional<Reply> reply;
    EXPECT_TRUE(tests::run_until(loop_, [&] { return (reply = poll()).has_value(); }));
    return reply.value_or(Reply{});
  }
  bool ended() {
    char byte = 0;
    return tests::run_until(loop_, [&] { return ::recv(descriptor_, &byte, 1, MSG_PEEK) == 0; });
  }

 private:
  core::Loop& loop_;
  int descriptor_;
  std::string received_;
};

struct AdminSetup {
  uint32_t shards = 0;
  std::string access_log = {};  // path; empty = none
  ControlOptions control = {};
  std::string registry = ":memory:";
  std::string registry_vfs = {};  // SimulatedDisk::name()
  // Whoever runs the tests may do everything.
  AccessRules access = {.peers = {{.role = Role::admin, .who = AccessRules::Who::everybody}}};
  net::AddressBook::Resolve resolve = core::resolve_host;
  std::string table = table_text();
};

// In the order in which a process makes them.
class AdminHost {
 public:
  explicit AdminHost(AdminSetup setup = {})
      : loop(tests::make_loop()),
        addresses({.resolve = setup.resolve}),
        log(setup.access_log.empty() ? nullptr : std::move(*core::AppendFile::open(setup.access_log))),
        registry(open_registry(setup.registry, setup.registry_vfs)),
        gateway({.shards = setup.shards, .key_hash_secret = "secret", .process_seed = 7}, addresses, {}),
        control(*loop, {gateway, addresses, log, worker, *registry}, setup.control),
        api(control, {.version = "1.2.3", .started_ns = loop->now_ns()}, setup.access) {
    for (uint32_t i = 0; i < setup.shards; ++i) {
      readers.push_back(std::make_unique<core::SnapshotReader<Table>>(gateway.tables, i));
    }
    const auto started = control.start([&]() -> std::expected<ControlThread::TableText, std::string> {
      return ControlThread::TableText{setup.table, TableFormat::yaml, "table.yaml"};
    });
    if (!started) {
      for (const Problem& problem : started.error().problems) ADD_FAILURE() << to_string(problem);
      if (started.error().registry) ADD_FAILURE() << started.error().registry->message;
      std::abort();
    }
    refresh_shards();
    auto listener = core::listen_unix(socket_path(), 0600);
    EXPECT_TRUE(listener.has_value());
    api.listen(*listener);
  }
  ~AdminHost() {
    api.close();
    EXPECT_TRUE(tests::run_until(*loop, [&] { return api.closed(); }));
    readers.clear();
  }
  AdminHost(const AdminHost&) = delete;
  AdminHost& operator=(const AdminHost&) = delete;

  std::string socket_path() const { return folder.file("admin.sock"); }
  void refresh_shards() {
    for (auto& reader : readers) reader->refresh();
  }

  Reply call(std::string_view method, std::string_view target, std::string_view body = {},
             std::string_view fields = {}) {
    AdminClient client(*loop, socket_path());
    client.send(request(method, target, body, fields));
    return client.read();
  }
  Reply get(std::string_view target) { return call("GET", target); }
  Reply put_table(std::string_view text, std::string_view fields = "content-type: application/yaml\r\n") {
    return call("PUT", "/v1/table?reason=a%20test", text, fields);
  }
  Reply post(std::string_view target, const nlohmann::json& body) {
    return call("POST", target, body.dump(), "content-type: application/json\r\n");
  }
  nlohmann::json status() { return get("/v1/status").json(); }

  Reply del(std::string_view target) { return call("DELETE", target); }
  Reply put(std::string_view target, const nlohmann::json& body, std::string_view fields = {}) {
    return call("PUT", target, body.dump(), "content-type: application/json\r\n" + std::string(fields));
  }
  Reply patch(std::string_view target, const nlohmann::json& body, std::string_view fields = {}) {
    return call("PATCH", target, body.dump(), "content-type: application/json\r\n" + std::string(fields));
  }

  static std::unique_ptr<RegistryThreads> open_registry(const std::string& path,
                                                        const std::string& vfs = {}) {
    auto opened = RegistryThreads::open({.path = path, .create = true, .vfs = vfs});
    if (opened) return std::move(*opened);
    ADD_FAILURE() << opened.error().message;
    std::abort();
  }
  static std::string request(std::string_view method, std::string_view target, std::string_view body = {},
                             std::string_view fields = {}) {
    std::string text =
        std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nhost: weir\r\n" + std::string(fields);
    if (!body.empty()) text += "content-length: " + std::to_string(body.size()) + "\r\n";
    return text + "\r\n" + std::string(body);
  }

  testing::TemporaryFolder folder;
  std::unique_ptr<core::Loop> loop;
  Worker worker;
  net::AddressBook addresses;
  AccessLog log;
  std::unique_ptr<RegistryThreads> registry;
  Gateway gateway;
  ControlThread control;
  AdminApi api;
  std::vector<std::unique_ptr<core::SnapshotReader<Table>>> readers;
};

}  // namespace weir::routing
