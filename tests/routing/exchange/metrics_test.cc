#include "routing/exchange/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/routing/exchange/record_fixture.h"

namespace weir::routing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kLabels =
    R"(tenant="bank-17",scenario="support-chat",unit="support-41",arm="candidate",provider="openai")";

std::string text_of(const std::vector<const ShardMetrics*>& shards) {
  std::string text;
  append_prometheus(shards, text);
  return text;
}

// The samples of one family, in order.
std::string family(const std::string& text, const std::string& name) {
  std::istringstream lines(text);
  std::string found;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(name + "{") || line.starts_with(name + " ") ||
        line.starts_with("# TYPE " + name + " ")) {
      found += line + "\n";
    }
  }
  return found;
}

TEST(ShardMetrics, CountsAnExchangeUnderItsLabels) {
  const auto table = small_table();
  ShardMetrics metrics;
  metrics.count(whole_record(*table));
  metrics.count(whole_record(*table));
  EXPECT_EQ(family(text_of({&metrics}), "weir_exchanges_total"),
            "# TYPE weir_exchanges_total counter\nweir_exchanges_total{" + kLabels + ",status=\"200\"} 2\n");
  EXPECT_EQ(family(text_of({&metrics}), "weir_cost_usd_total"),
            "# TYPE weir_cost_usd_total counter\nweir_cost_usd_total{" + kLabels + "} 0.002469134\n");
}

TEST(ShardMetrics, CountsTheCostOfAttemptsWhoseAnswerNobodyGot) {
  const auto table = small_table();
  ShardMetrics metrics;
  Record record = whole_record(*table);
  record.usage_reported = false;
  metrics.count(record);
  const std::string text = text_of({&metrics});
  EXPECT_EQ(family(text, "weir_cost_usd_total"),
            "# TYPE weir_cost_usd_total counter\nweir_cost_usd_total{" + kLabels + "} 0.001234567\n");
}

TEST(ShardMetrics, AddsTheShardsUp) {
  const auto table = small_table();
  ShardMetrics first, second;
  first.count(whole_record(*table));
  second.count(whole_record(*table));
  second.requests.add(5);
  const std::string text = text_of({&first, &second});
  EXPECT_THAT(family(text, "weir_exchanges_total"), HasSubstr("} 2\n"));
  EXPECT_THAT(family(text, "gen_ai_server_request_duration_seconds_count"), HasSubstr(kLabels + "} 2\n"));
  EXPECT_EQ(family(text, "weir_requests_total"),
            "# TYPE weir_requests_total counter\n"
            "weir_requests_total{shard=\"0\"} 0\nweir_requests_total{shard=\"1\"} 5\n");
}

TEST(ShardMetrics, KeepsASeriesAcrossRevisions) {
  const auto before = small_table();
  const auto after = small_table();  // other objects, same names
  ShardMetrics metrics;
  metrics.count(whole_record(*before));
  const uint32_t count = metrics.series_count();
  metrics.count(whole_record(*after));
  EXPECT_EQ(metrics.series_count(), count);
}

TEST(ShardMetrics, CountsLabelSetsBeyondTheLimitAsOther) {
  ShardMetrics metrics;
  constexpr uint32_t kTooMany = core::limits::kMaxMetricSeries + 5;
  for (uint32_t i = 0; i < kTooMany; ++i) {
    const auto table = small_table("tenant-" + std::to_string(i));
    metrics.count(whole_record(*table));
  }
  EXPECT_EQ(metrics.series_count(), core::limits::kMaxMetricSeries + 1);  // with "other"
  EXPECT_THAT(text_of({&metrics}),
              HasSubstr(R"(weir_exchanges_total{tenant="other",scenario="other",unit="other",arm="other",)"
                        R"(provider="other",status="200"} 5)"));
  // What had a series keeps it.
  const auto table = small_table("tenant-0");
  metrics.count(whole_record(*table));
  EXPECT_THAT(text_of({&metrics}),
              HasSubstr(R"(weir_exchanges_total{tenant="tenant-0",scenario="support-chat",)"
                        R"(unit="support-41",arm="candidate",provider="openai",status="200"} 2)"));
}

TEST(ShardMetrics, HasNoOtherWhileThereIsRoom) {
  const auto table = small_table();
  ShardMetrics metrics;
  metrics.count(whole_record(*table));
  EXPECT_THAT(text_of({&metrics}), Not(HasSubstr("tenant=\"other\"")));
}

TEST(ShardMetrics, CountsRefusalsWithoutATable) {
  Record record;
  record.status = 400;
  record.error = core::ErrorCode::bad_request_line;
  ShardMetrics metrics;
  metrics.count(record);
  const std::string text = text_of({&metrics});
  EXPECT_THAT(
      text,
      HasSubstr(R"(weir_exchanges_total{tenant="",scenario="",unit="",arm="",provider="",status="400"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(weir_errors_total{code="bad_request_line",side="client"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(weir_errors_total{code="connect_failed",side="provider"} 0)"));
}

TEST(ShardMetrics, CountsAnUnusualStatusAsZero) {
  Record record;
  ShardMetrics metrics;
  for (const uint16_t status : {uint16_t{418}, uint16_t{0}, uint16_t{999}}) {
    record.status = status;
    metrics.count(record);
  }
  EXPECT_THAT(text_of({&metrics}), HasSubstr(R"(status="0"} 3)"));
}

TEST(ShardMetrics, EscapesLabels) {
  const auto table = small_table("a\"b\\c\nd");
  ShardMetrics metrics;
  metrics.count(whole_record(*table));
  EXPECT_THAT(text_of({&metrics}), HasSubstr(R"(tenant="a\"b\\c\nd")"));
}

TEST(TokenHistogram, PutsCountsUpToABoundInItsBucket) {
  EXPECT_EQ(TokenHistogram::index_of(0), 0u);
  for (unsigned i = 0; i < TokenHistogram::kBounds; ++i) {
    EXPECT_EQ(TokenHistogram::index_of(TokenHistogram::bound(i)), i);
    EXPECT_EQ(TokenHistogram::index_of(TokenHistogram::bound(i) + 1), i + 1);
  }
  EXPECT_EQ(TokenHistogram::index_of(UINT64_MAX), TokenHistogram::kBounds);
}

TEST(Prometheus, WritesTokensAsAHistogramOfTheConventions) {
  const auto table = small_table();
  ShardMetrics metrics;
  metrics.count(whole_record(*table));  // 100 in, 50 out
  const std::string text = text_of({&metrics});
  const std::string input = kLabels + R"(,gen_ai_token_type="input")";
  EXPECT_THAT(text, HasSubstr("# TYPE gen_ai_client_token_usage histogram\n"));
  EXPECT_THAT(text, HasSubstr("gen_ai_client_token_usage_bucket{" + input + ",le=\"64\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("gen_ai_client_token_usage_bucket{" + input + ",le=\"256\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("gen_ai_client_token_usage_bucket{" + input + ",le=\"+Inf\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("gen_ai_client_token_usage_sum{" + input + "} 100\n"));
  EXPECT_THAT(text,
              HasSubstr("gen_ai_client_token_usage_sum{" + kLabels + R"(,gen_ai_token_type="output"} 50)"));
}

TEST(Prometheus, WritesTimesInSeconds) {
  const auto table = small_table();
  ShardMetrics metrics;
  metrics.count(whole_record(*table));  // 812 ms in all, 211 ms to the first token
  const std::string text = text_of({&metrics});
  EXPECT_THAT(text,
              HasSubstr("gen_ai_server_request_duration_seconds_bucket{" + kLabels + ",le=\"0.64\"} 0\n"));
  EXPECT_THAT(text,
              HasSubstr("gen_ai_server_request_duration_seconds_bucket{" + kLabels + ",le=\"1.28\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("gen_ai_server_request_duration_seconds_sum{" + kLabels + "} 0.812345678\n"));
  EXPECT_THAT(text,
              HasSubstr("gen_ai_server_time_to_first_token_seconds_bucket{" + kLabels + ",le=\"0.1\"} 0\n"));
  EXPECT_THAT(text,
              HasSubstr("gen_ai_server_time_to_first_token_seconds_bucket{" + kLabels + ",le=\"0.25\"} 1\n"));
}

// What the format asks of a whole page, whatever is on it: each family is announced once, before its samples,
// which stand together; no sample appears twice; each ends in a number; buckets rise.
TEST(Prometheus, IsAValidPage) {
  ShardMetrics first, second;
  for (const char* tenant : {"a", "b", "c"}) {
    const auto table = small_table(tenant);
    first.count(whole_record(*table));
    second.count(whole_record(*table));
  }
  std::istringstream lines(text_of({&first, &second}));
  std::set<std::string> families, samples;
  std::map<std::string, double> last_bucket;
  std::string current, type;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# HELP ")) {
      current = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_TRUE(families.insert(current).second) << line;
      continue;
    }
    if (line.starts_with("# TYPE ")) {
      EXPECT_EQ(line.substr(7, line.rfind(' ') - 7), current);
      type = line.substr(line.rfind(' ') + 1);
      continue;
    }
    const size_t end = line.rfind(' ');
    const std::string sample = line.substr(0, end);
    EXPECT_TRUE(samples.insert(sample).second) << line;
    const std::string name = sample.substr(0, sample.find('{'));
    EXPECT_TRUE(name == current || (type == "histogram" && name.starts_with(current + "_"))) << line;
    size_t used = 0;
    const double value = std::stod(line.substr(end + 1), &used);
    EXPECT_EQ(used, line.size() - end - 1) << line;
    if (!name.ends_with("_bucket")) continue;
    const std::string series = sample.substr(0, sample.rfind("le=\""));
    EXPECT_GE(value, last_bucket[series]) << line;
    last_bucket[series] = value;
  }
  EXPECT_GT(families.size(), 20u);
}

}  // namespace
}  // namespace weir::routing
