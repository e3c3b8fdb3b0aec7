// What a server session refuses, and how long it waits.
#include "net/server_session.h"
#include "tests/net/net_fixture.h"

namespace weir::tests {
namespace {

using core::ErrorCode;
namespace limits = core::limits;

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nhost: test\r\n\r\n";

class ServerSessionLimitsTest : public ::testing::Test {
 protected:
  // Sends `text`, expects `status` and the connection to end, and nothing to have reached the handler.
  void expect_refusal(std::string_view text, int status, ErrorCode code) {
    SCOPED_TRACE(text.substr(0, 100));
    const size_t before = echo.requests.size();
    Peer client = Peer::connect(echo.port);
    client.write_some(text);
    const SeenResponse response = next_response(*loop, client);
    EXPECT_EQ(response.status, status);
    EXPECT_TRUE(response.has("connection: close"));
    EXPECT_TRUE(ends_cleanly(*loop, client));
    EXPECT_EQ(client.received(), "");
    EXPECT_EQ(echo.requests.size(), before);
    ASSERT_FALSE(echo.refused.empty());
    EXPECT_EQ(core::describe(echo.refused.back()).token, core::describe(code).token);
  }

  std::unique_ptr<core::Loop> loop = make_loop();
  EchoServer echo{*loop};
};

TEST_F(ServerSessionLimitsTest, RefusesByTheHeadBeforeTheBodyArrives) {
  echo.accept_head = [](net::ServerSession&, const net::RequestHead&, const uint8_t*) -> core::Result<void> {
    return core::fail(ErrorCode::unknown_key);
  };
  const std::string text = post("never sent", "expect: 100-continue\r\n");
  expect_refusal(text.substr(0, text.find("\r\n\r\n") + 4), 401, ErrorCode::unknown_key);
  expect_refusal(post("sent at once"), 401, ErrorCode::unknown_key);
}

TEST_F(ServerSessionLimitsTest, RefusesWhatIsAmbiguousAndLooksAtNothingBehindIt) {
  const std::string smuggled(kGet);
  expect_refusal("GET / HTTP/1.0\r\nhost: x\r\n\r\n" + smuggled, 505, ErrorCode::bad_version);
  expect_refusal("GET /\r\n\r\n" + smuggled, 400, ErrorCode::bad_request_line);
  expect_refusal(
      "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" +
          smuggled,
      400, ErrorCode::conflicting_framing);
  expect_refusal("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nx\r\n" + smuggled, 400,
                 ErrorCode::bad_chunk);
  expect_refusal("GET / HTTP/1.1\r\n\r\n" + smuggled, 400, ErrorCode::missing_host);
}

TEST_F(ServerSessionLimitsTest, KeepsWhatCameOfARequestUntilItsRefusalIsAnswered) {
  const std::string line = "POST /a HTTP/1.1\r\n";
  const auto expect_kept = [&](const std::string& text, int status, ErrorCode code) {
    expect_refusal(text, status, code);
    EXPECT_TRUE(echo.refused_bytes.starts_with(line)) << echo.refused_bytes;
  };
  echo.server.settings().max_body_bytes = 1000;
  echo.server.settings().head_timeout_ms = 20;
  echo.server.settings().body_stall_timeout_ms = 20;
  expect_kept(line + "no colon\r\n\r\n", 400, ErrorCode::bad_header_name);
  expect_kept(line + "host:", 408, ErrorCode::head_timeout);
  expect_kept(line + "host: x\r\ncontent-length: 1001\r\n\r\n", 413, ErrorCode::body_too_large);
  expect_kept(line + "host: x\r\ncontent-length: 3\r\n\r\na", 408, ErrorCode::body_timeout);
  expect_kept(line + "host: x\r\ntransfer-encoding: chunked\r\n\r\nx\r\n", 400, ErrorCode::bad_chunk);
  echo.accept_head = [](net::ServerSession&, const net::RequestHead&, const uint8_t*) -> core::Result<void> {
    return core::fail(ErrorCode::unknown_key);
  };
  expect_kept(line + "host: x\r\ncontent-length: 3\r\n\r\nabc", 401, ErrorCode::unknown_key);
}

TEST_F(ServerSessionLimitsTest, RefusesAHeadAboveKMaxHeadBytes) {
  const std::string field = "x: " + std::string(1000, 'y') + "\r\n";
  std::string text = "GET / HTTP/1.1\r\nhost: x\r\n";
  while (text.size() <= limits::kMaxHeadBytes) text += field;
  expect_refusal(text, 431, ErrorCode::head_too_large);
}

TEST_F(ServerSessionLimitsTest, RefusesMoreThanKMaxHeaders) {
  std::string text = "GET / HTTP/1.1\r\nhost: x\r\n";
  for (uint32_t i = 0; i < limits::kMaxHeaders; ++i) text += "a: b\r\n";
  expect_refusal(text + "\r\n", 431, ErrorCode::too_many_headers);
}

TEST_F(ServerSessionLimitsTest, RefusesATargetAboveKMaxTargetBytes) {
  expect_refusal("GET /" + std::string(limits::kMaxTargetBytes, 'a') + " HTTP/1.1\r\nhost: x\r\n\r\n", 414,
                 ErrorCode::target_too_long);
}

TEST_F(ServerSessionLimitsTest, RefusesABodyAboveItsLimitWhenItIsAnnounced) {
  echo.server.settings().max_body_bytes = 1000;
  expect_refusal("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n", 413,
                 ErrorCode::body_too_large);
  expect_refusal("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3e9\r\n", 413,
                 ErrorCode::body_too_large);
  Peer client = Peer::connect(echo.port);
  client.write(*loop, post(pattern(1000)));
  EXPECT_EQ(next_response(*loop, client).status, 200);
}

TEST_F(ServerSessionLimitsTest, RefusesABodyAboveKMaxBodyBytes) {
  expect_refusal("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: " +
                     std::to_string(limits::kMaxBodyBytes + 1) + "\r\n\r\n",
                 413, ErrorCode::body_too_large);
}

TEST_F(ServerSessionLimitsTest, TakesAChunkedBodyOfKMaxBodyBytes) {
  size_t seen = 0;
  echo.respond = [&](net::ServerSession& session, const net::Request& request) {
    seen = request.body.size();
    answer(session, 200, "");
  };
  Peer client = Peer::connect(echo.port);
  const std::string half = pattern(limits::kMaxBodyBytes / 2);
  client.write(*loop, post_chunked({half, half}));
  EXPECT_EQ(next_response(*loop, client).status, 200);
  EXPECT_EQ(seen, limits::kMaxBodyBytes);
}

// A client that goes on sending its body after the refusal still gets to read it.
TEST_F(ServerSessionLimitsTest, TheRefusalSurvivesABodyThatKeepsComing) {
  echo.server.settings().max_body_bytes = 1000;
  Peer client = Peer::connect(echo.port);
  const std::string text =
      "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3000000\r\n\r\n" + pattern(3'000'000);
  std::string_view rest = text;
  std::optional<SeenResponse> seen;
  ASSERT_TRUE(run_until(*loop, [&] {
    rest.remove_prefix(client.write_some(rest));
    client.read_some();
    return rest.empty() || client.reset();
  }));
  EXPECT_FALSE(client.reset());
  EXPECT_EQ(next_response(*loop, client).status, 413);
  EXPECT_TRUE(ends_cleanly(*loop, client));
}

TEST_F(ServerSessionLimitsTest, AnswersAHeadThatTakesTooLongWithHeadTimeout) {
  echo.server.settings().head_timeout_ms = 20;
  expect_refusal("GET / HTTP/1.1\r\nhost:", 408, ErrorCode::head_timeout);
}

TEST_F(ServerSessionLimitsTest, ASlowHeadDoesNotBuyTimeByTrickling) {
  echo.server.settings().head_timeout_ms = 50;
  Peer client = Peer::connect(echo.port);
  client.write_some("GET / HTTP/1.1\r\nhost: x\r\n");
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(run_until(*loop, [&] {
    client.write_some("a: b\r\n");
    client.read_some();
    run_for(*loop, std::chrono::milliseconds(2));
    return !client.received().empty() || std::chrono::steady_clock::now() - begin > std::chrono::seconds(5);
  }));
  EXPECT_EQ(next_response(*loop, client).status, 408);
}

TEST_F(ServerSessionLimitsTest, AnswersABodyThatStallsWithBodyTimeout) {
  echo.server.settings().body_stall_timeout_ms = 20;
  expect_refusal("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345", 408,
                 ErrorCode::body_timeout);
  expect_refusal("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345", 408,
                 ErrorCode::body_timeout);
}

TEST_F(ServerSessionLimitsTest, ABodyThatMovesHasAllTheTimeItNeeds) {
  echo.server.settings().body_stall_timeout_ms = 60;
  Peer client = Peer::connect(echo.port);
  const std::string text = post(pattern(20));
  const size_t head = text.find("\r\n\r\n") + 4;
  client.write_some(text.substr(0, head));
  for (const char byte : text.substr(head)) {
    run_for(*loop, std::chrono::milliseconds(10));
    client.write_some({&byte, 1});
  }
  EXPECT_EQ(next_response(*loop, client).status, 200);
}

TEST_F(ServerSessionLimitsTest, EndsAnIdleConnectionInSilence) {
  echo.server.settings().idle_timeout_ms = 20;
  Peer client = Peer::connect(echo.port);
  client.write(*loop, post("x"));
  EXPECT_EQ(next_response(*loop, client).status, 200);
  EXPECT_TRUE(ends_cleanly(*loop, client));
  EXPECT_EQ(client.received(), "");
}

TEST_F(ServerSessionLimitsTest, EndsAConnectionThatNeverSpeaks) {
  echo.server.settings().head_timeout_ms = 20;  // not the idle time, which is longer
  Peer client = Peer::connect(echo.port);
  EXPECT_TRUE(ends_cleanly(*loop, client));
  EXPECT_EQ(client.received(), "");
}

TEST_F(ServerSessionLimitsTest, GivesAnAnswerAllTheTimeItNeeds) {
  auto& settings = echo.server.settings();
  settings.head_timeout_ms = settings.idle_timeout_ms = settings.body_stall_timeout_ms = 20;
  net::ServerSession* waiting = nullptr;
  echo.respond = [&](net::ServerSession& session, const net::Request&) { waiting = &session; };
  Peer client = Peer::connect(echo.port);
  client.write(*loop, post("x"));
  ASSERT_TRUE(run_until(*loop, [&] { return waiting != nullptr; }));
  run_for(*loop, std::chrono::milliseconds(80));
  answer(*waiting, 200, "at last");
  EXPECT_EQ(next_response(*loop, client).body, "at last");
}

// ---- with receive memory of two small blocks, whole and incremental ----

class SmallReceiveMemoryTest : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Rings, SmallReceiveMemoryTest, ::testing::Bool(),
                         [](const auto& suite) { return suite.param ? "Incremental" : "Whole"; });

TEST_P(SmallReceiveMemoryTest, ManyClientsWithLargeBodiesAllGetTheirBytes) {
  auto loop = make_loop({.incremental_block_bytes = 4096,
                         .incremental_blocks = 2,
                         .whole_block_bytes = 4096,
                         .whole_blocks = 2,
                         .max_receive_bytes = 8192,
                         .kernel = GetParam() ? core::KernelLevel::newest : core::KernelLevel::linux_6_1});
  EchoServer echo(*loop);
  struct LargeUpload {
    Peer peer;
    std::string body, text;
    size_t written = 0;
    std::optional<SeenResponse> seen = {};
  };
  std::vector<LargeUpload> clients;
  for (uint32_t i = 0; i < 40; ++i) {
    std::string body = pattern(1000 + i * 5000, i);
    std::string text = post(body);
    clients.push_back({Peer::connect(echo.port), std::move(body), std::move(text)});
  }
  ASSERT_TRUE(run_until(*loop, [&] {
    bool all = true;
    for (LargeUpload& client : clients) {
      client.written += client.peer.write_some(std::string_view(client.text).substr(client.written));
      client.peer.read_some();
      if (!client.seen) client.seen = first_response(client.peer.received());
      all = all && client.seen;
    }
    return all;
  }));
  for (const LargeUpload& client : clients) EXPECT_TRUE(client.seen->body == client.body);
  EXPECT_GT(loop->io().stats().no_buffers, 0u) << "the test did not test it";
  EXPECT_LE(loop->io().stats().receive_bytes, 8192u);
}

}  // namespace
}  // namespace weir::tests
