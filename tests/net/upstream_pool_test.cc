#include "net/upstream_pool.h"

#include "tests/net/net_fixture.h"

namespace weir::tests {
namespace {

using core::ErrorCode;
using net::ClientSession;
using net::UpstreamPool;
using net::UpstreamPoolMachine;

struct Addresses final : net::AddressSource {
  size_t addresses(const std::string& host, uint16_t port, core::SocketAddress* out, size_t count) override {
    ++asked;
    if (host == "unknown.test") return 0;
    for (size_t i = 0; i < std::min(count, list.size()); ++i) {
      out[i] = list[i];
      if (out[i].port() == 0) out[i].set_port(port);
    }
    return std::min(count, list.size());
  }
  std::vector<core::SocketAddress> list;
  int asked = 0;
};

// A request: gets a session, exchanges, gives it back.
struct Request final : net::UpstreamWaiter, net::ResponseHandler {
  explicit Request(UpstreamPool& wanted) : pool(wanted) {}
  virtual ~Request() {
    if (waiting()) pool.abandon(*this);
    if (session != nullptr) give_up();
  }

  void start() {
    core::Result<void> outcome;
    inside = true;
    ClientSession* found = pool.acquire(*this, outcome);
    inside = false;
    if (!outcome) refused = outcome.error().code;
    if (found != nullptr) begin(*found);
  }
  void begin(ClientSession& found) {
    session = &found;
    session->begin(*this, net::Method::get);
    session->send(core::Slice::of_static("GET / HTTP/1.1\r\nhost: x\r\n\r\n"));
  }
  void give_up() {
    session->cancel();
    pool.release(*std::exchange(session, nullptr), Reuse::no);
  }

  void on_upstream_ready(ClientSession& found) override {
    EXPECT_FALSE(inside) << "told from inside acquire()";
    begin(found);
  }
  void on_upstream_refused(core::Error error) override {
    EXPECT_FALSE(inside) << "told from inside acquire()";
    refused = error.code;
    if (when_refused) when_refused();
  }
  void on_response_head(const net::ResponseHead& head, const uint8_t*) override { status = head.status; }
  void on_response_body(net::BodyPiece) override {}
  void on_response_end(Reuse reuse) override {
    done = true;
    pool.release(*std::exchange(session, nullptr), reuse);
  }
  void on_response_failed(core::Error error) override {
    failed = error.code;
    pool.release(*std::exchange(session, nullptr), Reuse::no);
  }

  UpstreamPool& pool;
  ClientSession* session = nullptr;
  bool inside = false;
  bool done = false;
  int status = 0;
  std::optional<ErrorCode> refused, failed;
  std::function<void()> when_refused;
};

class UpstreamPoolTest : public ::testing::Test {
 protected:
  UpstreamPoolTest() {
    addresses.list = {listener.address()};
    make(UpstreamPoolMachine());
  }
  ~UpstreamPoolTest() override {
    requests.clear();
    pool->begin_close();
    EXPECT_TRUE(run_until(*loop, [&] { return pool->closed(); }));
  }
  void make(UpstreamPoolMachine machine, const std::string& host = "provider.test",
            uint32_t idle_timeout_ms = core::limits::kUpstreamIdleMs) {
    net::UpstreamTarget target{
        .host = host, .port = 443, .tls = false, .context = nullptr, .idle_timeout_ms = idle_timeout_ms};
    pool = std::make_unique<UpstreamPool>(*loop, std::move(target), addresses, parser, machine);
  }
  Request& start() {
    requests.push_back(std::make_unique<Request>(*pool));
    requests.back()->start();
    return *requests.back();
  }
  // The next connection the pool opens.
  Peer& accept() {
    peers.push_back(listener.accept(*loop));
    return *peers.back();
  }
  void respond(Peer& peer, std::string_view text = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok") {
    ASSERT_TRUE(run_until(*loop, [&] {
      peer.read_some();
      return peer.received().find("\r\n\r\n") != std::string::npos;
    }));
    peer.received().clear();
    peer.write(*loop, text);
  }
  bool until(const bool& flag) {
    return run_until(*loop, [&] { return flag; });
  }

  std::unique_ptr<core::Loop> loop = make_loop();
  PeerListener listener;
  Addresses addresses;
  net::ResponseHeadParser parser;
  std::unique_ptr<UpstreamPool> pool;
  std::vector<std::unique_ptr<Request>> requests;
  std::vector<std::unique_ptr<Peer>> peers;
};

TEST_F(UpstreamPoolTest, OpensAConnectionAndKeepsIt) {
  Request& first = start();
  Peer& peer = accept();
  respond(peer);
  ASSERT_TRUE(until(first.done));
  EXPECT_EQ(pool->machine().idle(), 1u);
  Request& second = start();
  EXPECT_NE(second.session, nullptr) << "an idle connection is given at once";
  respond(peer);
  ASSERT_TRUE(until(second.done));
  EXPECT_EQ(addresses.asked, 1);
  EXPECT_EQ(listener.accept(), nullptr);
}

TEST_F(UpstreamPoolTest, UsesTheConnectionReleasedLastFirst) {
  Request& first = start();
  Request& second = start();
  Peer& a = accept();
  Peer& b = accept();
  ASSERT_TRUE(run_until(*loop, [&] { return first.session != nullptr && second.session != nullptr; }));
  ClientSession* const first_session = first.session;
  ClientSession* const second_session = second.session;
  respond(b);
  ASSERT_TRUE(run_until(*loop, [&] { return first.done || second.done; }));
  respond(a);
  ASSERT_TRUE(run_until(*loop, [&] { return first.done && second.done; }));
  // a's was released last.
  Request& third = start();
  ASSERT_NE(third.session, nullptr);
  respond(a);
  ASSERT_TRUE(until(third.done)) << "went to the other connection";
  EXPECT_NE(first_session, second_session);
}

TEST_F(UpstreamPoolTest, QueuesAboveItsConnectionsAndServesInOrder) {
  make(UpstreamPoolMachine(1, 2));
  Request& first = start();
  Peer& peer = accept();
  ASSERT_TRUE(run_until(*loop, [&] { return first.session != nullptr; }));
  Request& second = start();
  Request& third = start();
  Request& fourth = start();
  EXPECT_EQ(fourth.refused, ErrorCode::upstream_queue_full);
  respond(peer);
  ASSERT_TRUE(run_until(*loop, [&] { return first.done && second.session != nullptr; }));
  EXPECT_EQ(third.session, nullptr);
  respond(peer);
  ASSERT_TRUE(run_until(*loop, [&] { return second.done && third.session != nullptr; }));
  respond(peer);
  ASSERT_TRUE(until(third.done));
  EXPECT_EQ(pool->machine().connections(), 1u);
}

TEST_F(UpstreamPoolTest, ServesTheNextWhenAWaiterGivesUp) {
  make(UpstreamPoolMachine(1, 8));
  Request& first = start();
  Peer& peer = accept();
  ASSERT_TRUE(run_until(*loop, [&] { return first.session != nullptr; }));
  Request& second = start();
  Request& third = start();
  Request& fourth = start();
  ASSERT_TRUE(third.waiting());
  pool->abandon(third);
  pool->abandon(second);
  respond(peer);
  ASSERT_TRUE(run_until(*loop, [&] { return fourth.session != nullptr; }));
  respond(peer);
  ASSERT_TRUE(until(fourth.done));
  EXPECT_EQ(pool->machine().waiting(), 0u);
}

TEST_F(UpstreamPoolTest, KeepsAConnectionWhoseWaiterGaveUp) {
  Request& first = start();
  pool->abandon(first);
  accept();
  ASSERT_TRUE(run_until(*loop, [&] { return pool->machine().idle() == 1; }));
  EXPECT_EQ(first.session, nullptr);
}

TEST_F(UpstreamPoolTest, ReplacesAConnectionThatMayNotBeReused) {
  make(UpstreamPoolMachine(1, 8));
  Request& first = start();
  Peer& peer = accept();
  ASSERT_TRUE(run_until(*loop, [&] { return first.session != nullptr; }));
  Request& second = start();
  respond(peer, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
  Peer& next = accept();
  ASSERT_TRUE(run_until(*loop, [&] { return second.session != nullptr; }));
  respond(next);
  ASSERT_TRUE(until(second.done));
}

TEST_F(UpstreamPoolTest, ReplacesAConnectionWhoseExchangeWasCancelled) {
  make(UpstreamPoolMachine(1, 8));
  Request& first = start();
  Peer& peer = accept();
  ASSERT_TRUE(run_until(*loop, [&] { return first.session != nullptr; }));
  Request& second = start();
  first.give_up();
  EXPECT_TRUE(run_until(*loop, [&] {
    peer.read_some();
    return peer.gone();
  })) << "the provider is told at once";
  respond(accept());
  ASSERT_TRUE(until(second.done));
}

TEST_F(UpstreamPoolTest, ForgetsAnIdleConnectionThatDies) {
  Request& first = start();
  Peer& peer = accept();
  respond(peer);
  ASSERT_TRUE(until(first.done));
  peer.close();
  ASSERT_TRUE(run_until(*loop, [&] { return pool->machine().idle() == 0; }));
  Request& second = start();
  respond(accept());
  ASSERT_TRUE(until(second.done));
}

TEST_F(UpstreamPoolTest, ClosesAConnectionThatHasIdledTooLong) {
  make(UpstreamPoolMachine(), "provider.test", 60);
  Request& first = start();
  Request& second = start();
  Peer& a = accept();
  Peer& b = accept();
  ASSERT_TRUE(run_until(*loop, [&] { return first.session != nullptr && second.session != nullptr; }));
  respond(a);
  respond(b);
  ASSERT_TRUE(run_until(*loop, [&] { return first.done && second.done; }));
  // The hottest stays in use; the other one idles.
  const auto begin = std::chrono::steady_clock::now();
  while (pool->machine().connections() == 2 && std::chrono::steady_clock::now() - begin < kPatience) {
    Request& next = start();
    ASSERT_NE(next.session, nullptr);
    respond(b);
    ASSERT_TRUE(until(next.done));
  }
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(50));
  EXPECT_TRUE(ends_cleanly(*loop, a));
  EXPECT_EQ(pool->machine().idle(), 1u);
  ASSERT_TRUE(run_until(*loop, [&] { return pool->machine().idle() == 0; }));
}

TEST_F(UpstreamPoolTest, ForgetsAnIdleConnectionThatSpeaksUnasked) {
  Request& first = start();
  Peer& peer = accept();
  respond(peer);
  ASSERT_TRUE(until(first.done));
  peer.write(*loop, "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n");
  ASSERT_TRUE(run_until(*loop, [&] { return pool->machine().idle() == 0; }));
  EXPECT_TRUE(run_until(*loop, [&] {
    peer.read_some();
    return peer.gone();
  }));
}

TEST_F(UpstreamPoolTest, TellsEachWaiterThatTheConnectionWasRefused) {
  listener.close();
  Request& first = start();
  Request& second = start();
  ASSERT_TRUE(run_until(*loop, [&] { return first.refused && second.refused; }));
  EXPECT_EQ(first.refused, ErrorCode::connect_failed);
  EXPECT_EQ(second.refused, ErrorCode::connect_failed);
  EXPECT_EQ(pool->machine().connections(), 0u);
}

TEST_F(UpstreamPoolTest, TellsThatAnUnknownNameDoesNotResolve) {
  make(UpstreamPoolMachine(), "unknown.test");
  Request& first = start();
  EXPECT_FALSE(first.refused) << "not from inside acquire()";
  ASSERT_TRUE(run_until(*loop, [&] { return first.refused.has_value(); }));
  EXPECT_EQ(first.refused, ErrorCode::name_not_resolved);
}

TEST_F(UpstreamPoolTest, ServesOtherTurnsWhileARefusedRequestAsksAgainAndAgain) {
  make(UpstreamPoolMachine(), "unknown.test");
  Request& stubborn = start();
  int asked = 0;
  stubborn.when_refused = [&] {
    if (++asked < 1000) stubborn.start();
  };
  loop->turn(0);
  EXPECT_LE(asked, 1);
  ASSERT_TRUE(run_until(*loop, [&] { return asked == 1000; }));
}

TEST_F(UpstreamPoolTest, TriesAddressesInTurn) {
  PeerListener other;
  addresses.list.push_back(other.address());
  start();
  start();
  EXPECT_NE(listener.accept(*loop), nullptr);
  EXPECT_NE(other.accept(*loop), nullptr);
}

TEST_F(UpstreamPoolTest, ReportsAConnectionLostInTheMiddle) {
  Request& first = start();
  Peer& peer = accept();
  respond(peer, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
  ASSERT_TRUE(run_until(*loop, [&] { return first.status == 200; }));
  peer.close_hard();
  ASSERT_TRUE(run_until(*loop, [&] { return first.failed.has_value(); }));
  EXPECT_EQ(first.failed, ErrorCode::upstream_reset);
  EXPECT_EQ(pool->machine().connections(), 0u);
}

TEST_F(UpstreamPoolTest, RefusesOnceItCloses) {
  Request& first = start();
  Peer& peer = accept();
  respond(peer);
  ASSERT_TRUE(until(first.done));
  pool->begin_close();
  Request& late = start();
  EXPECT_EQ(late.refused, ErrorCode::shutting_down);
  EXPECT_TRUE(run_until(*loop, [&] { return pool->closed(); }));
}

TEST_F(UpstreamPoolTest, LetsABusyConnectionFinishWhileItCloses) {
  Request& first = start();
  Peer& peer = accept();
  ASSERT_TRUE(run_until(*loop, [&] { return first.session != nullptr; }));
  pool->begin_close();
  respond(peer);
  ASSERT_TRUE(until(first.done));
  EXPECT_TRUE(run_until(*loop, [&] { return pool->closed(); }));
}

TEST_F(UpstreamPoolTest, CarriesManyExchangesOverFewConnections) {
  make(UpstreamPoolMachine(4, 4096));
  EchoServer provider(*loop);
  addresses.list = {*core::SocketAddress::parse("127.0.0.1:" + std::to_string(provider.port))};
  provider.respond = [](net::ServerSession& session, const net::Request&) { answer(session, 200, "ok"); };
  for (int i = 0; i < 2000; ++i) start();
  ASSERT_TRUE(run_until(*loop, [&] {
    return std::all_of(requests.begin(), requests.end(), [](const auto& request) { return request->done; });
  }));
  EXPECT_LE(provider.server.accepted(), 4u);
  EXPECT_EQ(provider.requests.size(), 2000u);
  requests.clear();
  pool->begin_close();
  ASSERT_TRUE(run_until(*loop, [&] { return pool->closed(); }));
}

}  // namespace
}  // namespace weir::tests
