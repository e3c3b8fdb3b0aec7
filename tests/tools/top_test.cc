#include "tools/weirctl/top.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tools/weirctl/prometheus.h"
#include "tools/weirctl/render.h"

namespace weir::tools {
namespace {

using ::testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(Prometheus, ReadsNamesLabelsAndValues) {
  auto samples =
      parse_prometheus("# TYPE a counter\na 1\nb{x=\"1\",y=\"q\\\"\\\\\\n}\"} 2.5 1700000000\n\nc{} +Inf");
  ASSERT_EQ(samples.size(), 3u);
  EXPECT_EQ(samples[0].name, "a");
  EXPECT_EQ(samples[0].value, 1);
  EXPECT_EQ(samples[1].label("x"), "1");
  EXPECT_EQ(samples[1].label("y"), "q\"\\\n}");
  EXPECT_EQ(samples[1].label("z"), "");
  EXPECT_EQ(samples[1].value, 2.5);
  EXPECT_EQ(samples[2].value, kInfinity);
}

TEST(Prometheus, PassesOverWhatItDoesNotUnderstand) {
  for (std::string_view text :
       {"", "\n", "a", "a{", "a{x", "a{x=", "a{x=\"", "a{x=\"1\"", "a{x=\"1\\", "a b", "{", " "}) {
    EXPECT_TRUE(parse_prometheus(text).empty()) << text;
  }
}

TEST(Top, AddsUpWhatItDoesNotTellApart) {
  Totals totals = read_totals(
      "weir_exchanges_total{scenario=\"s\",unit=\"u\",arm=\"stable\",tenant=\"a\",status=\"200\"} 3\n"
      "weir_exchanges_total{scenario=\"s\",unit=\"u\",arm=\"stable\",tenant=\"b\",status=\"404\"} 1\n"
      "weir_exchanges_total{scenario=\"s\",unit=\"u\",arm=\"stable\",tenant=\"b\",status=\"429\"} 1\n"
      "weir_exchanges_total{scenario=\"s\",unit=\"u\",arm=\"stable\",tenant=\"b\",status=\"502\"} 1\n"
      "weir_exchanges_total{tenant=\"b\"} 9\n"
      "weir_cost_usd_total{scenario=\"s\",unit=\"u\",arm=\"stable\"} 0.25\n"
      "gen_ai_server_request_duration_seconds_bucket{scenario=\"s\",unit=\"u\",arm=\"stable\",le=\"0.5\"} 4\n"
      "gen_ai_server_request_duration_seconds_bucket{scenario=\"s\",unit=\"u\",arm=\"stable\",le=\"+Inf\"} "
      "6\n");
  ASSERT_EQ(totals.size(), 1u);
  const UnitTotals& unit = totals[{"s", "u", "stable"}];
  EXPECT_EQ(unit.exchanges, 6);
  EXPECT_EQ(unit.errors, 2);
  EXPECT_EQ(unit.cost_usd, 0.25);
  EXPECT_EQ(unit.duration, (Buckets{{0.5, 4}, {kInfinity, 6}}));
}

TEST(Top, InterpolatesQuantilesInsideTheirBucket) {
  const Buckets buckets{{1, 50}, {2, 100}, {kInfinity, 100}};
  EXPECT_DOUBLE_EQ(quantile_of(buckets, 0.25), 0.5);
  EXPECT_DOUBLE_EQ(quantile_of(buckets, 0.5), 1);
  EXPECT_DOUBLE_EQ(quantile_of(buckets, 0.75), 1.5);
  EXPECT_DOUBLE_EQ(quantile_of({{1, 0}, {kInfinity, 10}}, 0.5), 1) << "above the last bound: that bound";
  EXPECT_LT(quantile_of({}, 0.5), 0);
  EXPECT_LT(quantile_of({{1, 0}, {kInfinity, 0}}, 0.5), 0);
}

TEST(Top, TakesACounterThatWentDownAsANewProcess) {
  const UnitKey key{"s", "u", "stable"};
  Totals before{
      {key, {.exchanges = 100, .errors = 5, .cost_usd = 0, .duration = {{1, 100}}, .first_token = {}}}};
  Totals after{{key, {.exchanges = 7, .errors = 5, .cost_usd = 0, .duration = {{1, 7}}, .first_token = {}}}};
  Totals change = difference(before, after);
  EXPECT_EQ(change[key].exchanges, 7);
  EXPECT_EQ(change[key].errors, 0);
  EXPECT_EQ(change[key].duration, (Buckets{{1, 7}}));
}

TEST(Top, ShowsRatesAndSharesWithinAScenario) {
  Totals totals;
  totals[{"s", "a", "stable"}] = {
      .exchanges = 30, .errors = 0, .cost_usd = 0, .duration = {{0.1, 30}}, .first_token = {}};
  totals[{"s", "b", "candidate"}] = {
      .exchanges = 10, .errors = 1, .cost_usd = 0, .duration = {}, .first_token = {}};
  totals[{"other", "c", "stable"}] = {
      .exchanges = 0, .errors = 0, .cost_usd = 0, .duration = {}, .first_token = {}};
  const std::string page = render_units(totals, 10);
  EXPECT_THAT(page, HasSubstr("REQ/S"));
  EXPECT_THAT(page, HasSubstr("  3.0  75.0%    0.0%  50.0ms  99.0ms"));
  EXPECT_THAT(page, HasSubstr("  1.0  25.0%   10.0%       -       -"));
  EXPECT_THAT(page, HasSubstr("  0.0      -       -"));
}

TEST(Columns, AlignByCodePointsNotBytes) {
  EXPECT_EQ(columns({"NAME", "N"}, {Align::left, Align::right}, {{"é", "1"}, {"abcdef", "100"}}),
            "NAME      N\né         1\nabcdef  100\n");
}

TEST(Uptime, ShowsTheTwoLargestUnits) {
  EXPECT_EQ(uptime(-1), "0s");
  EXPECT_EQ(uptime(59.9), "59s");
  EXPECT_EQ(uptime(61), "1m1s");
  EXPECT_EQ(uptime(3600), "1h0m");
  EXPECT_EQ(uptime(90000), "1d1h");
}

}  // namespace
}  // namespace weir::tools
