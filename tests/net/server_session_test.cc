#include "net/server_session.h"

#include "tests/net/net_fixture.h"
#include "tests/support/test_certificates.h"

namespace weir::tests::server_session_test {
namespace {

using core::ErrorCode;
namespace limits = core::limits;

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nhost: test\r\n\r\n";

class ServerSessionTest : public ::testing::Test {
 protected:
  bool all_closed() {
    return run_until(*loop, [&] { return echo.server.connections() == 0; });
  }

  std::unique_ptr<core::Loop> loop = make_loop();
  EchoServer echo{*loop};
};

TEST_F(ServerSessionTest, KeepsTheConnectionForManyRequests) {
  Peer client = Peer::connect(echo.port);
  for (int i = 0; i < 100; ++i) {
    const std::string body = pattern(static_cast<size_t>(i) * 50, static_cast<uint32_t>(i));
    client.write(*loop, post(body));
    EXPECT_EQ(next_response(*loop, client).body, body);
  }
  EXPECT_EQ(echo.server.accepted(), 1u);
}

TEST_F(ServerSessionTest, AllocatesNothingOnceItRuns) {
  Peer client = Peer::connect(echo.port);
  const auto exchange = [&] {
    client.write(*loop, post(pattern(1000)));
    next_response(*loop, client);
  };
  exchange();
  const uint64_t allocated = loop->buffers().allocated_bytes();
  const uint64_t received = loop->io().stats().receive_bytes;
  for (int i = 0; i < 200; ++i) exchange();
  EXPECT_EQ(loop->buffers().allocated_bytes(), allocated);
  EXPECT_EQ(loop->io().stats().receive_bytes, received);
}

TEST_F(ServerSessionTest, AnswersPipelinedRequestsInOrder) {
  Peer client = Peer::connect(echo.port);
  std::string all;
  for (int i = 0; i < 50; ++i) all += post("body " + std::to_string(i));
  client.write(*loop, all);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(next_response(*loop, client).body, "body " + std::to_string(i));
}

TEST_F(ServerSessionTest, AnswersOneRequestAtATime) {
  std::vector<net::ServerSession*> waiting;
  echo.respond = [&](net::ServerSession& session, const net::Request&) { waiting.push_back(&session); };
  Peer client = Peer::connect(echo.port);
  client.write(*loop, post("one") + post("two"));
  ASSERT_TRUE(run_until(*loop, [&] { return waiting.size() == 1; }));
  run_for(*loop, std::chrono::milliseconds(5));
  ASSERT_EQ(waiting.size(), 1u);
  answer(*waiting[0], 200, "first");
  ASSERT_TRUE(run_until(*loop, [&] { return waiting.size() == 2; }));
  answer(*waiting[1], 200, "second");
  EXPECT_EQ(next_response(*loop, client).body, "first");
  EXPECT_EQ(next_response(*loop, client).body, "second");
}

// The next request's bytes arrive in the same turn in which the answer before it ends.
TEST_F(ServerSessionTest, KeepsTheOrderOfBytesThatArriveAsAnAnswerEnds) {
  net::ServerSession* waiting = nullptr;
  echo.respond = [&](net::ServerSession& session, const net::Request& request) {
    const std::string body(reinterpret_cast<const char*>(request.body.data()), request.body.size());
    if (body == "wait") {
      waiting = &session;
      return;
    }
    if (body == "release") answer(*waiting, 200, "released");
    answer(session, 200, body);
  };
  Peer other = Peer::connect(echo.port);
  Peer client = Peer::connect(echo.port);
  const std::string second = post("second body");
  client.write(*loop, post("wait") + second.substr(0, 30));
  ASSERT_TRUE(run_until(*loop, [&] { return waiting != nullptr; }));
  run_for(*loop, std::chrono::milliseconds(3));
  // Both are there before the loop turns: the other connection's event releases this one's answer.
  other.write_some(post("release"));
  client.write_some(second.substr(30));
  EXPECT_EQ(next_response(*loop, client).body, "released");
  EXPECT_EQ(next_response(*loop, client).body, "second body");
}

TEST_F(ServerSessionTest, KeepsABoundedAmountOfWhatIsPipelined) {
  net::ServerSession* waiting = nullptr;
  int answered = 0;
  echo.respond = [&](net::ServerSession& session, const net::Request&) {
    waiting = &session;
    ++answered;
  };
  Peer client = Peer::connect(echo.port);
  std::string all;
  constexpr int kRequests = 2000;  // more than the kernel's own buffers hold
  const std::string one = post(pattern(10'000));
  for (int i = 0; i < kRequests; ++i) all += one;
  std::string_view rest = all;
  ASSERT_TRUE(run_until(
      *loop, [&] { return waiting != nullptr || (rest.remove_prefix(client.write_some(rest)), false); }));
  for (int i = 0; i < 200; ++i) {
    rest.remove_prefix(client.write_some(rest));
    loop->turn(0);
  }
  EXPECT_GT(rest.size(), 0u) << "the server took in everything";
  EXPECT_LE(loop->buffers().allocated_bytes(), 8u << 20) << "of 20 MB";
  ASSERT_TRUE(run_until(*loop, [&] {
    rest.remove_prefix(client.write_some(rest));
    if (waiting != nullptr) answer(*std::exchange(waiting, nullptr), 200, "");
    client.read_some();
    return answered == kRequests;
  }));
}

TEST_F(ServerSessionTest, ReadsARequestByteByByte) {
  const std::string text = post("split body", "x-weir-user: somebody\r\n");
  Peer client = Peer::connect(echo.port);
  for (const char byte : text) {
    client.write_some({&byte, 1});
    loop->turn(0);
    loop->turn(0);
  }
  EXPECT_EQ(next_response(*loop, client).body, "split body");
}

TEST_F(ServerSessionTest, ReadsARequestInTwoPiecesAtEverySplit) {
  for (const std::string& text :
       {post("a body of some bytes"), post_chunked({"one", "two", std::string(300, 'x')})}) {
    Peer client = Peer::connect(echo.port);
    client.write_some(text);
    const std::string expected = next_response(*loop, client).body;
    for (size_t split = 1; split < text.size(); ++split) {
      client.write_some(std::string_view(text).substr(0, split));
      loop->turn(core::milliseconds(1));
      client.write_some(std::string_view(text).substr(split));
      EXPECT_EQ(next_response(*loop, client).body, expected) << split;
    }
  }
}

TEST_F(ServerSessionTest, ReadsAChunkedBodyByteByByte) {
  const std::string text = post_chunked({"hello ", "chunked ", "world"});
  Peer client = Peer::connect(echo.port);
  for (const char byte : text) {
    client.write_some({&byte, 1});
    loop->turn(0);
    loop->turn(0);
  }
  EXPECT_EQ(next_response(*loop, client).body, "hello chunked world");
}

TEST_F(ServerSessionTest, PipelinesBehindAChunkedBody) {
  Peer client = Peer::connect(echo.port);
  client.write(*loop, post_chunked({"first"}) + post_chunked({}) + post("third"));
  EXPECT_EQ(next_response(*loop, client).body, "first");
  EXPECT_EQ(next_response(*loop, client).body, "");
  EXPECT_EQ(next_response(*loop, client).body, "third");
}

TEST_F(ServerSessionTest, GivesTheWholeBodyInPlaceWithReadablePadding) {
  echo.respond = [&](net::ServerSession& session, const net::Request& request) {
    const auto& bytes = session.request_bytes();
    EXPECT_EQ(request.base, bytes.data());
    EXPECT_EQ(request.body.data() + request.body.size(), bytes.data() + bytes.size());
    uint32_t sum = 0;
    for (uint32_t i = 0; i < core::BufferPool::kPadding; ++i)
      sum += request.body.data()[request.body.size() + i];
    answer(session, 200, std::to_string(sum == UINT32_MAX));
  };
  Peer client = Peer::connect(echo.port);
  for (const size_t size : {size_t{0}, size_t{1}, size_t{1000}, size_t{100'000}, size_t{1} << 20}) {
    client.write(*loop, post(pattern(size)));
    EXPECT_EQ(next_response(*loop, client).status, 200);
    client.write(*loop, post_chunked({pattern(size + 1)}));
    EXPECT_EQ(next_response(*loop, client).status, 200);
  }
}

TEST_F(ServerSessionTest, MovesARequestOutOfTheSharedBlocks) {
  echo.respond = [&](net::ServerSession& session, const net::Request& request) {
    const std::string before(session.request_bytes().text());
    EXPECT_TRUE(session.request_bytes().block()->is_receive);
    EXPECT_TRUE(session.move_request_to_own_block());
    EXPECT_FALSE(session.request_bytes().block()->is_receive);
    EXPECT_EQ(session.request_bytes().text(), before);
    EXPECT_EQ(request.body.size(), 4u);
    answer(session, 200, "");
  };
  Peer client = Peer::connect(echo.port);
  client.write(*loop, post("body"));
  EXPECT_EQ(next_response(*loop, client).status, 200);
}

TEST_F(ServerSessionTest, EchoesLargeBodiesByteForByte) {
  Peer client = Peer::connect(echo.port);
  const std::string body = pattern(8u << 20);
  for (const std::string& text :
       {post(body), post_chunked({body.substr(0, 5'000'000), body.substr(5'000'000)})}) {
    std::string_view rest = text;
    std::optional<SeenResponse> seen;
    ASSERT_TRUE(run_until(*loop, [&] {
      rest.remove_prefix(client.write_some(rest));
      while (client.read_some() > 0) {
      }
      return client.received().size() > body.size() && (seen = first_response(client.received()));
    }));
    EXPECT_TRUE(seen->body == body);
    client.received().erase(0, seen->size);
  }
}

TEST_F(ServerSessionTest, ServesASlowReaderWithoutLossAndWithBoundedMemory) {
  const std::string piece = pattern(50'000);
  constexpr int kPieces = 100;
  int sent = 0;
  const auto produce = [&](net::ServerSession& session) {
    while (sent < kPieces && !session.send_queue_high()) {
      session.send(loop->buffers().copy_of({reinterpret_cast<const uint8_t*>(piece.data()), piece.size()}));
      ++sent;
      EXPECT_LE(session.connection().queued_bytes(), limits::kMaxQueuedSendBytes + piece.size());
    }
    if (sent == kPieces) session.end_response();
  };
  echo.respond = [&](net::ServerSession& session, const net::Request&) {
    const std::string head =
        "HTTP/1.1 200 \r\ncontent-length: " + std::to_string(piece.size() * kPieces) + "\r\n\r\n";
    session.send(loop->buffers().copy_of({reinterpret_cast<const uint8_t*>(head.data()), head.size()}));
    produce(session);
  };
  echo.when_low = [&](net::ServerSession& session) {
    if (session.state() == net::ServerSession::State::responding) produce(session);
  };
  Peer client = Peer::connect(echo.port, 16 * 1024);
  client.write(*loop, kGet);
  std::optional<SeenResponse> seen;
  ASSERT_TRUE(run_until(*loop, [&] {
    client.read_some(7000);
    return client.received().size() > piece.size() * kPieces && (seen = first_response(client.received()));
  }));
  std::string expected;
  for (int i = 0; i < kPieces; ++i) expected += piece;
  EXPECT_TRUE(seen->body == expected);
}

TEST_F(ServerSessionTest, AnswersExpectContinueBeforeTheBody) {
  Peer client = Peer::connect(echo.port);
  const std::string text = post("the body", "expect: 100-continue\r\n");
  const size_t head = text.find("\r\n\r\n") + 4;
  client.write(*loop, text.substr(0, head));
  ASSERT_TRUE(run_until(*loop, [&] { return client.read_some() > 0; }));
  EXPECT_EQ(client.received(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.received().clear();
  client.write(*loop, text.substr(head));
  EXPECT_EQ(next_response(*loop, client).body, "the body");
  // With the body already here, nobody waits for a 100.
  client.write(*loop, text);
  EXPECT_EQ(next_response(*loop, client).status, 200);
}

TEST_F(ServerSessionTest, ClosesWhenAsked) {
  Peer client = Peer::connect(echo.port);
  client.write(*loop, post("bye", "connection: close\r\n") + post("too late"));
  const SeenResponse response = next_response(*loop, client);
  EXPECT_EQ(response.body, "bye");
  EXPECT_TRUE(response.has("connection: close"));
  EXPECT_TRUE(ends_cleanly(*loop, client));
  EXPECT_EQ(echo.requests.size(), 1u);
  client.close();
  EXPECT_TRUE(all_closed());
}

TEST_F(ServerSessionTest, TellsWhyTheClientIsGone) {
  net::ServerSession* waiting = nullptr;
  echo.respond = [&](net::ServerSession& session, const net::Request&) { waiting = &session; };
  const auto request = [&](Peer& client) {
    waiting = nullptr;
    client.write(*loop, post("x"));
    ASSERT_TRUE(run_until(*loop, [&] { return waiting != nullptr; }));
  };
  Peer closing = Peer::connect(echo.port);
  request(closing);
  closing.close();
  ASSERT_TRUE(run_until(*loop, [&] { return echo.gone.size() == 1; }));
  Peer resetting = Peer::connect(echo.port);
  request(resetting);
  resetting.close_hard();
  ASSERT_TRUE(run_until(*loop, [&] { return echo.gone.size() == 2; }));
  Peer half = Peer::connect(echo.port);
  request(half);
  half.end_sending();
  ASSERT_TRUE(run_until(*loop, [&] { return echo.gone.size() == 3; }));
  echo.server.settings().write_stall_timeout_ms = 30;
  echo.respond = [&](net::ServerSession& session, const net::Request&) {
    session.send(
        loop->buffers().copy_of({reinterpret_cast<const uint8_t*>(pattern(20'000'000).data()), 20'000'000}));
  };
  Peer stalled = Peer::connect(echo.port, 4096);
  stalled.write(*loop, post("x"));
  ASSERT_TRUE(run_until(*loop, [&] { return echo.gone.size() == 4; }));
  EXPECT_EQ(echo.gone, (std::vector{ErrorCode::client_closed, ErrorCode::client_reset,
                                    ErrorCode::client_closed, ErrorCode::client_stalled}));
  EXPECT_TRUE(all_closed());
}

// The answer was complete before the client's end was seen: it must arrive.
TEST_F(ServerSessionTest, AnswersAClientThatEndsItsSideRightAfterItsRequest) {
  for (const size_t size : {size_t{10}, size_t{2'000'000}}) {
    Peer client = Peer::connect(echo.port);
    const std::string body = pattern(size);
    client.write(*loop, post(body));
    client.end_sending();
    EXPECT_TRUE(ends_cleanly(*loop, client));
    const auto seen = first_response(client.received());
    ASSERT_TRUE(seen);
    EXPECT_TRUE(seen->body == body);
  }
  EXPECT_TRUE(all_closed());
}

TEST_F(ServerSessionTest, ForgetsARequestThatEndsHalfway) {
  for (const std::string_view text :
       {"GET / HT", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n123"}) {
    Peer client = Peer::connect(echo.port);
    client.write(*loop, text);
    run_for(*loop, std::chrono::milliseconds(2));
    client.close();
    EXPECT_TRUE(all_closed());
  }
  EXPECT_TRUE(echo.requests.empty());
  EXPECT_TRUE(echo.gone.empty());
}

TEST_F(ServerSessionTest, AbortsVisibly) {
  echo.respond = [&](net::ServerSession& session, const net::Request&) {
    session.send(core::Slice::of_static("HTTP/1.1 200 \r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"));
    loop->post([&session] { session.abort(); });
  };
  Peer client = Peer::connect(echo.port);
  client.write(*loop, kGet);
  ends_cleanly(*loop, client);
  EXPECT_FALSE(first_response(client.received())) << "looks complete";
  EXPECT_TRUE(all_closed());
  EXPECT_TRUE(echo.gone.empty()) << "who aborts needs not be told";
}

TEST_F(ServerSessionTest, TellsOfAWantOfMemoryOnce) {
  net::ServerSession* waiting = nullptr;
  echo.respond = [&](net::ServerSession& session, const net::Request&) { waiting = &session; };
  Peer client = Peer::connect(echo.port);
  client.write(*loop, kGet);
  ASSERT_TRUE(run_until(*loop, [&] { return waiting != nullptr; }));
  std::vector<core::Slice> hoard;
  for (uint32_t size = 1u << core::BufferPool::kLargestClass; size >= 512; size /= 2) {
    while (hoard.emplace_back(loop->buffers().allocate(size)).block() != nullptr) {
    }
  }
  client.write_some(kGet);  // has to be kept, and cannot
  ASSERT_TRUE(run_until(*loop, [&] { return !echo.gone.empty(); }));
  EXPECT_EQ(echo.gone, std::vector{ErrorCode::out_of_buffers});
  EXPECT_TRUE(echo.refused.empty());
  EXPECT_TRUE(all_closed());
}

// ---- TLS ----

TEST(ServerSessionTls, EchoesOverTls) {
  auto loop = make_loop();
  TestAuthority authority;
  const net::TlsServerContextHolder holder(
      net::TlsServerContext::load({.certificates = {authority.issue({.dns_names = {"weir.test"}})}}).value());
  EchoServer echo(*loop, 100, &holder);

  struct Client final : net::ConnectionHandler {
    Client(core::Loop& turned) : connection(turned, *this, net::Leg::upstream) {}
    void on_open() override { open = true; }
    void on_received(core::Slice data) override { received += data.text(); }
    void on_end() override {}
    void on_failed(core::Error) override {}
    void on_closed() override { closed = true; }
    std::string received;
    bool open = false, closed = false;
    net::Connection connection;
  } client(*loop);
  client.connection.connect(*core::SocketAddress::parse("127.0.0.1:" + std::to_string(echo.port)),
                            net::TlsClientContext::load({.ca_path = authority.root_path()}).value(),
                            {"weir.test", 443});
  ASSERT_TRUE(run_until(*loop, [&] { return client.open; }));
  for (const size_t size : {size_t{5}, size_t{100'000}, size_t{8} << 20}) {
    const std::string body = pattern(size);
    const std::string text = post(body);
    client.connection.send(
        loop->buffers().copy_of({reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
    std::optional<SeenResponse> seen;
    ASSERT_TRUE(run_until(*loop, [&] {
      return client.received.size() > body.size() && (seen = first_response(client.received));
    }));
    EXPECT_TRUE(seen->body == body);
    client.received.clear();
  }
  client.connection.close();
  ASSERT_TRUE(run_until(*loop, [&] { return client.closed; }));
}

}  // namespace
}  // namespace weir::tests::server_session_test
