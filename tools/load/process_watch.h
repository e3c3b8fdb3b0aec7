// What other processes spend: CPU time as the scheduler booked it on their threads, and memory. Read at the
// beginning and the end of the measured window, so that warm-up, handshakes and the drain do not count.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <vector>

namespace weir::tools {

// Nanoseconds on a CPU of all threads of these processes since they began; 0 for one that is gone.
uint64_t cpu_ns_of(const std::vector<int>& pids);

// Proportional set size in KiB, summed: memory shared between them counts once. 0 where it may not be read.
uint64_t memory_kib_of(const std::vector<int>& pids);

}  // namespace weir::tools
