// Tests built for another machine run under qemu-user (README, "Building and testing"), which is slow and has no
// io_uring: a test that wants a ring is skipped there. On any real machine a ring that cannot be made is a failure.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace weir::tests {

#ifdef WEIR_EMULATED
inline constexpr bool kEmulated = true;
#else
inline constexpr bool kEmulated = false;
#endif

// What Loop::create() or Io::create() made. Without a ring it ends the test, wherever that stands: in its body, in its
// fixture's constructor or in a member's initialiser, where GTEST_SKIP alone could not.
template <typename Made>
typename Made::value_type ring_or_skip(Made made) {
  if (made) return std::move(*made);
  if (kEmulated) {
    [&] { GTEST_SKIP() << made.error(); }();
  } else {
    ADD_FAILURE() << made.error();
  }
  // GoogleTest takes this one for "reported already".
  throw ::testing::AssertionException(
      ::testing::TestPartResult(::testing::TestPartResult::kSkip, nullptr, 0, made.error().c_str()));
}

}  // namespace weir::tests
