// What a request and its copy were answered, side by side, on the way from a shard to the control thread.
//
//   shard: take() ─▶ the exchange fills one side, the copy the other ─ both are over ─▶ finish()
//                                                                                        │ SPSC
//   shard ◀── SPSC ── the control thread has written it down ◀── drain() ◀──────────────┘
//
// The memory is given at construction (touched as it is used): no pair is free means that the control thread
// is behind, and no copy is made.
//
// Invariants
//   1. A pair belongs to one thread at a time. `table` may be read until drain() has returned: whoever ends
//      last pins it until finish(), and queues are drained before a version is freed (control.h).
//
// Thread: any_free(), take(), finish(): the shard's; drain(): the control thread's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/limits.h"
#include "core/spsc_queue.h"
#include "core/zeroed_memory.h"
#include "routing/exchange/record.h"
#include "routing/inspect/usage.h"

namespace weir::routing {

// One of the two answers.
struct ShadowSide {
  uint32_t unit = 0;
  uint16_t status = 0;  // 0: none came
  bool done = false;
  bool truncated = false;  // there was more than fits
  std::optional<core::ErrorCode> error;
  Usage usage;
  int64_t cost_nano_usd = 0;
  uint64_t first_byte_ns = 0;  // since the copy began; of the primary: since its request was whole
  uint64_t total_ns = 0;
  uint32_t size = 0;
  uint8_t* bytes = nullptr;  // of the answer's body, as it came, without transfer framing

  void append(std::span<const uint8_t> more);
  std::string_view body() const { return {reinterpret_cast<const char*>(bytes), size}; }
};

struct ShadowPair {
  const Table* table = nullptr;
  RequestId id;
  int64_t wall_ns = 0;
  uint32_t tenant = 0;
  uint32_t scenario = 0;
  uint32_t flag = 0;
  Endpoint endpoint = Endpoint::chat_completions;
  bool streamed = false;
  ShadowSide primary, shadow;
};

class ShadowPairs {
 public:
  static constexpr uint32_t kPairs = core::limits::kMaxShadowPairs;

  ShadowPairs();
  ShadowPairs(const ShadowPairs&) = delete;
  ShadowPairs& operator=(const ShadowPairs&) = delete;

  bool any_free() { return untouched_ < kPairs || free_.front() != nullptr; }
  // An empty pair; null: none is free.
  ShadowPair* take();
  // One side is over; with the other over as well the pair goes to the control thread.
  void finish(ShadowPair& pair, ShadowSide& side);

  // Calls write(pair) for those that are complete.
  template <typename Write>
  size_t drain(Write&& write) {
    return done_.drain([&](uint32_t index) {
      write(pairs_[index]);
      free_.try_push(index);  // there is room for all of them
    });
  }

 private:
  core::ZeroedMemory memory_;
  std::vector<ShadowPair> pairs_;
  core::SpscQueue<uint32_t> done_{2 * kPairs};  // slots go back after the pairs in them do
  core::SpscQueue<uint32_t> free_{kPairs};
  uint32_t untouched_ = 0;  // pairs from here on have never been used; the shard's
};

}  // namespace weir::routing
