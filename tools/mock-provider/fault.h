// What the mock provider does wrong on purpose. Faults are posted as JSON objects to /mock/faults and apply,
// the first that matches, to requests of the API:
//
//   delay_ms               before anything is done
//   head_delay_ms          more of it, before the head
//   first_token_delay_ms   streams: between the first frame (which has no content) and the first token;
//                          other answers: before the head
//   token_delay_ms         before every further token
//   status                 an error of that status instead of the answer, with
//   retry_after              that header, in seconds
//   error_code, error_type   of its body, when the usual ones of the status do not do
//   headers                {"name": "value"}, added to any answer
//   truncate_at            the connection ends cleanly after that many bytes of body
//   reset_at               it ends with a reset
//   stall_at               nothing more comes, and nothing ends
//   no_done                a stream ends without "data: [DONE]"
//   content_length_delta   added to Content-Length; the body stays what it is
//   bad_head               a head that is not HTTP
//   bad_chunk              a stream with a malformed chunk behind its first frame
//   chunk_bytes            the body in pieces of that size, each sent by itself
//   extra_bytes            that many bytes behind the answer
//   usage                  "none"; "early": streams, on the last chunk with choices; "string": as text
//   tokens                 {"prompt", "completion", "cached", "reasoning"}: what usage says
//   count                  how many requests it applies to; for ever if it is not given
//   match                  {"model", "path"}: only requests like this
//
// Thread: the loop's. Limit: kMaxFaults.
#pragma once

#include <cstdint>
#include <expected>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::tools {

struct Fault {
  enum class Usage : uint8_t { normal, none, early, string };
  struct Tokens {
    std::optional<uint64_t> prompt, completion, cached, reasoning;
  };

  uint64_t id = 0;
  uint64_t delay_ms = 0;
  uint64_t head_delay_ms = 0;
  uint64_t first_token_delay_ms = 0;
  std::optional<uint64_t> token_delay_ms;
  uint64_t status = 0;  // 0 = the usual answer
  std::optional<uint64_t> retry_after;
  std::string error_code;
  std::string error_type;
  std::vector<std::pair<std::string, std::string>> headers;
  std::optional<uint64_t> truncate_at, reset_at, stall_at;
  bool no_done = false;
  int64_t content_length_delta = 0;
  bool bad_head = false;
  bool bad_chunk = false;
  uint64_t chunk_bytes = 0;
  uint64_t extra_bytes = 0;
  Usage usage = Usage::normal;
  Tokens tokens;
  uint64_t count = UINT64_MAX;  // still to be applied
  std::string match_model;
  std::string match_path;
};

class FaultList {
 public:
  static constexpr size_t kMaxFaults = 1000;

  // Adds what `text` describes and returns its id. The error is a sentence; a name that is not in the list
  // above is one, so that a typing error in a test is not a fault that never happens.
  std::expected<uint64_t, std::string> add(std::string_view text);
  void clear() { faults_.clear(); }

  // What applies to a request: the first match, counted down; nothing as a rule.
  std::optional<Fault> take(std::string_view model, std::string_view path);

  size_t size() const { return faults_.size(); }
  uint64_t applied() const { return applied_; }

 private:
  std::vector<Fault> faults_;
  uint64_t next_id_ = 1;
  uint64_t applied_ = 0;
};

}  // namespace weir::tools
