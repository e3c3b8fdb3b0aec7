#include "tools/load/load_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace weir::tools {
namespace {

double seconds_of(uint64_t ns) {
  return static_cast<double>(ns) / 1e9;
}
double microseconds_of(uint64_t ns) {
  return static_cast<double>(ns) / 1e3;
}

double per_second(uint64_t count, uint64_t ns) {
  return ns == 0 ? 0 : static_cast<double>(count) / seconds_of(ns);
}

std::string time_text(uint64_t ns) {
  const double us = microseconds_of(ns);
  if (us < 100) return fmt::format("{:.1f} µs", us);
  if (us < 10'000) return fmt::format("{:.0f} µs", us);
  return us < 10'000'000 ? fmt::format("{:.1f} ms", us / 1e3) : fmt::format("{:.1f} s", us / 1e6);
}

std::string line(std::string_view name, const LoadHistogram& histogram, std::string_view what) {
  if (histogram.count() == 0) return {};
  std::string text = fmt::format("{:<11}", name);
  for (const double percent : {50.0, 90.0, 99.0, 99.9, 99.99}) {
    text += fmt::format("p{:g} {}   ", percent, time_text(histogram.percentile(percent)));
  }
  return text + fmt::format("max {}   mean {}   {}\n", time_text(histogram.max()),
                            time_text(static_cast<uint64_t>(histogram.mean())), what);
}

nlohmann::json histogram_json(const LoadHistogram& histogram) {
  nlohmann::json json = {{"count", histogram.count()},
                         {"mean", histogram.mean() / 1e3},
                         {"min", microseconds_of(histogram.min())},
                         {"max", microseconds_of(histogram.max())}};
  for (const double percent : {50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99}) {
    json[fmt::format("p{:g}", percent)] =
        histogram.count() == 0 ? 0 : microseconds_of(histogram.percentile(percent));
  }
  return json;
}

}  // namespace

std::string grouped(uint64_t number) {
  std::string text = std::to_string(number);
  for (size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
  return text;
}

std::string summary(const LoadOptions& options, const LoadResult& result) {
  const uint64_t errors = result.error_count();
  std::string text =
      fmt::format("requests   {} in {:.1f} s = {}/s   {} error{}\n", grouped(result.window_answers),
                  seconds_of(result.window_ns),
                  grouped(static_cast<uint64_t>(per_second(result.window_answers, result.window_ns))),
                  grouped(errors), errors == 1 ? "" : "s");
  if (options.rate > 0) {
    text += fmt::format("wanted     {:g}/s, {} arrivals; at most {} waited for a connection\n", options.rate,
                        options.arrivals == Arrivals::poisson ? "Poisson" : "fixed",
                        grouped(result.most_waiting));
  }
  for (const auto& [status, count] : result.statuses)
    text += fmt::format("status     {}: {}\n", status, grouped(count));
  for (const auto& [name, count] : result.errors)
    text += fmt::format("error      {}: {}\n", name, grouped(count));
  if (!result.example.empty()) text += "example    " + result.example + "\n";
  text += line("latency", result.latency, options.rate > 0 ? "from the intended start" : "from the send");
  if (options.rate > 0) text += line("service", result.service, "from the send (hides waiting)");
  text += line("TTFT", result.first_token, "to the first content frame");
  text += line("frame gap", result.frame_gap, "between frames of a stream");
  if (result.all_frames > 0) {
    text += fmt::format("frames     {} = {}/s\n", grouped(result.window_frames),
                        grouped(static_cast<uint64_t>(per_second(result.window_frames, result.window_ns))));
  }
  if (!options.watched_pids.empty()) {
    const double cpu_us = microseconds_of(result.watched_cpu_ns);
    text += fmt::format("watched    {:.3f} s of CPU, {:.2f} µs per request, {} KiB\n", cpu_us / 1e6,
                        cpu_us / static_cast<double>(std::max<uint64_t>(1, result.window_answers)),
                        grouped(result.watched_kib));
  }
  text += fmt::format("generator  {:.2f} s of CPU", seconds_of(result.cpu_ns));
  if (result.all_answers > 0) {
    text += fmt::format(", {:.2f} µs per request",
                        microseconds_of(result.cpu_ns) / static_cast<double>(result.all_answers));
  }
  return text +
         fmt::format("; {} reconnect{}\n", grouped(result.reconnects), result.reconnects == 1 ? "" : "s");
}

std::string percentile_table(const LoadHistogram& histogram) {
  std::string text = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n";
  // Five steps each time the distance to 100 % halves, as HdrHistogram does.
  constexpr int kSteps = 5;
  if (histogram.count() > 0) {
    for (int half = 0;; ++half) {
      const double remaining = std::pow(0.5, half);
      if (remaining * static_cast<double>(histogram.count()) < 0.5) break;
      for (int step = 0; step < kSteps; ++step) {
        const double fraction = 1 - remaining * (1 - 0.5 * step / kSteps);
        const uint64_t value = histogram.percentile(fraction * 100);
        text += fmt::format("{:12.3f} {:.12f} {:10} {:14.2f}\n", microseconds_of(value), fraction,
                            histogram.count_up_to(value), 1 / (1 - fraction));
      }
    }
  }
  text += fmt::format("{:12.3f} {:.12f} {:10}\n", microseconds_of(histogram.max()), 1.0, histogram.count());
  return text + fmt::format("#[Mean    = {:12.3f}]\n#[Max     = {:12.3f}, Total count = {:12}]\n",
                            histogram.mean() / 1e3, microseconds_of(histogram.max()), histogram.count());
}

nlohmann::json report_json(const LoadOptions& options, const LoadResult& result) {
  nlohmann::json statuses = nlohmann::json::object();
  for (const auto& [status, count] : result.statuses) statuses[std::to_string(status)] = count;
  nlohmann::json json = {
      {"mode", options.rate > 0 ? "open" : "closed"},
      {"connections", options.connections},
      {"threads", options.threads},
      {"seed", options.seed},
      {"window_s", seconds_of(result.window_ns)},
      {"requests", result.window_answers},
      {"requests_per_s", per_second(result.window_answers, result.window_ns)},
      {"errors", result.errors},
      {"error_count", result.error_count()},
      {"example", result.example},
      {"statuses", statuses},
      {"latency_us", histogram_json(result.latency)},
      {"service_us", histogram_json(result.service)},
      {"ttft_us", histogram_json(result.first_token)},
      {"frame_gap_us", histogram_json(result.frame_gap)},
      {"frames", result.window_frames},
      {"frames_per_s", per_second(result.window_frames, result.window_ns)},
      {"whole_run",
       {{"requests", result.all_answers},
        {"frames", result.all_frames},
        {"sent_bytes", result.sent_bytes},
        {"body_bytes", result.all_bytes},
        {"reconnects", result.reconnects},
        {"cpu_s", seconds_of(result.cpu_ns)}}},
  };
  if (!options.watched_pids.empty()) {
    json["watched"] = {{"cpu_s", seconds_of(result.watched_cpu_ns)}, {"pss_kib", result.watched_kib}};
  }
  if (options.rate > 0) {
    json["wanted_per_s"] = options.rate;
    json["most_waiting"] = result.most_waiting;
  }
  return json;
}

}  // namespace weir::tools
