// Every fuzz target on its seeds, and on a fixed number of mutations of them: a short, repeatable run of what
// tools/fuzz does for long and with coverage to guide it.
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "tests/fuzz/fuzz_target.h"
#include "tests/support/emulated.h"
#include "tests/support/sanitized.h"

namespace weir::fuzz {
namespace {

constexpr int kMutations = tests::kEmulated ? 1'000 : tests::rounds(20'000);
constexpr size_t kMaxMutatedBytes = 64 * 1024;

using Bytes = std::vector<uint8_t>;

std::vector<Bytes> seeds_of(std::string_view target) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(WEIR_CORPUS) / target)) {
    files.push_back(entry.path());
  }
  std::ranges::sort(files);  // the same run on every file system
  std::vector<Bytes> seeds;
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return seeds;
}

// A heap block of exactly the input's size, so that the address sanitizer sees what reads beyond.
void run_on(const Target& target, const Bytes& input) {
  Bytes exact(input);
  exact.shrink_to_fit();
  if (const char* keep = std::getenv("WEIR_FUZZ_KEEP")) {  // the input that crashed or hung, for a look
    std::ofstream(keep, std::ios::binary)
        .write(reinterpret_cast<const char*>(exact.data()), static_cast<std::streamsize>(exact.size()));
  }
  target.run(exact);
}

class Mutator {
 public:
  explicit Mutator(const std::vector<Bytes>& seeds) : seeds_(seeds) {}

  Bytes next() {
    Bytes bytes = one_seed();
    for (size_t changes = 1 + below(4); changes > 0; --changes) change(bytes);
    if (bytes.size() > kMaxMutatedBytes) bytes.resize(kMaxMutatedBytes);
    return bytes;
  }

 private:
  size_t below(size_t bound) { return random_() % bound; }
  const Bytes& one_seed() { return seeds_[below(seeds_.size())]; }

  void change(Bytes& bytes) {
    if (bytes.empty()) bytes.push_back(static_cast<uint8_t>(random_()));
    const size_t at = below(bytes.size());
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    const auto some = static_cast<std::ptrdiff_t>(1 + below(std::min<size_t>(bytes.size() - at, 16)));
    switch (below(20)) {
      case 0:
        bytes.resize(at);
        break;
      case 1:
        bytes.erase(begin, begin + some);
        break;
      case 2: {
        const Bytes copy(begin, begin + some);
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(below(bytes.size())), copy.begin(),
                     copy.end());
        break;
      }
      case 3: {  // the end of another seed
        const Bytes& other = one_seed();
        bytes.resize(at);
        bytes.insert(bytes.end(), other.begin() + static_cast<std::ptrdiff_t>(std::min(at, other.size())),
                     other.end());
        break;
      }
      case 4:
      case 5:
      case 6:
        *begin ^= static_cast<uint8_t>(1u << below(8));
        break;
      case 7:
      case 8:
        *begin = static_cast<uint8_t>(random_());
        break;
      case 9:
      case 10:
      case 11:
      case 12:
        *begin = static_cast<uint8_t>(kTelling[below(sizeof kTelling - 1)]);
        break;
      case 13:
        bytes.erase(begin);
        break;
      default:
        bytes.insert(begin, static_cast<uint8_t>(kTelling[below(sizeof kTelling - 1)]));
        break;
    }
  }

  static constexpr char kTelling[] = "\r\n\t :;,\"\\{}[]0129afxAF=%/.-+_\x7f\x80\xc3\xff";
  const std::vector<Bytes>& seeds_;
  std::mt19937 random_{7};
};

class FuzzCorpus : public ::testing::TestWithParam<Target> {};

TEST_P(FuzzCorpus, HoldsOnEverySeed) {
  const std::vector<Bytes> seeds = seeds_of(GetParam().name);
  ASSERT_FALSE(seeds.empty());
  for (const Bytes& seed : seeds) run_on(GetParam(), seed);
}

TEST_P(FuzzCorpus, HoldsOnMutationsOfTheSeeds) {
  const std::vector<Bytes> seeds = seeds_of(GetParam().name);
  ASSERT_FALSE(seeds.empty());
  Mutator mutator(seeds);
  for (int i = 0; i < kMutations && !HasFailure(); ++i) run_on(GetParam(), mutator.next());
}

std::vector<Target> honest_targets() {
  std::vector<Target> honest;
  std::ranges::copy_if(targets(), std::back_inserter(honest),
                       [](const Target& target) { return !target.must_fail; });
  return honest;
}

INSTANTIATE_TEST_SUITE_P(Targets, FuzzCorpus, ::testing::ValuesIn(honest_targets()),
                         [](const auto& target) { return std::string(target.param.name); });

TEST(FuzzCanary, IsFoundFromSeedsThatDoNotFail) {
  const auto canary = std::ranges::find(targets(), true, &Target::must_fail);
  ASSERT_NE(canary, targets().end());
  const std::vector<Bytes> seeds = seeds_of(canary->name);
  ASSERT_FALSE(seeds.empty());
  for (const Bytes& seed : seeds) run_on(*canary, seed);
  Mutator mutator(seeds);
  bool found = false;
  for (int i = 0; i < kMutations && !found; ++i) {
    ::testing::TestPartResultArray results;
    ::testing::ScopedFakeTestPartResultReporter reporter(
        ::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
    run_on(*canary, mutator.next());
    found = results.size() > 0;
  }
  EXPECT_TRUE(found) << "mutations do not reach what they should";
}

}  // namespace
}  // namespace weir::fuzz
