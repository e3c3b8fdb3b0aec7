// A provider, the real weir binary in front of it, and clients: what the tests of whole behaviour share.
//
// The provider runs on a thread of its own and answers with what it was asked: {"model":"<model>", ...}. The
// client speaks plain blocking sockets and pipelines, so that a hundred thousand requests take seconds.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "core/loop.h"
#include "net/http_server.h"
#include "routing/decide/identify.h"
#include "tests/support/process.h"
#include "tests/support/sanitized.h"

namespace weir::tests {

inline constexpr std::string_view kKeySecret = "integration-test-secret-0123456789";
inline constexpr std::string_view kClientKey = "sk-integration-client-key";

// The text between `before` and the next `after`; empty when there is none.
inline std::string_view between(std::string_view text, std::string_view before, std::string_view after) {
  const size_t begin = text.find(before);
  if (begin == std::string_view::npos) return {};
  const size_t end = text.find(after, begin + before.size());
  if (end == std::string_view::npos) return {};
  return text.substr(begin + before.size(), end - begin - before.size());
}

class EchoProvider final : private net::RequestHandler {
 public:
  EchoProvider() {
    std::promise<uint16_t> port;
    auto bound = port.get_future();
    thread_ = std::thread([this, &port] { run(port); });
    port_ = bound.get();
  }
  ~EchoProvider() {
    stopping_ = true;
    loop_->wake();  // it outlives the thread, which may have ended by now
    thread_.join();
  }
  uint16_t port() const { return port_; }
  uint64_t requests() const { return requests_; }

 private:
  void run(std::promise<uint16_t>& port) {
    auto loop = core::Loop::create();
    ASSERT_TRUE(loop.has_value());
    loop_ = std::move(*loop);
    net::HttpServer server(*loop_, *this, 4096);
    const int listener = *core::listen_tcp(*core::SocketAddress::parse("127.0.0.1:0"));
    server.listen(listener);
    port.set_value(core::bound_address(listener).port());
    while (!stopping_) loop_->turn();
    server.begin_drain();
    server.close_all();
    while (!server.closed()) loop_->turn();
  }
  core::Result<void> on_head(net::ServerSession&, const net::RequestHead&, const uint8_t*) override {
    return {};
  }
  void on_request(net::ServerSession& session, const net::Request& request) override {
    ++requests_;
    const std::string_view body(reinterpret_cast<const char*>(request.body.data()), request.body.size());
    const std::string answer =
        "{\"object\":\"chat.completion\",\"model\":\"" + std::string(between(body, "\"model\":\"", "\"")) +
        "\",\"seen_seed\":" + std::string(between(body, "\"seed\":", ",")) + ",\"choices\":[]," +
        "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}";
    const std::string whole = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " +
                              std::to_string(answer.size()) + "\r\n\r\n" + answer;
    session.send(loop_->buffers().copy_of({reinterpret_cast<const uint8_t*>(whole.data()), whole.size()}));
    session.end_response();
  }
  void on_refused(net::ServerSession& session, core::Error) override { session.abort(); }
  void on_client_gone(net::ServerSession&, core::Error) override {}

  std::unique_ptr<core::Loop> loop_;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> requests_{0};
  uint16_t port_ = 0;
};

struct Answer {
  int status = 0;
  std::string head;
  std::string body;
  std::string_view header(std::string_view name) const {
    return between(head, "\r\n" + std::string(name) + ": ", "\r\n");
  }
};

// A keep-alive connection of a patient client.
class BlockingClient {
 public:
  enum class Refusal : uint8_t { fails_the_test, expected };
  explicit BlockingClient(uint16_t port, Refusal refusal = Refusal::fails_the_test) {
    descriptor_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const timeval patience{kPatienceSeconds, 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    if (refusal == Refusal::fails_the_test) {
      EXPECT_TRUE(connected_) << std::strerror(errno);
    }
  }
  virtual ~BlockingClient() { ::close(descriptor_); }
  BlockingClient(const BlockingClient&) = delete;
  BlockingClient& operator=(const BlockingClient&) = delete;

  bool connected() const { return connected_; }
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = write_some(bytes);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  // The next answer; of a chunked one the body is as it came. Status 0 when the connection ends first.
  Answer receive() {
    Answer answer;
    size_t head_end;
    while ((head_end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!fill()) return answer;
    }
    answer.head = buffer_.substr(0, head_end + 2);
    const std::string length(between(answer.head, "content-length: ", "\r\n"));
    size_t size = length.empty() ? 0 : std::stoul(length);
    if (answer.head.find("transfer-encoding: chunked") != std::string::npos) {
      constexpr std::string_view kLast = "\r\n0\r\n\r\n";
      size_t last;
      while ((last = buffer_.find(kLast, head_end)) == std::string::npos) {
        if (!fill()) return answer;
      }
      size = last + kLast.size() - (head_end + 4);
    }
    while (buffer_.size() < head_end + 4 + size) {
      if (!fill()) return answer;
    }
    answer.status = std::stoi(answer.head.substr(9, 3));
    answer.body = buffer_.substr(head_end + 4, size);
    buffer_.erase(0, head_end + 4 + size);
    return answer;
  }
  // All bytes up to the end of the connection, those that receive() has not taken included.
  std::string receive_to_end() {
    while (fill()) continue;
    return std::exchange(buffer_, {});
  }
  // Waits for a while for something to receive.
  bool readable() const {
    pollfd waited{descriptor_, POLLIN, 0};
    return ::poll(&waited, 1, 500) > 0;
  }
  // All bytes until `text` is among them, or until the end.
  std::string receive_until(std::string_view text) {
    while (buffer_.find(text) == std::string::npos && fill()) continue;
    return std::exchange(buffer_, {});
  }
  // True when the other side ends the connection without a byte more.
  bool ends() { return receive_to_end().empty() && end_ == End::clean; }
  // True when the connection broke, or its end did not come in time.
  bool broken() const { return end_ == End::broken; }

 protected:
  int descriptor() const { return descriptor_; }
  // As send(2) and recv(2).
  virtual ssize_t write_some(std::string_view bytes) {
    return ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  virtual ssize_t read_some(char* bytes, size_t size) { return ::recv(descriptor_, bytes, size, 0); }

 private:
  enum class End : uint8_t { none, clean, broken };
  bool fill() {
    char bytes[65536];
    const ssize_t count = read_some(bytes, sizeof bytes);
    if (count <= 0) {
      end_ = count == 0 ? End::clean : End::broken;
      return false;
    }
    buffer_.append(bytes, static_cast<size_t>(count));
    return true;
  }
  int descriptor_ = -1;
  bool connected_ = false;
  End end_ = End::none;
  std::string buffer_;
};

inline std::string chat_request(std::string_view headers = "", std::string_view model = "chat",
                                std::string_view more_fields = "") {
  const std::string body = R"({"model":")" + std::string(model) +
                           R"(","messages":[{"role":"user","content":"hello"}])" + std::string(more_fields) +
                           "}";
  return "POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer " +
         std::string(kClientKey) + "\r\ncontent-type: application/json\r\n" + std::string(headers) +
         "content-length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

struct GatewayHow {
  int shards = 2;
  std::string access_log = "access.jsonl";
  std::string ulimit = {};         // what the process is denied, as bash's ulimit wants it: "-n 64"
  std::string control_group = {};  // where the process writes itself down first
  std::string registry = "registry.db";
  std::vector<std::pair<std::string, std::string>> environment = {};  // besides the secrets
};

// The real binary, ready to answer.
class Gateway {
 public:
  // `admin`: further members of its section.
  explicit Gateway(const std::string& table_json, const std::string& more_config = "",
                   const std::string& admin = "", GatewayHow how = {})
      : how_(std::move(how)) {
    folder_.write("table.json", table_json);
    folder_.write("weir.yaml", "listen: \"127.0.0.1:0\"\nshards: " + std::to_string(how_.shards) +
                                   "\ntable: table.json\nkey_hash_secret: \"${KEY_SECRET}\"\n"
                                   "registry: " +
                                   how_.registry + "\nadmin: { socket: admin.sock" + admin +
                                   " }\naccess_log: " + how_.access_log + "\n" + more_config);
    start();
  }
  Gateway(const std::string& table_json, const std::string& more_config, const GatewayHow& how)
      : Gateway(table_json, more_config, "", how) {}
  Gateway(const std::string& table_json, const std::string& more_config, const std::string& admin, int shards)
      : Gateway(table_json, more_config, admin, GatewayHow{.shards = shards}) {}
  // As a machine that fails ends it: with SIGKILL. Then it is started again, on another port.
  void crash_and_restart() {
    process_->signal(SIGKILL);
    process_->wait();
    start();
  }
  // On a machine that has been mended meanwhile.
  void crash_and_restart_without_limits() {
    how_.ulimit.clear();
    how_.environment.clear();
    crash_and_restart();
  }
  // Whatever a test makes it do is within its sandbox.
  ~Gateway() {
    if (process_ == nullptr) return;
    for (const char* event : {"system_call_refused", "sandbox_incomplete"}) {
      EXPECT_EQ(process_->errors().find(event), std::string::npos) << process_->errors();
    }
  }
  uint16_t port() const { return port_; }
  uint16_t tls_port() const { return tls_port_; }      // 0 without tls.listen
  uint16_t admin_port() const { return admin_port_; }  // 0 without admin.tcp
  uint64_t revision() const { return revision_; }      // that it said it starts with
  // What has been logged; all of it once the process has stopped.
  std::string access_log() const {
    std::ifstream file(folder_.file("access.jsonl"));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string admin_socket() const { return folder_.file("admin.sock"); }
  std::string folder_file(const std::string& name) const { return folder_.file(name); }
  weir::testing::Process& process() { return *process_; }

 private:
  void start() {
    std::string program = WEIR_BINARY;
    std::vector<std::string> arguments = {"serve", "--config", folder_.file("weir.yaml")};
    if (!how_.ulimit.empty() || !how_.control_group.empty()) {
      std::string first = how_.ulimit.empty() ? "" : "ulimit " + how_.ulimit + " && ";
      if (!how_.control_group.empty()) first += "echo $$ >" + how_.control_group + " && ";
      arguments.insert(arguments.begin(), {"-c", first + R"(exec "$0" "$@")", program});
      program = "/bin/bash";
    }
    auto environment = how_.environment;
    environment.emplace_back("KEY_SECRET", kKeySecret);
    environment.emplace_back("MOCK_KEY", "sk-provider");
    process_ = weir::testing::Process::start(program, {.arguments = arguments, .environment = environment});
    const auto ready = process_->wait_for_json("listen");
    EXPECT_TRUE(ready.has_value()) << process_->errors();
    if (!ready) return;
    port_ = first_port((*ready)["listen"]);
    tls_port_ = first_port((*ready)["listen_tls"]);
    admin_port_ = first_port((*ready)["admin_tcp"]);
    revision_ = (*ready)["revision"];
  }
  static uint16_t first_port(const nlohmann::json& addresses) {
    if (addresses.empty()) return 0;
    const std::string address = addresses[0];
    return static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  }
  GatewayHow how_;
  weir::testing::TemporaryFolder folder_;
  std::unique_ptr<weir::testing::Process> process_;
  uint16_t port_ = 0, tls_port_ = 0, admin_port_ = 0;
  uint64_t revision_ = 0;
};

inline std::string key_hash() {
  return routing::hash_key(kKeySecret, kClientKey);
}

}  // namespace weir::tests
