#include "net/accept_balance.h"

#include <algorithm>
#include <random>

#include "net/http_server.h"
#include "tests/net/net_fixture.h"

namespace weir::tests {
namespace {

using net::AcceptBalance;

// A server that answers with its number.
struct Numbered final : net::RequestHandler {
  Numbered(core::Loop& at, AcceptBalance& balance, uint32_t index) : loop(at), number(index), server(at, *this, 64) {
    server.join(balance, index);
    const int listener = *core::listen_tcp(*core::SocketAddress::parse("127.0.0.1:0"));
    port = core::bound_address(listener).port();
    server.listen(listener);
  }
  ~Numbered() {
    server.begin_drain();
    server.close_all();
    EXPECT_TRUE(run_until(loop, [&] { return server.closed(); }));
  }
  core::Result<void> on_head(net::ServerSession&, const net::RequestHead&, const uint8_t*) override { return {}; }
  void on_request(net::ServerSession& session, const net::Request&) override {
    answer(session, 200, std::to_string(number));
  }
  void on_refused(net::ServerSession& session, core::Error) override { session.abort(); }
  void on_client_gone(net::ServerSession&, core::Error) override {}

  core::Loop& loop;
  const uint32_t number;
  net::HttpServer server;
  uint16_t port = 0;
};

class AcceptBalanceTest : public ::testing::Test {
 protected:
  // To the first server's address.
  Peer& connect() {
    const uint32_t before = connections();
    clients.push_back(std::make_unique<Peer>(Peer::connect(first->port)));
    EXPECT_TRUE(turn_until([&] { return connections() > before; }));
    return *clients.back();
  }
  uint32_t connections() const { return balance.connections(0) + balance.connections(1); }
  template <typename Condition>
  bool turn_until(Condition done) {
    return run_until(*loop, [&] {
      other->turn(0);
      return done();
    });
  }
  SeenResponse ask(Peer& client) {
    client.write_some(post("x"));
    return response_to(client);
  }
  SeenResponse response_to(Peer& client) {
    turn_until([&] {
      client.read_some();
      return first_response(client.received()) || client.gone();
    });
    return next_response(*loop, client);
  }

  std::unique_ptr<core::Loop> loop = make_loop();
  std::unique_ptr<core::Loop> other = make_loop();
  AcceptBalance balance{2};
  std::unique_ptr<Numbered> first = std::make_unique<Numbered>(*loop, balance, 0);
  std::unique_ptr<Numbered> second = std::make_unique<Numbered>(*other, balance, 1);
  std::vector<std::unique_ptr<Peer>> clients;
};

TEST_F(AcceptBalanceTest, ConnectionsToOneAddressAreSharedEqually) {
  std::string answers;
  for (int i = 0; i < 8; ++i) {
    Peer& client = connect();
    for (int request = 0; request < 2; ++request) answers += ask(client).body;
  }
  EXPECT_EQ(answers, "0011001100110011");
  EXPECT_EQ(first->server.connections(), 4u);
  EXPECT_EQ(second->server.connections(), 4u);
  EXPECT_EQ(first->server.passed_on(), 4u);

  for (int i = 0; i < 8; i += 2) clients[static_cast<size_t>(i)]->close();
  EXPECT_TRUE(turn_until([&] { return connections() == 4; }));
  EXPECT_EQ(balance.connections(0), 0u);
  for (int i = 0; i < 4; ++i) connect();
  EXPECT_EQ(balance.connections(0), 4u) << "those who left make room";
}

TEST_F(AcceptBalanceTest, WhoDrainsIsPassedNothingAndPassesNothingOn) {
  second->server.begin_drain();
  for (int i = 0; i < 4; ++i) connect();
  EXPECT_EQ(balance.connections(0), 4u);
  second = nullptr;
  connect();
  EXPECT_EQ(balance.connections(0), 5u) << "nor who is gone";
}

TEST_F(AcceptBalanceTest, WhoAcceptsNothingForTheMomentIsPassedNothing) {
  second->server.pause_accepting(true);
  for (int i = 0; i < 4; ++i) connect();
  EXPECT_EQ(balance.connections(1), 0u) << "it has too much to do";
  second->server.pause_accepting(false);
  for (int i = 0; i < 4; ++i) connect();
  EXPECT_EQ(balance.connections(1), 4u);
}

TEST_F(AcceptBalanceTest, WhatWasPromisedIsAnsweredAlsoByOneThatDrainsMeanwhile) {
  connect();
  Peer client = Peer::connect(first->port);
  client.write_some(post("x"));
  ASSERT_TRUE(run_until(*loop, [&] { return first->server.passed_on() == 1; }));
  second->server.begin_drain();
  EXPECT_EQ(second->server.accepted(), 0u);
  EXPECT_FALSE(second->server.closed());
  const SeenResponse response = response_to(client);
  EXPECT_EQ(response.body, "1");
  EXPECT_TRUE(response.has("connection: close"));
  EXPECT_TRUE(turn_until([&] { return client.read_some() == 0 && client.ended(); }));
  client.close();
  EXPECT_TRUE(turn_until([&] { return second->server.closed(); }));
}

TEST_F(AcceptBalanceTest, WhatWasPromisedToOneThatClosesIsClosed) {
  connect();
  Peer client = Peer::connect(first->port);
  ASSERT_TRUE(run_until(*loop, [&] { return first->server.passed_on() == 1; }));
  second->server.begin_drain();
  second->server.close_all();
  EXPECT_FALSE(second->server.closed());
  EXPECT_TRUE(turn_until([&] { return client.read_some() == 0 && client.gone(); }));
  EXPECT_TRUE(second->server.closed());
  EXPECT_EQ(balance.connections(1), 0u);
}

// Whatever the kernel's hash says, and with little to pass on where many come and go.
TEST(AcceptBalance, KeepsCountsWithinAnEighthOfTheSmallest) {
  const std::unique_ptr<core::Loop> loop = make_loop();
  constexpr uint32_t kServers = 4;
  AcceptBalance balance(kServers);
  for (uint32_t i = 0; i < kServers; ++i) balance.join(i, *loop, {});
  std::mt19937 random(7);
  std::vector<uint32_t> open;
  uint32_t passed_on = 0;
  for (int step = 0; step < 20'000; ++step) {
    if (open.size() > 400 && random() % 2 == 0) {
      std::swap(open[random() % open.size()], open.back());
      balance.leave(open.back());
      open.pop_back();
      continue;
    }
    const uint32_t by = random() % kServers;
    open.push_back(balance.place(by));
    passed_on += open.back() != by;
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < kServers; ++i) least = std::min(least, balance.connections(i));
    EXPECT_LE(balance.connections(open.back()), least + least / 8 + 1);
  }
  EXPECT_LT(passed_on, 2000u);
  for (const uint32_t server : open) balance.leave(server);
}

}  // namespace
}  // namespace weir::tests
