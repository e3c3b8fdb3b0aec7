// decide() against the slow reference evaluator, on tables, kills and requests that the input draws.
#include "tests/fuzz/fuzz_target.h"
#include "tests/routing/decide/decide_world.h"

WEIR_FUZZ_TARGET(decide) {
  using namespace weir;
  fuzz::Choices choices(input);
  // Few bits may be left, and the choices must still differ: behind its end an input goes on as a hash of
  // itself.
  uint32_t more = 2166136261u;
  for (const uint8_t byte : input) more = (more ^ byte) * 16777619u;
  routing::DecideWorld world([&](unsigned bound) -> unsigned {
    if (!choices.empty()) return choices.below(bound);
    more ^= more << 13;
    more ^= more >> 17;
    more ^= more << 5;
    return more % bound;
  });
  for (int kills = 0; kills < 3 && !::testing::Test::HasFatalFailure(); ++kills) world.check(4);
}
