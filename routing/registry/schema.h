// The registry's tables, and how a file of an older weir becomes one of this.
#pragma once

#include <cstdint>
#include <span>

namespace weir::routing {

// "WEIR" in PRAGMA application_id: `file registry.db` shows it, and no other database is taken for ours.
inline constexpr int64_t kApplicationId = 0x57454952;

// Step n makes a file of PRAGMA user_version n into one of n + 1, in a transaction of its own; 0 is an empty
// file. Steps are added, never changed: there are files in the world that went through them.
std::span<const char* const> schema_steps();

}  // namespace weir::routing
