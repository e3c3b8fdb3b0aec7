// Counts what the process does while counting is on: ways to the heap (operator new included), and bytes that
// memcpy and memmove copy out of line. Linking cost_counters.cc replaces malloc and memcpy for the whole
// binary.
//
// Thread: one; what others do at the same time is counted too.
#pragma once

#include <cstdint>

namespace weir::tests {

struct Costs {
  bool counting = false;
  uint64_t allocations = 0;
  uint64_t copied_bytes = 0;
  uint64_t largest_copy = 0;
};
extern Costs costs;

}  // namespace weir::tests
