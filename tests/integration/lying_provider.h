// A provider that does exactly what a test's script says, on plain blocking sockets: lies about lengths, cuts
// answers off, speaks out of turn, says nothing. With a TLS context of plain OpenSSL, which serves any
// certificate, also one that weir would not, it speaks TLS.
//
//   accept ─▶ [TLS handshake] ─▶ script(Peer&), on a thread of its own ─▶ close
//                   └─ refused by the gateway: refusals(), no script
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <csignal>
#include <functional>
#include <future>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace weir::tests {

class LyingProvider {
 public:
  // The provider's side of one connection.
  class Peer {
   public:
    Peer(LyingProvider& provider, int descriptor, int which, SSL* tls)
        : number(which), provider_(provider), descriptor_(descriptor), tls_(tls) {}

    const int number;  // of the connection, from 1

    // Null without TLS.
    SSL* tls() { return tls_; }

    // The next whole request; empty when the connection ended first. The provider counts it.
    std::string receive() {
      while (!whole()) {
        char bytes[65536];
        const ssize_t count = tls_ != nullptr ? SSL_read(tls_, bytes, sizeof bytes)
                                              : ::recv(descriptor_, bytes, sizeof bytes, 0);
        if (count <= 0) return {};
        received_.append(bytes, static_cast<size_t>(count));
      }
      std::string request = received_.substr(0, size_);
      received_.erase(0, size_);
      provider_.count(number);
      return request;
    }
    bool send(std::string_view bytes) {
      while (!bytes.empty()) {
        const ssize_t sent = tls_ != nullptr ? SSL_write(tls_, bytes.data(), static_cast<int>(bytes.size()))
                                             : ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0) return false;
        bytes.remove_prefix(static_cast<size_t>(sent));
      }
      return true;
    }
    // Blocks until the gateway ends the connection. False when it sends something instead, or takes too long.
    bool wait_for_end() {
      char byte;
      return received_.empty() && ::recv(descriptor_, &byte, 1, 0) <= 0 && errno != EAGAIN;
    }
    // True when the gateway ended the connection within `pause`.
    bool ended_within(std::chrono::milliseconds pause) {
      pollfd waited{descriptor_, POLLIN, 0};
      return ::poll(&waited, 1, static_cast<int>(pause.count())) > 0;
    }
    // The next end is said by TLS, so that it is none of a cut.
    void say_end() {
      if (tls_ != nullptr) SSL_shutdown(tls_);
    }
    // Ends our side only; what the gateway sends is still received.
    void end_own_side() { ::shutdown(descriptor_, SHUT_WR); }
    // The connection is reset, not ended, when the script returns.
    void reset_at_end() {
      const linger now{1, 0};
      ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }

   private:
    friend class LyingProvider;
    bool whole() {
      const size_t head = received_.find("\r\n\r\n");
      if (head == std::string::npos) return false;
      constexpr std::string_view kLength = "\r\ncontent-length: ";
      std::string lower = received_.substr(0, head);
      std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
      const size_t at = lower.find(kLength);
      size_ = head + 4 + (at < head ? std::stoul(lower.substr(at + kLength.size())) : 0);
      return received_.size() >= size_;
    }
    LyingProvider& provider_;
    int descriptor_;
    SSL* tls_;
    size_t size_ = 0;
    std::string received_;
  };
  using Script = std::function<void(Peer&)>;

  // `tls` outlives the provider.
  explicit LyingProvider(Script script, SSL_CTX* tls = nullptr) : script_(std::move(script)), tls_(tls) {
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to the gateway whether it listens or not
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 1024), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept(); });
  }
  ~LyingProvider() {
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const int descriptor : open_) ::shutdown(descriptor, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
    ::close(listener_);
  }
  LyingProvider(const LyingProvider&) = delete;
  LyingProvider& operator=(const LyingProvider&) = delete;

  uint16_t port() const { return port_; }
  // The connection on which each request came, in order.
  std::vector<int> served() const {
    const std::lock_guard lock(mutex_);
    return served_;
  }
  // Why handshakes failed, in OpenSSL's words.
  std::vector<std::string> refusals() const {
    const std::lock_guard lock(mutex_);
    return refusals_;
  }

 private:
  void accept() {
    for (int number = 1;; ++number) {
      const int descriptor = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (descriptor < 0) return;
      const timeval patience{20, 0};
      ::setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
      const std::lock_guard lock(mutex_);
      open_.push_back(descriptor);
      threads_.emplace_back([this, descriptor, number] {
        converse(descriptor, number);
        const std::lock_guard closing(mutex_);
        std::erase(open_, descriptor);
        ::close(descriptor);
      });
    }
  }
  void converse(int descriptor, int number) {
    SSL* const tls = tls_ != nullptr ? SSL_new(tls_) : nullptr;
    if (tls != nullptr) SSL_set_fd(tls, descriptor);
    if (tls == nullptr || SSL_accept(tls) == 1) {
      Peer peer(*this, descriptor, number, tls);
      script_(peer);
    } else {
      const char* reason = ERR_reason_error_string(ERR_peek_last_error());
      const std::lock_guard lock(mutex_);
      refusals_.emplace_back(reason != nullptr ? reason : "the connection ended");
    }
    ERR_clear_error();
    SSL_free(tls);
  }
  void count(int connection) {
    const std::lock_guard lock(mutex_);
    served_.push_back(connection);
  }

  const Script script_;
  SSL_CTX* const tls_;
  int listener_ = -1;
  uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::vector<int> open_;
  std::vector<int> served_;
  std::vector<std::string> refusals_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace weir::tests
