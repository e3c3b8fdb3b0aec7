#include "tools/weirctl/watch.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <limits>
#include <optional>
#include <vector>

#include "tools/exit_codes.h"
#include "tools/weirctl/json_fields.h"
#include "tools/weirctl/prometheus.h"
#include "tools/weirctl/render.h"
#include "tools/weirctl/terminal_text.h"

namespace weir::tools {
namespace {

constexpr std::string_view kExchanges = "weir_exchanges_total";
constexpr std::string_view kCost = "weir_cost_usd_total";
constexpr std::string_view kDuration = "gen_ai_server_request_duration_seconds_bucket";
constexpr std::string_view kFirstToken = "gen_ai_server_time_to_first_token_seconds_bucket";

constexpr double kSecondsPerHour = 3600;

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

// At most seven columns, whatever it costs.
std::string money(double usd) {
  if (usd >= 1e6) return fmt::format("{:.1e}", usd);
  return usd >= 100 ? fmt::format("{:.0f}", usd)
         : usd >= 1 ? fmt::format("{:.2f}", usd)
                    : fmt::format("{:.4f}", usd);
}

std::map<std::string, double> exchanges_by_scenario(const Totals& totals) {
  std::map<std::string, double> sums;
  for (const auto& [key, unit] : totals) sums[key.scenario] += unit.exchanges;
  return sums;
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

// The terminal's other screen, without cursor, for its lifetime: what was there before comes back.
class Screen {
 public:
  Screen() { fmt::print("\x1b[?1049h\x1b[?25l"); }
  ~Screen() {
    fmt::print("\x1b[?25h\x1b[?1049l");
    std::fflush(stdout);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // Home, every line cleared to its end, the rest of the screen cleared: no flicker. Lines that find no room
  // are left out, so that nothing scrolls; `last` always has its line.
  void show(std::string_view page, std::string_view last) {
    std::string text = "\x1b[H";
    size_t room = rows();
    while (!page.empty() && room > 1) {
      const size_t end = std::min(page.find('\n'), page.size());
      text += page.substr(0, end);
      text += "\x1b[K\n";
      page.remove_prefix(std::min(end + 1, page.size()));
      --room;
    }
    fmt::print("{}{}{}\x1b[K\x1b[J", text, page.empty() ? "" : "more below; ", last);
    std::fflush(stdout);
  }

 private:
  static size_t rows() {
    winsize size{};
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : SIZE_MAX;
  }
};

}  // namespace

Totals read_totals(std::string_view metrics, const WatchOptions& options) {
  Totals totals;
  for (const Sample& sample : parse_prometheus(metrics)) {
    const bool known = sample.name == kExchanges || sample.name == kCost || sample.name == kDuration ||
                       sample.name == kFirstToken;
    if (!known || sample.label("unit").empty()) continue;
    if (!options.scenario.empty() && sample.label("scenario") != options.scenario) continue;
    if (!options.tenant.empty() && sample.label("tenant") != options.tenant) continue;
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

std::string render_units(const Totals& totals, double seconds, size_t width) {
  if (totals.empty()) return "no exchange yet\n";
  const std::map<std::string, double> per_scenario = exchanges_by_scenario(totals);
  std::string text;
  for (const auto& [scenario, all] : per_scenario) {
    std::vector<std::vector<std::string>> rows;
    for (const auto& [key, unit] : totals) {
      if (key.scenario != scenario) continue;
      const auto percent = [](double part, double whole) {
        return whole > 0 ? fmt::format("{:.1f}%", 100 * part / whole) : std::string("-");
      };
      rows.push_back({shown(key.unit), shown(key.arm),
                      seconds > 0 ? fmt::format("{:.1f}", unit.exchanges / seconds)
                                  : fmt::format("{:.0f}", unit.exchanges),
                      percent(unit.exchanges, all), percent(unit.errors, unit.exchanges),
                      latency(unit.duration, 0.5), latency(unit.duration, 0.99),
                      latency(unit.first_token, 0.99),
                      money(seconds > 0 ? unit.cost_usd / seconds * kSecondsPerHour : unit.cost_usd),
                      unit.exchanges > 0 ? money(unit.cost_usd / unit.exchanges * 1000) : "-"});
    }
    using enum Align;
    const std::vector<Column> columns = {
        {"UNIT"},         {"ARM"},           {seconds > 0 ? "REQ/S" : "REQUESTS", right},
        {"SHARE", right}, {"ERRORS", right}, {"P50", right},
        {"P99", right},   {"TTFT99", right}, {seconds > 0 ? "USD/H" : "USD", right},
        {"USD/1K", right}};
    // In a narrow terminal these give way before names are broken: USD/H, P50, TTFT99. A column without
    // values is left out.
    for (const size_t column : {size_t{8}, size_t{5}, size_t{7}}) {
      const std::string whole = render_table(columns, rows, 0);
      if (width == 0 || display_width(whole.substr(0, whole.find('\n'))) <= width) break;
      for (std::vector<std::string>& row : rows) row[column] = "-";
    }
    text += (text.empty() ? "" : "\n") +
            wrapped(scenario.empty() ? "(models named directly)" : shown(scenario), width) +
            render_table(columns, rows, width);
  }
  return text;
}

nlohmann::json units_json(const Totals& totals, double seconds) {
  const std::map<std::string, double> per_scenario = exchanges_by_scenario(totals);
  nlohmann::json units = nlohmann::json::array();
  for (const auto& [key, unit] : totals) {
    const auto part = [](double value, double whole) {
      return whole > 0 ? nlohmann::json(value / whole) : nlohmann::json();
    };
    const auto quantile = [](const Buckets& buckets, double at) {
      const double value = quantile_of(buckets, at);
      return value < 0 ? nlohmann::json() : nlohmann::json(value);
    };
    units.push_back({{"scenario", key.scenario},
                     {"unit", key.unit},
                     {"arm", key.arm},
                     {"requests", unit.exchanges},
                     {"share", part(unit.exchanges, per_scenario.at(key.scenario))},
                     {"errors", part(unit.errors, unit.exchanges)},
                     {"p50_s", quantile(unit.duration, 0.5)},
                     {"p99_s", quantile(unit.duration, 0.99)},
                     {"ttft_p99_s", quantile(unit.first_token, 0.99)},
                     {"usd", unit.cost_usd}});
  }
  return {{"seconds", seconds}, {"units", std::move(units)}};
}

int run_watch(AdminClient& client, const WatchOptions& options) {
  using Clock = std::chrono::steady_clock;
  struct Reading {
    Clock::time_point at;
    Totals totals;
  };
  const auto interval = std::chrono::milliseconds(std::lround(options.interval_seconds * 1000));
  KeyInput input;
  std::optional<Screen> screen;
  std::deque<Reading> readings;
  while (true) {
    const auto status = client.call({.path = "/v1/status"});
    const auto metrics = status ? client.call({.path = "/metrics"}) : status;
    if (!metrics) {
      screen.reset();
      fmt::print(stderr, "{}\n", metrics.error());
      return kExitUnreachable;
    }
    if (!status->ok() || !metrics->ok()) {
      screen.reset();
      const AdminReply& refused = status->ok() ? *metrics : *status;
      fmt::print(stderr, "{}", render_error(refused.status, refused.body));
      return kExitFailure;
    }
    readings.push_back({Clock::now(), read_totals(metrics->body, options)});
    const auto seconds_since = [&](const Reading& reading) {
      return std::chrono::duration<double>(readings.back().at - reading.at).count();
    };
    // The oldest reading is the one that the window begins with.
    while (readings.size() > 2 && seconds_since(readings[1]) >= options.window_seconds) readings.pop_front();
    const bool first = readings.size() == 1;
    const double seconds = first ? 0 : seconds_since(readings.front());
    const Totals totals =
        first ? readings.back().totals : difference(readings.front().totals, readings.back().totals);
    const nlohmann::json about = nlohmann::json::parse(status->body, nullptr, false);

    if (options.json) {
      nlohmann::json view = units_json(totals, seconds);
      view["revision"] = member(about, "revision");
      fmt::print("{}\n", to_text(view));
      std::fflush(stdout);
    } else {
      const size_t width = terminal_width();
      std::string page = render_headline(about, width);
      for (const nlohmann::json& kill : list(about, "kills")) {
        const std::string name = field(kill, "name");
        page += wrapped(fmt::format("KILLED {}{}: {}", field(kill, "scope"), name == "-" ? "" : " " + name,
                                    field(kill, "reason")),
                        width, 7);
      }
      page += '\n' + render_units(totals, seconds, width);
      if (options.once) {
        fmt::print("{}", page);
        return kExitOk;
      }
      if (!screen) screen.emplace();
      screen->show(page, first ? "totals since the start; q leaves"
                               : fmt::format("the last {:.0f} s; q leaves", std::max(seconds, 1.0)));
    }
    if (options.once) return kExitOk;
    if (input.wants_to_leave(interval)) return kExitOk;
  }
}

}  // namespace weir::tools
