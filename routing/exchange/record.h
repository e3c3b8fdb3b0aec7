// What is written down about one exchange: filled by the shard as the exchange goes along, handed to the
// control thread through a bounded queue, and there turned into one JSON line and forgotten.
//
// A record names table objects by index into `table`. That pointer is safe although the record outlives the
// exchange's pin: the record is queued before the pin is dropped, and the control thread drains every queue
// before it frees a version (ControlThread::reclaim).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>

#include "core/error.h"
#include "routing/decide/decide.h"
#include "routing/inspect/inspect.h"
#include "routing/table/table.h"

namespace weir::routing {

// 128 random bits, written as 32 hex digits: x-request-id, and the id of the record.
struct RequestId {
  uint64_t high = 0;
  uint64_t low = 0;
};
std::array<char, 32> to_hex(RequestId id);

// What the cache did for an exchange: nothing, had no answer, gave one, did not look at so large a request.
enum class CacheUse : uint8_t { none, miss, hit, too_large };
std::string_view token(CacheUse use);

struct Record {
  static constexpr uint32_t kNone = UINT32_MAX;

  int64_t wall_ns = 0;  // when the request was whole
  RequestId id;
  const Table* table = nullptr;  // null: refused before a table was asked

  uint32_t key = kNone;  // indices into *table; kNone = not known
  uint32_t tenant = kNone;
  uint32_t scenario = kNone;
  uint32_t flag = kNone;
  uint32_t unit = kNone;          // the one that answered, or was tried last
  uint32_t decided_unit = kNone;  // the one that was decided
  uint32_t provider = kNone;      // asked in the last attempt

  uint64_t total_ns = 0;           // request whole -> answer complete
  uint64_t first_token_ns = 0;     // request whole -> first content-bearing bytes downstream; 0 = none
  uint64_t upstream_ready_ns = 0;  // request whole -> a connection stood (last attempt)
  uint64_t request_bytes = 0;      // head and body
  uint64_t response_bytes = 0;     // sent downstream, framing included
  int64_t cost_nano_usd = 0;
  int64_t input_tokens = 0;
  int64_t cached_input_tokens = 0;
  int64_t output_tokens = 0;
  int64_t reasoning_tokens = 0;

  const char* limit = nullptr;   // the limit or budget that decided: limit_token(); static text
  const char* warned = nullptr;  // the limit whose `warn_at` is passed: the same

  uint16_t status = 0;           // sent downstream; 0 = none could be
  uint16_t upstream_status = 0;  // of the last attempt; 0 = no answer
  uint16_t attempts = 0;
  uint16_t client_retry = 0;  // x-stainless-retry-count
  Endpoint endpoint = Endpoint::chat_completions;
  FlagState state = FlagState::off;
  Arm arm = Arm::stable;
  Arm decided_arm = Arm::stable;  // what decided_unit was
  Reason reason = Reason::no_flag;
  std::optional<core::ErrorCode> first_failure;  // why the decided unit was left for another hop
  std::optional<core::ErrorCode> error;          // what ended the exchange, or what it was answered with
  CacheUse cache = CacheUse::none;
  bool has_endpoint = false;
  bool streamed = false;
  bool client_gone = false;
  bool usage_reported = false;   // by the provider
  bool usage_estimated = false;  // no report: counted from what passed through
  uint8_t model_size = 0;
  std::array<char, 64> model;  // as reported by the provider, cut
};
static_assert(std::is_trivially_copyable_v<Record>);

// One JSON line, with its line break. Control thread; record.table must not have been reclaimed.
//
//   always       time request_id status attempts total_us request_bytes response_bytes streamed
//                client_retry; and endpoint tenant key scenario flag unit provider model error, which are
//                null when there is none or it is not known (`model` is the one that the provider reported)
//   with a table      revision revision_time
//   with a decision   arm reason decided_unit unit_hash; and state if there is a flag
//   with an attempt   upstream_status; upstream_ready_us once a connection stood
//   with usage        usage ("reported" or "estimated") input_tokens cached_input_tokens output_tokens
//                     reasoning_tokens cost_usd (a number with all nine decimals)
//   when so           first_token_us, client_gone (true), fallback (why the decided unit was left), cache
//                     (miss, hit), limit (the limit or budget that decided), warned (a limit past its `warn_at`)
//
// Times are microseconds, rounded down; `time` and `revision_time` are RFC 3339.
void append_json(const Record& record, std::string& out);

}  // namespace weir::routing
