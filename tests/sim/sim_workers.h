// Workers of the control plane (routing/admin/worker.h) without threads: their jobs wait until the world has them run,
// one at a time. Takes the place of routing/admin/worker.cc in programs that link it before the library.
//
// Jobs of one worker run in order, those of several as the seed says: late, or not at all while a disk stalls.
#pragma once

#include <cstddef>

namespace weir::sim {

struct SimWorkers {
  // Those that are alive, in the order in which they were made.
  static size_t count();
  static bool has_job(size_t worker);
  static void run_one(size_t worker);
};

}  // namespace weir::sim
