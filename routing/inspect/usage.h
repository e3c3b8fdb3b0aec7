// Tokens used, as the provider reports them, read from an answer that passes through; and what they cost.
//
// Streams: every event's data goes through read_event(). A vector search for five-letter keys ("usage",
// "error") decides whether it can hold anything of interest; only then is it parsed. Plain answers: feed()
// takes the body in the pieces it arrives in and keeps nothing but a few numbers. Of a small body that is there
// in one piece, usage and model count wherever they stand if each is named once and no error is; else it is parsed,
// and only those count that are the answer's own or its `response`'s. A longer or split one is searched, and the
// last usage object that closes within limits::kMaxUsageBytes counts:
//
//   searching ── "usage" ──▶ usage_colon ── : ──▶ usage_value ── { ──▶ usage_object ── } ──▶ searching
//       └─────── "model" ──▶ model_colon ── : ──▶ model_value ── " ──▶ model_text   ── " ──▶ searching
//   (any other byte than a blank on the way: back to searching)
//
// Names read (WIRE): prompt_tokens | input_tokens, completion_tokens | output_tokens,
// {prompt,input}_tokens_details.cached_tokens, {completion,output}_tokens_details.reasoning_tokens, whatever
// the object around the last two is called. Cached input is part of input, reasoning part of output. Dialects
// that count otherwise convert before.
//
// The provider is not trusted: bad JSON, negative or huge counts are ignored, never an error.
// One UsageReader per attempt, on its shard; no allocation.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/limits.h"
#include "routing/inspect/inspect.h"

namespace weir::routing {

struct Usage {
  int64_t input = 0;         // all prompt tokens, cached ones included
  int64_t cached_input = 0;  // of those, read from the provider's cache
  int64_t output = 0;        // all completion tokens, reasoning included
  int64_t reasoning = 0;     // of those, not shown
  bool present = false;      // the provider reported usage

  friend bool operator==(const Usage&, const Usage&) = default;
};

// nano-USD per million tokens: 0.15 USD per million is 150'000'000.
struct Price {
  int64_t input = 0;
  int64_t cached_input = 0;
  int64_t output = 0;
};

// Cost in nano-USD, the exact sum rounded up once; INT64_MAX if it does not fit. Counts below zero count as
// zero, cached tokens beyond the input as the input.
int64_t cost(const Usage& usage, const Price& price);

// What one stream event is. All false for an event of no interest.
struct EventFacts {
  bool usage = false;       // it reports usage (see UsageReader::usage)
  bool usage_only = false;  // ... and nothing else: `choices` is empty; hidden from clients that did not ask
  bool content = false;   // it bears a token: text, a refusal, reasoning, tool call. Told reliably up to and
                          // including the first such event; later events may say false.
  bool refusal = false;   // that token is the model's refusal to answer
  bool error = false;     // the provider reports failure in it
  bool terminal = false;  // responses: completed, failed, incomplete or error, after which the stream may end.
                          // Once a token was seen, told of events that name usage or an error, as they do.

  friend bool operator==(const EventFacts&, const EventFacts&) = default;
};

class UsageReader {
 public:
  static constexpr uint32_t kMaxModelBytes = 96;         // a longer reported name is cut
  static constexpr uint32_t kMaxExactBytes = 16 * 1024;  // plain bodies up to this are parsed whole

  explicit UsageReader(Endpoint endpoint) : endpoint_(endpoint) {}

  // Reads the data of one stream event ("[DONE]" included), after which Inspector::kPadding bytes must be
  // readable.
  EventFacts read_event(std::span<const uint8_t> data);
  // Where in the last event's data the first `"usage"` begins that is no part of a string; kNoUsageKey if
  // there is none. Most providers that were asked for usage put one, null, into every event.
  uint32_t usage_key() const { return usage_key_; }
  static constexpr uint32_t kNoUsageKey = UINT32_MAX;

  enum class Position : uint8_t { first, middle, last, whole };
  // Reads the next piece of a plain JSON body. Padding is needed for `whole` only.
  void feed(std::span<const uint8_t> piece, Position position);

  const Usage& usage() const { return usage_; }
  // Model named by the provider, possibly cut; empty if none was seen.
  std::string_view model() const { return {model_.data(), model_size_}; }
  bool saw_content() const { return saw_content_; }  // events only
  bool saw_error() const { return saw_error_; }

 private:
  enum class Phase : uint8_t {
    searching,
    usage_colon,
    usage_value,
    usage_object,
    model_colon,
    model_value,
    model_text,
  };

  bool read_plainly(std::span<const uint8_t> body);
  bool read_exactly(std::span<const uint8_t> data, EventFacts& facts);
  void keep_model(std::string_view name);
  void take(const Usage& usage);

  void search(std::span<const uint8_t> piece);
  void start(uint8_t letter);
  uint32_t follow(std::span<const uint8_t> bytes);
  void follow_byte(uint8_t byte);
  void follow_object(uint8_t byte);
  void end_number();

  static constexpr uint32_t kCarryBytes = 8;  // `\"usage"` but for its last byte

  Usage usage_;
  std::array<char, kMaxModelBytes> model_;
  uint8_t model_size_ = 0;
  Endpoint endpoint_;
  bool saw_content_ = false;
  bool saw_error_ = false;
  uint32_t usage_key_ = kNoUsageKey;

  // ---- searching a plain body; see the picture ----
  Phase phase_ = Phase::searching;
  uint8_t carry_size_ = 0;
  std::array<uint8_t, kCarryBytes> carry_;  // the end of what has been searched
  uint16_t object_bytes_ = 0;
  uint8_t depth_ = 0;
  uint8_t array_depth_ = 0;  // of the outermost array around; 0 if there is none: what it holds is no count
  bool in_string_ = false;
  bool escaped_ = false;
  bool has_number_ = false;
  uint8_t key_size_ = 0;  // of the last string in the object; kMaxKeyBytes + 1 if it was longer
  static constexpr uint32_t kMaxKeyBytes = 20;
  std::array<char, kMaxKeyBytes> key_;
  int64_t number_ = 0;
  Usage found_;
};

}  // namespace weir::routing
