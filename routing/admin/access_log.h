// The access log: one JSON line per exchange (routing/exchange/record.h), gathered and written in large
// pieces.
//
// A reader that is slow costs memory up to limits::kMaxAccessLogBytes, then lines; a disk that fails costs
// the lines of one flush. Both are counted and said once in a while; neither stops the gateway.
//
// Thread: the control thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/file.h"
#include "routing/exchange/record.h"

namespace weir::routing {

class AccessLog {
 public:
  // Without a file, records are counted and forgotten.
  explicit AccessLog(std::unique_ptr<core::AppendFile> file) : file_(std::move(file)) {}

  void add(const Record& record);
  // Any other line, with its line break.
  void add_line(std::string_view line);
  // Writes what was gathered. `now_ns` is the loop's, for the rate of complaints.
  void flush(uint64_t now_ns);
  // The same for the last time: waits so long for a slow reader; what is left then is lost.
  void finish(uint64_t now_ns, int patience_ms);
  // After the file was rotated away. The error is one sentence; the old file goes on being written.
  std::expected<void, std::string> reopen(uint64_t now_ns);

  uint64_t lines_written() const { return written_; }
  uint64_t lines_lost() const { return lost_; }
  // Gathered, or refused by a slow reader.
  bool pending() const { return begin_ < buffer_.size(); }

 private:
  void lose_rest(std::string_view reason);

  std::unique_ptr<core::AppendFile> file_;
  std::string buffer_;
  size_t begin_ = 0;  // of what is still to be written
  bool reader_slow_ = false;
  uint64_t now_ns_ = 0;  // of the last flush
  uint64_t written_ = 0;
  uint64_t lost_ = 0;
};

}  // namespace weir::routing
