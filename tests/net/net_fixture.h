// What the tests on real sockets share: a loop that is turned until something holds, the other end of a
// connection in plain non-blocking sockets on the same thread, and a server whose answers a test writes.
//
// Everything runs on the test's own thread, so that the order of events is the test's. Nothing sleeps: a wait
// is turns of the loop, bounded by kPatience.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/loop.h"
#include "core/socket.h"
#include "net/http_server.h"
#include "tests/support/emulated.h"
#include "tests/support/sanitized.h"

namespace weir::tests {

inline constexpr std::chrono::milliseconds kPatience{1000 * kPatienceSeconds};

inline std::unique_ptr<core::Loop> make_loop(const core::IoOptions& options = {}) {
  return ring_or_skip(core::Loop::create(options));
}

// Turns the loop until `done()`; false when that does not happen in time.
template <typename Condition>
bool run_until(core::Loop& loop, Condition done, std::chrono::milliseconds patience = kPatience) {
  const auto give_up = std::chrono::steady_clock::now() + patience;
  while (!done()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    loop.turn(core::milliseconds(1));
  }
  return true;
}

// Turns the loop for a while, for tests that something does not happen.
inline void run_for(core::Loop& loop, std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) loop.turn(core::milliseconds(1));
}

// Bytes that differ from place to place, so that a lost, doubled or swapped piece shows.
inline std::string pattern(size_t size, uint32_t seed = 1) {
  std::string text(size, '\0');
  uint32_t state = seed * 2654435761u + 1;
  for (char& byte : text) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<char>('!' + (state >> 24) % 90);
  }
  return text;
}

// One end of a connection, without weir.
class Peer {
 public:
  explicit Peer(int descriptor) : descriptor_(descriptor) {
    ::fcntl(descriptor_, F_SETFL, ::fcntl(descriptor_, F_GETFL) | O_NONBLOCK);
    const int on = 1;
    ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~Peer() { close(); }
  Peer(Peer&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)),
        received_(std::move(other.received_)),
        ended_(other.ended_),
        reset_(other.reset_) {}
  Peer& operator=(Peer&&) = delete;

  // The kernel completes the connection; nobody needs to have accepted it yet. `receive_buffer` 0 = default.
  static Peer connect(uint16_t port, int receive_buffer = 0) {
    const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer != 0)
      ::setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << errno;
    return Peer(descriptor);
  }

  int descriptor() const { return descriptor_; }

  // As much as the kernel takes now.
  size_t write_some(std::string_view bytes) {
    const ssize_t written = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (written < 0 && errno != EAGAIN) reset_ = true;
    return written < 0 ? 0 : static_cast<size_t>(written);
  }

  // Writes all of it, turning the loop while the kernel takes no more.
  bool write(core::Loop& loop, std::string_view bytes) {
    return run_until(loop,
                     [&] {
                       bytes.remove_prefix(write_some(bytes));
                       return bytes.empty() || reset_;
                     }) &&
           !reset_;
  }

  // What has arrived, at most `limit` bytes; returns how many.
  size_t read_some(size_t limit = 1 << 20) {
    if (ended_ || reset_) return 0;
    const size_t old = received_.size();
    received_.resize(old + limit);
    const ssize_t size = ::recv(descriptor_, received_.data() + old, limit, 0);
    received_.resize(old + (size > 0 ? static_cast<size_t>(size) : 0));
    if (size == 0) ended_ = true;
    if (size < 0 && errno != EAGAIN) reset_ = true;
    return received_.size() - old;
  }

  const std::string& received() const { return received_; }
  std::string& received() { return received_; }
  bool ended() const { return ended_; }
  bool reset() const { return reset_; }
  bool gone() const { return ended_ || reset_; }

  void end_sending() { ::shutdown(descriptor_, SHUT_WR); }
  void close() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }
  // Closes with a reset.
  void close_hard() {
    const linger hard{1, 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close();
  }

 private:
  int descriptor_;
  std::string received_;
  bool ended_ = false;
  bool reset_ = false;
};

// A listening socket without weir: the provider in tests of the upstream leg.
class PeerListener {
 public:
  PeerListener() {
    descriptor_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(descriptor_, 1024), 0);
    port_ = core::bound_address(descriptor_).port();
  }
  ~PeerListener() { close(); }
  PeerListener(const PeerListener&) = delete;
  PeerListener& operator=(const PeerListener&) = delete;

  uint16_t port() const { return port_; }
  core::SocketAddress address() const {
    return *core::SocketAddress::parse("127.0.0.1:" + std::to_string(port_));
  }
  void close() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }

  // The next connection, if one is there.
  std::unique_ptr<Peer> accept() {
    const int accepted = ::accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return accepted < 0 ? nullptr : std::make_unique<Peer>(accepted);
  }
  std::unique_ptr<Peer> accept(core::Loop& loop) {
    std::unique_ptr<Peer> peer;
    EXPECT_TRUE(run_until(loop, [&] { return (peer = accept()) != nullptr; }));
    return peer;
  }

 private:
  int descriptor_ = -1;
  uint16_t port_ = 0;
};

// A response as a client sees it; framed by Content-Length or chunked.
struct SeenResponse {
  int status = 0;
  std::string head;
  std::string body;
  size_t size = 0;  // bytes it took
  bool has(std::string_view line) const {
    return head.find("\r\n" + std::string(line) + "\r\n") != std::string::npos;
  }
};

// The first response in `bytes`, once it is there whole.
inline std::optional<SeenResponse> first_response(std::string_view bytes) {
  const size_t head_end = bytes.find("\r\n\r\n");
  if (head_end == std::string_view::npos) return std::nullopt;
  SeenResponse seen;
  seen.head = std::string(bytes.substr(0, head_end + 2));
  if (seen.head.size() > 12) std::from_chars(seen.head.data() + 9, seen.head.data() + 12, seen.status);
  size_t at = head_end + 4;
  if (const size_t length = seen.head.find("\r\ncontent-length: "); length != std::string::npos) {
    const auto size = std::strtoull(seen.head.c_str() + length + 18, nullptr, 10);
    if (bytes.size() - at < size) return std::nullopt;
    seen.body = std::string(bytes.substr(at, size));
    at += size;
  } else if (seen.head.find("\r\ntransfer-encoding: chunked\r\n") != std::string::npos) {
    for (;;) {
      const size_t line_end = bytes.find("\r\n", at);
      if (line_end == std::string_view::npos) return std::nullopt;
      const auto size = std::strtoull(std::string(bytes.substr(at, line_end - at)).c_str(), nullptr, 16);
      at = line_end + 2;
      if (bytes.size() - at < size + 2) return std::nullopt;
      seen.body += bytes.substr(at, size);
      at += size + 2;
      if (size == 0) break;
    }
  }
  seen.size = at;
  return seen;
}

// Turns the loop until `peer` has a whole response, and takes it off the front of what was received.
inline SeenResponse next_response(core::Loop& loop, Peer& peer) {
  std::optional<SeenResponse> seen;
  const bool done = run_until(loop, [&] {
    while (peer.read_some() > 0) {
    }
    seen = first_response(peer.received());
    return seen.has_value() || peer.gone();
  });
  if (!done || !seen) {
    ADD_FAILURE() << "no response; received so far: " << peer.received().substr(0, 200);
    return {};
  }
  peer.received().erase(0, seen->size);
  return *seen;
}

// Turns the loop until `peer` sees the connection end; true if it ended cleanly.
inline bool ends_cleanly(core::Loop& loop, Peer& peer) {
  EXPECT_TRUE(run_until(loop, [&] {
    while (peer.read_some() > 0) {
    }
    return peer.gone();
  })) << "the connection stays open";
  return peer.ended();
}

inline std::string post(std::string_view body, std::string_view more_fields = {}) {
  return "POST /echo HTTP/1.1\r\nhost: test\r\n" + std::string(more_fields) +
         "content-length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

// The same with the body in the chunks given.
inline std::string post_chunked(const std::vector<std::string>& chunks) {
  std::string text = "POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";
  for (const std::string& chunk : chunks) {
    char size[16];
    text.append(size, std::to_chars(size, size + sizeof size, chunk.size(), 16).ptr);
    text += "\r\n" + chunk + "\r\n";
  }
  return text + "0\r\n\r\n";
}

// Sends one answer in one piece: what most tests need.
inline void answer(net::ServerSession& session, int status, std::string_view body) {
  std::string text = "HTTP/1.1 " + std::to_string(status) + " \r\n" +
                     (session.must_close() ? "connection: close\r\n" : "") +
                     "content-length: " + std::to_string(body.size()) + "\r\n\r\n";
  text += body;
  session.send(session.loop().buffers().copy_of(
      {reinterpret_cast<const uint8_t*>(text.data()), static_cast<uint32_t>(text.size())}));
  session.end_response();
}

struct SeenRequest {
  std::string target;
  std::string body;
};

// A server on port 0 that echoes bodies, unless the test says otherwise; it notes what it is told.
class EchoServer : public net::RequestHandler {
 public:
  explicit EchoServer(core::Loop& loop, uint32_t max_connections = 4096,
                      const net::TlsServerContextHolder* tls = nullptr)
      : loop_(loop), server(loop, *this, max_connections) {
    auto listener = core::listen_tcp(*core::SocketAddress::parse("127.0.0.1:0"));
    if (!listener) {
      ADD_FAILURE() << listener.error();
      std::abort();
    }
    port = core::bound_address(*listener).port();
    server.listen(*listener, tls);
  }
  virtual ~EchoServer() {
    server.begin_drain();
    server.close_all();
    EXPECT_TRUE(run_until(loop_, [&] { return server.closed(); })) << "a session never closed";
  }

  std::function<core::Result<void>(net::ServerSession&, const net::RequestHead&, const uint8_t*)> accept_head;
  std::function<void(net::ServerSession&, const net::Request&)> respond;
  std::function<void(net::ServerSession&)> when_low;

 private:
  core::Loop& loop_;

 public:
  net::HttpServer server;
  uint16_t port = 0;
  std::vector<SeenRequest> requests;
  std::vector<core::ErrorCode> refused;
  std::string refused_bytes;  // what had come of the last one
  std::vector<core::ErrorCode> gone;

 private:
  core::Result<void> on_head(net::ServerSession& session, const net::RequestHead& head,
                             const uint8_t* base) override {
    return accept_head ? accept_head(session, head, base) : core::Result<void>{};
  }
  void on_request(net::ServerSession& session, const net::Request& request) override {
    requests.push_back({std::string(request.head.target.view(request.base)),
                        {reinterpret_cast<const char*>(request.body.data()), request.body.size()}});
    if (respond) return respond(session, request);
    answer(session, 200, requests.back().body);
  }
  void on_refused(net::ServerSession& session, core::Error error) override {
    refused.push_back(error.code);
    refused_bytes = session.request_bytes().text();
    answer(session, core::describe(error.code).status, core::describe(error.code).token);
  }
  void on_client_gone(net::ServerSession&, core::Error error) override { gone.push_back(error.code); }
  void on_send_queue_low(net::ServerSession& session) override {
    if (when_low) when_low(session);
  }
};

}  // namespace weir::tests
