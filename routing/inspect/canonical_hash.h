// A keyed hash of JSON that says the same of the same tokens, whatever blanks stand between them: for cache keys.
//
//   {"a": [1, 2]}   and   {"a":[1,2]}    hash alike
//   "a b" and "ab", 1.0 and 1, {"a":1,"b":2} and {"b":2,"a":1}    do not: a token counts byte by byte, in its place
//
// No two lists of tokens hash alike but by chance: in valid JSON two numbers or literals never meet without a comma
// or bracket between them, so what is left without the blanks says which tokens there were.
//
// The hash is of the bytes that are left, taken in slices of kHashSlice and each slice under a key made from the one
// before. Strings are passed at the speed of TokenIndex; where no blank has to be left out nothing is copied.
//
// Pure; any thread. No allocation.
#pragma once

#include <cstdint>
#include <span>

#include "core/siphash.h"

namespace weir::routing {

inline constexpr uint32_t kHashSlice = 2048;

// `json`: valid tokens, such as a value or a member of an object, followed by TokenIndex::kPadding readable bytes.
core::Hash128 hash_tokens(core::SipKey key, std::span<const uint8_t> json);

}  // namespace weir::routing
