#include "core/log.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "core/json_text.h"
#include "core/limits.h"
#include "core/strong.h"
#include "core/timestamp.h"

namespace weir::core {
namespace {

bool write_to_stderr(std::string_view line) {
  while (!line.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    // Short writes do not happen to pipes and terminals at this size; a nearly full disk may cause one.
    line.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

// Not core/clock.h: this library must link without the seam (fuzzers, tools), and a simulation sets its sink.
int64_t system_wall_now_ns() {
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since_epoch).count();
}

constexpr LogSink kStderr = {write_to_stderr, system_wall_now_ns};

LogSink active_sink = kStderr;
std::atomic<LogLevel> least_level{LogLevel::info};
std::atomic<uint64_t> lost_lines{0};

std::string_view name_of(LogLevel level) {
  constexpr std::string_view kNames[] = {"debug", "info", "warning", "error"};
  return kNames[std::to_underlying(level)];
}

void put(JsonText& out, const LogField& field) {
  out.raw(",");
  out.string(field.name);
  out.raw(":");
  std::visit(
      [&out](const auto& value) {
        using Value = std::decay_t<decltype(value)>;
        if constexpr (std::same_as<Value, std::string_view>) {
          out.string(value, limits::kMaxLogValueBytes);
        } else if constexpr (std::same_as<Value, bool>) {
          out.boolean(value);
        } else {
          out.number(value);
        }
      },
      field.value.get());
}

void write_line(LogLevel level, std::string_view event, std::span<const LogField> fields,
                uint64_t suppressed) {
  constexpr std::string_view kEnd = "}\n";
  constexpr std::string_view kTruncatedEnd = ",\"truncated\":true}\n";
  std::array<char, limits::kMaxLogLineBytes> line;
  JsonText out({line.data(), line.size() - kTruncatedEnd.size()});

  out.raw("{\"time\":\"");
  out.raw(timestamp(active_sink.wall_now_ns()).view());
  out.raw("\",\"level\":\"");
  out.raw(name_of(level));
  out.raw("\",\"event\":");
  out.string(event, limits::kMaxLogValueBytes / 8);  // fits whatever it holds
  const uint64_t lost = lost_lines.exchange(0, std::memory_order_relaxed);
  if (lost != 0) put(out, {"lost_lines", lost});
  if (suppressed != 0) put(out, {"suppressed", suppressed});

  bool truncated = false;
  for (const LogField& field : fields) {
    const size_t before = out.size();
    put(out, field);
    if (out.overflowed()) {
      out.rewind(before);
      truncated = true;
    }
  }
  const std::string_view end = truncated ? kTruncatedEnd : kEnd;
  end.copy(line.data() + out.size(), end.size());
  if (!active_sink.write({line.data(), out.size() + end.size()})) {
    lost_lines.fetch_add(lost + 1, std::memory_order_relaxed);
  }
}

bool wanted(LogLevel level) {
  return level >= least_level.load(std::memory_order_relaxed);
}

}  // namespace

void set_log_sink(LogSink sink) {
  active_sink = sink;
}
void reset_log_sink() {
  active_sink = kStderr;
}
void set_log_level(LogLevel least) {
  least_level.store(least, std::memory_order_relaxed);
}

void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (wanted(level)) write_line(level, event, fields, 0);
}

// Window and count share a word, so that threads agree on both by one exchange. Relaxed: nothing else is
// ordered by it. A clock that differs between threads by a second costs at most a window's worth of lines.
bool RateLimitedLog::admit(uint64_t now_ns) {
  const uint64_t second = now_ns / kNsPerSecond & UINT32_MAX;
  uint64_t seen = window_.load(std::memory_order_relaxed);
  while (true) {
    const uint64_t used = seen >> 32 == second ? seen & UINT32_MAX : 0;
    if (used >= lines_per_second_) return false;
    if (window_.compare_exchange_weak(seen, second << 32 | (used + 1), std::memory_order_relaxed))
      return true;
  }
}

void RateLimitedLog::log(uint64_t now_ns, LogLevel level, std::string_view event,
                         std::initializer_list<LogField> fields) {
  if (!wanted(level)) return;
  if (!admit(now_ns)) {
    suppressed_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  write_line(level, event, fields, suppressed_.exchange(0, std::memory_order_relaxed));
}

}  // namespace weir::core
