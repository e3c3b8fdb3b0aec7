// The two clocks. Part of the seam: core/system/clock.cc reads the kernel's, a simulation replaces it.
// Ask the Loop for its cached time instead; only the Loop, start-up code, what measures work that spans turns or
// threads, and guards where a lagging shard would be wrong (guard_time.h) call these.
#pragma once

#include <cstdint>

namespace weir::core {

uint64_t monotonic_now_ns();  // never steps back; arbitrary origin
int64_t wall_now_ns();        // since 1970-01-01T00:00Z; may jump

}  // namespace weir::core
