// How many tokens a request will use, before anybody has counted them. Token limits charge it on admission,
// and settlement corrects it by what the provider reports; budgets reserve the most it can be.
//
//   expected input  = bytes of text × tokens per byte      learned per model, 1/4 until something was learned
//   expected output = what the model produced on average, but at most what the request allows
//   most input      = one token per byte of text           no byte-level vocabulary has a token of less than
//   a byte
//
// "Bytes of text" are the JSON bytes of what the model reads (Inspection::input_bytes) without data: URLs. A
// picture has no tokens per byte: it counts kTokensPerMedia, and at most as many as it has bytes. What a
// request names and does not hold (Inspection::input_elsewhere) is not expected and comes in at settlement; at
// most it fills the model's context window.
//
// Where no provider has counted in the end, estimate_usage() says what was used: the expected input once the
// request was sent, and of the answer what has come. Never more than was reserved.
//
// Learning: an average that forgets, new = old + (seen - old) / kMemory, the first observations weighing
// more. Counts that cannot be (none, or more than one token per byte) teach nothing.
//
// Ordering: relaxed loads and stores, no CAS. Two shards that learn at the same moment lose one observation
// of many.
//
// Thread: any.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "core/cache_line.h"
#include "routing/inspect/usage.h"

namespace weir::routing {

inline constexpr uint64_t kDefaultBytesPerToken = 4;
inline constexpr uint64_t kDefaultOutputTokens = 256;
inline constexpr uint64_t kTokensPerMedia = 65'536;

// What is known of one model. All zero = nothing.
struct alignas(core::kCacheLineBytes) EstimateLine {
  static constexpr uint64_t kMemory = 64;
  static constexpr unsigned kFraction = 20;  // bits behind the point

  std::atomic<uint64_t> observations;
  std::atomic<uint64_t> tokens_per_byte;  // fixed point
  std::atomic<uint64_t> output_tokens;    // fixed point
  std::atomic<uint64_t> unused[5];
};
static_assert(sizeof(EstimateLine) == core::kCacheLineBytes);

constexpr uint64_t most_input_tokens(uint64_t bytes, uint64_t media_bytes) {
  return bytes - std::min(bytes, media_bytes) +
         std::min(media_bytes, std::max(kTokensPerMedia, media_bytes / 16));
}

inline uint64_t expected_input_tokens(const EstimateLine& line, uint64_t bytes, uint64_t media_bytes) {
  const uint64_t text = bytes - std::min(bytes, media_bytes);
  const uint64_t learned = line.tokens_per_byte.load(std::memory_order_relaxed);
  const uint64_t rate =
      learned != 0 ? learned : (uint64_t{1} << EstimateLine::kFraction) / kDefaultBytesPerToken;
  return ((text * rate) >> EstimateLine::kFraction) + 1 +
         std::min(media_bytes / kDefaultBytesPerToken, kTokensPerMedia / 64);
}

// `choices` × (`bound`, 0 = none).
inline uint64_t expected_output_tokens(const EstimateLine& line, uint64_t bound, uint64_t choices) {
  const uint64_t learned = line.output_tokens.load(std::memory_order_relaxed) >> EstimateLine::kFraction;
  uint64_t each = learned != 0 ? learned : kDefaultOutputTokens;
  if (bound != 0) each = std::min(each, bound);
  uint64_t all = 0;
  return __builtin_mul_overflow(each, choices, &all) ? UINT64_MAX / 2 : all;
}

// An attempt whose provider has not said what was used.
struct Unreported {
  uint64_t input_bytes = 0;  // with the unit's prompt
  uint64_t media_bytes = 0;  // part of it
  uint64_t events = 0;       // of a stream from the first token on, each of which bears one
  uint64_t body_bytes = 0;   // of an answer that is no stream
  Usage most;                // what was reserved
};
inline Usage estimate_usage(const EstimateLine& line, const Unreported& attempt) {
  const uint64_t input = expected_input_tokens(line, attempt.input_bytes, attempt.media_bytes);
  const uint64_t output = attempt.events + attempt.body_bytes / kDefaultBytesPerToken;
  Usage usage;
  usage.input = std::min(static_cast<int64_t>(input), attempt.most.input);
  usage.output = std::min(static_cast<int64_t>(output), attempt.most.output);
  return usage;
}

// What the provider reported for a request of so many bytes of text and one choice.
inline void observe(EstimateLine& line, uint64_t text_bytes, uint64_t input_tokens, uint64_t output_tokens) {
  if (text_bytes == 0 || input_tokens == 0 || input_tokens > text_bytes) return;
  const uint64_t seen = line.observations.load(std::memory_order_relaxed);
  const uint64_t memory = std::min(seen + 1, EstimateLine::kMemory);
  const auto learn = [&](std::atomic<uint64_t>& word, uint64_t value) {
    const uint64_t old = word.load(std::memory_order_relaxed);
    const int64_t step =
        (static_cast<int64_t>(value) - static_cast<int64_t>(old)) / static_cast<int64_t>(memory);
    word.store(static_cast<uint64_t>(static_cast<int64_t>(old) + step), std::memory_order_relaxed);
  };
  constexpr uint64_t kMostOutput = uint64_t{1} << 32;
  learn(line.tokens_per_byte, (input_tokens << EstimateLine::kFraction) / text_bytes);
  learn(line.output_tokens, std::min(output_tokens, kMostOutput) << EstimateLine::kFraction);
  line.observations.store(seen + 1, std::memory_order_relaxed);
}

}  // namespace weir::routing
