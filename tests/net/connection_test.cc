#include "net/connection.h"

#include <sys/ioctl.h>

#include "tests/net/net_fixture.h"
#include "tests/support/test_certificates.h"

namespace weir::tests {
namespace {

using core::ErrorCode;
using net::Connection;
using net::Leg;

// A handler that notes what it is told; a test may add what it does about it.
struct Watched : net::ConnectionHandler {
  Watched(core::Loop& turned, Leg leg) : loop(turned), connection(turned, *this, leg) {}
  virtual ~Watched() {
    connection.close();
    EXPECT_TRUE(run_until(loop, [&] { return connection.state() == Connection::State::closed; }));
  }

  void on_open() override {
    events += "open ";
    if (when_open) when_open();
  }
  void on_received(core::Slice data) override {
    received += data.text();
    if (when_received) when_received();
  }
  void on_end() override {
    events += "end ";
    if (when_end) when_end();
  }
  void on_send_queue_low() override {
    events += "low ";
    if (when_low) when_low();
  }
  void on_failed(core::Error error) override {
    events += "failed:" + std::string(core::describe(error.code).token) + " ";
    if (const char* reason = connection.tls_failure_reason()) tls_reason = reason;
    if (when_failed) when_failed();
  }
  void on_closed() override { events += "closed "; }

  void send(std::string_view text) {
    connection.send(loop.buffers().copy_of({reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
  }
  bool closed() const { return connection.state() == Connection::State::closed; }

  core::Loop& loop;
  std::string events;
  std::string received;
  std::string tls_reason;
  std::function<void()> when_open, when_received, when_end, when_low, when_failed;
  Connection connection;
};

class ConnectionTest : public ::testing::Test {
 protected:
  // `watched` adopts the accepted end of a new connection; the other end is returned.
  std::unique_ptr<Peer> adopt(Watched& watched, int receive_buffer = 0) {
    auto peer = std::make_unique<Peer>(Peer::connect(listener.port(), receive_buffer));
    std::unique_ptr<Peer> accepted = listener.accept(*loop);
    watched.connection.adopt(::dup(accepted->descriptor()));
    return peer;
  }
  bool read_until(Peer& peer, size_t size) {
    return run_until(*loop, [&] {
      while (peer.read_some() > 0) {
      }
      return peer.received().size() >= size || peer.gone();
    });
  }

  std::unique_ptr<core::Loop> loop = make_loop();
  PeerListener listener;
};

TEST_F(ConnectionTest, CarriesBytesBothWays) {
  Watched watched(*loop, Leg::downstream);
  auto peer = adopt(watched);
  peer->write(*loop, "ping");
  ASSERT_TRUE(run_until(*loop, [&] { return watched.received == "ping"; }));
  watched.send("pong");
  ASSERT_TRUE(read_until(*peer, 4));
  EXPECT_EQ(peer->received(), "pong");
  EXPECT_EQ(watched.events, "");
}

TEST_F(ConnectionTest, ConnectsAndTellsWhenItIsOpen) {
  Watched watched(*loop, Leg::upstream);
  watched.connection.connect(listener.address());
  EXPECT_EQ(watched.connection.state(), Connection::State::connecting);
  ASSERT_TRUE(run_until(*loop, [&] { return watched.events == "open "; }));
  auto peer = listener.accept(*loop);
  watched.send("hello");
  ASSERT_TRUE(read_until(*peer, 5));
}

TEST_F(ConnectionTest, SendsWhatOneTurnQueuesInOneOperation) {
  Watched watched(*loop, Leg::downstream);
  auto peer = adopt(watched);
  loop->turn(0);
  const uint64_t before = loop->io().stats().submitted;
  for (int i = 0; i < 10; ++i) watched.send("piece ");
  ASSERT_TRUE(read_until(*peer, 60));
  EXPECT_EQ(loop->io().stats().submitted - before, 1u);
}

TEST_F(ConnectionTest, TellsThatThePeerEnded) {
  Watched watched(*loop, Leg::downstream);
  auto peer = adopt(watched);
  peer->write(*loop, "last words");
  peer->end_sending();
  ASSERT_TRUE(run_until(*loop, [&] { return watched.events == "end "; }));
  EXPECT_EQ(watched.received, "last words");
  watched.send("still heard");  // our side is open
  ASSERT_TRUE(read_until(*peer, 11));
}

TEST_F(ConnectionTest, NamesTheLegThatReset) {
  for (const auto& [leg, name] :
       {std::pair(Leg::downstream, "client_reset"), std::pair(Leg::upstream, "upstream_reset")}) {
    Watched watched(*loop, leg);
    auto peer = adopt(watched);
    loop->turn(0);
    peer->close_hard();
    ASSERT_TRUE(run_until(*loop, [&] { return watched.closed(); }));
    EXPECT_EQ(watched.events, "failed:" + std::string(name) + " closed ");
  }
}

TEST_F(ConnectionTest, ReportsARefusedConnection) {
  Watched watched(*loop, Leg::upstream);
  const auto address = listener.address();
  listener.close();
  watched.connection.connect(address);
  ASSERT_TRUE(run_until(*loop, [&] { return watched.closed(); }));
  EXPECT_EQ(watched.events, "failed:connect_failed closed ");
}

TEST_F(ConnectionTest, GivesUpConnectingInTime) {
  // A listener whose backlog is full: the kernel drops what more clients send.
  const int full = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(full, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(full, 0), 0);
  const uint16_t port = core::bound_address(full).port();
  const Peer filler = Peer::connect(port);
  Watched watched(*loop, Leg::upstream);
  watched.connection.set_connect_timeout(20);
  watched.connection.connect(*core::SocketAddress::parse("127.0.0.1:" + std::to_string(port)));
  ASSERT_TRUE(run_until(
      *loop, [&] { return watched.closed(); }, std::chrono::milliseconds(5000)));
  EXPECT_EQ(watched.events, "failed:connect_timeout closed ");
  ::close(full);
}

TEST_F(ConnectionTest, ClosesWhileConnecting) {
  Watched watched(*loop, Leg::upstream);
  watched.connection.connect(listener.address());
  watched.connection.close();
  ASSERT_TRUE(run_until(*loop, [&] { return watched.closed(); }));
  EXPECT_EQ(watched.events, "closed ");
}

TEST_F(ConnectionTest, MayBeClosedFromInsideAnyEvent) {
  const auto expect_closed = [&](const char* events, auto arrange) {
    Watched watched(*loop, Leg::downstream);
    auto peer = adopt(watched);
    loop->turn(0);
    arrange(watched, *peer);
    ASSERT_TRUE(run_until(*loop, [&] { return watched.closed(); })) << events;
    EXPECT_EQ(watched.events, events);
  };
  expect_closed("closed ", [&](Watched& watched, Peer& peer) {
    watched.when_received = [&] { watched.connection.close(); };
    peer.write(*loop, "x");
  });
  expect_closed("end closed ", [&](Watched& watched, Peer& peer) {
    watched.when_end = [&] { watched.connection.close(); };
    peer.end_sending();
  });
  expect_closed("failed:client_reset closed ", [&](Watched& watched, Peer& peer) {
    watched.when_failed = [&] { watched.connection.close(); };
    peer.close_hard();
  });
  expect_closed("low closed ", [&](Watched& watched, Peer& peer) {
    watched.when_low = [&] { watched.connection.close(); };
    watched.send(pattern(core::limits::kMaxQueuedSendBytes));
    run_until(*loop, [&] {
      peer.read_some();
      return watched.closed();
    });
  });
}

TEST_F(ConnectionTest, DeliversAllThatWasQueuedBeforeItFinishes) {
  Watched watched(*loop, Leg::downstream);
  auto peer = adopt(watched);
  const std::string text = pattern(3'000'000);
  watched.send(text);
  watched.connection.finish();
  watched.send("ignored");
  EXPECT_TRUE(ends_cleanly(*loop, *peer));
  EXPECT_TRUE(peer->received() == text);
  peer->close();
  ASSERT_TRUE(run_until(*loop, [&] { return watched.closed(); }));
  EXPECT_EQ(watched.events, "closed ");
}

// A close with unread bytes resets the connection, and the reset may overtake the answer (RFC 9112
// section 9.6).
TEST_F(ConnectionTest, DoesNotResetAnAnswerWhenThePeerStillSends) {
  for (const bool paused : {false, true}) {
    Watched watched(*loop, Leg::downstream);
    auto peer = adopt(watched);
    if (paused) watched.connection.pause_receiving();
    loop->turn(0);
    peer->write_some(pattern(200'000));
    watched.send("refused");
    watched.connection.finish();
    ASSERT_TRUE(run_until(*loop, [&] { return watched.connection.state() == Connection::State::lingering; }));
    peer->write_some(pattern(50'000));
    run_for(*loop, std::chrono::milliseconds(5));
    EXPECT_TRUE(ends_cleanly(*loop, *peer)) << "paused " << paused;
    EXPECT_EQ(peer->received(), "refused");
    EXPECT_FALSE(watched.closed()) << "lingers until the peer ends";
    peer->close();
    ASSERT_TRUE(run_until(*loop, [&] { return watched.closed(); }));
  }
}

TEST_F(ConnectionTest, LingersForABoundedTime) {
  Watched watched(*loop, Leg::downstream);
  auto peer = adopt(watched);
  watched.connection.finish();
  EXPECT_TRUE(ends_cleanly(*loop, *peer));
  ASSERT_TRUE(run_until(*loop, [&] { return watched.closed(); }));  // although the peer never ends its side
}

TEST_F(ConnectionTest, StopsAndGoesOnReceiving) {
  Watched watched(*loop, Leg::downstream);
  auto peer = adopt(watched);
  loop->turn(0);
  watched.connection.pause_receiving();
  run_for(*loop, std::chrono::milliseconds(2));
  peer->write_some("held back");
  run_for(*loop, std::chrono::milliseconds(5));
  EXPECT_EQ(watched.received, "");
  watched.connection.resume_receiving();
  ASSERT_TRUE(run_until(*loop, [&] { return watched.received == "held back"; }));
}

TEST_F(ConnectionTest, LosesNothingHoweverOftenItPauses) {
  Watched watched(*loop, Leg::downstream);
  auto peer = adopt(watched);
  const std::string text = pattern(2'000'000);
  int pauses = 0;
  watched.when_received = [&] {
    watched.connection.pause_receiving();
    if (++pauses % 3 == 0) {  // and sometimes changes its mind before the kernel knows
      watched.connection.resume_receiving();
      watched.connection.pause_receiving();
    }
  };
  std::string_view rest = text;
  ASSERT_TRUE(run_until(*loop, [&] {
    rest.remove_prefix(peer->write_some(rest.substr(0, 50'000)));
    watched.connection.resume_receiving();
    return watched.received.size() >= text.size();
  }));
  EXPECT_TRUE(watched.received == text);
}

TEST_F(ConnectionTest, TellsWhenTheQueueIsHighAndLowAgain) {
  Watched watched(*loop, Leg::downstream);
  auto peer = adopt(watched, 4096);
  const std::string text = pattern(1'500'000);
  size_t sent = 0;
  uint64_t highest = 0;
  const auto fill = [&] {
    while (!watched.connection.send_queue_high() && sent < text.size()) {
      const size_t size = std::min<size_t>(10'000, text.size() - sent);
      watched.send(std::string_view(text).substr(sent, size));
      sent += size;
      highest = std::max(highest, watched.connection.queued_bytes());
    }
  };
  watched.when_low = [&] {
    EXPECT_LE(watched.connection.queued_bytes(), core::limits::kResumeQueuedSendBytes);
    fill();
  };
  fill();
  ASSERT_TRUE(run_until(*loop, [&] {
    peer->read_some(3000);
    return peer->received().size() == text.size();
  }));
  EXPECT_TRUE(peer->received() == text);
  EXPECT_LE(highest, core::limits::kMaxQueuedSendBytes + 10'000);
  EXPECT_GE(highest, core::limits::kMaxQueuedSendBytes);
  EXPECT_NE(watched.events.find("low "), std::string::npos);
  // What waits for a slow reader does not pin receive memory, and goes back to the pool.
  EXPECT_LE(loop->buffers().live_blocks(), 1u);
}

TEST_F(ConnectionTest, FailsWhenThePeerStopsReading) {
  for (const auto& [leg, name] :
       {std::pair(Leg::downstream, "client_stalled"), std::pair(Leg::upstream, "idle_timeout")}) {
    Watched watched(*loop, leg);
    watched.connection.set_write_stall_timeout(30);
    auto peer = adopt(watched, 4096);
    const std::string text = pattern(1'000'000);
    for (int i = 0; i < 10; ++i) watched.send(text);
    ASSERT_TRUE(run_until(*loop, [&] { return watched.closed(); }));
    EXPECT_EQ(watched.events, "failed:" + std::string(name) + " closed ");
  }
}

TEST_F(ConnectionTest, HasPatienceWithASlowReader) {
  Watched watched(*loop, Leg::downstream);
  watched.connection.set_write_stall_timeout(200);
  auto peer = adopt(watched);
  const std::string text = pattern(16'000'000);
  watched.send(text);
  const auto begin = std::chrono::steady_clock::now();
  auto next = begin;
  ASSERT_TRUE(run_until(*loop, [&] {
    const auto now = std::chrono::steady_clock::now();
    if (now >= next) {
      for (size_t read = 0; read < 500'000;) {
        const size_t size = peer->read_some(100'000);
        if (size == 0) break;
        read += size;
      }
      next = now + std::chrono::milliseconds(20);
    }
    return peer->received().size() == text.size() || watched.closed();
  }));
  EXPECT_GT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(400))
      << "not slow enough to tell";
  EXPECT_EQ(watched.events, "low ");
}

TEST_F(ConnectionTest, ReportsAWantOfMemoryAfterTheCall) {
  Watched watched(*loop, Leg::downstream);
  auto peer = adopt(watched, 4096);
  std::vector<core::Slice> hoard;
  watched.send(pattern(30'000'000));
  loop->turn(0);  // the send is under way: what comes now has to be copied
  constexpr uint32_t kLargest = 1u << core::BufferPool::kLargestClass;
  for (uint32_t size = kLargest; size >= 512; size /= 2) {
    for (;;) {
      hoard.push_back(loop->buffers().allocate(size));
      if (hoard.back().block() == nullptr) break;
    }
  }
  watched.connection.send(core::Slice::of_static("no room"));
  EXPECT_EQ(watched.events, "");
  EXPECT_TRUE(watched.connection.is_open());
  ASSERT_TRUE(run_until(*loop, [&] { return watched.closed(); }));
  EXPECT_EQ(watched.events, "failed:out_of_buffers closed ");
}

TEST_F(ConnectionTest, MayBeUsedAgainOnceItIsClosed) {
  Watched watched(*loop, Leg::downstream);
  for (int i = 0; i < 3; ++i) {
    auto peer = adopt(watched);
    peer->write(*loop, "again");
    ASSERT_TRUE(run_until(*loop, [&] { return watched.received == "again"; }));
    watched.received.clear();
    watched.connection.close();
    ASSERT_TRUE(run_until(*loop, [&] { return watched.closed(); }));
  }
}

// ---- TLS: both ends are ours, on one loop ----

class TlsConnectionTest : public ConnectionTest {
 protected:
  TlsConnectionTest() {
    auto server =
        net::TlsServerContext::load({.certificates = {authority.issue({.dns_names = {"api.test"}})}});
    server_context = server.value();
    client_context = net::TlsClientContext::load({.ca_path = authority.root_path()}).value();
  }
  void connect(Watched& client, Watched& server, std::string_view name = "api.test") {
    client.connection.connect(listener.address(), client_context, {name, 443});
    std::unique_ptr<Peer> accepted = listener.accept(*loop);
    server.connection.adopt(::dup(accepted->descriptor()), server_context);
  }

  TestAuthority authority;
  std::shared_ptr<const net::TlsServerContext> server_context;
  std::shared_ptr<net::TlsClientContext> client_context;
};

TEST_F(TlsConnectionTest, CarriesBytesBothWays) {
  Watched client(*loop, Leg::upstream), server(*loop, Leg::downstream);
  client.when_open = [&] { client.send("ping"); };
  server.when_received = [&] {
    if (server.received == "ping") server.send("pong");
  };
  connect(client, server);
  ASSERT_TRUE(run_until(*loop, [&] { return client.received == "pong"; })) << client.events << server.events;
  EXPECT_EQ(client.events, "open ");
  EXPECT_EQ(server.events, "open ");
}

TEST_F(TlsConnectionTest, RefusesAServerOfAnotherName) {
  Watched client(*loop, Leg::upstream), server(*loop, Leg::downstream);
  connect(client, server, "other.test");
  ASSERT_TRUE(run_until(*loop, [&] { return client.closed() && server.closed(); }));
  EXPECT_EQ(client.events, "failed:upstream_tls_failed closed ");
  EXPECT_EQ(server.events, "failed:client_tls_failed closed ");
  EXPECT_EQ(server.tls_reason, "sslv3 alert bad certificate") << "the client's alert did not arrive";
}

TEST_F(TlsConnectionTest, RefusesAClientThatDoesNotSpeakTls) {
  Watched server(*loop, Leg::downstream);
  Peer peer = Peer::connect(listener.port());
  std::unique_ptr<Peer> accepted = listener.accept(*loop);
  server.connection.adopt(::dup(accepted->descriptor()), server_context);
  accepted.reset();
  // Much more than is looked at: an end that left some of it unread would be a reset.
  peer.write(*loop, "POST / HTTP/1.1\r\nhost: x\r\n\r\n" + std::string(2'000'000, 'x'));
  ASSERT_TRUE(run_until(*loop, [&] { return peer.read_some() == 0 && peer.gone(); }));
  EXPECT_FALSE(peer.reset());
  peer.close();
  ASSERT_TRUE(run_until(*loop, [&] { return server.closed(); }));
  EXPECT_EQ(server.events, "failed:client_tls_failed closed ");
}

TEST_F(TlsConnectionTest, GivesUpAHandshakeInTime) {
  Watched client(*loop, Leg::upstream);
  client.connection.set_connect_timeout(20);
  client.connection.connect(listener.address(), client_context, {"api.test", 443});
  const std::unique_ptr<Peer> silent = listener.accept(*loop);
  ASSERT_TRUE(run_until(*loop, [&] { return client.closed(); }));
  EXPECT_EQ(client.events, "failed:connect_timeout closed ");
}

TEST_F(TlsConnectionTest, CarriesLargeBodiesBothWaysAtOnce) {
  Watched client(*loop, Leg::upstream), server(*loop, Leg::downstream);
  const std::string up = pattern(8u << 20, 1), down = pattern(8u << 20, 2);
  client.when_open = [&] { client.send(up); };
  server.when_open = [&] { server.send(down); };
  connect(client, server);
  ASSERT_TRUE(run_until(
      *loop, [&] { return server.received.size() >= up.size() && client.received.size() >= down.size(); }))
      << client.events << server.events;
  EXPECT_TRUE(server.received == up);
  EXPECT_TRUE(client.received == down);
}

TEST_F(TlsConnectionTest, TellsACleanEndFromACut) {
  {
    Watched client(*loop, Leg::upstream), server(*loop, Leg::downstream);
    server.when_open = [&] {
      server.send("all of it");
      server.connection.finish();
    };
    connect(client, server);
    ASSERT_TRUE(run_until(*loop, [&] { return client.events == "open end "; })) << client.events;
    EXPECT_EQ(client.received, "all of it");
  }
  {
    Watched client(*loop, Leg::upstream), server(*loop, Leg::downstream);
    server.when_open = [&] { server.connection.close(); };
    connect(client, server);
    ASSERT_TRUE(run_until(*loop, [&] { return client.closed(); }));
    EXPECT_EQ(client.events, "open failed:upstream_reset closed ");
  }
}

TEST_F(TlsConnectionTest, GivesItsBuffersBackWhenIdle) {
  Watched client(*loop, Leg::upstream), server(*loop, Leg::downstream);
  client.when_open = [&] { client.send("ping"); };
  connect(client, server);
  ASSERT_TRUE(run_until(*loop, [&] { return server.received == "ping"; }));
  run_for(*loop, std::chrono::milliseconds(5));
  EXPECT_EQ(loop->buffers().live_blocks(), 0u);
  client.connection.release_idle_memory();
  server.connection.release_idle_memory();
  client.send("again");
  ASSERT_TRUE(run_until(*loop, [&] { return server.received == "pingagain"; }));
}

}  // namespace
}  // namespace weir::tests
