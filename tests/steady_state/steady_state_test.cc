// What an exchange may cost once everything is warm: no heap allocation, and less than one entry into the
// kernel. Client, gateway shard and provider each have a loop on this one thread, on the real ring; what is
// counted is what happens inside the gateway's turns.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "net/http_server.h"
#include "routing/decide/identify.h"
#include "routing/exchange/exchange.h"
#include "routing/exchange/gateway.h"
#include "routing/exchange/shard.h"
#include "routing/table/compile.h"

namespace {

bool counting = false;
uint64_t allocations = 0;

void count_allocation() {
  if (counting) ++allocations;
}

}  // namespace

// Every way to the heap goes through these (operator new included); glibc's own names do the work.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void* malloc(size_t size) {
  count_allocation();
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  count_allocation();
  return __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) {
  count_allocation();
  return __libc_realloc(memory, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  count_allocation();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, size_t alignment, size_t size) {
  count_allocation();
  *memory = __libc_memalign(alignment, size);
  return *memory == nullptr ? 12 : 0;
}
}

namespace weir::tests {
namespace {

constexpr int kConnections = 64;

class FixedProvider final : public net::RequestHandler {
 public:
  FixedProvider(core::Loop& loop, std::string answer)
      : server(loop, *this, 1024), answer_(std::move(answer)), loop_(loop) {}
  core::Result<void> on_head(net::ServerSession&, const net::RequestHead&, const uint8_t*) override { return {}; }
  void on_request(net::ServerSession& session, const net::Request&) override {
    session.send(core::Slice::of_static(answer_));
    session.end_response();
  }
  void on_refused(net::ServerSession& session, core::Error) override { session.abort(); }
  void on_client_gone(net::ServerSession&, core::Error) override {}
  net::HttpServer server;

 private:
  std::string answer_;
  core::Loop& loop_;
};

// Asks again as soon as it is answered.
class Client final : public net::ConnectionHandler {
 public:
  Client(core::Loop& loop, const std::string& request, size_t answer_bytes)
      : request_(request), answer_bytes_(answer_bytes), connection_(loop, *this, net::Leg::upstream) {}
  void start(const core::SocketAddress& address) { connection_.connect(address); }
  void on_open() override { connection_.send(core::Slice::of_static(request_)); }
  void on_received(core::Slice data) override {
    received_ += data.size();
    tail_ = data.text().ends_with(answer_end_) || answer_end_.empty();
    if (answer_bytes_ == 0 ? !tail_ : received_ < answer_bytes_) return;
    received_ = 0;
    ++answers;
    if (!stopping) connection_.send(core::Slice::of_static(request_));
  }
  void on_end() override { connection_.close(); }
  void on_failed(core::Error) override { failed = true; }
  void on_closed() override { closed = true; }
  void close() { connection_.close(); }

  uint64_t answers = 0;
  bool failed = false, closed = false, stopping = false;
  std::string_view answer_end_;

 private:
  const std::string& request_;
  size_t answer_bytes_;
  size_t received_ = 0;
  bool tail_ = false;
  net::Connection connection_;
};

class FixedAddress final : public net::AddressSource {
 public:
  size_t addresses(const std::string& host, uint16_t port, core::SocketAddress* out, size_t) override {
    *out = *core::SocketAddress::parse(host + ":" + std::to_string(port));
    return 1;
  }
};

struct Cost {
  uint64_t exchanges = 0;
  double allocations = 0;      // per exchange
  double kernel_entries = 0;
};

// Runs `exchanges` of them after as many to warm up.
Cost measure(const std::string& answer, std::string_view answer_end, const std::string& request_body, uint64_t exchanges) {
  Cost cost;
  auto provider_loop = *core::Loop::create();
  auto gateway_loop = *core::Loop::create();
  auto client_loop = *core::Loop::create();
  FixedProvider provider(*provider_loop, answer);
  const int provider_listener = *core::listen_tcp(*core::SocketAddress::parse("127.0.0.1:0"));
  provider.server.listen(provider_listener);

  FixedAddress addresses;
  routing::GatewayOptions options;
  options.key_hash_secret = "secret";
  routing::Gateway gateway(options, addresses, [] {});
  const std::string text =
      R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" +
      std::to_string(core::bound_address(provider_listener).port()) + R"(/v1"}},
      "models":{"m-1":{"provider":"p","tier":"economy","price":{"input":1,"output":2}},
                "m-2":{"provider":"p","tier":"economy","price":{"input":1,"output":2}}},
      "prompts":{"p@1.0.0":{"system":"You serve {{tenant.name}}."}},
      "units":{"u-1":{"model":"m-1"},"u-2":{"model":"m-2","prompt":"p@1.0.0","params":{"temperature":0.5}}},
      "scenarios":{"chat":{"stable":"u-1","sticky_by":["user"]}},
      "flags":{"f":{"scenario":"chat","candidate":{"unit":"u-2"}}},
      "limits":{"rps":1000000000},"budgets":[{"window":"1d","usd":1000000}],
      "tenants":{"t":{"limits":{"rpm":1000000000,"tpm":100000000000,"concurrency":10000},
        "budgets":[{"window":"1h","usd":1000000,"on_exceed":"economy"}],
        "user_limits":{"rpm":1000000000},"user_budgets":[{"window":"1d","usd":100000}],"flags":{"f":{"state":"pilot","percent":50,"owner":"o","reason":"r","review":"2030-01-01","previous":"u-1"}}}},
      "keys":[{"id":"k","tenant":"t","scenario":"chat","hash":")" + routing::hash_key("secret", "sk-x") + R"("}]})";
  auto body = routing::compile_text(text, routing::TableFormat::json, {});
  if (!body) {
    for (const auto& problem : body.error()) ADD_FAILURE() << problem.path << ": " << problem.message;
    return cost;
  }
  auto table = std::make_unique<routing::Table>();
  table->revision = 1;
  table->guards = routing::GuardPlan::bind(**body, gateway.arena);
  table->body = std::move(*body);
  gateway.tables.publish(std::move(table));
  auto shard = std::make_unique<routing::Shard>(*gateway_loop, gateway, 0);
  const int listener = *core::listen_tcp(*core::SocketAddress::parse("127.0.0.1:0"));
  shard->listen(listener);

  std::vector<std::string> requests;
  std::vector<std::unique_ptr<Client>> clients;
  requests.reserve(kConnections);
  for (int i = 0; i < kConnections; ++i) {
    requests.push_back("POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer sk-x\r\nx-weir-user: u" +
                       std::to_string(i) + "\r\ncontent-type: application/json\r\ncontent-length: " +
                       std::to_string(request_body.size()) + "\r\n\r\n" + request_body);
    clients.push_back(std::make_unique<Client>(*client_loop, requests.back(), 0));
    clients.back()->answer_end_ = answer_end;
    clients.back()->start(core::bound_address(listener));
  }
  const auto answers = [&] {
    uint64_t sum = 0;
    for (auto& client : clients) sum += client->answers;
    return sum;
  };
  uint64_t drained = 0;
  const auto run_to = [&](uint64_t target) {
    for (uint64_t rounds = 0; answers() < target && rounds < 50 * exchanges; ++rounds) {
      client_loop->turn(0);
      counting = true;
      gateway_loop->turn(0);
      counting = false;
      provider_loop->turn(0);
      drained += gateway.records[0]->drain([](routing::Record&) {});
    }
  };
  run_to(exchanges);
  const uint64_t first = answers();
  const uint64_t enters = gateway_loop->io().stats().enters;
  allocations = 0;
  run_to(first + exchanges);
  cost.exchanges = answers() - first;
  cost.allocations = static_cast<double>(allocations) / static_cast<double>(cost.exchanges);
  cost.kernel_entries =
      static_cast<double>(gateway_loop->io().stats().enters - enters) / static_cast<double>(cost.exchanges);

  for (auto& client : clients) {
    EXPECT_FALSE(client->failed);
    client->stopping = true;
    client->close();
  }
  shard->close_all();
  provider.server.begin_drain();
  provider.server.close_all();
  for (int rounds = 0; rounds < 10'000; ++rounds) {
    client_loop->turn(0);
    gateway_loop->turn(0);
    provider_loop->turn(0);
    if (shard->closed() && provider.server.closed()) break;
  }
  for (int rounds = 0; rounds < 100; ++rounds) client_loop->turn(0);
  EXPECT_TRUE(shard->closed());
  EXPECT_GE(drained, cost.exchanges);
  shard.reset();
  clients.clear();
  return cost;
}

const std::string kBody = R"({"model":"chat","messages":[{"role":"user","content":")" + std::string(900, 'x') + R"("}]})";

TEST(SteadyState, AnExchangeAllocatesNothingAndSharesItsKernelEntries) {
  const std::string json = R"({"id":"c","object":"chat.completion","model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":")" +
                           std::string(400, 'y') + R"("}}],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}})";
  const std::string answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " +
                             std::to_string(json.size()) + "\r\n\r\n" + json;
  const Cost cost = measure(answer, "13}}", kBody, 20'000);
  std::printf("plain: %llu exchanges, %.4f allocations, %.3f kernel entries each\n",
              static_cast<unsigned long long>(cost.exchanges), cost.allocations, cost.kernel_entries);
  EXPECT_GE(cost.exchanges, 20'000u);
  EXPECT_EQ(cost.allocations, 0);
  EXPECT_LE(cost.kernel_entries, 0.6);
}

TEST(SteadyState, AStreamAllocatesNothing) {
  std::string answer = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
  const auto chunk = [&](const std::string& data) {
    char size[32];
    std::snprintf(size, sizeof size, "%zx\r\n", data.size() + 8);
    answer += size + ("data: " + data + "\n\n") + "\r\n";
  };
  for (int i = 0; i < 20; ++i) {
    chunk(R"({"id":"c","object":"chat.completion.chunk","model":"m-1","choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}],"usage":null})");
  }
  chunk(R"({"id":"c","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":20,"total_tokens":29}})");
  chunk("[DONE]");
  answer += "0\r\n\r\n";
  std::string body = kBody;
  body.insert(1, R"("stream":true,)");
  const Cost cost = measure(answer, "0\r\n\r\n", body, 5'000);
  std::printf("stream of 20 events: %llu exchanges, %.4f allocations, %.3f kernel entries each\n",
              static_cast<unsigned long long>(cost.exchanges), cost.allocations, cost.kernel_entries);
  EXPECT_GE(cost.exchanges, 5'000u);
  EXPECT_EQ(cost.allocations, 0);
}

}  // namespace
}  // namespace weir::tests
