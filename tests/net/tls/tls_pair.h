// Two TLS sessions in one thread, joined by memory: what one leaves in its sink is fed to the other, in
// pieces of the test's choosing. Every piece is a heap block of its own that is gone after release_input(),
// so that the address sanitizer sees any look beyond the loan.
#pragma once

#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/tls/openssl.h"
#include "net/tls/tls_session.h"

namespace weir::tests {

// A sink that hands out exactly what is asked for, so that full records straddle two rooms.
class MemorySink final : public net::CiphertextSink {
 public:
  std::span<uint8_t> reserve(size_t minimum) override {
    if (refuse_) return {};
    last_minimum_ = minimum;
    largest_minimum_ = std::max(largest_minimum_, minimum);
    buffer_.resize(minimum);
    return buffer_;
  }

  void commit(size_t bytes) override {
    bytes_.insert(bytes_.end(), buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(bytes));
  }

  void refuse() { refuse_ = true; }
  size_t last_minimum() const { return last_minimum_; }
  size_t largest_minimum() const { return largest_minimum_; }
  const std::vector<uint8_t>& bytes() const { return bytes_; }
  std::vector<uint8_t> take() { return std::exchange(bytes_, {}); }

 private:
  bool refuse_ = false;
  size_t last_minimum_ = 0;
  size_t largest_minimum_ = 0;
  std::vector<uint8_t> buffer_;
  std::vector<uint8_t> bytes_;
};

// How many TLS records of `type` lie in `bytes`, which holds whole records only.
inline size_t count_records(std::span<const uint8_t> bytes, uint8_t type) {
  size_t count = 0;
  while (bytes.size() >= 5) {
    count += bytes[0] == type ? 1 : 0;
    bytes = bytes.subspan(std::min<size_t>(bytes.size(), 5u + bytes[3] * 256u + bytes[4]));
  }
  return count;
}
inline constexpr uint8_t kApplicationData = 23;

// Cuts a flight into the pieces the transport delivers.
class Splitter {
 public:
  static Splitter whole() { return Splitter(0, 0); }
  static Splitter byte_by_byte() { return Splitter(1, 0); }
  static Splitter random(uint32_t seed) { return Splitter(0, seed); }

  size_t next(size_t left) {
    if (fixed_ != 0) return std::min(fixed_, left);
    if (!random_) return left;
    // Mostly small pieces, now and then a large one.
    const size_t largest = (*random_)() % 4 == 0 ? 5000 : 60;
    return std::min<size_t>(left, 1 + (*random_)() % largest);
  }

 private:
  Splitter(size_t fixed, uint32_t seed) : fixed_(fixed) {
    if (seed != 0) random_.emplace(seed);
  }
  size_t fixed_;
  std::optional<std::mt19937> random_;
};

// One end: a session, its sink, and what became of it.
struct End {
  MemorySink sink;
  std::unique_ptr<net::TlsSession> session = nullptr;
  std::string received = {};
  size_t room = 1000;  // plaintext per read()
  std::optional<net::TlsSession::ReadState> state = {};
  std::optional<core::ErrorCode> failure = {};

  // The driver's turn of tls_session.h, without the loan.
  void run() {
    if (failure) return;
    if (!session->handshake_done()) {
      const auto step = session->handshake();
      if (!step) failure = step.error().code;
      if (!session->handshake_done()) return;
    }
    std::vector<uint8_t> plaintext(room);
    do {
      const auto step = session->read(plaintext);
      if (!step) {
        failure = step.error().code;
        return;
      }
      received.append(reinterpret_cast<const char*>(plaintext.data()), step->bytes);
      state = step->state;
    } while (state == net::TlsSession::ReadState::more);
  }

  void feed(std::span<const uint8_t> ciphertext) {
    const std::vector<uint8_t> block(ciphertext.begin(), ciphertext.end());
    session->feed(block);
    run();
    const auto released = session->release_input();
    if (!released) failure = released.error().code;
  }

  void feed_end() {
    session->feed_end();
    run();
  }

  core::Result<size_t> write(std::string_view text) {
    return session->write(std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
  }

  std::string_view reason() const { return session->failure_reason() ? session->failure_reason() : ""; }
};

struct Pair {
  End server;
  End client;
  Splitter splitter = Splitter::whole();

  // Moves what one end has produced to the other; false if there was nothing.
  bool move(End& from, End& to) {
    const std::vector<uint8_t> flight = from.sink.take();
    for (size_t at = 0; at < flight.size();) {
      const size_t piece = splitter.next(flight.size() - at);
      to.feed(std::span(flight).subspan(at, piece));
      at += piece;
    }
    return !flight.empty();
  }

  // Both ways until nothing moves any more.
  void settle() {
    client.run();
    bool moved = true;
    while (moved) {
      const bool to_server = move(client, server);
      const bool to_client = move(server, client);
      moved = to_server || to_client;
    }
  }

  bool both_done() const { return server.session->handshake_done() && client.session->handshake_done(); }
};

// Joins a fresh session of each context and lets them shake hands as far as they get.
inline std::unique_ptr<Pair> join(const std::shared_ptr<const net::TlsServerContext>& server,
                                  const std::shared_ptr<net::TlsClientContext>& client,
                                  std::string_view host = "api.test", Splitter splitter = Splitter::whole()) {
  auto pair = std::make_unique<Pair>();
  pair->splitter = std::move(splitter);
  pair->server.session = net::TlsSession::accept(server, pair->server.sink).value();
  pair->client.session =
      net::TlsSession::connect(client, pair->client.sink, {.host = host, .port = 443}).value();
  pair->settle();
  return pair;
}

// A client of plain OpenSSL over memory, for what TlsSession would never do.
class RawClient {
 public:
  RawClient() : context_(SSL_CTX_new(TLS_client_method())), ssl_(SSL_new(context_.get())) {
    SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl_);
  }
  ~RawClient() { SSL_free(ssl_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  SSL* ssl() { return ssl_; }

  // Works with `server` until neither has anything to say.
  void settle(End& server) {
    for (int round = 0; round < 20; ++round) {
      step();
      char* data = nullptr;
      const long size = BIO_get_mem_data(SSL_get_wbio(ssl_), &data);
      if (size == 0) break;
      server.feed(std::span(reinterpret_cast<const uint8_t*>(data), static_cast<size_t>(size)));
      BIO_reset(SSL_get_wbio(ssl_));
      const std::vector<uint8_t> answer = server.sink.take();
      BIO_write(SSL_get_rbio(ssl_), answer.data(), static_cast<int>(answer.size()));
    }
    step();
  }

  bool done() const { return SSL_is_init_finished(ssl_) == 1; }

  // Why it failed, in OpenSSL's words.
  const std::string& reason() const { return reason_; }

  // The first DNS name of the certificate that the server presented.
  std::string server_name() const;

 private:
  void step() {
    char buffer[1000];
    if (SSL_in_init(ssl_) == 1) {
      SSL_do_handshake(ssl_);
    } else {
      SSL_read(ssl_, buffer, sizeof(buffer));
    }
    if (const char* reason = ERR_reason_error_string(ERR_peek_last_error())) reason_ = reason;
    ERR_clear_error();
  }

  net::SslContextPtr context_;
  SSL* ssl_;
  std::string reason_;
};

inline std::string RawClient::server_name() const {
  X509* certificate = SSL_get0_peer_certificate(ssl_);
  if (certificate == nullptr) return "";
  auto* names =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  const ASN1_STRING* name = sk_GENERAL_NAME_value(names, 0)->d.dNSName;
  std::string text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name)),
                   size_t(ASN1_STRING_length(name)));
  GENERAL_NAMES_free(names);
  return text;
}

inline std::string random_text(size_t size) {
  std::string text(size, '\0');
  std::mt19937 random(static_cast<uint32_t>(size));
  std::ranges::generate(text, [&] { return static_cast<char>(random()); });
  return text;
}

}  // namespace weir::tests
