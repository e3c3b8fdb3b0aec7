// Hands libFuzzer's inputs to the one target of this binary.
#include <cstddef>

#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  GTEST_FLAG_SET(break_on_failure, true);  // a failed expectation is a crash, which libFuzzer keeps
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  weir::fuzz::targets().at(0).run({data, size});
  return 0;
}
