// The unit in which cores steal memory from each other. std::hardware_destructive_interference_size is not
// used: its value follows -mtune and so would change layouts between builds (g++ 12 warns about exactly
// that).
#pragma once

#include <cstddef>

namespace weir::core {

// x86-64 and the Neoverse cores weir runs on.
inline constexpr size_t kCacheLineBytes = 64;

}  // namespace weir::core
