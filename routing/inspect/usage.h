// Tokens used, as the provider reports them, read from an answer that passes through; and what they cost.
//
// Streams: every event's data goes through read_event(). A vector search for five-letter keys decides whether it
// can hold anything of interest; only then is it parsed. Plain answers: feed() takes the body in the pieces it
// arrives in and keeps nothing but a few numbers; a small body that is there in one piece is parsed exactly, a
// longer or split one is searched for the last `"usage": {` whose object closes within limits::kMaxUsageBytes.
//
// Names read (WIRE): prompt_tokens | input_tokens, completion_tokens | output_tokens,
// {prompt,input}_tokens_details.cached_tokens, {completion,output}_tokens_details.reasoning_tokens. Cached input is
// part of input, reasoning part of output. Dialects that count otherwise convert before.
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

// Cost in nano-USD, the exact sum rounded up once; INT64_MAX if it does not fit. Counts below zero count as zero,
// cached tokens beyond the input as the input.
int64_t cost(const Usage& usage, const Price& price);

// What one stream event is. All false for an event of no interest.
struct EventFacts {
  bool usage = false;       // it reports usage (see UsageReader::usage)
  bool usage_only = false;  // ... and nothing else: `choices` is empty; hidden from clients that did not ask
  bool content = false;     // it bears a token: text, a refusal, reasoning, tool call. Told reliably up to and
                            // including the first such event; later events may say false.
  bool error = false;       // the provider reports failure in it
  bool terminal = false;    // responses: completed, failed, incomplete or error, after which the stream may end

  friend bool operator==(const EventFacts&, const EventFacts&) = default;
};

class UsageReader {
 public:
  static constexpr uint32_t kMaxModelBytes = 96;         // a longer reported name is cut
  static constexpr uint32_t kMaxExactBytes = 16 * 1024;  // plain bodies up to this are parsed whole

  explicit UsageReader(Endpoint endpoint) : endpoint_(endpoint) {}

  // Reads the data of one stream event ("[DONE]" included), after which Inspector::kPadding bytes must be readable.
  EventFacts read_event(std::span<const uint8_t> data);

  enum class Position : uint8_t { first, middle, last, whole };
  // Reads the next piece of a plain JSON body. Padding is needed for `whole` only.
  void feed(std::span<const uint8_t> piece, Position position);

  const Usage& usage() const { return usage_; }
  // Model named by the provider, possibly cut; empty if none was seen.
  std::string_view model() const { return {model_.data(), model_size_}; }
  bool saw_content() const { return saw_content_; }
  bool saw_error() const { return saw_error_; }

 private:
  Usage usage_;
  std::array<char, kMaxModelBytes> model_;
  uint8_t model_size_ = 0;
  Endpoint endpoint_;
  bool saw_content_ = false;
  bool saw_error_ = false;
};

}  // namespace weir::routing
