#include "tests/fuzz/fuzz_target.h"

namespace weir::fuzz {

std::vector<Target>& targets() {
  static std::vector<Target> all;
  return all;
}

}  // namespace weir::fuzz
