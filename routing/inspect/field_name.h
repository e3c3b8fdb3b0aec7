// Names of request fields: which ones weir knows, and when two names are the same.
//
// Names are compared without regard to case where a second reading would be a way around a rule: some servers
// (Go's encoding/json) match keys that way, with U+017F as s and U+212A as k.
// Pure; any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/limits.h"

namespace weir::routing {

// Top-level fields that weir knows by name, in any endpoint. X(name)
#define WEIR_FIELD_TABLE(X) \
  X(model)                  \
  X(messages)               \
  X(input)                  \
  X(prompt)                 \
  X(instructions)           \
  X(stream)                 \
  X(stream_options)         \
  X(n)                      \
  X(best_of)                \
  X(max_tokens)             \
  X(max_completion_tokens)  \
  X(max_output_tokens)      \
  X(temperature)            \
  X(top_p)                  \
  X(stop)                   \
  X(seed)                   \
  X(frequency_penalty)      \
  X(presence_penalty)       \
  X(logit_bias)             \
  X(logprobs)               \
  X(top_logprobs)           \
  X(response_format)        \
  X(text)                   \
  X(tools)                  \
  X(tool_choice)            \
  X(parallel_tool_calls)    \
  X(functions)              \
  X(function_call)          \
  X(user)                   \
  X(safety_identifier)      \
  X(metadata)               \
  X(conversation)           \
  X(previous_response_id)   \
  X(prompt_cache_key)       \
  X(store)                  \
  X(service_tier)           \
  X(background)             \
  X(reasoning)              \
  X(reasoning_effort)       \
  X(suffix)                 \
  X(dimensions)             \
  X(encoding_format)

enum class FieldName : uint8_t {
#define X(name) name,
  WEIR_FIELD_TABLE(X)
#undef X
      other  // any key that is not in the table
};
inline constexpr unsigned kFieldNameCount = static_cast<unsigned>(FieldName::other);

// Static and null-terminated, for core::Error::param; "" for `other`.
const char* to_string(FieldName name);

// Hash of a key of at most limits::kMaxKeyBytes, the same for all keys that same_key() holds equal.
uint32_t key_hash(std::string_view key);

// Equal without regard to case.
bool same_key(std::string_view a, std::string_view b);

enum class NameMatch : uint8_t { none, exact, differs_in_case };

// How a key matches a name that begins with a small letter. Mostly told by the first byte; one above 0x7f may
// begin one of the two letters that fold onto s and k.
NameMatch match_whole_name(std::string_view key, std::string_view name);
inline NameMatch match_name(std::string_view key, std::string_view name) {
  if (key.empty()) return NameMatch::none;
  const auto first = static_cast<uint8_t>(key.front());
  if ((first | 0x20) != name.front() && first < 0x80) return NameMatch::none;
  return match_whole_name(key, name);
}

// The known field of exactly this name, else `other`; `hash` is set to key_hash(key) if it is known. `key` is
// followed by at least 24 readable bytes. This is the way all well-meant keys go.
FieldName exact_field_name(std::string_view key, uint32_t& hash);

// The known field that `key` (with its key_hash) equals without regard to case, else `other`.
FieldName folded_field_name(std::string_view key, uint32_t hash);

}  // namespace weir::routing
