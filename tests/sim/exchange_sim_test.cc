// A whole exchange (client, gateway shard, provider) on the simulated kernel, many seeds, all faults. The
// code between the ring's interface and the answers is the production code.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "net/client_session.h"
#include "net/http_server.h"
#include "routing/exchange/exchange.h"
#include "routing/exchange/gateway.h"
#include "routing/exchange/shard.h"
#include "routing/table/compile.h"
#include "tests/sim/sim_world.h"

namespace weir::sim {
namespace {

constexpr int kRequestsPerClient = 4;
constexpr int kClients = 3;
constexpr int kMaxRounds = 200'000;

std::string table_text(uint16_t port) {
  return R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" + std::to_string(port) + R"(/v1"}},
    "models":{"m-1":{"provider":"p","tier":"economy","price":{"input":1,"cached_input":0.5,"output":2}}},
    "units":{"u-1":{"model":"m-1","params":{"temperature":0.5},"retries":1,
                    "timeouts":{"connect":"2s","first_token":"3s","idle":"3s","total":"20s"}}},
    "scenarios":{"chat":{"stable":"u-1"}},
    "tenants":{"t-1":{"limits":{"rps":1000000,"tpm":1000000000,"concurrency":100},"budgets":[{"window":"1h","usd":1000}]}},
    "keys":[{"id":"k-1","tenant":"t-1","scenario":"chat","hash":")" + routing::hash_key("secret", "sk-sim") + R"("}]})";
}

// Answers every request with an echo of what reached it, as a stream when asked.
class Provider final : public net::RequestHandler {
 public:
  explicit Provider(core::Loop& loop) : loop_(loop), server(loop, *this, 64) {}
  core::Result<void> on_head(net::ServerSession&, const net::RequestHead&, const uint8_t*) override { return {}; }
  void on_request(net::ServerSession& session, const net::Request& request) override {
    const std::string body(request.body.begin(), request.body.end());
    ++requests;
    EXPECT_NE(body.find("\"m-1\""), std::string::npos);           // the unit's model, not the scenario's name
    EXPECT_NE(body.find("\"temperature\":0.5"), std::string::npos);
    const size_t tag = body.find("tag-");
    const std::string word = tag == std::string::npos ? "?" : body.substr(tag, 10);
    if (body.find("\"stream\":true") != std::string::npos) {
      EXPECT_NE(body.find("include_usage"), std::string::npos);
      send(session, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
      chunk(session, R"({"choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null})");
      chunk(session, R"({"choices":[{"index":0,"delta":{"content":")" + word + R"("}}],"usage":null})");
      chunk(session, R"({"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}})");
      chunk(session, "[DONE]");
      send(session, "0\r\n\r\n");
    } else {
      const std::string answer = R"({"choices":[{"index":0,"message":{"role":"assistant","content":")" + word +
                                 std::string(padding, 'y') +
                                 R"("}}],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}})";
      send(session, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " +
                        std::to_string(answer.size()) + "\r\n\r\n" + answer);
    }
    session.end_response();
  }
  void on_refused(net::ServerSession& session, core::Error error) override {
    ADD_FAILURE() << "the provider got a bad request: " << core::describe(error.code).token;
    session.abort();
  }
  void on_client_gone(net::ServerSession&, core::Error) override {}

  int requests = 0;
  size_t padding = 0;      // more bytes of a plain answer
  std::string_view line_end = "\n";

 private:
  void send(net::ServerSession& session, const std::string& text) {
    session.send(loop_.buffers().copy_of({reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
  }
  void chunk(net::ServerSession& session, const std::string& data) {
    const std::string event = "data: " + data + std::string(line_end) + std::string(line_end);
    char size[32];
    std::snprintf(size, sizeof size, "%zx\r\n", event.size());
    send(session, size + event + "\r\n");
  }
  core::Loop& loop_;

 public:
  net::HttpServer server;
};

// Sends its requests one after the other on one connection, a new one when that is gone.
class Client final : public net::ConnectionHandler {
 public:
  Client(core::Loop& loop, const core::SocketAddress& gateway, int number)
      : loop_(loop), gateway_(gateway), number_(number), connection_(loop, *this, net::Leg::upstream) {}

  void step() {
    if (connection_.state() == net::Connection::State::closed && !finished()) {
      received_.clear();
      connection_.connect(gateway_);
    }
  }
  bool finished() const { return done_ == kRequestsPerClient; }
  void close() { connection_.close(); }
  bool closed() const { return connection_.state() == net::Connection::State::closed; }

  void on_open() override { send_next(); }
  void on_received(core::Slice data) override {
    received_ += data.text();
    const size_t head_end = received_.find("\r\n\r\n");
    if (head_end == std::string::npos) return;
    const bool chunked = received_.find("transfer-encoding: chunked") < head_end;
    if (chunked) {
      if (!received_.ends_with("\r\n0\r\n\r\n")) return;
    } else {
      const size_t length_at = received_.find("content-length: ");
      ASSERT_NE(length_at, std::string::npos) << received_;
      const size_t length = std::stoul(received_.substr(length_at + 16));
      if (received_.size() < head_end + 4 + length) return;
      ASSERT_EQ(received_.size(), head_end + 4 + length);
    }
    answered();
  }
  void on_end() override {
    lost();
    connection_.close();
  }
  void on_failed(core::Error) override { lost(); }
  void on_closed() override {}

  int whole = 0;       // good answers, whole
  int errors = 0;      // error answers
  int cut = 0;         // the connection ended without a whole answer

 private:
  std::string tag() const { return "tag-" + std::to_string(100'000 + number_ * 1000 + done_); }
  bool stream() const { return (number_ + done_) % 2 == 0; }
  void send_next() {
    received_.clear();
    waiting_ = true;
    const std::string body = R"({"model":"chat","messages":[{"role":"user","content":")" + tag() + R"("}])" +
                             (stream() ? R"(,"stream":true})" : "}");
    const std::string request = "POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer sk-sim\r\n"
                                "content-type: application/json\r\ncontent-length: " +
                                std::to_string(body.size()) + "\r\n\r\n" + body;
    connection_.send(loop_.buffers().copy_of({reinterpret_cast<const uint8_t*>(request.data()), request.size()}));
  }
  void answered() {
    waiting_ = false;
    if (received_.starts_with("HTTP/1.1 200")) {
      ++whole;
      EXPECT_NE(received_.find(tag()), std::string::npos) << "an answer to another request: " << received_;
      EXPECT_EQ(received_.find("usage"), stream() ? std::string::npos : received_.find("usage")) << received_;
      EXPECT_NE(received_.find("x-weir-unit: u-1"), std::string::npos);
      EXPECT_EQ(received_.find("data: [DONE]") != std::string::npos, stream());
    } else {
      ++errors;
      EXPECT_NE(received_.find("\"error\""), std::string::npos) << received_;
    }
    ++done_;
    if (finished()) return;
    if (received_.find("connection: close") == std::string::npos) send_next();
  }
  void lost() {
    if (!waiting_ || finished()) return;
    waiting_ = false;
    ++cut;
    ++done_;
  }

  core::Loop& loop_;
  core::SocketAddress gateway_;
  int number_;
  int done_ = 0;
  bool waiting_ = false;
  std::string received_;
  net::Connection connection_;
};

class FixedAddress final : public net::AddressSource {
 public:
  size_t addresses(const std::string& host, uint16_t port, core::SocketAddress* out, size_t) override {
    *out = *core::SocketAddress::parse(host + ":" + std::to_string(port));
    return 1;
  }
};

struct Outcome {
  int whole = 0, errors = 0, cut = 0, provider_requests = 0;
  uint64_t records = 0;
};

struct Provided {
  size_t padding = 0;
  std::string_view line_end = "\n";
};

Outcome simulate(uint64_t seed, const Faults& faults, const Provided& provided = {}) {
  SCOPED_TRACE("replay: seed " + std::to_string(seed));
  World world(seed, faults);
  Outcome outcome;
  {
    auto gateway_loop = *core::Loop::create();
    auto provider_loop = *core::Loop::create();
    auto client_loop = *core::Loop::create();

    Provider provider(*provider_loop);
    provider.padding = provided.padding;
    provider.line_end = provided.line_end;
    const int provider_listener = *core::listen_tcp(*core::SocketAddress::parse("127.0.0.1:0"));
    provider.server.listen(provider_listener);

    FixedAddress addresses;
    routing::GatewayOptions options;
    options.shards = 1;
    options.key_hash_secret = "secret";
    options.process_seed = seed;
    routing::Gateway gateway(options, addresses, [] {});
    auto body = routing::compile_text(table_text(core::bound_address(provider_listener).port()),
                                      routing::TableFormat::json, {});
    if (!body) {
      for (const auto& problem : body.error()) ADD_FAILURE() << problem.path << ": " << problem.message;
      return outcome;
    }
    auto table = std::make_unique<routing::Table>();
    table->revision = 1;
    table->guards = routing::GuardPlan::bind(*body->body, *body->tenants, gateway.arena);
    table->body = std::move(body->body);
    table->tenants = std::move(body->tenants);
    gateway.tables.publish(std::move(table));
    auto shard = std::make_unique<routing::Shard>(*gateway_loop, gateway, 0);
    const int listener = *core::listen_tcp(*core::SocketAddress::parse("127.0.0.1:0"));
    shard->listen(listener);

    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < kClients; ++i) {
      clients.push_back(std::make_unique<Client>(*client_loop, core::bound_address(listener), i));
    }
    const auto turn = [&] {
      client_loop->turn(0);
      gateway_loop->turn(0);
      provider_loop->turn(0);
      world.advance(world.chance(0.02) ? 100'000'000 : 50'000);
    };
    int rounds = 0;
    const auto all_finished = [&] {
      return std::all_of(clients.begin(), clients.end(), [](const auto& client) { return client->finished(); });
    };
    while (!all_finished() && rounds++ < kMaxRounds) {
      for (auto& client : clients) client->step();
      turn();
    }
    EXPECT_TRUE(all_finished()) << "a request was never answered";

    // Everything ends, and nothing is left behind.
    for (auto& client : clients) client->close();
    shard->begin_drain();
    bool closing = false;
    for (rounds = 0; rounds < kMaxRounds; ++rounds) {
      turn();
      if (rounds == 1000) gateway_loop->post([&] { shard->close_all(); });  // as the process does it
      if (!shard->closed()) continue;
      if (!std::exchange(closing, true)) provider.server.begin_drain();
      if (rounds > 2000) provider.server.close_all();
      if (provider.server.closed() &&
          std::all_of(clients.begin(), clients.end(), [](const auto& client) { return client->closed(); })) {
        break;
      }
    }
    EXPECT_TRUE(shard->closed());
    const routing::GuardPlan& guards = *gateway.tables.newest()->guards;
    const routing::ScopeGuard& tenant = *guards.of(routing::TenantIndex{0});
    const routing::BudgetLine& budget = *tenant.budgets[0].line;
    EXPECT_EQ(tenant.line->in_flight.load(), 0u) << "a place was not given back";
    EXPECT_EQ(budget.committed.load(), budget.spent.load()) << "a reservation was left";
    int64_t spent = 0;
    EXPECT_TRUE(provider.server.closed());
    turn();
    for (auto& client : clients) {
      outcome.whole += client->whole;
      outcome.errors += client->errors;
      outcome.cut += client->cut;
    }
    outcome.provider_requests = provider.requests;
    std::set<std::pair<uint64_t, uint64_t>> ids;
    gateway.records[0]->drain([&](routing::Record& record) {
      ++outcome.records;
      spent += record.cost_nano_usd;
      EXPECT_TRUE(ids.insert({record.id.high, record.id.low}).second) << "an exchange settled twice";
      // What earlier attempts have cost comes on top.
      if (record.usage_reported && record.attempts == 1) {
        EXPECT_EQ(record.cost_nano_usd, 10 * 1000 + 5 * 2000);
      }
    });
    EXPECT_EQ(budget.spent.load(), spent);
    clients.clear();
    shard.reset();
    gateway.tables.reclaim();
    EXPECT_EQ(gateway.tables.live_versions(), 1u) << "an exchange kept its table";
  }
  EXPECT_EQ(world.open_descriptors(), 0u) << "a descriptor was not closed";
  return outcome;
}

TEST(SimulatedExchange, AnswersEveryRequestWithoutFaults) {
  const Outcome outcome = simulate(1, {});
  EXPECT_EQ(outcome.whole, kClients * kRequestsPerClient);
  EXPECT_EQ(outcome.provider_requests, kClients * kRequestsPerClient);
  EXPECT_EQ(outcome.records, static_cast<uint64_t>(kClients * kRequestsPerClient));
}

TEST(SimulatedExchange, LosesNothingToShortTransfersAndRearming) {
  Faults faults;
  faults.short_send = 0.3;
  faults.short_receive = 0.5;
  faults.no_buffers = 0.2;
  faults.lost_multishot = 0.3;
  faults.reorder = 0.5;
  faults.receive_pressure = 0.2;
  faults.socket_buffer_bytes = 300;
  faults.max_receive_bytes = 50;
  for (uint64_t seed = 1; seed <= 1000; ++seed) {
    const Outcome outcome = simulate(seed, faults);
    EXPECT_EQ(outcome.whole, kClients * kRequestsPerClient) << "seed " << seed;
    if (::testing::Test::HasFailure()) return;
  }
}

// Answers past the high-water mark pause the provider's connection; it must be as good as new for the next one.
TEST(SimulatedExchange, LargeAnswersLeaveTheirConnectionUsable) {
  Faults faults;
  faults.short_receive = 0.3;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const Outcome outcome = simulate(seed, faults, {.padding = 700'000});
    EXPECT_EQ(outcome.whole, kClients * kRequestsPerClient) << "seed " << seed;
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(SimulatedExchange, StreamsWithCarriageReturnsAreCompleteHoweverTheyAreCut) {
  Faults faults;
  faults.short_receive = 0.9;
  faults.max_receive_bytes = 7;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    const Outcome outcome = simulate(seed, faults, {.line_end = "\r\n"});
    EXPECT_EQ(outcome.whole, kClients * kRequestsPerClient) << "seed " << seed;
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(SimulatedExchange, EveryRequestEndsUnderResetsAndRefusals) {
  Faults faults;
  faults.short_send = 0.2;
  faults.short_receive = 0.3;
  faults.no_buffers = 0.1;
  faults.lost_multishot = 0.2;
  faults.reorder = 0.5;
  faults.refuse_connect = 0.1;
  faults.reset = 0.01;
  faults.late_cancel = 0.5;
  faults.receive_pressure = 0.1;
  int cut = 0, errors = 0, whole = 0;
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    const Outcome outcome = simulate(seed, faults);
    cut += outcome.cut;
    errors += outcome.errors;
    whole += outcome.whole;
    if (::testing::Test::HasFailure()) return;
  }
  // The faults did bite, and most requests were answered all the same.
  EXPECT_GT(cut, 0);
  EXPECT_GT(errors, 0);
  EXPECT_GT(whole, cut + errors);
}

}  // namespace
}  // namespace weir::sim
