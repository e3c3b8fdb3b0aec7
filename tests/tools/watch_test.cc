#include "tools/weirctl/watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tools/weirctl/prometheus.h"
#include "tools/weirctl/render.h"
#include "tools/weirctl/terminal_text.h"

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

TEST(Watch, AddsUpWhatItDoesNotTellApart) {
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

TEST(Watch, InterpolatesQuantilesInsideTheirBucket) {
  const Buckets buckets{{1, 50}, {2, 100}, {kInfinity, 100}};
  EXPECT_DOUBLE_EQ(quantile_of(buckets, 0.25), 0.5);
  EXPECT_DOUBLE_EQ(quantile_of(buckets, 0.5), 1);
  EXPECT_DOUBLE_EQ(quantile_of(buckets, 0.75), 1.5);
  EXPECT_DOUBLE_EQ(quantile_of({{1, 0}, {kInfinity, 10}}, 0.5), 1) << "above the last bound: that bound";
  EXPECT_LT(quantile_of({}, 0.5), 0);
  EXPECT_LT(quantile_of({{1, 0}, {kInfinity, 0}}, 0.5), 0);
}

TEST(Watch, TakesACounterThatWentDownAsANewProcess) {
  const UnitKey key{"s", "u", "stable"};
  Totals before{
      {key, {.exchanges = 100, .errors = 5, .cost_usd = 0, .duration = {{1, 100}}, .first_token = {}}}};
  Totals after{{key, {.exchanges = 7, .errors = 5, .cost_usd = 0, .duration = {{1, 7}}, .first_token = {}}}};
  Totals change = difference(before, after);
  EXPECT_EQ(change[key].exchanges, 7);
  EXPECT_EQ(change[key].errors, 0);
  EXPECT_EQ(change[key].duration, (Buckets{{1, 7}}));
}

TEST(Watch, LooksAtOneScenarioOrTenant) {
  const std::string metrics =
      "weir_exchanges_total{scenario=\"s\",unit=\"u\",arm=\"stable\",tenant=\"a\",status=\"200\"} 3\n"
      "weir_exchanges_total{scenario=\"r\",unit=\"v\",arm=\"stable\",tenant=\"b\",status=\"200\"} 1\n";
  EXPECT_EQ(read_totals(metrics, {.scenario = "s", .tenant = {}}).size(), 1u);
  EXPECT_EQ(read_totals(metrics, {.scenario = {}, .tenant = "b"}).begin()->first.unit, "v");
  EXPECT_TRUE(read_totals(metrics, {.scenario = "s", .tenant = "b"}).empty());
}

Totals two_arms() {
  Totals totals;
  totals[{"s", "a", "stable"}] = {
      .exchanges = 30, .errors = 0, .cost_usd = 0.6, .duration = {{0.1, 30}}, .first_token = {}};
  totals[{"s", "b", "candidate"}] = {
      .exchanges = 10, .errors = 1, .cost_usd = 1, .duration = {}, .first_token = {}};
  totals[{"other", "c", "stable"}] = {
      .exchanges = 0, .errors = 0, .cost_usd = 0, .duration = {}, .first_token = {}};
  return totals;
}

TEST(Watch, ShowsRatesSharesAndCostByScenario) {
  EXPECT_EQ(render_units(two_arms(), 10, 80),
            "other\n"
            "UNIT  ARM     REQ/S   USD/H\n"
            "c     stable    0.0  0.0000\n"
            "\n"
            "s\n"
            "UNIT  ARM        REQ/S  SHARE  ERRORS     P50     P99  USD/H  USD/1K\n"
            "a     stable       3.0  75.0%    0.0%  50.0ms  99.0ms    216   20.00\n"
            "b     candidate    1.0  25.0%   10.0%       -       -    360     100\n");
  EXPECT_THAT(render_units(two_arms(), 0, 80), HasSubstr("REQUESTS"));
  EXPECT_EQ(render_units({}, 1, 80), "no exchange yet\n");
}

TEST(Watch, FitsTheTerminalWhateverUnitsAreCalled) {
  Totals totals;
  totals[{"a-scenario", std::string(64, 'u'), "candidate"}] = {
      .exchanges = 123456, .errors = 77, .cost_usd = 1e9, .duration = {{100, 5}}, .first_token = {{100, 5}}};
  const std::string page = render_units(totals, 1, 80);
  for (size_t begin = 0; begin < page.size();) {
    const size_t end = page.find('\n', begin);
    EXPECT_LE(display_width(page.substr(begin, end - begin)), 80u) << page;
    begin = end + 1;
  }
}

TEST(Watch, LeavesFiguresOutBeforeItBreaksNames) {
  Totals totals;
  totals[{"support-chat", "support-large", "candidate"}] = {
      .exchanges = 1000, .errors = 1, .cost_usd = 1, .duration = {{0.1, 1000}}, .first_token = {{0.1, 1000}}};
  const std::string narrow = render_units(totals, 10, 80);
  EXPECT_THAT(narrow, HasSubstr("support-large  candidate  100.0"));
  EXPECT_THAT(narrow, HasSubstr("USD/1K"));
  EXPECT_THAT(narrow, ::testing::Not(HasSubstr("USD/H")));
  EXPECT_THAT(render_units(totals, 10, 100), HasSubstr("USD/H"));
}

TEST(Watch, TellsMachinesWhatItShows) {
  const nlohmann::json view = units_json(two_arms(), 10);
  ASSERT_EQ(view["units"].size(), 3u);
  EXPECT_EQ(view["seconds"], 10);
  EXPECT_EQ(view["units"][0]["share"], nullptr);
  EXPECT_EQ(view["units"][1]["unit"], "a");
  EXPECT_EQ(view["units"][1]["share"], 0.75);
  EXPECT_EQ(view["units"][2]["errors"], 0.1);
  EXPECT_EQ(view["units"][2]["p99_s"], nullptr);
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
