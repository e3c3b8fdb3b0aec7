// What TLS costs per message and per handshake, over memory: no socket, no ring. Both ends run in one thread,
// so a handshake is the sum of both; encrypt and decrypt are measured apart.
//
// "kept" and "released" compare OpenSSL's record buffers held between calls (what weir does) with
// SSL_MODE_RELEASE_BUFFERS; "ahead" is SSL_CTX_set_read_ahead(), which weir leaves off: with many records in
// one receive OpenSSL 3.0 moves the rest of its buffer at every record to align the next one.
#include <benchmark/benchmark.h>
#include <malloc.h>
#include <time.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "net/tls/openssl.h"
#include "net/tls/tls_session.h"
#include "tests/support/test_certificates.h"

namespace {

using weir::net::TlsSession;

// Processor time of this thread: neighbours on the machine do not count.
double now_seconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// What OpenSSL allocates: a count, and the bytes it holds while `weighing` (looking up sizes costs time).
size_t allocations = 0;
size_t live_bytes = 0;
bool weighing = false;
void* taken(void* memory) {
  ++allocations;
  if (weighing) live_bytes += malloc_usable_size(memory);
  return memory;
}
void* given_back(void* memory) {
  if (weighing) live_bytes -= malloc_usable_size(memory);
  return memory;
}
const bool watching =
    CRYPTO_set_mem_functions([](size_t size, const char*, int) { return taken(std::malloc(size)); },
                             [](void* memory, size_t size, const char*, int) {
                               return taken(std::realloc(given_back(memory), size));
                             },
                             [](void* memory, const char*, int) { std::free(given_back(memory)); }) == 1;

enum class Buffers : int64_t { kept, released };

class Sink final : public weir::net::CiphertextSink {
 public:
  std::span<uint8_t> reserve(size_t) override { return std::span(bytes_).subspan(used_); }
  void commit(size_t bytes) override { used_ += bytes; }
  std::span<const uint8_t> take() { return std::span(bytes_).first(std::exchange(used_, 0)); }
  void drop() { used_ = 0; }

 private:
  std::vector<uint8_t> bytes_ = std::vector<uint8_t>(2 * 1024 * 1024);
  size_t used_ = 0;
};

// One authority and one pair of contexts per kind of key and buffers.
struct Contexts {
  explicit Contexts(Buffers buffers = Buffers::kept, int version = TLS1_3_VERSION) {
    SSL_CTX* const both[] = {server->default_context(), client->context()};
    for (SSL_CTX* context : both) {
      SSL_CTX_set_max_proto_version(context, version);
      if (buffers == Buffers::released) SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    }
  }

  weir::tests::TestAuthority authority;
  std::shared_ptr<const weir::net::TlsServerContext> server =
      weir::net::TlsServerContext::load({.certificates = {authority.issue({.dns_names = {"api.test"}})}})
          .value();
  std::shared_ptr<weir::net::TlsClientContext> client =
      weir::net::TlsClientContext::load({.ca_path = authority.root_path()}).value();
};

struct Sinks {
  Sink server;
  Sink client;
};

struct Pair {
  Pair(const Contexts& contexts, Sinks& shared)
      : sinks(shared),
        server(TlsSession::accept(contexts.server, sinks.server).value()),
        client(
            TlsSession::connect(contexts.client, sinks.client, {.host = "api.test", .port = 443}).value()) {
    std::array<uint8_t, 100> room;
    for (int step = 0; step < 4; ++step) {
      for (auto& [end, input] :
           {std::pair{client.get(), &sinks.server}, std::pair{server.get(), &sinks.client}}) {
        end->feed(input->take());
        if (end->handshake_done()) {
          (void)end->read(room);
        } else {
          (void)end->handshake();
          if (end->handshake_done() && end->unread_ciphertext() != 0) (void)end->read(room);
        }
      }
    }
    if (!server->handshake_done() || !client->handshake_done()) std::abort();
  }

  Sinks& sinks;
  std::unique_ptr<TlsSession> server;
  std::unique_ptr<TlsSession> client;
};

void encrypt(benchmark::State& state) {
  const Contexts contexts(static_cast<Buffers>(state.range(1)));
  Sinks sinks;
  const Pair pair(contexts, sinks);
  const std::vector<uint8_t> data(static_cast<size_t>(state.range(0)));
  const size_t before = allocations;
  for (auto _ : state) {
    benchmark::DoNotOptimize(pair.client->write(data));
    sinks.client.drop();
  }
  state.counters["allocations"] =
      static_cast<double>(allocations - before) / static_cast<double>(state.iterations());
}

// A client and a server of plain OpenSSL over memory BIOs.
struct MemoryBioPair {
  explicit MemoryBioPair(const Contexts& contexts)
      : server(SSL_new(contexts.server->default_context())), client(SSL_new(contexts.client->context())) {
    for (SSL* end : {server, client}) SSL_set_bio(end, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    SSL_set_verify(client, SSL_VERIFY_NONE, nullptr);
    SSL_CTX_sess_set_new_cb(contexts.client->context(), nullptr);  // it expects a TlsSession
    for (int step = 0; step < 4; ++step) {
      SSL_do_handshake(client);
      move(client, server);
      SSL_do_handshake(server);
      move(server, client);
    }
    if (SSL_is_init_finished(client) == 0 || SSL_is_init_finished(server) == 0) std::abort();
  }
  ~MemoryBioPair() {
    SSL_free(server);
    SSL_free(client);
  }
  MemoryBioPair(const MemoryBioPair&) = delete;
  MemoryBioPair& operator=(const MemoryBioPair&) = delete;

  size_t move(SSL* from, SSL* to) {
    const int bytes = BIO_read(SSL_get_wbio(from), flight.data(), static_cast<int>(flight.size()));
    if (bytes > 0 && to != nullptr) BIO_write(SSL_get_rbio(to), flight.data(), bytes);
    return bytes > 0 ? static_cast<size_t>(bytes) : 0;
  }

  SSL* server;
  SSL* client;
  std::vector<uint8_t> flight = std::vector<uint8_t>(64 * 1024);
};

void memory_bio_encrypt(benchmark::State& state) {
  const Contexts contexts;
  MemoryBioPair pair(contexts);
  const std::vector<uint8_t> data(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    SSL_write(pair.client, data.data(), static_cast<int>(data.size()));
    benchmark::DoNotOptimize(pair.move(pair.client, nullptr));
  }
}

void memory_bio_decrypt(benchmark::State& state) {
  const Contexts contexts;
  MemoryBioPair pair(contexts);
  const std::vector<uint8_t> data(static_cast<size_t>(state.range(0)));
  std::vector<uint8_t> room(data.size() + 1);
  std::vector<std::vector<uint8_t>> receives(64);
  double spent = 0;
  for (auto _ : state) {
    for (std::vector<uint8_t>& receive : receives) {
      SSL_write(pair.client, data.data(), static_cast<int>(data.size()));
      const size_t bytes = pair.move(pair.client, nullptr);
      receive.assign(pair.flight.data(), pair.flight.data() + bytes);
    }
    const double begin = now_seconds();
    for (const std::vector<uint8_t>& receive : receives) {
      BIO_write(SSL_get_rbio(pair.server), receive.data(), static_cast<int>(receive.size()));
      if (SSL_read(pair.server, room.data(), static_cast<int>(room.size())) + 1 !=
          static_cast<int>(room.size())) {
        std::abort();
      }
    }
    const double seconds = now_seconds() - begin;
    state.SetIterationTime(seconds);
    spent += seconds;
  }
  state.counters["message_ns"] = 1e9 * spent / static_cast<double>(state.iterations() * receives.size());
}

// An SSE event as it is written: payload between two small pieces.
void encrypt_gathered(benchmark::State& state) {
  const Contexts contexts;
  Sinks sinks;
  const Pair pair(contexts, sinks);
  std::vector<uint8_t> data(static_cast<size_t>(state.range(0)));
  const iovec pieces[] = {{data.data(), 6}, {data.data(), data.size() - 8}, {data.data(), 2}};
  for (auto _ : state) {
    benchmark::DoNotOptimize(pair.client->write(pieces));
    sinks.client.drop();
  }
}

// "message_ns" is the time per message, when one arrives per receive or when many do.
void decrypt(benchmark::State& state) {
  const Contexts contexts(static_cast<Buffers>(state.range(1)));
  Sinks sinks;
  const Pair pair(contexts, sinks);
  const std::vector<uint8_t> data(static_cast<size_t>(state.range(0)));
  const auto per_receive = static_cast<size_t>(state.range(2));
  std::vector<uint8_t> room(data.size() * per_receive + 1);
  std::vector<std::vector<uint8_t>> receives(64);
  size_t used = 0;
  double spent = 0;
  for (auto _ : state) {
    for (std::vector<uint8_t>& receive : receives) {
      for (size_t message = 0; message < per_receive; ++message) (void)pair.client->write(data);
      const auto bytes = sinks.client.take();
      receive.assign(bytes.begin(), bytes.end());
    }
    const size_t before = allocations;
    const double begin = now_seconds();
    for (const std::vector<uint8_t>& receive : receives) {
      pair.server->feed(receive);
      const auto step = pair.server->read(room);
      if (!step || step->bytes + 1 != room.size()) std::abort();
      (void)pair.server->release_input();
    }
    const double seconds = now_seconds() - begin;
    state.SetIterationTime(seconds);
    spent += seconds;
    used += allocations - before;
  }
  const auto messages = static_cast<double>(state.iterations() * receives.size() * per_receive);
  state.counters["allocations"] = static_cast<double>(used) / messages;
  state.counters["message_ns"] = 1e9 * spent / messages;
}

void full_handshake(benchmark::State& state) {
  Contexts contexts(Buffers::kept, static_cast<int>(state.range(0)));
  Sinks sinks;
  for (auto _ : state) {
    state.PauseTiming();
    contexts.client = contexts.client->for_another_shard();  // nothing to resume
    SSL_CTX_set_max_proto_version(contexts.client->context(), static_cast<int>(state.range(0)));
    state.ResumeTiming();
    const Pair pair(contexts, sinks);
    if (pair.client->resumed()) std::abort();
  }
}

void resumed_handshake(benchmark::State& state) {
  const Contexts contexts(Buffers::kept, static_cast<int>(state.range(0)));
  Sinks sinks;
  { const Pair first(contexts, sinks); }
  for (auto _ : state) {
    const Pair pair(contexts, sinks);
    if (!pair.client->resumed()) std::abort();
  }
}

// Bytes that OpenSSL holds for one server session: while active, and idle with its buffers given back.
void memory(benchmark::State& state) {
  const Contexts contexts;
  Sinks sinks;
  for (auto _ : state) {
    constexpr size_t kSessions = 100;
    std::vector<std::unique_ptr<TlsSession>> servers;
    const std::vector<uint8_t> data(1000);
    std::vector<uint8_t> room(2000);
    weighing = true;
    const size_t before = live_bytes;
    for (size_t session = 0; session < kSessions; ++session) {
      Pair pair(contexts, sinks);
      (void)pair.client->write(data);
      pair.server->feed(sinks.client.take());
      (void)pair.server->read(room);
      (void)pair.server->write(data);
      sinks.server.drop();
      servers.push_back(std::move(pair.server));
    }
    state.counters["active"] = static_cast<double>(live_bytes - before) / kSessions;
    for (const auto& server : servers) (void)server->release_idle_buffers();
    state.counters["idle"] = static_cast<double>(live_bytes - before) / kSessions;
    weighing = false;
    state.counters["own"] = sizeof(TlsSession);
  }
}

constexpr auto kKept = static_cast<int64_t>(Buffers::kept);
constexpr auto kReleased = static_cast<int64_t>(Buffers::released);

BENCHMARK(encrypt)->ArgNames({"bytes", "buffers"})->ArgsProduct({{200, 1024, 16384}, {kKept, kReleased}});
BENCHMARK(encrypt_gathered)->ArgName("bytes")->Arg(200)->Arg(1024)->Arg(16384);
BENCHMARK(decrypt)
    ->ArgNames({"bytes", "buffers", "per_receive"})
    ->ArgsProduct({{200, 1024, 16384}, {kKept, kReleased}, {1}})
    ->ArgsProduct({{200}, {kKept}, {64}})
    ->UseManualTime();
BENCHMARK(memory_bio_encrypt)->ArgName("bytes")->Arg(200)->Arg(1024)->Arg(16384);
BENCHMARK(memory_bio_decrypt)->ArgName("bytes")->Arg(200)->Arg(1024)->Arg(16384)->UseManualTime();
BENCHMARK(full_handshake)->ArgName("version")->Arg(TLS1_2_VERSION)->Arg(TLS1_3_VERSION);
BENCHMARK(resumed_handshake)->ArgName("version")->Arg(TLS1_2_VERSION)->Arg(TLS1_3_VERSION);
BENCHMARK(memory)->Iterations(1);

}  // namespace
