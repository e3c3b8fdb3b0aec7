// What a session keeps between calls, and what it gives back.
#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <utility>

#include "net/tls/tls_session.h"
#include "tests/net/tls/tls_session_fixture.h"

namespace weir::tests {
namespace {

using net::TlsSession;
using net::TlsVersion;

// Watches what OpenSSL allocates on this thread. It must be told before its first allocation, hence before
// main().
thread_local size_t openssl_allocations = 0;
thread_local size_t largest_openssl_allocation = 0;
void note_allocation(size_t size) {
  ++openssl_allocations;
  largest_openssl_allocation = std::max(largest_openssl_allocation, size);
}
const bool watching = CRYPTO_set_mem_functions(
                          [](size_t size, const char*, int) {
                            note_allocation(size);
                            return std::malloc(size);
                          },
                          [](void* memory, size_t size, const char*, int) {
                            note_allocation(size);
                            return std::realloc(memory, size);
                          },
                          [](void* memory, const char*, int) { std::free(memory); }) == 1;

class TlsMemoryTest : public TlsSessionTest {
 protected:
  // One exchange without any allocation of the test's own.
  class FixedSink final : public net::CiphertextSink {
   public:
    std::span<uint8_t> reserve(size_t) override { return std::span(bytes_).subspan(used_); }
    void commit(size_t bytes) override { used_ += bytes; }
    std::span<const uint8_t> take() { return std::span(bytes_).first(std::exchange(used_, 0)); }

   private:
    std::array<uint8_t, 200'000> bytes_;
    size_t used_ = 0;
  };

  static void exchange(TlsSession& from, FixedSink& sink, TlsSession& to, size_t bytes) {
    static std::array<uint8_t, 40'000> data;
    static std::array<uint8_t, 40'000> room;
    ASSERT_TRUE(from.write(std::span(data).first(bytes)).has_value());
    to.feed(sink.take());
    const auto step = to.read(room);
    ASSERT_TRUE(step.has_value());
    ASSERT_EQ(step->bytes, bytes);
    ASSERT_TRUE(to.release_input().has_value());
  }
};

TEST_F(TlsMemoryTest, KeepsItsBuffersBetweenHandshakeAndIdle) {
  ASSERT_TRUE(watching);
  for (const TlsVersion version : {TlsVersion::tls_1_2, TlsVersion::tls_1_3}) {
    only(version, client_);
    const auto server_sink = std::make_unique<FixedSink>();
    const auto client_sink = std::make_unique<FixedSink>();
    const auto server = TlsSession::accept(server_, *server_sink).value();
    const auto client = TlsSession::connect(client_, *client_sink, {.host = "api.test", .port = 443}).value();
    for (int step = 0; step < 6; ++step) {
      for (auto& [end, input] :
           {std::pair{client.get(), server_sink.get()}, std::pair{server.get(), client_sink.get()}}) {
        end->feed(input->take());
        std::array<uint8_t, 100> room;
        if (end->handshake_done()) {
          ASSERT_TRUE(end->read(room).has_value());
        } else {
          ASSERT_TRUE(end->handshake().has_value());
        }
      }
    }
    ASSERT_TRUE(client->handshake_done() && server->handshake_done());
    // The first use of each direction may still set something up.
    exchange(*client, *client_sink, *server, 100);
    exchange(*server, *server_sink, *client, 100);

    // Per record OpenSSL 3.0 allocates a few bytes of bookkeeping (WPACKET), three times to write and once to
    // read, and frees them at once; the record buffers stay.
    constexpr size_t kRecords = 2 * (1 + 1 + 1 + 1 + 3);
    openssl_allocations = largest_openssl_allocation = 0;
    for (const size_t bytes : {1u, 200u, 1000u, 16'384u, 40'000u}) {
      exchange(*client, *client_sink, *server, bytes);
      exchange(*server, *server_sink, *client, bytes);
    }
    EXPECT_LE(openssl_allocations, 4 * kRecords);
    EXPECT_LE(largest_openssl_allocation, 64u);

    EXPECT_TRUE(server->release_idle_buffers());
    exchange(*client, *client_sink, *server, 1000);
    EXPECT_GT(largest_openssl_allocation, TlsSession::kTlsRecordBytes) << "the buffer had been given back";
  }
}

TEST_F(TlsMemoryTest, KeepsItsBuffersWhileAPartialRecordIsInThem) {
  const auto pair = joined();
  ASSERT_TRUE(pair->client.write("request").has_value());
  const std::vector<uint8_t> flight = pair->client.sink.take();
  pair->server.feed(std::span(flight).first(10));
  EXPECT_FALSE(pair->server.session->release_idle_buffers());
  pair->server.feed(std::span(flight).subspan(10));
  EXPECT_EQ(pair->server.received, "request");
  EXPECT_TRUE(pair->server.session->release_idle_buffers());
}

}  // namespace
}  // namespace weir::tests
