#include "tools/weirctl/top.h"

#include <fmt/format.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <limits>

#include "tools/exit_codes.h"
#include "tools/weirctl/prometheus.h"
#include "tools/weirctl/render.h"

namespace weir::tools {
namespace {

constexpr std::string_view kExchanges = "weir_exchanges_total";
constexpr std::string_view kCost = "weir_cost_usd_total";
constexpr std::string_view kDuration = "gen_ai_server_request_duration_seconds_bucket";
constexpr std::string_view kFirstToken = "gen_ai_server_time_to_first_token_seconds_bucket";

double since(double before, double after) {
  return after >= before ? after - before : after;
}

Buckets difference(const Buckets& before, const Buckets& after) {
  Buckets result;
  for (const auto& [bound, count] : after) {
    auto found = before.find(bound);
    result[bound] = since(found == before.end() ? 0 : found->second, count);
  }
  return result;
}

std::string latency(const Buckets& buckets, double quantile) {
  const double seconds = quantile_of(buckets, quantile);
  if (seconds < 0) return "-";
  if (seconds < 0.001) return fmt::format("{:.0f}us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.1f}ms", seconds * 1e3);
  return fmt::format("{:.2f}s", seconds);
}

bool is_error(const std::string& status) {
  const long number = std::strtol(status.c_str(), nullptr, 10);
  return number == 429 || number >= 500;
}

// Puts the terminal into "every key at once, unseen" for its lifetime. Ctrl-C arrives as a key too, so that
// leaving always restores the terminal.
class KeyInput {
 public:
  KeyInput() {
    active_ = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &saved_) == 0;
    if (!active_) return;
    termios keys = saved_;
    keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
    tcsetattr(STDIN_FILENO, TCSANOW, &keys);
  }
  ~KeyInput() {
    if (active_) tcsetattr(STDIN_FILENO, TCSANOW, &saved_);
  }
  KeyInput(const KeyInput&) = delete;
  KeyInput& operator=(const KeyInput&) = delete;

  // Waits for the time to pass; true when the user wants to leave meanwhile, or stdin is at its end.
  bool wants_to_leave(std::chrono::milliseconds wait) {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    if (poll(&input, 1, static_cast<int>(wait.count())) <= 0) return false;
    constexpr char kControlC = 3, kControlD = 4;
    char key = 0;
    if (read(STDIN_FILENO, &key, 1) <= 0) return true;
    return key == 'q' || key == 'Q' || key == kControlC || key == kControlD;
  }

 private:
  bool active_ = false;
  termios saved_{};
};

}  // namespace

Totals read_totals(std::string_view metrics) {
  Totals totals;
  for (const Sample& sample : parse_prometheus(metrics)) {
    const bool known = sample.name == kExchanges || sample.name == kCost || sample.name == kDuration ||
                       sample.name == kFirstToken;
    if (!known || sample.label("unit").empty()) continue;
    UnitTotals& unit = totals[{sample.label("scenario"), sample.label("unit"), sample.label("arm")}];
    if (sample.name == kExchanges) {
      unit.exchanges += sample.value;
      if (is_error(sample.label("status"))) unit.errors += sample.value;
    } else if (sample.name == kCost) {
      unit.cost_usd += sample.value;
    } else {
      Buckets& buckets = sample.name == kDuration ? unit.duration : unit.first_token;
      buckets[std::strtod(sample.label("le").c_str(), nullptr)] += sample.value;  // strtod reads "+Inf"
    }
  }
  return totals;
}

double quantile_of(const Buckets& buckets, double quantile) {
  if (buckets.empty() || buckets.rbegin()->second <= 0) return -1;
  const double rank = quantile * buckets.rbegin()->second;
  double lower_bound = 0, lower_count = 0;
  for (const auto& [bound, count] : buckets) {
    if (count >= rank && count > lower_count) {
      if (bound == std::numeric_limits<double>::infinity()) return lower_bound;
      return lower_bound + (bound - lower_bound) * (rank - lower_count) / (count - lower_count);
    }
    lower_bound = bound;
    lower_count = count;
  }
  return lower_bound;
}

Totals difference(const Totals& before, const Totals& after) {
  Totals result;
  for (const auto& [key, now] : after) {
    auto found = before.find(key);
    const UnitTotals then = found == before.end() ? UnitTotals{} : found->second;
    result[key] = {.exchanges = since(then.exchanges, now.exchanges),
                   .errors = since(then.errors, now.errors),
                   .cost_usd = since(then.cost_usd, now.cost_usd),
                   .duration = difference(then.duration, now.duration),
                   .first_token = difference(then.first_token, now.first_token)};
  }
  return result;
}

std::string render_units(const Totals& totals, double seconds) {
  std::map<std::string, double> per_scenario;
  for (const auto& [key, unit] : totals) per_scenario[key.scenario] += unit.exchanges;
  std::vector<std::vector<std::string>> rows;
  for (const auto& [key, unit] : totals) {
    const double all = per_scenario[key.scenario];
    auto percent = [](double part, double whole) {
      return whole > 0 ? fmt::format("{:.1f}%", 100 * part / whole) : std::string("-");
    };
    rows.push_back({key.scenario.empty() ? "-" : printable(key.scenario), printable(key.unit),
                    printable(key.arm),
                    seconds > 0 ? fmt::format("{:.1f}", unit.exchanges / seconds)
                                : fmt::format("{:.0f}", unit.exchanges),
                    percent(unit.exchanges, all), percent(unit.errors, unit.exchanges),
                    latency(unit.duration, 0.5), latency(unit.duration, 0.99),
                    latency(unit.first_token, 0.99), fmt::format("{:.4f}", unit.cost_usd)});
  }
  using enum Align;
  return columns({"SCENARIO", "UNIT", "ARM", seconds > 0 ? "REQ/S" : "REQUESTS", "SHARE", "ERRORS", "P50",
                  "P99", "TTFT P99", "USD"},
                 {left, left, left, right, right, right, right, right, right, right}, rows);
}

int run_top(AdminClient& client, bool once, std::chrono::milliseconds interval) {
  KeyInput input;
  Totals before;
  auto read_at = std::chrono::steady_clock::now();
  for (bool first = true;; first = false) {
    auto status = client.call({.path = "/v1/status"});
    auto metrics = status ? client.call({.path = "/metrics"}) : std::move(status);
    if (!metrics) {
      fmt::print(stderr, "{}\n", metrics.error());
      return kExitUnreachable;
    }
    if (!status->ok() || !metrics->ok()) {
      const AdminReply& refused = status->ok() ? *metrics : *status;
      fmt::print(stderr, "{}", render_error(refused.status, refused.body));
      return kExitFailure;
    }
    const auto now = std::chrono::steady_clock::now();
    Totals after = read_totals(metrics->body);
    const double seconds = first ? 0 : std::chrono::duration<double>(now - read_at).count();
    const std::string page = render_headline(nlohmann::json::parse(status->body, nullptr, false)) + "\n" +
                             render_units(first ? after : difference(before, after), seconds);
    if (once) {
      fmt::print("{}", page);
      return kExitOk;
    }
    // Home, the page with every line cleared to its end, and the rest of the screen cleared: no flicker.
    std::string screen = "\x1b[H";
    for (char c : page) screen += c == '\n' ? "\x1b[K\n" : std::string(1, c);
    fmt::print("{}\n{}\x1b[K\x1b[J", screen, first ? "totals since the start; q leaves" : "q leaves");
    std::fflush(stdout);
    before = std::move(after);
    read_at = now;
    if (input.wants_to_leave(interval)) {
      fmt::print("\n");
      return kExitOk;
    }
  }
}

}  // namespace weir::tools
