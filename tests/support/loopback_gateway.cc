#include "tests/support/loopback_gateway.h"

#include <cstdio>

#include "core/assert.h"
#include "net/http_server.h"
#include "routing/decide/identify.h"
#include "routing/exchange/exchange.h"
#include "routing/exchange/gateway.h"
#include "routing/exchange/shard.h"
#include "routing/table/compile.h"

namespace weir::tests {
namespace {

constexpr uint64_t kIdleRoundsToGiveUp = 100'000;

// Sends the pieces of its answer one per turn.
class PacedProvider final : public net::RequestHandler {
 public:
  PacedProvider(core::Loop& loop, const std::vector<std::string>& pieces)
      : server(loop, *this, 4096), pieces_(pieces) {}
  core::Result<void> on_head(net::ServerSession&, const net::RequestHead&, const uint8_t*) override {
    return {};
  }
  void on_request(net::ServerSession& session, const net::Request&) override {
    streams_.push_back({&session, 0});
  }
  void on_refused(net::ServerSession& session, core::Error) override { session.abort(); }
  void on_client_gone(net::ServerSession& session, core::Error) override {
    std::erase_if(streams_, [&](const Stream& stream) { return stream.session == &session; });
  }
  void send_next_pieces() {
    for (Stream& stream : streams_) {
      stream.session->send(core::Slice::of_static(pieces_[stream.next++]));
      if (stream.next == pieces_.size()) stream.session->end_response();
    }
    std::erase_if(streams_, [&](const Stream& stream) { return stream.next == pieces_.size(); });
  }
  net::HttpServer server;

 private:
  struct Stream {
    net::ServerSession* session;
    size_t next;
  };
  const std::vector<std::string>& pieces_;
  std::vector<Stream> streams_;
};

// Asks again as soon as it is answered.
class Client final : public net::ConnectionHandler {
 public:
  Client(core::Loop& loop, std::string request, std::string_view answer_end)
      : request_(std::move(request)), answer_end_(answer_end), connection_(loop, *this, net::Leg::upstream) {}
  void start(const core::SocketAddress& address) { connection_.connect(address); }
  void on_open() override { connection_.send(core::Slice::of_static(request_)); }
  void on_received(core::Slice data) override {
    if (!data.text().ends_with(answer_end_)) return;
    ++answers;
    if (!stopping) connection_.send(core::Slice::of_static(request_));
  }
  void on_end() override { connection_.close(); }
  void on_failed(core::Error) override { failed = true; }
  void on_closed() override {}
  void close() { connection_.close(); }

  uint64_t answers = 0;
  bool failed = false, stopping = false;

 private:
  const std::string request_;
  const std::string_view answer_end_;
  net::Connection connection_;
};

class FixedAddress final : public net::AddressSource {
 public:
  size_t addresses(const std::string& host, uint16_t port, core::SocketAddress* out, size_t) override {
    *out = *core::SocketAddress::parse(host + ":" + std::to_string(port));
    return 1;
  }
};

std::unique_ptr<core::Loop> make_loop() {
  auto loop = core::Loop::create();
  if (!loop) std::fprintf(stderr, "%s\n", loop.error().c_str());
  WEIR_ASSERT(loop.has_value());
  return std::move(*loop);
}

int listen_anywhere() {
  return *core::listen_tcp(*core::SocketAddress::parse("127.0.0.1:0"));
}

routing::GatewayOptions gateway_options() {
  routing::GatewayOptions options;
  options.key_hash_secret = "secret";
  return options;
}

std::string chunk_of(const std::string& data) {
  char size[32];
  std::snprintf(size, sizeof size, "%zx\r\n", data.size() + 8);
  return size + ("data: " + data + "\n\n") + "\r\n";
}

}  // namespace

std::string loopback_request(size_t bytes, bool stream) {
  const std::string begin = std::string("{") + (stream ? R"("stream":true,)" : "") +
                            R"("model":"chat","messages":[{"role":"user","content":")";
  const std::string end = R"("}]})";
  const size_t rest = begin.size() + end.size();
  return begin + std::string(bytes > rest ? bytes - rest : 1, 'x') + end;
}

std::vector<std::string> loopback_answer() {
  const std::string json =
      R"({"id":"c","object":"chat.completion","model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":")" +
      std::string(400, 'y') + R"("}}],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}})";
  return {"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " +
          std::to_string(json.size()) + "\r\n\r\n" + json};
}

std::vector<std::string> loopback_stream(int frames) {
  std::vector<std::string> pieces = {
      "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"};
  for (int i = 0; i < frames; ++i) {
    pieces.push_back(chunk_of(
        R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m-1","choices":[{"index":0,"delta":{"content":"some words "},"finish_reason":null}],"usage":null})"));
  }
  pieces.push_back(
      chunk_of(
          R"({"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":20,"total_tokens":29}})") +
      chunk_of("[DONE]") + "0\r\n\r\n");
  return pieces;
}

struct LoopbackGateway::World {
  explicit World(LoopbackOptions wanted)
      : options(std::move(wanted)),
        provider_loop(make_loop()),
        gateway_loop(make_loop()),
        client_loop(make_loop()),
        provider(*provider_loop, options.answer_pieces),
        gateway(gateway_options(), addresses, [] {}) {}

  const LoopbackOptions options;
  std::unique_ptr<core::Loop> provider_loop, gateway_loop, client_loop;
  PacedProvider provider;
  FixedAddress addresses;
  routing::Gateway gateway;
  std::unique_ptr<routing::Shard> shard;
  std::vector<std::unique_ptr<Client>> clients;
  uint64_t records = 0;
};

LoopbackGateway::LoopbackGateway(LoopbackOptions options)
    : world_(std::make_unique<World>(std::move(options))) {
  World& world = *world_;
  const int provider_listener = listen_anywhere();
  world.provider.server.listen(provider_listener);
  const std::string text = R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" +
                           std::to_string(core::bound_address(provider_listener).port()) + R"(/v1"}},
      "models":{"m-1":{"provider":"p","tier":"economy","price":{"input":1,"output":2}},
                "m-2":{"provider":"p","tier":"standard","price":{"input":1,"output":2}}},
      "prompts":{"p@1.0.0":{"system":"You serve {{tenant.name}}."}},
      "units":{"u-1":{"model":"m-1"},"u-2":{"model":"m-2","prompt":"p@1.0.0","params":{"temperature":0.5}}},
      "scenarios":{"chat":{"stable":"u-1","sticky_by":["user"]}},
      "flags":{"f":{"scenario":"chat","candidate":{"unit":"u-2"}}},
      "limits":{"rps":1000000000},"budgets":[{"window":"1d","usd":1000000}],
      "tenants":{"t":{"limits":{"rpm":1000000000,"tpm":100000000000,"concurrency":10000},
        "budgets":[{"window":"1h","usd":1000000,"on_exceed":"economy"}],
        "user_limits":{"rpm":1000000000},"user_budgets":[{"window":"1d","usd":100000}],
        "flags":{"f":{"state":"pilot","percent":50,"owner":"o","reason":"r","review":"2030-01-01","previous":"u-1"}}}},
      "keys":[{"id":"k","tenant":"t","scenario":"chat","hash":")" +
                           routing::hash_key("secret", "sk-x") + R"("}]})";
  auto body = routing::compile_text(text, routing::TableFormat::json, {});
  WEIR_ASSERT(body.has_value());
  auto table = std::make_unique<routing::Table>();
  table->revision = 1;
  table->guards = routing::GuardPlan::bind(*body->body, *body->tenants, world.gateway.arena);
  table->body = std::move(body->body);
  table->tenants = std::move(body->tenants);
  world.gateway.tables.publish(std::move(table));
  world.shard = std::make_unique<routing::Shard>(*world.gateway_loop, world.gateway, 0);
  const int listener = listen_anywhere();
  world.shard->listen(listener);
  const std::string& last_piece = world.options.answer_pieces.back();
  const std::string_view answer_end = std::string_view(last_piece).substr(last_piece.size() - 5);
  for (int i = 0; i < world.options.connections; ++i) {
    const std::string& request_body = world.options.request_body;
    world.clients.push_back(std::make_unique<Client>(
        *world.client_loop,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer sk-x\r\nx-weir-user: u" +
            std::to_string(i) + "\r\ncontent-type: application/json\r\ncontent-length: " +
            std::to_string(request_body.size()) + "\r\n\r\n" + request_body,
        answer_end));
    world.clients.back()->start(core::bound_address(listener));
  }
}

bool LoopbackGateway::run(uint64_t count, const std::function<void(core::Loop&)>& turn) {
  World& world = *world_;
  const uint64_t target = exchanges() + count;
  uint64_t idle_rounds = 0;
  for (uint64_t before = exchanges(); exchanges() < target && idle_rounds < kIdleRoundsToGiveUp;) {
    world.client_loop->turn(0);
    turn(*world.gateway_loop);
    world.provider_loop->turn(0);
    world.provider.send_next_pieces();
    world.records += world.gateway.records[0]->drain([](routing::Record&) {});
    const uint64_t now = exchanges();
    idle_rounds = now == before ? idle_rounds + 1 : 0;
    before = now;
  }
  return exchanges() >= target;
}

core::Loop& LoopbackGateway::loop() {
  return *world_->gateway_loop;
}

uint64_t LoopbackGateway::exchanges() const {
  uint64_t sum = 0;
  for (const auto& client : world_->clients) sum += client->answers;
  return sum;
}

uint64_t LoopbackGateway::records() const {
  return world_->records;
}

bool LoopbackGateway::failed() const {
  for (const auto& client : world_->clients) {
    if (client->failed) return true;
  }
  return false;
}

LoopbackGateway::~LoopbackGateway() {
  World& world = *world_;
  for (auto& client : world.clients) {
    client->stopping = true;
    client->close();
  }
  world.shard->close_all();
  world.provider.server.begin_drain();
  world.provider.server.close_all();
  for (int rounds = 0; rounds < 10'000 && !(world.shard->closed() && world.provider.server.closed());
       ++rounds) {
    world.client_loop->turn(0);
    world.gateway_loop->turn(0);
    world.provider_loop->turn(0);
  }
  for (int rounds = 0; rounds < 100; ++rounds) world.client_loop->turn(0);
  WEIR_ASSERT(world.shard->closed() && world.provider.server.closed());
}

}  // namespace weir::tests
