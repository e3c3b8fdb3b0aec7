#include "routing/admin/access_log.h"

#include <algorithm>

#include "core/clock.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/strong.h"

namespace weir::routing {
namespace {

constexpr size_t kFlushBytes = 256 * 1024;
constinit core::RateLimitedLog complaint(1);

uint64_t count_lines(std::string_view text) {
  return static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

void AccessLog::add(const Record& record) {
  if (file_ == nullptr) return;
  if (buffer_.size() - begin_ >= core::limits::kMaxAccessLogBytes) {
    ++lost_;
    return;
  }
  append_json(record, buffer_);
  if (buffer_.size() - begin_ >= kFlushBytes && !reader_slow_) flush(now_ns_);
}

void AccessLog::add_line(std::string_view line) {
  if (file_ == nullptr) return;
  if (buffer_.size() - begin_ >= core::limits::kMaxAccessLogBytes) {
    ++lost_;
    return;
  }
  buffer_ += line;
  if (buffer_.size() - begin_ >= kFlushBytes && !reader_slow_) flush(now_ns_);
}

void AccessLog::flush(uint64_t now_ns) {
  now_ns_ = now_ns;
  if (!pending()) return;
  const std::string_view rest = std::string_view(buffer_).substr(begin_);
  const core::AppendFile::Appended appended = file_->append(rest);
  reader_slow_ = appended.outcome == core::AppendFile::Outcome::waiting;
  written_ += count_lines(rest.substr(0, appended.bytes));
  begin_ += appended.bytes;
  if (appended.outcome == core::AppendFile::Outcome::failed) lose_rest(file_->reason());
  if (begin_ == buffer_.size()) {
    buffer_.clear();
    begin_ = 0;
  } else if (begin_ >= core::limits::kMaxAccessLogBytes) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
}

void AccessLog::finish(uint64_t now_ns, int patience_ms) {
  const uint64_t deadline_ns =
      core::deadline_after(core::monotonic_now_ns(), core::milliseconds(static_cast<uint64_t>(patience_ms)));
  do {
    flush(now_ns);
  } while (pending() && core::monotonic_now_ns() < deadline_ns && file_->wait_for_reader(patience_ms));
  if (pending()) lose_rest("its reader is too slow");
}

void AccessLog::lose_rest(std::string_view reason) {
  const uint64_t lost = count_lines(std::string_view(buffer_).substr(begin_));
  lost_ += lost;
  complaint.log(now_ns_, core::LogLevel::error, "access_log_failed",
                {{"reason", reason}, {"lost_lines", lost}});
  begin_ = buffer_.size();
}

std::expected<void, std::string> AccessLog::reopen(uint64_t now_ns) {
  if (file_ == nullptr) return {};
  flush(now_ns);  // to the file these lines belong to
  return file_->reopen();
}

}  // namespace weir::routing
