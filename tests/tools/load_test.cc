// weir-load: what it draws, how it reads answers, and the real binary against the mock provider.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "tests/support/process.h"
#include "tools/exit_codes.h"
#include "tools/load/answer_reader.h"
#include "tools/load/load_histogram.h"
#include "tools/load/load_mix.h"
#include "tools/load/load_report.h"

namespace weir::tools {
namespace {

using ::testing::HasSubstr;
using weir::testing::Process;
using weir::testing::RunResult;
using weir::testing::TemporaryFolder;

// ---- what is sent ----

LoadOptions options_for(std::string_view url) {
  LoadOptions options;
  options.urls.push_back(*routing::parse_base_url(url));
  return options;
}

std::string text_of(const RenderedRequest& request) {
  return std::string(request.first.text()) + std::string(request.body.text());
}

TEST(LoadMix, RendersAWholeRequest) {
  LoadOptions options = options_for("http://127.0.0.1:8080/v1");
  options.keys = {{.text = "sk-1"}};
  options.users = 1;
  options.tenants = 1;
  options.headers = {"x-weir-attr-plan: pro"};
  options.bodies = {{.bytes = 120}};
  core::BufferPool buffers;
  LoadMix mix(options, 0);
  const std::string text = text_of(mix.next(0, buffers));
  EXPECT_EQ(text.substr(0, text.find("\r\n\r\n") + 4),
            "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nauthorization: Bearer sk-1\r\n"
            "x-weir-user: user-0\r\nx-weir-tenant: tenant-0\r\ncontent-type: application/json\r\n"
            "content-length: 120\r\nx-weir-attr-plan: pro\r\n\r\n");
  const auto body = nlohmann::json::parse(text.substr(text.find("\r\n\r\n") + 4));
  EXPECT_EQ(body["model"], "chat");
}

TEST(LoadMix, SmallAndLargeBodiesHaveExactlyTheSizeAskedFor) {
  for (const uint64_t bytes : {200u, 1024u, 4096u, 4097u, 262'144u}) {
    LoadOptions options = options_for("http://h/v1");
    options.bodies = {{.bytes = bytes}};
    core::BufferPool buffers;
    LoadMix mix(options, 0);
    const std::string text = text_of(mix.next(0, buffers));
    EXPECT_EQ(text.size() - text.find("\r\n\r\n") - 4, bytes);
  }
}

TEST(LoadMix, TheSameSeedDrawsTheSameAndWeightsAreKept) {
  LoadOptions options = options_for("http://h/v1");
  options.keys = {{.text = "often", .weight = 9}, {.text = "rarely", .weight = 1}};
  options.users = 1000;
  core::BufferPool buffers;
  LoadMix one(options, 0), same(options, 0), other(options, 1);
  std::map<bool, int> often;
  bool differs = false;
  for (int i = 0; i < 10'000; ++i) {
    const std::string text = text_of(one.next(0, buffers));
    ASSERT_EQ(text, text_of(same.next(0, buffers)));
    differs |= text != text_of(other.next(0, buffers));
    ++often[text.find("Bearer often") != std::string::npos];
  }
  EXPECT_TRUE(differs);
  EXPECT_NEAR(often[true], 9000, 200);
}

// ---- what comes back ----

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// What the reader says of a body that arrives in pieces of `step` bytes.
Verdict verdict_of(Body body, std::string_view text, size_t step, uint64_t expected_frames = 0) {
  simdjson::dom::parser parser;
  AnswerReader reader(Verify::yes, parser);
  reader.begin(body);
  for (size_t at = 0; at < text.size(); at += step) reader.feed(bytes_of(text.substr(at, step)));
  return reader.end(expected_frames);
}

const std::string kFrame = "data: {\"choices\":[{\"delta\":{\"content\":\"word\"}}]}\n\n";
const std::string kEmptyFrame = "data: {\"choices\":[{\"delta\":{\"content\":\"\"}}]}\n\n";
const std::string kDone = "data: [DONE]\n\n";

TEST(AnswerReader, JudgesAnswersHoweverTheyAreCut) {
  for (const size_t step : {1u, 7u, 10'000u}) {
    EXPECT_EQ(verdict_of(Body::plain, R"({"choices":[]})", step), Verdict::ok);
    EXPECT_EQ(verdict_of(Body::plain, R"({"choices":[})", step), Verdict::not_json);
    EXPECT_EQ(verdict_of(Body::plain, R"({"id":"x"})", step), Verdict::no_answer);
    EXPECT_EQ(verdict_of(Body::plain, R"([1])", step), Verdict::not_json);
    EXPECT_EQ(verdict_of(Body::events, kEmptyFrame + kFrame + kFrame + kDone, step, 2), Verdict::ok);
    EXPECT_EQ(verdict_of(Body::events, ": ping\n\n" + kFrame + kDone, step, 2), Verdict::wrong_frames);
    EXPECT_EQ(verdict_of(Body::events, kFrame, step), Verdict::no_end_mark);
    EXPECT_EQ(verdict_of(Body::events, kFrame + "data: [DONE]", step), Verdict::no_end_mark);
    EXPECT_EQ(verdict_of(Body::events, kFrame + kDone + kFrame, step), Verdict::after_end_mark);
    EXPECT_EQ(verdict_of(Body::events, kFrame + kDone + "data", step), Verdict::after_end_mark);
    EXPECT_EQ(verdict_of(Body::events, "data: {\"choices\":\n\n" + kDone, step), Verdict::not_json);
    EXPECT_EQ(verdict_of(Body::events, "data: {\"error\":{}}\n\n" + kDone, step), Verdict::error_event);
  }
}

TEST(AnswerReader, FindsContentInEveryDialectOfAnEvent) {
  EXPECT_TRUE(bears_content(R"({"choices":[{"delta":{"content":"a"}}]})"));
  EXPECT_TRUE(bears_content(R"({"choices":[{"delta":{"content": "a"}}]})"));
  EXPECT_TRUE(bears_content(R"({"choices":[{"text":"a"}]})"));
  EXPECT_TRUE(bears_content(R"({"type":"response.output_text.delta","delta":"a"})"));
  EXPECT_TRUE(bears_content(R"({"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{"}}]}}]})"));
  EXPECT_FALSE(bears_content(R"({"choices":[{"delta":{"role":"assistant","content":""}}]})"));
  EXPECT_FALSE(bears_content(R"({"choices":[{"delta":{}}],"note":"\"content\":\"a\""})"));
}

// ---- what is made of it ----

TEST(LoadHistogram, ErrsByLessThanOnePercentAndMerges) {
  LoadHistogram one, two;
  for (uint64_t value = 1; value <= 100'000; ++value) (value % 2 == 0 ? one : two).record(value * 1000);
  one.merge(two);
  EXPECT_EQ(one.count(), 100'000u);
  EXPECT_EQ(one.max(), 100'000'000u);
  EXPECT_EQ(one.min(), 1000u);
  EXPECT_NEAR(static_cast<double>(one.percentile(50)), 50e6, 0.5e6);
  EXPECT_NEAR(static_cast<double>(one.percentile(99.9)), 99.9e6, 1e6);
  EXPECT_EQ(one.percentile(100), one.max());
  EXPECT_EQ(one.count_up_to(one.max()), 100'000u);
  EXPECT_EQ(LoadHistogram().percentile(99), 0u);
}

TEST(LoadReport, PrintsPercentilesAsHdrHistogramDoes) {
  LoadHistogram histogram;
  for (uint64_t value = 1; value <= 1000; ++value) histogram.record(value * 1000);
  const std::string table = percentile_table(histogram);
  EXPECT_THAT(table, HasSubstr("       Value     Percentile TotalCount 1/(1-Percentile)\n"));
  EXPECT_THAT(table, HasSubstr(" 0.500000000000 "));
  EXPECT_THAT(table, HasSubstr("1000.000 1.000000000000       1000\n"));
}

TEST(LoadReport, GroupsDigits) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1234567), "1,234,567");
}

// ---- the binary ----

class WeirLoad : public ::testing::Test {
 protected:
  void SetUp() override {
    mock_ = Process::start(WEIR_MOCK_PROVIDER_BINARY, {.arguments = {"--fixed", "--frames", "20"}});
    const auto event = mock_->wait_for_json("port");
    ASSERT_TRUE(event.has_value()) << mock_->errors();
    url_ = "http://127.0.0.1:" + std::to_string((*event)["port"].get<int>()) + "/v1";
  }
  RunResult load(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {url_, "--quiet", "--warmup", "0"});
    return weir::testing::run(WEIR_LOAD_BINARY, {.arguments = std::move(arguments)});
  }
  std::unique_ptr<Process> mock_;
  std::string url_;
};

TEST_F(WeirLoad, AnswersAreCountedAndVerified) {
  const RunResult result = load({"-n", "500", "-c", "8", "-t", "2", "--verify", "--json", "-", "--key", "k"});
  EXPECT_EQ(result.exit_code, kExitOk) << result.errors;
  const auto json = nlohmann::json::parse(result.output);
  EXPECT_EQ(json["requests"], 500);
  EXPECT_EQ(json["statuses"]["200"], 500);
  EXPECT_EQ(json["latency_us"]["count"], 500);
  EXPECT_GT(json["requests_per_s"], 0);
}

TEST_F(WeirLoad, StreamsAreCountedFrameByFrame) {
  const RunResult result = load({"-n", "40", "-c", "4", "--stream", "--expect-frames", "20", "--json", "-"});
  EXPECT_EQ(result.exit_code, kExitOk) << result.errors;
  const auto json = nlohmann::json::parse(result.output);
  EXPECT_EQ(json["ttft_us"]["count"], 40);
  EXPECT_EQ(json["whole_run"]["frames"], 40 * 22);  // and one with the reason to stop, one with the usage
  EXPECT_EQ(json["frame_gap_us"]["count"], 40 * 21);
}

TEST_F(WeirLoad, AWrongAnswerIsAnErrorWithAnExample) {
  const RunResult result = load({"-n", "4", "-c", "1", "--stream", "--expect-frames", "21"});
  EXPECT_EQ(result.exit_code, kExitFailure);
  EXPECT_THAT(result.output, HasSubstr("error      wrong_frames: 4"));
  EXPECT_THAT(result.output, HasSubstr("example    wrong_frames: 20 content frames"));
}

TEST_F(WeirLoad, AMissingHeaderIsAnError) {
  const RunResult result = load({"-n", "4", "-c", "1", "--expect-header", "X-Weir-Unit"});
  EXPECT_EQ(result.exit_code, kExitFailure);
  EXPECT_THAT(result.output, HasSubstr("header_missing: 4"));
}

TEST_F(WeirLoad, AnOpenLoopKeepsItsRateAndCountsFromTheIntendedStart) {
  const RunResult result =
      load({"-d", "1", "--rate", "500", "--arrivals", "fixed", "-c", "4", "--json", "-"});
  EXPECT_EQ(result.exit_code, kExitOk) << result.errors;
  const auto json = nlohmann::json::parse(result.output);
  EXPECT_EQ(json["mode"], "open");
  EXPECT_NEAR(json["latency_us"]["count"].get<double>(), 500, 1);
  EXPECT_GE(json["latency_us"]["max"], json["service_us"]["p50"]);
}

// Coordinated omission: a provider that stalls keeps the one connection from asking, so that only a single request
// is slow by the time from its sending. The 60 that were due meanwhile waited all the same, 150 ms on average.
TEST_F(WeirLoad, AnOpenLoopCountsWhatWasDueWhileTheProviderStalled) {
  const auto provider = Process::start(WEIR_MOCK_PROVIDER_BINARY);
  const auto event = provider->wait_for_json("port");
  ASSERT_TRUE(event.has_value()) << provider->errors();
  const std::string url = "http://127.0.0.1:" + std::to_string((*event)["port"].get<int>());
  const TemporaryFolder folder;
  const std::string stall = folder.write("stall.json", R"({"head_delay_ms":300,"count":1})");
  const RunResult posted = weir::testing::run(
      WEIR_LOAD_BINARY, {.arguments = {url, "--quiet", "--warmup", "0", "-n", "1", "-c", "1", "--path",
                                       "/mock/faults", "--body-file", stall}});
  ASSERT_EQ(posted.exit_code, kExitOk) << posted.output << posted.errors;

  const RunResult result = weir::testing::run(
      WEIR_LOAD_BINARY, {.arguments = {url + "/v1", "--quiet", "--warmup", "0", "-d", "1", "--rate", "200",
                                       "--arrivals", "fixed", "-c", "1", "--json", "-"}});
  ASSERT_EQ(result.exit_code, kExitOk) << result.errors;
  const auto json = nlohmann::json::parse(result.output);
  EXPECT_NEAR(json["latency_us"]["count"].get<double>(), 200, 1);
  EXPECT_GE(json["service_us"]["max"], 300'000);
  EXPECT_LT(json["service_us"]["p90"], 100'000);  // a single one of 200
  // Of 200 requests one in ten was due in the first 100 ms of the stall, and waited for the other 200.
  EXPECT_GE(json["latency_us"]["p90"], 190'000);
  EXPECT_GE(json["latency_us"]["mean"], 40'000);  // 60 x 150 ms, over 200
  EXPECT_GE(json["most_waiting"], 50);
}

TEST_F(WeirLoad, NobodyThereIsSaidAtOnce) {
  mock_->stop();
  const RunResult result = load({"-n", "1", "-c", "2"});
  EXPECT_EQ(result.exit_code, kExitFailure);
  EXPECT_THAT(result.errors, HasSubstr("no connection could be opened"));
}

TEST_F(WeirLoad, BadArgumentsAreNamed) {
  EXPECT_EQ(load({"--body", "many"}).exit_code, kExitBadInput);
  EXPECT_THAT(load({"--body", "many"}).errors, HasSubstr("a size such as 1k"));
  EXPECT_EQ(load({"--rate", "-1"}).exit_code, kExitBadInput);
  EXPECT_EQ(load({"-c", "1", "-t", "2"}).exit_code, kExitBadInput);
  EXPECT_EQ(weir::testing::run(WEIR_LOAD_BINARY, {.arguments = {"ftp://x"}}).exit_code, kExitBadInput);
}

}  // namespace
}  // namespace weir::tools
