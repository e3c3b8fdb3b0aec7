#include "net/http_server.h"

#include <sys/resource.h>

#include "tests/net/net_fixture.h"

namespace weir::tests {
namespace {

using core::ErrorCode;

class HttpServerTest : public ::testing::Test {
 protected:
  std::unique_ptr<core::Loop> loop = make_loop();
};

TEST_F(HttpServerTest, AnswersARequest) {
  EchoServer echo(*loop);
  Peer client = Peer::connect(echo.port);
  client.write(*loop, post("hello"));
  const SeenResponse response = next_response(*loop, client);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "hello");
  EXPECT_EQ(echo.server.connections(), 1u);
}

TEST_F(HttpServerTest, ServesAThousandConnectionsAtOnce) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  ASSERT_GE(files.rlim_cur, 2200u);
  EchoServer echo(*loop);
  std::vector<Peer> clients;
  constexpr uint32_t kClients = 1000;
  for (uint32_t i = 0; i < kClients; ++i) clients.push_back(Peer::connect(echo.port));
  for (int round = 0; round < 3; ++round) {
    for (uint32_t i = 0; i < kClients; ++i) clients[i].write_some(post(pattern(500 + i, i)));
    for (uint32_t i = 0; i < kClients; ++i) {
      ASSERT_EQ(next_response(*loop, clients[i]).body, pattern(500 + i, i)) << i;
    }
  }
  EXPECT_EQ(echo.server.connections(), kClients);
  clients.clear();
  EXPECT_TRUE(run_until(*loop, [&] { return echo.server.connections() == 0; }));
}

TEST_F(HttpServerTest, TellsThoseAboveTheConnectionLimit) {
  EchoServer echo(*loop, 3);
  std::vector<Peer> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(Peer::connect(echo.port));
    clients.back().write(*loop, post("in"));
    EXPECT_EQ(next_response(*loop, clients.back()).status, 200);
  }
  Peer refused = Peer::connect(echo.port);
  const SeenResponse response = next_response(*loop, refused);
  EXPECT_EQ(response.status, core::describe(ErrorCode::too_many_connections).status);
  EXPECT_TRUE(response.has("connection: close"));
  EXPECT_TRUE(ends_cleanly(*loop, refused));
  EXPECT_EQ(echo.server.refused(), 1u);
  EXPECT_EQ(echo.refused, std::vector{ErrorCode::too_many_connections});

  clients.pop_back();
  refused.close();
  ASSERT_TRUE(run_until(*loop, [&] { return echo.server.connections() == 2; }));
  Peer welcome = Peer::connect(echo.port);
  welcome.write(*loop, post("again"));
  EXPECT_EQ(next_response(*loop, welcome).body, "again");
}

// Such as a socket that is none any more: asked now and then, not in every turn.
TEST_F(HttpServerTest, WaitsBetweenAcceptsThatFailAgainAndAgain) {
  EchoServer echo(*loop);
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const uint64_t before = loop->io().stats().submitted;
  echo.server.listen(socket);  // it does not: EINVAL
  run_for(*loop, std::chrono::milliseconds(250));
  EXPECT_LE(loop->io().stats().submitted - before, 8u);
  ASSERT_EQ(::listen(socket, 16), 0);
  Peer client = Peer::connect(core::bound_address(socket).port());
  client.write(*loop, post("hello"));
  EXPECT_EQ(next_response(*loop, client).body, "hello");
}

TEST_F(HttpServerTest, AnAnswerThatBeginsWhileThinningEndsItsConnectionAndNoOther) {
  EchoServer echo(*loop);
  Peer client = Peer::connect(echo.port), other = Peer::connect(echo.port);
  other.write(*loop, post("first"));
  EXPECT_FALSE(next_response(*loop, other).has("connection: close"));
  echo.server.settings().thinning = true;
  client.write(*loop, post("hello"));
  EXPECT_TRUE(next_response(*loop, client).has("connection: close"));
  EXPECT_TRUE(ends_cleanly(*loop, client));
  echo.server.settings().thinning = false;
  other.write(*loop, post("second"));
  EXPECT_FALSE(next_response(*loop, other).has("connection: close"));
  client.close();
  EXPECT_TRUE(run_until(*loop, [&] { return echo.server.connections() == 1; }));
}

TEST_F(HttpServerTest, WhilePausedConnectionsWaitAndAreServedAfterwards) {
  EchoServer echo(*loop);
  Peer early = Peer::connect(echo.port);
  early.write(*loop, post("early"));
  EXPECT_EQ(next_response(*loop, early).body, "early");
  echo.server.pause_accepting(true);
  echo.server.pause_accepting(false);  // before the first has taken effect
  echo.server.pause_accepting(true);
  for (int i = 0; i < 10; ++i) loop->turn(0);
  Peer late = Peer::connect(echo.port);
  late.write_some(post("late"));
  early.write(*loop, post("still"));
  EXPECT_EQ(next_response(*loop, early).body, "still");
  EXPECT_EQ(echo.server.accepted(), 1u);
  echo.server.pause_accepting(false);
  EXPECT_EQ(next_response(*loop, late).body, "late");
}

TEST_F(HttpServerTest, SurvivesFarMoreThanTheConnectionLimit) {
  EchoServer echo(*loop, 2);
  std::vector<Peer> crowd;
  for (int i = 0; i < 300; ++i) crowd.push_back(Peer::connect(echo.port));
  ASSERT_TRUE(run_until(*loop, [&] { return echo.server.refused() >= 298; }));
  crowd.clear();
  ASSERT_TRUE(run_until(*loop, [&] { return echo.server.connections() == 0; }));
  Peer client = Peer::connect(echo.port);
  client.write(*loop, post("fine"));
  EXPECT_EQ(next_response(*loop, client).body, "fine");
}

TEST_F(HttpServerTest, AcceptsAgainAfterTheProcessRanOutOfDescriptors) {
  EchoServer echo(*loop);
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  const rlimit none{3, files.rlim_max};
  ::testing::internal::CaptureStderr();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  loop->turn(0);  // the kernel takes the limit of the moment in which accept is armed, and fails at once
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("accept_failed"), std::string::npos);
  Peer client = Peer::connect(echo.port);  // waits in the backlog
  client.write_some(post("after"));
  run_for(*loop, std::chrono::milliseconds(20));
  EXPECT_EQ(echo.server.accepted(), 0u);
  EXPECT_EQ(next_response(*loop, client).body, "after");
}

TEST_F(HttpServerTest, DrainsIdleConnectionsSoonAndBusyOnesAfterTheirAnswer) {
  EchoServer echo(*loop);
  net::ServerSession* waiting = nullptr;
  Peer idle = Peer::connect(echo.port);
  idle.write(*loop, post("x"));
  ASSERT_EQ(next_response(*loop, idle).status, 200);
  echo.respond = [&](net::ServerSession& session, const net::Request&) { waiting = &session; };
  Peer busy = Peer::connect(echo.port);
  busy.write(*loop, post("x"));
  ASSERT_TRUE(run_until(*loop, [&] { return waiting != nullptr; }));

  const uint64_t begun_ns = loop->now_ns();
  echo.server.begin_drain();
  EXPECT_TRUE(ends_cleanly(*loop, idle));
  EXPECT_GE(loop->now_ns() - begun_ns, core::milliseconds(core::limits::kDrainIdleMs));
  idle.close();
  run_for(*loop, std::chrono::milliseconds(5));
  EXPECT_EQ(echo.server.connections(), 1u);
  answer(*waiting, 200, "done");
  const SeenResponse response = next_response(*loop, busy);
  EXPECT_EQ(response.body, "done");
  EXPECT_TRUE(response.has("connection: close"));
  EXPECT_TRUE(ends_cleanly(*loop, busy));
  busy.close();
  EXPECT_TRUE(run_until(*loop, [&] { return echo.server.closed(); }));
}

TEST_F(HttpServerTest, AnswersWhatWasOnItsWayWhenItBeganToDrain) {
  EchoServer echo(*loop);
  Peer idle = Peer::connect(echo.port);
  idle.write(*loop, post("x"));
  ASSERT_EQ(next_response(*loop, idle).status, 200);
  Peer fresh = Peer::connect(echo.port);
  Peer connecting = Peer::connect(echo.port);  // in the backlog: nobody has accepted it yet
  echo.server.begin_drain(60'000);
  for (Peer* peer : {&idle, &fresh, &connecting}) {
    peer->write(*loop, post("late"));
    const SeenResponse response = next_response(*loop, *peer);
    EXPECT_EQ(response.body, "late");
    EXPECT_TRUE(response.has("connection: close"));
    EXPECT_TRUE(ends_cleanly(*loop, *peer));
    peer->close();
  }
  EXPECT_TRUE(run_until(*loop, [&] { return echo.server.closed(); }));
}

// The client was told that the connection stays, so its next request may be on its way when the answer ends.
TEST_F(HttpServerTest, KeepsAConnectionOpenWhoseAnswerBeganBeforeTheDrain) {
  EchoServer echo(*loop);
  net::ServerSession* waiting = nullptr;
  echo.respond = [&](net::ServerSession& session, const net::Request&) {
    EXPECT_FALSE(session.must_close());  // the head is written
    waiting = &session;
  };
  Peer client = Peer::connect(echo.port);
  client.write(*loop, post("x"));
  ASSERT_TRUE(run_until(*loop, [&] { return waiting != nullptr; }));
  echo.server.begin_drain(60'000);
  const std::string_view whole = "HTTP/1.1 200 \r\ncontent-length: 5\r\n\r\nfirst";
  waiting->send(core::Slice::of_static(whole));
  waiting->end_response();
  echo.respond = nullptr;
  client.write(*loop, post("second"));
  EXPECT_EQ(next_response(*loop, client).body, "first");
  const SeenResponse second = next_response(*loop, client);
  EXPECT_EQ(second.body, "second");
  EXPECT_TRUE(second.has("connection: close"));
  EXPECT_TRUE(ends_cleanly(*loop, client));
}

TEST_F(HttpServerTest, AcceptsNobodyOnceItDrains) {
  EchoServer echo(*loop);
  loop->turn(0);
  echo.server.begin_drain();
  ASSERT_TRUE(run_until(*loop, [&] { return echo.server.closed(); }));
  loop->turn(0);
  const int late = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(echo.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(late, reinterpret_cast<sockaddr*>(&address), sizeof address), -1);
  ::close(late);
}

TEST_F(HttpServerTest, TellsHandlersThatItClosesEverything) {
  EchoServer echo(*loop);
  bool busy = false;
  echo.respond = [&](net::ServerSession&, const net::Request&) { busy = true; };
  Peer client = Peer::connect(echo.port);
  client.write(*loop, post("x"));
  ASSERT_TRUE(run_until(*loop, [&] { return busy; }));
  echo.server.close_all();
  EXPECT_EQ(echo.gone, std::vector{ErrorCode::shutting_down});
  ASSERT_TRUE(run_until(*loop, [&] { return echo.server.connections() == 0; }));
}

TEST_F(HttpServerTest, ListensOnSeveralSockets) {
  EchoServer echo(*loop);
  const int second = core::listen_tcp(*core::SocketAddress::parse("[::1]:0")).value_or(-1);
  if (second < 0) GTEST_SKIP() << "no IPv6 here";
  const auto address = core::bound_address(second);
  echo.server.listen(second);
  const int raw = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::connect(raw, address.get(), address.size()), 0);
  Peer client(raw);
  client.write(*loop, post("six"));
  EXPECT_EQ(next_response(*loop, client).body, "six");
}

TEST_F(HttpServerTest, ListensOnAUnixSocket) {
  EchoServer echo(*loop);
  const std::string path = ::testing::TempDir() + "weir-http-" + std::to_string(::getpid()) + ".sock";
  echo.server.listen(core::listen_unix(path, 0600).value());
  const auto address = core::SocketAddress::unix_path(path).value();
  const int raw = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::connect(raw, address.get(), address.size()), 0);
  Peer client(raw);
  for (const size_t size : {size_t{10}, size_t{1'000'000}}) {
    client.write(*loop, post(pattern(size)));
    EXPECT_TRUE(next_response(*loop, client).body == pattern(size));
  }
  core::remove_unix_socket(path);
}

TEST(ServerSettings, AreTheLimitsUnlessToldOtherwise) {
  const net::ServerSettings settings;
  EXPECT_EQ(settings.max_body_bytes, core::limits::kMaxBodyBytes);
  EXPECT_EQ(settings.head_timeout_ms, core::limits::kHeadTimeoutMs);
  EXPECT_EQ(settings.body_stall_timeout_ms, core::limits::kBodyStallTimeoutMs);
  EXPECT_EQ(settings.idle_timeout_ms, core::limits::kIdleTimeoutMs);
  EXPECT_EQ(settings.write_stall_timeout_ms, core::limits::kWriteStallTimeoutMs);
}

}  // namespace
}  // namespace weir::tests
