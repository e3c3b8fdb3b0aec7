// Reads answers as a plain and strict client would: its own few lines, nothing of the gateway's parsers.
#pragma once

#include <string>
#include <string_view>

#include "tests/sim/swarm_journal.h"

namespace weir::sim {

class AnswerReader {
 public:
  enum class Step : uint8_t { need_more, done, malformed };

  void feed(std::string_view bytes) { text_ += bytes; }
  // Reads on; done: answer() is whole, and next() begins the next one with what is left.
  Step read();
  void next();
  void reset();
  bool head_seen() const { return body_at_ != 0; }
  bool asks_to_close() const { return close_; }
  Answer& answer() { return answer_; }

 private:
  bool read_head(std::string_view head);
  Step read_chunks();

  std::string text_;
  Answer answer_;
  size_t body_at_ = 0;  // 0: the head is not whole
  size_t at_ = 0;       // chunked: the next chunk
  size_t length_ = 0;
  bool chunked_ = false;
  bool close_ = false;
};

}  // namespace weir::sim
