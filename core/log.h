// The operational log: what happened to the process, for whoever runs it. One JSON object per line on stderr:
//
//     {"time":"2026-12-01T09:00:00.000Z","level":"info","event":"listening","address":"[::]:8080","shard":3}
//
//     log_info("listening", {{"address", text}, {"shard", index}});
//
// Exchanges are not logged here; they have records. Never log a secret, nor a body.
//
// Rules
//  1. `event` and field names are constants in snake_case; what varies is in the values. Hostile text cannot
//     forge a line or a field (core/json_text.h says what is escaped).
//  2. A line is one write(2) of at most limits::kMaxLogLineBytes, so that lines of several threads never mix,
//     in a pipe either. Fields that do not fit are left out and the line says "truncated":true; a value
//     longer than limits::kMaxLogValueBytes is cut.
//  3. A line that cannot be written is counted, and the next one says "lost_lines":n.
//  4. The write may block: cold paths only. What traffic can cause, however rarely, goes through
//     RateLimitedLog.
//
// Thread: any, except set_log_sink().
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <type_traits>
#include <variant>

namespace weir::core {

enum class LogLevel : uint8_t { debug, info, warning, error };

// A value of a field: text, number or truth. Refers to the text; lives for the one call.
class LogValue {
 public:
  template <typename Text>
  requires std::convertible_to<const Text&, std::string_view> LogValue(const Text& text)
      : value_(std::string_view(text)) {}  // NOLINT: implicit for {{"name", value}}
  template <std::integral Number>
  LogValue(Number number) {  // NOLINT: as above
    if constexpr (std::same_as<Number, bool>) {
      value_ = number;
    } else if constexpr (std::is_signed_v<Number>) {
      value_ = static_cast<int64_t>(number);
    } else {
      value_ = static_cast<uint64_t>(number);
    }
  }

  const std::variant<std::string_view, bool, int64_t, uint64_t>& get() const { return value_; }

 private:
  std::variant<std::string_view, bool, int64_t, uint64_t> value_;
};

struct LogField {
  std::string_view name;
  LogValue value;
};

// Where lines go and what time they bear; a test or a simulation has its own. `write` gets a whole line with
// its line feed, and answers whether it got through.
struct LogSink {
  bool (*write)(std::string_view line);
  int64_t (*wall_now_ns)();
};

// Replaces stderr and the system's clock. Before other threads log.
void set_log_sink(LogSink sink);
// Back to stderr.
void reset_log_sink();

// Lines below this level are not written. info at first.
void set_log_level(LogLevel least);

void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

inline void log_debug(std::string_view event, std::initializer_list<LogField> fields = {}) {
  log(LogLevel::debug, event, fields);
}
inline void log_info(std::string_view event, std::initializer_list<LogField> fields = {}) {
  log(LogLevel::info, event, fields);
}
inline void log_warning(std::string_view event, std::initializer_list<LogField> fields = {}) {
  log(LogLevel::warning, event, fields);
}
inline void log_error(std::string_view event, std::initializer_list<LogField> fields = {}) {
  log(LogLevel::error, event, fields);
}

// A call site that traffic can reach: at most so many lines per second of the clock passed in, over all
// threads. The next line let through says how many were "suppressed" before it.
//
//     static RateLimitedLog limited(5);
//     limited.log(loop.now_ns(), LogLevel::warning, "accept_failed", {{"errno", error}});
class RateLimitedLog {
 public:
  explicit constexpr RateLimitedLog(uint32_t lines_per_second) : lines_per_second_(lines_per_second) {}

  RateLimitedLog(const RateLimitedLog&) = delete;
  RateLimitedLog& operator=(const RateLimitedLog&) = delete;

  void log(uint64_t now_ns, LogLevel level, std::string_view event,
           std::initializer_list<LogField> fields = {});

 private:
  bool admit(uint64_t now_ns);

  const uint32_t lines_per_second_;
  std::atomic<uint64_t> window_{0};  // the second (high half) and the lines let through in it
  std::atomic<uint64_t> suppressed_{0};
};

}  // namespace weir::core
