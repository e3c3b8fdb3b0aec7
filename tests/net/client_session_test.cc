#include "net/client_session.h"

#include "tests/net/net_fixture.h"
#include "tests/support/test_certificates.h"

namespace weir::tests {
namespace {

using core::ErrorCode;
using net::ClientSession;

// Owner and response handler in one, noting all it is told.
struct Client final : net::ClientSessionOwner, net::ResponseHandler {
  explicit Client(core::Loop& turned) : loop(turned), session(turned, *this, parser) {}
  ~Client() {
    session.close();
    EXPECT_TRUE(run_until(loop, [&] { return closed; }));
  }

  void on_session_open(ClientSession&) override { events += "open "; }
  void on_session_failed(ClientSession&, core::Error error) override {
    events += "session_failed:" + std::string(core::describe(error.code).token) + " ";
  }
  void on_session_closed(ClientSession&) override { closed = true; }
  void on_response_head(const net::ResponseHead& head, const uint8_t*) override {
    events += "head:" + std::to_string(head.status) + " ";
    if (when_head) when_head();
  }
  void on_response_body(net::BodyPiece piece) override {
    body += piece.payload().text();
    if (piece.whole_chunk) ++whole_chunks;
    relayed += piece.bytes.text();
    if (when_body) when_body();
  }
  void on_response_end(Reuse reuse) override {
    events += reuse == Reuse::yes ? "end:reuse " : "end:close ";
    if (when_end) when_end();
  }
  void on_response_failed(core::Error error) override {
    events += "failed:" + std::string(core::describe(error.code).token) + " ";
  }
  void request(std::string_view text = "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
               net::Method method = net::Method::get) {
    session.begin(*this, method);
    session.send(loop.buffers().copy_of({reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
  }
  // What has happened since the last call.
  std::string take() { return std::exchange(events, {}); }

  core::Loop& loop;
  net::ResponseHeadParser parser;
  std::string events, body, relayed;
  int whole_chunks = 0;
  bool closed = false;
  std::function<void()> when_head, when_body, when_end;
  ClientSession session;
};

class ClientSessionTest : public ::testing::Test {
 protected:
  void open() {
    client.session.open(listener.address(), nullptr, {});
    ASSERT_TRUE(run_until(*loop, [&] { return client.events == "open "; }));
    client.take();
    provider = listener.accept(*loop);
  }
  // The session's request has arrived; the provider says `text`.
  void respond(std::string_view text) {
    ASSERT_TRUE(run_until(*loop, [&] {
      provider->read_some();
      return provider->received().find("\r\n\r\n") != std::string::npos;
    }));
    provider->received().clear();
    ASSERT_TRUE(provider->write(*loop, text));
  }
  bool told(std::string_view events) {
    return run_until(
        *loop, [&] { return client.events == events; }, std::chrono::milliseconds(3000));
  }

  std::unique_ptr<core::Loop> loop = make_loop();
  PeerListener listener;
  std::unique_ptr<Peer> provider;
  Client client{*loop};
};

TEST_F(ClientSessionTest, CarriesOneExchangeAfterTheOther) {
  open();
  for (int i = 0; i < 20; ++i) {
    client.request();
    respond("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    ASSERT_TRUE(told("head:200 end:reuse ")) << client.events;
    EXPECT_EQ(client.body, "hello");
    client.take();
    client.body.clear();
  }
  EXPECT_EQ(client.session.exchanges(), 20u);
  EXPECT_EQ(client.session.state(), ClientSession::State::idle);
}

TEST_F(ClientSessionTest, ReadsAResponseInTwoPiecesAtEverySplit) {
  open();
  for (const std::string text :
       {"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\npayload",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n"
        "pay\r\n4;x=y\r\nload\r\n0\r\ntrailer: t\r\n\r\n"}) {
    for (size_t split = 1; split < text.size(); ++split) {
      client.request();
      respond(text.substr(0, split));
      loop->turn(core::milliseconds(1));
      provider->write(*loop, text.substr(split));
      ASSERT_TRUE(told("head:200 end:reuse ")) << client.events << split;
      EXPECT_EQ(client.body, "payload") << split;
      client.take();
      client.body.clear();
    }
  }
}

TEST_F(ClientSessionTest, ReadsAResponseByteByByte) {
  open();
  client.request();
  respond("");
  for (const char byte :
       std::string("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")) {
    provider->write_some({&byte, 1});
    loop->turn(0);
    loop->turn(0);
  }
  ASSERT_TRUE(told("head:200 end:reuse ")) << client.events;
  EXPECT_EQ(client.body, "abcd");
}

TEST_F(ClientSessionTest, TellsWhichChunksMayBeRelayedAsTheyAre) {
  open();
  client.request();
  respond("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nplain\r\n");
  ASSERT_TRUE(run_until(*loop, [&] { return client.body == "plain"; }));
  EXPECT_EQ(client.whole_chunks, 1);
  EXPECT_EQ(client.relayed, "5\r\nplain\r\n");
  provider->write(*loop, "005\r\nzeros\r\n");
  ASSERT_TRUE(run_until(*loop, [&] { return client.body == "plainzeros"; }));
  provider->write(*loop, "3;e=1\r\next\r\n");
  ASSERT_TRUE(run_until(*loop, [&] { return client.body == "plainzerosext"; }));
  EXPECT_EQ(client.whole_chunks, 1);
  provider->write(*loop, "0\r\n\r\n");
  ASSERT_TRUE(told("head:200 end:reuse "));
}

TEST_F(ClientSessionTest, KnowsAnswersWithoutABody) {
  open();
  client.request("HEAD / HTTP/1.1\r\nhost: x\r\n\r\n", net::Method::head);
  respond("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
  ASSERT_TRUE(told("head:200 end:reuse ")) << client.events;
  client.take();
  client.request();
  respond("HTTP/1.1 204 No Content\r\n\r\n");
  ASSERT_TRUE(told("head:204 end:reuse ")) << client.events;
}

TEST_F(ClientSessionTest, ReceivesALargeBodyByteForByte) {
  open();
  const std::string large = pattern(8u << 20);
  client.request();
  respond("HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(large.size()) + "\r\n\r\n" + large);
  ASSERT_TRUE(told("head:200 end:reuse ")) << client.events;
  EXPECT_TRUE(client.body == large);
}

TEST_F(ClientSessionTest, SendsALargeRequestByteForByte) {
  open();
  const std::string large = "POST / HTTP/1.1\r\nhost: x\r\n\r\n" + pattern(8u << 20);
  client.request(large, net::Method::post);
  ASSERT_TRUE(run_until(*loop, [&] {
    provider->read_some();
    return provider->received().size() == large.size();
  }));
  EXPECT_TRUE(provider->received() == large);
  provider->write(*loop, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  ASSERT_TRUE(told("head:200 end:reuse ")) << client.events;
}

TEST_F(ClientSessionTest, TakesABodyThatLastsUntilTheEnd) {
  open();
  client.request();
  respond("HTTP/1.1 200 OK\r\n\r\nuntil close");
  provider->end_sending();
  ASSERT_TRUE(told("head:200 end:close ")) << client.events;
  EXPECT_EQ(client.body, "until close");
  EXPECT_TRUE(run_until(*loop, [&] { return client.closed; }));
}

TEST_F(ClientSessionTest, ClosesAfterAnAnswerThatSaysSo) {
  open();
  client.request();
  respond("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
  ASSERT_TRUE(told("head:200 end:close ")) << client.events;
}

TEST_F(ClientSessionTest, ClosesAConnectionWithBytesBehindTheAnswer) {
  open();
  client.request();
  respond("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok!");
  ASSERT_TRUE(told("head:200 end:close ")) << client.events;
  EXPECT_EQ(client.body, "ok");
}

TEST_F(ClientSessionTest, ClosesAConnectionThatSpeaksUnasked) {
  open();
  provider->write(*loop, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  ASSERT_TRUE(told("session_failed:upstream_malformed ")) << client.events;
  EXPECT_TRUE(run_until(*loop, [&] { return client.closed; }));
}

// An answer that comes before the request has left may belong to anything.
TEST_F(ClientSessionTest, NeverReusesAConnectionAfterAnEarlyAnswer) {
  open();
  client.request("POST / HTTP/1.1\r\nhost: x\r\n\r\n" + pattern(20u << 20), net::Method::post);
  loop->turn(core::milliseconds(1));
  provider->write_some("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno");
  ASSERT_TRUE(told("head:413 end:close ")) << client.events;
}

TEST_F(ClientSessionTest, TellsACutBodyFromACompleteOne) {
  for (const std::string text : {"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345",
                                 "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n",
                                 "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n12345"}) {
    Client other(*loop);
    other.session.open(listener.address(), nullptr, {});
    ASSERT_TRUE(run_until(*loop, [&] { return other.take() == "open "; }));
    auto peer = listener.accept(*loop);
    other.request();
    peer->write(*loop, text);
    peer->end_sending();
    ASSERT_TRUE(run_until(*loop, [&] { return other.events == "head:200 failed:upstream_truncated "; }))
        << other.events;
    EXPECT_EQ(other.body, "12345");
  }
  client.session.open(listener.address(), nullptr, {});
}

TEST_F(ClientSessionTest, NamesHowAConnectionWasLost) {
  const auto outcome = [&](std::string_view text, auto lose) {
    Client other(*loop);
    other.session.open(listener.address(), nullptr, {});
    EXPECT_TRUE(run_until(*loop, [&] { return other.take() == "open "; }));
    auto peer = listener.accept(*loop);
    other.request();
    EXPECT_TRUE(run_until(*loop, [&] { return peer->read_some() > 0; }));
    peer->write(*loop, text);
    if (!text.empty()) run_for(*loop, std::chrono::milliseconds(2));
    lose(*peer);
    EXPECT_TRUE(run_until(*loop, [&] { return other.closed; }));
    return other.take();
  };
  const auto end = [](Peer& peer) { peer.close(); };
  const auto reset = [](Peer& peer) { peer.close_hard(); };
  EXPECT_EQ(outcome("", end), "failed:upstream_closed ");
  EXPECT_EQ(outcome("HTTP/1.1 200 O", end), "failed:upstream_closed ");
  EXPECT_EQ(outcome("", reset), "failed:upstream_reset ");
  EXPECT_EQ(outcome("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12", reset),
            "head:200 failed:upstream_reset ");
  client.session.open(listener.address(), nullptr, {});
}

TEST_F(ClientSessionTest, RefusesAMalformedAnswer) {
  for (const std::string text :
       {"HTTP/1.1 200 OK\ncontent-length: 0\n\n", "HTTP/1.0 200 OK\r\n\r\n", "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 101 Switching\r\n\r\n"}) {
    Client other(*loop);
    other.session.open(listener.address(), nullptr, {});
    ASSERT_TRUE(run_until(*loop, [&] { return other.take() == "open "; }));
    auto peer = listener.accept(*loop);
    other.request();
    peer->write(*loop, text);
    ASSERT_TRUE(run_until(*loop, [&] { return other.closed; }));
    EXPECT_EQ(other.take(), "failed:upstream_malformed ") << text;
  }
  client.session.open(listener.address(), nullptr, {});
}

TEST_F(ClientSessionTest, RefusesABadChunkInTheMiddle) {
  open();
  client.request();
  respond("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcX");
  ASSERT_TRUE(told("head:200 failed:upstream_malformed ")) << client.events;
}

TEST_F(ClientSessionTest, RefusesAHeadAboveKMaxHeadBytes) {
  open();
  client.request();
  std::string text = "HTTP/1.1 200 OK\r\n";
  while (text.size() <= core::limits::kMaxHeadBytes) text += "field: " + std::string(500, 'v') + "\r\n";
  respond(text);
  ASSERT_TRUE(told("failed:upstream_head_too_large ")) << client.events;
}

TEST_F(ClientSessionTest, SaysNothingMoreAfterCancel) {
  open();
  client.request();
  client.when_body = [&] { client.session.cancel(); };
  respond("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n");
  ASSERT_TRUE(run_until(*loop, [&] { return client.closed; }));
  EXPECT_EQ(client.events, "head:200 ");
  EXPECT_EQ(client.body, "abc");
}

TEST_F(ClientSessionTest, MayBeCancelledFromInsideTheHead) {
  open();
  client.request();
  client.when_head = [&] { client.session.cancel(); };
  respond("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc");
  ASSERT_TRUE(run_until(*loop, [&] { return client.closed; }));
  EXPECT_EQ(client.events, "head:200 ");
  EXPECT_EQ(client.body, "");
}

TEST_F(ClientSessionTest, MayBeginAgainFromInsideTheEnd) {
  open();
  int exchanges = 0;
  client.when_end = [&] {
    if (++exchanges < 5) client.request();
  };
  client.request();
  for (int i = 0; i < 5; ++i) respond("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx");
  ASSERT_TRUE(run_until(*loop, [&] { return exchanges == 5; }));
  EXPECT_EQ(client.body, "xxxxx");
}

TEST_F(ClientSessionTest, HoldsTheProviderBackWhilePaused) {
  open();
  client.request();
  const std::string large = pattern(30u << 20);
  const std::string text =
      "HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(large.size()) + "\r\n\r\n" + large;
  client.when_head = [&] { client.session.pause_receiving(); };
  std::string_view rest = text;
  ASSERT_TRUE(run_until(*loop, [&] {
    rest.remove_prefix(provider->write_some(rest));
    return client.events == "head:200 ";
  }));
  for (int i = 0; i < 50; ++i) {
    rest.remove_prefix(provider->write_some(rest));
    loop->turn(0);
  }
  const size_t paused_at = client.body.size();
  EXPECT_LT(paused_at, 4u << 20);
  EXPECT_GT(rest.size(), 0u);
  client.session.resume_receiving();
  ASSERT_TRUE(run_until(*loop, [&] {
    rest.remove_prefix(provider->write_some(rest));
    return client.events == "head:200 end:reuse ";
  }));
  EXPECT_TRUE(client.body == large);
}

TEST_F(ClientSessionTest, TellsThatTheConnectionWasRefused) {
  const auto address = listener.address();
  listener.close();
  client.session.open(address, nullptr, {});
  ASSERT_TRUE(told("session_failed:connect_failed ")) << client.events;
}

TEST_F(ClientSessionTest, SpeaksTls) {
  TestAuthority authority;
  const net::TlsServerContextHolder holder(
      net::TlsServerContext::load({.certificates = {authority.issue({.dns_names = {"api.test"}})}}).value());
  EchoServer echo(*loop, 100, &holder);
  client.session.open(*core::SocketAddress::parse("127.0.0.1:" + std::to_string(echo.port)),
                      net::TlsClientContext::load({.ca_path = authority.root_path()}).value(),
                      {"api.test", echo.port});
  ASSERT_TRUE(told("open ")) << client.events;
  client.take();
  for (const size_t size : {size_t{10}, size_t{8} << 20}) {
    client.body.clear();
    client.request(post(pattern(size)), net::Method::post);
    ASSERT_TRUE(told("head:200 end:reuse ")) << client.events;
    EXPECT_TRUE(client.body == pattern(size));
    client.take();
  }
}

}  // namespace
}  // namespace weir::tests
