// Paired records of shadow mode for an offline judge: one JSON line per pair, in a stream of its own.
//
//   {"time","request_id","tenant","scenario","flag","revision","endpoint","streamed",
//    "primary":{"unit","model","status","error","input_tokens","output_tokens","cost_usd","first_byte_us",
//               "total_us","truncated","digest","text"},
//    "shadow":{ the same }}
//
// `text` is what was said, refusals too, and tools that were called as `name(arguments)`: of a stream its pieces put
// together first, since what must be masked may be cut anywhere. It is masked (routing/guard/pii_mask.h) as the tenant's policy says, or left out. `digest` tells
// texts apart and nothing else: HMAC-SHA-256 of the text as it was, in hex. Its key is made from this weir's
// key_hash_secret, so equal texts have equal digests for as long as that stays, and nobody who has only the log
// can try what stood where [phone] stands. An answer from which no text can be read has neither: it fails closed.
//
// Thread: the control loop's.
#pragma once

#include <string>
#include <string_view>

#include "routing/admin/access_log.h"
#include "routing/admin/shadow_policy.h"
#include "routing/decide/identify.h"
#include "routing/exchange/shadow_pair.h"

namespace weir::routing {

// What an answer's body says, all choices one after the other; nothing if it cannot be read.
std::optional<std::string> answer_text(Endpoint endpoint, bool streamed, std::string_view body);

// What the log says of a text.
class ShadowDigest {
 public:
  explicit ShadowDigest(std::string_view key_hash_secret);
  std::string of(std::string_view text) const;  // hex

 private:
  const KeyHasher hasher_;
};

// One line with its line break.
std::string shadow_line(const ShadowPair& pair, const ShadowPolicies& policies, const ShadowDigest& digest);

// Writes them, with the patience and the losses of the access log.
class ShadowLog {
 public:
  ShadowLog(std::unique_ptr<core::AppendFile> file, ShadowPolicies policies, std::string_view key_hash_secret)
      : lines_(std::move(file)), policies_(std::move(policies)), digest_(key_hash_secret) {}

  void add(const ShadowPair& pair) { lines_.add_line(shadow_line(pair, policies_, digest_)); }
  void flush(uint64_t now_ns) { lines_.flush(now_ns); }
  std::expected<void, std::string> reopen(uint64_t now_ns) { return lines_.reopen(now_ns); }
  const AccessLog& lines() const { return lines_; }

 private:
  AccessLog lines_;
  const ShadowPolicies policies_;
  const ShadowDigest digest_;
};

}  // namespace weir::routing
