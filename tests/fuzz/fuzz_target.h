// A fuzz target: a function from bytes to nothing that must neither crash nor fail an expectation.
//
//   WEIR_FUZZ_TARGET(chunked) { ... EXPECT_EQ(...) ... }
//
// One file a target, named <target>_fuzz.cc; its seeds are in corpus/<target>/. The same file is linked
// twice: into fuzz_<target> with libFuzzer (preset fuzz, tools/fuzz), where a failed expectation aborts; and
// into fuzz_corpus_tests, which runs the seeds and a fixed number of mutations of them under every preset.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace weir::fuzz {

using Input = std::span<const uint8_t>;

struct Target {
  std::string_view name;
  void (*run)(Input input);
  bool must_fail = false;  // the canary: proves that failures are seen
};

// For gtest: a target is its name.
inline void PrintTo(const Target& target, std::ostream* out) { *out << target.name; }

// In the order they were linked.
std::vector<Target>& targets();

struct Registration {
  explicit Registration(const Target& target) { targets().push_back(target); }
};

inline std::string_view text_of(Input input) {
  return {reinterpret_cast<const char*>(input.data()), input.size()};
}

// Takes an input apart: small choices from its end, bytes from its front, so that text stays readable in
// seeds. An exhausted input gives zeros.
class Choices {
 public:
  explicit Choices(Input input) : rest_(input) {}

  uint8_t byte() {
    if (rest_.empty()) return 0;
    const uint8_t value = rest_.back();
    rest_ = rest_.first(rest_.size() - 1);
    return value;
  }
  uint32_t below(uint32_t bound) {
    const uint32_t value = bound > 256 ? byte() * 256u + byte() : byte();
    return value % bound;
  }
  bool empty() const { return rest_.empty(); }
  Input rest() const { return rest_; }

 private:
  Input rest_;
};

}  // namespace weir::fuzz

#define WEIR_FUZZ_TARGET_AS(target, fails)                                                    \
  static void fuzz_##target(::weir::fuzz::Input input);                                       \
  static const ::weir::fuzz::Registration register_##target({#target, fuzz_##target, fails}); \
  static void fuzz_##target([[maybe_unused]] ::weir::fuzz::Input input)
#define WEIR_FUZZ_TARGET(target) WEIR_FUZZ_TARGET_AS(target, false)
