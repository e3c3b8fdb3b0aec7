// Fails when the input has a doubled carriage return: a fuzzer that does not find this finds nothing.
#include "tests/fuzz/fuzz_target.h"

WEIR_FUZZ_TARGET_AS(canary, true) {
  EXPECT_EQ(weir::fuzz::text_of(input).find("\r\r"), std::string_view::npos) << "the canary sings";
}
