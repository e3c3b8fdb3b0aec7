// Whether a provider's plain answer, whole, is what its unit asked for: did the model refuse, did it say
// anything, is what it says the JSON that was wanted.
//
//   chat completions   choices[].message.content | refusal | tool_calls, finish_reason
//   completions        choices[].text
//   responses          output[].content[].text | refusal; output[] of another type than message
//
// Every choice must pass; one that was refused makes the answer a refused one. An answer that calls tools has
// nothing to say beside them: it is neither empty nor wrong JSON.
//
// Pure, no allocation, any thread.
#pragma once

#include <cstdint>
#include <span>

#include "routing/inspect/inspect.h"

namespace weir::routing {

// What a unit demands of its answers (`answer` in the table).
enum class AnswerCheck : uint8_t { any, nonempty, json };

struct AnswerVerdict {
  bool refused = false;  // by the model, or by the provider's content filter
  bool valid = true;     // as far as `check` goes
};

// `body` is followed by JsonCursor::kPadding readable bytes; `scratch` has that many more than the body.
AnswerVerdict check_answer(Endpoint endpoint, std::span<const uint8_t> body, AnswerCheck check,
                           std::span<uint8_t> scratch);

}  // namespace weir::routing
