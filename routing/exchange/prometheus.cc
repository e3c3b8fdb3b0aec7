#include <map>
#include <span>
#include <tuple>

#include "core/strong.h"
#include "routing/exchange/metrics.h"
#include "routing/exchange/prometheus_text.h"

namespace weir::routing {
namespace {

// Upper bounds of the histograms, in nanoseconds: those of the OTel GenAI conventions, and finer ones below,
// where a gateway's own share is.
constexpr uint64_t kUs = 1'000, kMs = 1'000'000, kS = 1'000'000'000;
constexpr uint64_t kDurationBounds[] = {100 * kUs,  250 * kUs,   500 * kUs,   1 * kMs,     2500 * kUs,
                                        5 * kMs,    10 * kMs,    20 * kMs,    40 * kMs,    80 * kMs,
                                        160 * kMs,  320 * kMs,   640 * kMs,   1280 * kMs,  2560 * kMs,
                                        5120 * kMs, 10240 * kMs, 20480 * kMs, 40960 * kMs, 81920 * kMs};
constexpr uint64_t kFirstTokenBounds[] = {250 * kUs, 500 * kUs, 1 * kMs,    5 * kMs,   10 * kMs,   20 * kMs,
                                          40 * kMs,  60 * kMs,  80 * kMs,   100 * kMs, 250 * kMs,  500 * kMs,
                                          750 * kMs, 1 * kS,    2500 * kMs, 5 * kS,    7500 * kMs, 10 * kS};
constexpr uint64_t kTurnBounds[] = {10 * kUs, 25 * kUs,   50 * kUs, 100 * kUs, 250 * kUs, 500 * kUs,
                                    1 * kMs,  2500 * kUs, 5 * kMs,  10 * kMs,  50 * kMs};

using Text = MetricsText;
using Type = MetricsText::Type;
constexpr auto label = metric_label;

void append_histogram(Text& text, const std::string& labels, const core::HistogramSnapshot& snapshot,
                      std::span<const uint64_t> bounds_ns) {
  const auto seconds = [](uint64_t ns) {
    return static_cast<double>(ns) / static_cast<double>(core::kNsPerSecond);
  };
  std::array<uint64_t, std::size(kDurationBounds)> counts;
  static_assert(std::size(kFirstTokenBounds) <= std::size(kDurationBounds) &&
                std::size(kTurnBounds) <= std::size(kDurationBounds));
  snapshot.cumulative(bounds_ns, {counts.data(), bounds_ns.size()});
  for (size_t i = 0; i < bounds_ns.size(); ++i) {
    text.sample("_bucket", labels, "le=\"" + Text::text_of(seconds(bounds_ns[i])) + "\"", counts[i]);
  }
  text.sample("_bucket", labels, "le=\"+Inf\"", snapshot.count());
  text.sample("_sum", labels, "", seconds(snapshot.sum()));
  text.sample("_count", labels, "", snapshot.count());
}

// The series of one label set, one per shard that has seen it.
struct Merged {
  std::string labels;
  std::vector<const MetricSeries*> parts;

  template <typename Get>
  uint64_t sum(Get get) const {
    uint64_t total = 0;
    for (const MetricSeries* part : parts) total += get(*part);
    return total;
  }
};

std::vector<Merged> merge_series(std::span<const ShardMetrics* const> shards) {
  using Key =
      std::tuple<std::string_view, std::string_view, std::string_view, std::string_view, std::string_view>;
  std::map<Key, std::vector<const MetricSeries*>> by_labels;
  for (const ShardMetrics* shard : shards) {
    const uint32_t count = shard->series_count();
    for (uint32_t i = 0; i < count; ++i) {
      const MetricSeries& series = shard->series(i);
      const MetricLabels& labels = series.labels;
      by_labels[{labels.tenant, labels.scenario, labels.unit, labels.arm, labels.provider}].push_back(
          &series);
    }
  }
  std::vector<Merged> merged;
  for (auto& [key, parts] : by_labels) {
    const auto& [tenant, scenario, unit, arm, provider] = key;
    merged.push_back({label("tenant", tenant) + "," + label("scenario", scenario) + "," +
                          label("unit", unit) + "," + label("arm", arm) + "," + label("provider", provider),
                      std::move(parts)});
  }
  // "other" is there from the start, and silent until it is needed.
  std::erase_if(merged, [](const Merged& series) {
    return series.sum([](const MetricSeries& part) {
      uint64_t count = part.fallbacks.value();
      for (const core::Counter& status : part.exchanges) count += status.value();
      return count;
    }) == 0;
  });
  return merged;
}

void append_series(Text& text, std::span<const Merged> all) {
  text.family("weir_exchanges_total", Type::counter,
              "Exchanges settled, by the status sent; 0 = none could be, or one that is not counted apart.");
  for (const Merged& series : all) {
    for (size_t i = 0; i < kCountedStatuses.size(); ++i) {
      const uint64_t count = series.sum([i](const MetricSeries& part) { return part.exchanges[i].value(); });
      if (count != 0)
        text.sample("", series.labels, label("status", Text::text_of(kCountedStatuses[i])), count);
    }
  }

  text.family("gen_ai_client_token_usage", Type::histogram,
              "Tokens of one exchange, as the provider reports them.");
  for (const Merged& series : all) {
    for (const bool input : {true, false}) {
      const auto histogram = [input](const MetricSeries& part) -> const TokenHistogram& {
        return input ? part.input_tokens : part.output_tokens;
      };
      const std::string labels = series.labels + "," + label("gen_ai_token_type", input ? "input" : "output");
      uint64_t count = 0;
      for (unsigned i = 0; i <= TokenHistogram::kBounds; ++i) {
        count += series.sum([&](const MetricSeries& part) { return histogram(part).count(i); });
        const std::string bound =
            i == TokenHistogram::kBounds ? "+Inf" : Text::text_of(TokenHistogram::bound(i));
        text.sample("_bucket", labels, label("le", bound), count);
      }
      text.sample("_sum", labels, "",
                  series.sum([&](const MetricSeries& part) { return histogram(part).sum(); }));
      text.sample("_count", labels, "", count);
    }
  }

  const auto counter = [&](std::string_view name, std::string_view help, auto get) {
    text.family(name, Type::counter, help);
    for (const Merged& series : all) text.sample("", series.labels, "", series.sum(get));
  };
  counter("weir_cached_input_tokens_total",
          "Input tokens that the provider's cache served; part of the input.",
          [](const MetricSeries& part) { return part.cached_input_tokens.value(); });
  counter("weir_reasoning_tokens_total", "Output tokens that were not shown; part of the output.",
          [](const MetricSeries& part) { return part.reasoning_tokens.value(); });
  counter("weir_fallbacks_total",
          "Exchanges that another hop answered, by the unit that was decided and failed.",
          [](const MetricSeries& part) { return part.fallbacks.value(); });
  text.family("weir_cost_usd_total", Type::counter, "What the exchanges cost at the table's prices.");
  for (const Merged& series : all) {
    const uint64_t nano_usd = series.sum([](const MetricSeries& part) { return part.cost_nano_usd.value(); });
    text.sample("", series.labels, "",
                static_cast<double>(nano_usd) / static_cast<double>(core::NanoUsd::kPerUsd));
  }

  const auto durations = [&](std::string_view name, std::string_view help, std::span<const uint64_t> bounds,
                             auto get) {
    text.family(name, Type::histogram, help);
    for (const Merged& series : all) {
      core::HistogramSnapshot snapshot;
      for (const MetricSeries* part : series.parts) get(*part).merge_into(snapshot);
      append_histogram(text, series.labels, snapshot, bounds);
    }
  };
  durations("gen_ai_server_request_duration_seconds", "From the whole request to the whole answer.",
            kDurationBounds,
            [](const MetricSeries& part) -> const core::Histogram& { return part.duration_ns; });
  durations("gen_ai_server_time_to_first_token_seconds",
            "From the whole request to the first content sent on.", kFirstTokenBounds,
            [](const MetricSeries& part) -> const core::Histogram& { return part.first_token_ns; });
}

void append_shards(Text& text, std::span<const ShardMetrics* const> shards) {
  const auto each = [&](std::string_view name, Type type, std::string_view help, auto member) {
    text.family(name, type, help);
    for (size_t i = 0; i < shards.size(); ++i) {
      text.sample("", label("shard", Text::text_of(i)), "", (shards[i]->*member).value());
    }
  };
  using M = ShardMetrics;
  using enum Type;
  each("weir_requests_total", counter, "Whole requests, and refusals.", &M::requests);
  each("weir_attempts_total", counter, "Tries at a provider.", &M::attempts);
  each("weir_open_exchanges", gauge, "Exchanges under way.", &M::exchanges);
  each("weir_connections", gauge, "Client connections open.", &M::connections);
  each("weir_connections_accepted_total", counter, "Client connections accepted.", &M::accepted);
  each("weir_connections_passed_on_total", counter, "Client connections given to a shard that had fewer.",
       &M::connections_passed_on);
  each("weir_connections_refused_total", counter, "Client connections refused at the limit.",
       &M::connections_refused);
  each("weir_records_dropped_total", counter, "Records lost because the control thread's queue was full.",
       &M::records_dropped);
  each("weir_pins_written_total", counter, "Conversations pinned to a unit.", &M::pins_written);
  each("weir_flag_evaluations_total", counter, "Flag evaluations (OFREP) answered.", &M::evaluations);
  each("weir_flag_evaluations_unchanged_total", counter, "Of those, the ones answered with 304.",
       &M::evaluations_unchanged);
  each("weir_event_streams", gauge, "Event streams (OFREP) open.", &M::event_streams);
  each("weir_events_total", counter, "Events sent to all of them.", &M::events_sent);
  each("weir_breakers_opened_total", counter, "Times that a failing provider was left alone.",
       &M::breakers_opened);
  each("weir_cache_hits_total", counter, "Answers given from the cache.", &M::cache_hits);
  each("weir_cache_misses_total", counter, "Requests that the cache had no answer for.", &M::cache_misses);
  each("weir_cache_too_large_total", counter, "Requests too large for the cache to look at.",
       &M::cache_too_large);
  each("weir_cache_stores_total", counter, "Answers put into the cache.", &M::cache_stores);
  each("weir_runaway_refused_total", counter, "Requests refused because their client loops.",
       &M::runaway_refused);
  each("weir_limit_warnings_total", counter,
       "Requests past a limit's `warn_at` within an hour after a table was activated.", &M::limit_warnings);
  each("weir_shadow_started_total", counter, "Copies of requests sent to candidates.", &M::shadow_started);
  each("weir_shadow_dropped_total", counter, "Copies not made: a cap, a busy shard, an open breaker.",
       &M::shadow_dropped);
  each("weir_shadow_over_budget_total", counter, "Copies not made because their budget is used up.",
       &M::shadow_over_budget);
  each("weir_shadow_failed_total", counter, "Copies that were not answered whole.", &M::shadow_failed);
  each("weir_shed_total", counter, "Requests answered 503 because the node is overloaded.", &M::shed);
  each("weir_overload_rung", gauge, "How overloaded the shard is, from 0 (not) to 4.", &M::overload_rung);
  each("weir_loop_turns_total", counter, "Turns of the shard's loop.", &M::turns);
  each("weir_kernel_enters_total", counter, "Entries into the kernel.", &M::kernel_enters);
  each("weir_ring_operations_total", counter, "Operations submitted to the ring.", &M::operations);
  each("weir_ring_completions_total", counter, "Completions taken from the ring.", &M::completions);
  each("weir_ring_overflows_total", counter, "Times the completion queue overflowed.", &M::overflows);
  each("weir_receives_starved_total", counter, "Receives that found no buffer.", &M::no_buffers);
  each("weir_receive_memory_bytes", gauge, "Receive memory.", &M::receive_bytes);
  each("weir_buffer_memory_bytes", gauge, "Buffer memory besides.", &M::buffer_bytes);

  text.family("weir_limited_total", counter,
              "Requests that a limit or budget refused or led to another unit, by the limit that decided.");
  for (unsigned scope = 0; scope < kGuardScopes; ++scope) {
    for (unsigned kind = 0; kind < kLimitKinds; ++kind) {
      uint64_t count = 0;
      for (const ShardMetrics* shard : shards) count += shard->limited[scope][kind].value();
      if (count == 0) continue;
      text.sample("",
                  label("limit", limit_token(static_cast<GuardScope>(scope), static_cast<LimitKind>(kind))),
                  "", count);
    }
  }

  text.family("weir_loop_turn_seconds", histogram, "Work in one turn of a shard's loop, waiting excluded.");
  core::HistogramSnapshot turns;
  for (const ShardMetrics* shard : shards) shard->turn_ns.merge_into(turns);
  append_histogram(text, "", turns, kTurnBounds);

  text.family("weir_errors_total", counter,
              "Exchanges that ended with an error, by its code and by who caused it.");
  for (unsigned code = 0; code < core::kErrorCodeCount; ++code) {
    static constexpr std::string_view kSides[] = {"client", "provider", "weir"};
    const core::ErrorInfo& info = core::describe(static_cast<core::ErrorCode>(code));
    uint64_t count = 0;
    for (const ShardMetrics* shard : shards) count += shard->errors[code].value();
    text.sample("", label("code", info.token) + "," + label("side", kSides[static_cast<size_t>(info.side)]),
                "", count);
  }
}

}  // namespace

void append_prometheus(std::span<const ShardMetrics* const> shards, std::string& out) {
  Text text(out);
  append_series(text, merge_series(shards));
  append_shards(text, shards);
}

}  // namespace weir::routing
