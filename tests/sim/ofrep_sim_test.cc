// The OFREP side of one shard on the simulated kernel: the life of event streams, and what is answered to
// requests that are wrong, too large or too many.
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tests/sim/shard_fixture.h"

namespace weir::sim {
namespace {

using core::ErrorCode;
namespace limits = core::limits;

const std::string kBearer = "authorization: Bearer sk-sim\r\n";
const std::string kJson = "content-type: application/json\r\n";
constexpr std::string_view kComment = "3\r\n:\n\n\r\n";

class SimulatedOfrep : public ShardOnSim {
 protected:
  SimulatedOfrep() { publish_table(); }

  Ear& open_stream(const std::string& headers = kBearer, const std::string& query = "") {
    Ear& client = connect();
    client.say("GET /ofrep/v1/events" + query + " HTTP/1.1\r\nhost: weir\r\n" + headers + "\r\n");
    settle();
    return client;
  }
  static std::string event(uint64_t revision) {
    return "event: message\nid: " + std::to_string(revision) +
           "\ndata: {\"type\":\"refetchEvaluation\",\"etag\":\"\\\"" + std::to_string(revision) +
           "\\\"\",\"lastModified\":";
  }
  static int count(const Ear& client, std::string_view text) {
    int found = 0;
    for (size_t at = client.heard.find(text); at != std::string::npos; at = client.heard.find(text, at + 1))
      ++found;
    return found;
  }
  int64_t open_streams() { return gateway_->metrics[0]->event_streams.value(); }

  static std::string post(const std::string& path, const std::string& body,
                          const std::string& headers = kBearer + kJson) {
    return "POST /ofrep/v1/" + path + " HTTP/1.1\r\nhost: weir\r\n" + headers +
           "content-length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  // The last answer's status and body; asks on a connection of its own.
  struct Answer {
    int status = 0;
    std::string head;
    nlohmann::json body;
  };
  Answer ask(const std::string& request) {
    Ear& client = connect();
    client.say(request);
    settle();
    return answer_of(client);
  }
  static Answer answer_of(const Ear& client) {
    const size_t end = client.heard.rfind("\r\n\r\n");
    if (end == std::string::npos) return {};
    const size_t begin = client.heard.rfind("HTTP/1.1 ", end);
    return {.status = std::stoi(client.heard.substr(begin + 9)),
            .head = client.heard.substr(begin, end + 2 - begin),
            .body = nlohmann::json::parse(client.heard.substr(end + 4), nullptr, false)};
  }
  void expect_error(const Answer& answer, int status, std::string_view code,
                    const nlohmann::json& key = nullptr) {
    EXPECT_EQ(answer.status, status) << answer.head;
    EXPECT_NE(answer.head.find("\r\ncontent-type: application/json\r\n"), std::string::npos) << answer.head;
    ASSERT_TRUE(answer.body.is_object()) << answer.head;
    EXPECT_EQ(answer.body["errorCode"], code);
    EXPECT_TRUE(answer.body["errorDetails"].is_string());
    EXPECT_EQ(answer.body.value("key", nlohmann::json()), key) << answer.body;
  }
};

TEST_F(SimulatedOfrep, AnEventStreamBeginsWithAnEventAndHearsOfEveryTable) {
  Ear& client = open_stream();
  EXPECT_TRUE(client.heard.starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"))
      << client.heard;
  EXPECT_EQ(count(client, event(1)), 1);
  EXPECT_EQ(open_streams(), 1);
  for (uint64_t revision = 2; revision < 5; ++revision) {
    publish_table();
    EXPECT_EQ(count(client, event(revision)), 1) << client.heard;
  }
  EXPECT_EQ(gateway_->metrics[0]->events_sent.value(), 4u);
}

TEST_F(SimulatedOfrep, AClientThatKnowsTheTableIsNotToldOfIt) {
  Ear& knows = open_stream(kBearer + "last-event-id: 1\r\n");
  EXPECT_EQ(count(knows, "event:"), 0);
  Ear& missed = open_stream(kBearer + "last-event-id: 0\r\n");
  EXPECT_EQ(count(missed, event(1)), 1);
  Ear& strange = open_stream(kBearer + "last-event-id: 1x\r\n");
  EXPECT_EQ(count(strange, event(1)), 1);
  publish_table();
  EXPECT_EQ(count(knows, event(2)), 1);
}

TEST_F(SimulatedOfrep, AnEventIsOneWholeChunk) {
  Ear& client = open_stream(kBearer + "last-event-id: 1\r\n");
  client.heard.clear();
  publish_table();
  const size_t line = client.heard.find("\r\n");
  const size_t size = std::stoul(client.heard.substr(0, line), nullptr, 16);
  EXPECT_EQ(client.heard.size(), line + 2 + size + 2) << client.heard;
  EXPECT_TRUE(client.heard.ends_with("}\n\n\r\n"));
}

TEST_F(SimulatedOfrep, ACommentKeepsAStreamOpenEveryKEventKeepAliveMs) {
  Ear& client = open_stream();
  expect_after(limits::kEventKeepAliveMs, [&] { return count(client, kComment) == 1; });
  for (int i = 0; i < 100; ++i) pass(limits::kEventKeepAliveMs + kMarginMs);
  EXPECT_EQ(count(client, kComment), 101);
  EXPECT_FALSE(client.ended) << "half an hour in silence";
}

TEST_F(SimulatedOfrep, NoMoreThanKMaxEventStreamsPerShardAreOpen) {
  for (uint32_t i = 0; i < limits::kMaxEventStreamsPerShard; ++i) open_stream();
  EXPECT_EQ(open_streams(), int64_t{limits::kMaxEventStreamsPerShard});
  Ear& refused = open_stream();
  const Answer answer = answer_of(refused);
  expect_error(answer, 429, "GENERAL");
  EXPECT_EQ(answer.body["errorDetails"], core::describe(ErrorCode::too_many_event_streams).sentence);
  EXPECT_NE(answer.head.find("\r\nretry-after: 1\r\n"), std::string::npos);
  ears_.front()->connection.close();
  settle();
  EXPECT_EQ(open_streams(), int64_t{limits::kMaxEventStreamsPerShard} - 1);
  open_stream();
  EXPECT_EQ(open_streams(), int64_t{limits::kMaxEventStreamsPerShard});
  publish_table();
  EXPECT_EQ(count(*ears_.back(), event(2)), 1);
}

TEST_F(SimulatedOfrep, AClientThatDoesNotReadIsGivenUpAndNobodyElse) {
  Ear& reads = open_stream();
  Ear& sleeps = open_stream();
  world_.faults.socket_buffer_bytes = 64;
  sleeps.connection.pause_receiving();
  for (int i = 0; i < 20; ++i) publish_table();
  EXPECT_EQ(open_streams(), 2);
  pass(limits::kWriteStallTimeoutMs + kMarginMs);
  EXPECT_EQ(open_streams(), 1);
  publish_table();
  EXPECT_EQ(count(reads, event(revision_)), 1);
  sleeps.connection.close();
}

TEST_F(SimulatedOfrep, StreamsThatBreakAreForgotten) {
  world_.faults.short_send = 0.2;
  world_.faults.short_receive = 0.3;
  world_.faults.reset = 0.001;
  world_.faults.late_cancel = 0.5;
  int broken = 0;
  for (int round = 0; round < 100; ++round) {
    Ear& client = open_stream();
    if (round % 3 == 0) client.connection.close();
    publish_table();
  }
  world_.faults = {};
  pass(limits::kEventKeepAliveMs + kMarginMs);
  pass(limits::kWriteStallTimeoutMs + kMarginMs);
  int64_t alive = 0;
  for (const auto& ear : ears_) {
    broken += ear->failure.empty() ? 0 : 1;
    alive += ear->closed() ? 0 : 1;
  }
  EXPECT_GT(broken, 0);
  EXPECT_GT(alive, 0);
  EXPECT_EQ(open_streams(), alive);
  EXPECT_EQ(gateway_->metrics[0]->connections.value(), alive);
}

TEST_F(SimulatedOfrep, DrainingEndsStreamsCleanly) {
  Ear& client = open_stream();
  Ear& late = connect();
  late.say("GET /ofrep/v1/events HTTP/1.1\r\nhost: weir\r\n");
  settle();
  shard_->begin_drain();
  late.say(kBearer + "\r\n");
  settle();
  EXPECT_TRUE(client.heard.ends_with("\r\n0\r\n\r\n")) << client.heard;
  EXPECT_FALSE(client.ended);  // it has not been told so: its next request may be on its way
  pass(limits::kDrainIdleMs + kMarginMs);
  EXPECT_TRUE(client.ended);
  expect_error(answer_of(late), 429, "GENERAL");
  EXPECT_EQ(answer_of(late).body["errorDetails"], core::describe(ErrorCode::shutting_down).sentence);
  EXPECT_EQ(open_streams(), 0);
}

TEST_F(SimulatedOfrep, AStreamIsForKeysAndTickets) {
  expect_error(answer_of(open_stream("")), 401, "GENERAL");
  expect_error(answer_of(open_stream("authorization: Bearer sk-other\r\n")), 401, "GENERAL");
  expect_error(answer_of(open_stream("", "?ticket=1.t.00000000000000000000000000000000")), 401, "GENERAL");
  EXPECT_EQ(open_streams(), 0);
  open_stream("x-api-key: sk-sim\r\n");
  const Answer all = ask(post("evaluate/flags", "{}"));
  const std::string target = all.body["eventStreams"][0]["endpoint"]["requestUri"];
  ASSERT_TRUE(target.starts_with("/ofrep/v1/events?ticket=")) << target;
  open_stream("", target.substr(target.find('?')));
  EXPECT_EQ(open_streams(), 2);
}

TEST_F(SimulatedOfrep, EvaluatesOneFlagAndAll) {
  const Answer one = ask(post("evaluate/flags/chat.unit?from=here", R"({"context":{"targetingKey":"u"}})"));
  EXPECT_EQ(one.status, 200);
  EXPECT_EQ(one.body["key"], "chat.unit");
  EXPECT_EQ(one.body["value"], "u");
  EXPECT_EQ(one.head.find("\r\netag:"), std::string::npos);
  const std::string request = post("evaluate/flags?flagConfigEtag=%221%22", "{}");
  const Answer all = ask(request);
  EXPECT_EQ(all.status, 200);
  const size_t at = all.head.find("\r\netag: ") + 8;
  const std::string tag = all.head.substr(at, all.head.find('\r', at) - at);
  const std::string again = post("evaluate/flags", "{}",
                                 kBearer + kJson + "if-none-match: \"x\"\r\nif-none-match: " + tag + "\r\n");
  Ear& client = connect();
  client.say(again + request);
  settle();
  EXPECT_TRUE(client.heard.starts_with("HTTP/1.1 304 ")) << client.heard;
  EXPECT_EQ(answer_of(client).status, 200) << "what follows a 304 on the connection";
  publish_table();
  EXPECT_EQ(ask(again).status, 200);
  EXPECT_EQ(gateway_->metrics[0]->evaluations.value(), 5u);
  EXPECT_EQ(gateway_->metrics[0]->evaluations_unchanged.value(), 1u);
}

TEST_F(SimulatedOfrep, ErrorsHaveTheProtocolsShapeWhateverIsWrong) {
  expect_error(ask(post("evaluate/flags/nothing", "{}")), 404, "FLAG_NOT_FOUND", "nothing");
  expect_error(ask(post("evaluate/flags/a%20b", "{}")), 404, "FLAG_NOT_FOUND", "a%20b");
  expect_error(ask(post("evaluate/flags/a/b", "{}")), 404, "FLAG_NOT_FOUND", "a/b");
  expect_error(ask(post("evaluate/flags/\"quoted\"", "{}")), 404, "FLAG_NOT_FOUND", "\"quoted\"");
  expect_error(ask(post("evaluate/flags/chat", "{")), 400, "PARSE_ERROR", "chat");
  expect_error(ask(post("evaluate/flags/chat", R"({"context":{"targetingKey":1}})")), 400, "INVALID_CONTEXT",
               "chat");
  expect_error(ask(post("evaluate/flags/chat", "{}", kJson)), 401, "GENERAL", "chat");
  expect_error(ask(post("evaluate/flags/chat", "{}", kBearer + "x-api-key: sk-sim\r\n" + kJson)), 400,
               "GENERAL", "chat");
  expect_error(ask(post("evaluate/flags/chat", "{}", kBearer)), 415, "GENERAL", "chat");
  expect_error(ask(post("evaluate/flags/chat", "")), 411, "GENERAL", "chat");
  expect_error(ask(post("evaluate/flags/chat", "{}", kBearer + kJson + "x-weir-tenant: other\r\n")), 403,
               "GENERAL", "chat");
  expect_error(ask(post("evaluate/flags/chat", "{}", kBearer + kJson + "content-length: 2\r\n")), 400,
               "GENERAL", "chat");
  expect_error(ask("POST /ofrep/v1/evaluate/flags/chat HTTP/1.1\r\nno colon\r\n\r\n"), 400, "GENERAL",
               "chat");
  expect_error(
      ask("POST /ofrep/v1/evaluate/flags/" + std::string(limits::kMaxTargetBytes, 'x') + " HTTP/1.1\r\n\r\n"),
      414, "GENERAL", std::string(limits::kMaxTargetBytes - 14, 'x'));
  expect_error(ask(post("evaluate/flags", "[]")), 400, "PARSE_ERROR");
  expect_error(ask(post("configuration", "{}")), 404, "GENERAL");
  const Answer wrong_method = ask("GET /ofrep/v1/evaluate/flags/chat HTTP/1.1\r\nhost: weir\r\n\r\n");
  expect_error(wrong_method, 405, "GENERAL", "chat");
  EXPECT_NE(wrong_method.head.find("\r\nallow: POST\r\n"), std::string::npos);
}

TEST_F(SimulatedOfrep, ABodyThatStallsIsAnsweredInTheProtocolsShape) {
  Ear& client = connect();
  client.say("POST /ofrep/v1/evaluate/flags/chat HTTP/1.1\r\nhost: weir\r\n" + kBearer + kJson +
             "content-length: 9\r\n\r\n{");
  settle();
  pass(limits::kBodyStallTimeoutMs + kMarginMs);
  expect_error(answer_of(client), 408, "GENERAL", "chat");
}

TEST_F(SimulatedOfrep, AContextMayHaveKMaxOfrepBodyBytes) {
  const auto body = [](size_t size) {
    return R"({"context":{"x":")" + std::string(size - 20, 'x') + R"("}})";
  };
  ASSERT_EQ(body(limits::kMaxOfrepBodyBytes).size(), limits::kMaxOfrepBodyBytes);
  EXPECT_EQ(ask(post("evaluate/flags/chat", body(limits::kMaxOfrepBodyBytes))).status, 200);
  expect_error(ask(post("evaluate/flags/chat", body(limits::kMaxOfrepBodyBytes + 1))), 413, "GENERAL",
               "chat");
  const auto chunked = [&](size_t size) {
    char header[16];
    std::snprintf(header, sizeof header, "%zx\r\n", size);
    return "POST /ofrep/v1/evaluate/flags/chat HTTP/1.1\r\nhost: weir\r\n" + kBearer + kJson +
           "transfer-encoding: chunked\r\n\r\n" + header + body(size) + "\r\n0\r\n\r\n";
  };
  EXPECT_EQ(ask(chunked(limits::kMaxOfrepBodyBytes)).status, 200);
  expect_error(ask(chunked(limits::kMaxOfrepBodyBytes + 1)), 413, "GENERAL", "chat");
}

TEST_F(SimulatedOfrep, AllFlagsMayHaveKMaxOfrepAnswerBytes) {
  // The param stands in two answers, the object and its own view, of the flag and of the scenario.
  const auto table = [](size_t bytes) {
    return R"("units":{"u":{"model":"m"},"v":{"model":"m","params":{"stop":")" + std::string(bytes, 's') +
           R"("}}},
      "scenarios":{"chat":{"stable":"u"}},"flags":{"launch":{"scenario":"chat","candidate":{"unit":"v"}}},
      "tenants":{"t":{"flags":{"launch":{"state":"production","owner":"o","reason":"r","review":"2030-01-01",
                                         "previous":"u"}}}})";
  };
  publish(table(limits::kMaxOfrepAnswerBytes / 4 - 10'000));
  EXPECT_EQ(ask(post("evaluate/flags", "{}")).status, 200);
  publish(table(limits::kMaxOfrepAnswerBytes / 4));
  const Answer answer = ask(post("evaluate/flags", "{}"));
  expect_error(answer, 400, "GENERAL");
  EXPECT_EQ(answer.body["errorDetails"], core::describe(ErrorCode::answer_too_large).sentence);
  EXPECT_EQ(ask(post("evaluate/flags/launch", "{}")).status, 200);
}

}  // namespace
}  // namespace weir::sim
