// Model check of what is given back while time passes and other shards, whose clocks are ahead or behind, admit:
// the production code over a word and a clock whose every step may be interleaved.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <vector>

#include "routing/guard/rate_limiter.h"
#include "tests/routing/guard/interleave.h"

namespace weir::routing::give_back_model_test {
namespace {

using tests::Interleaver;
using tests::SteppedWord;

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kNow = 1'000 * kSecond;

struct SteppedClock {
  uint64_t operator()() const {
    Interleaver::step();
    return now_ns;
  }
  void pass_to(uint64_t to_ns) { now_ns = std::max(now_ns, to_ns); }

  uint64_t now_ns = kNow;
};

// One limit with its clock, and a journal of those who were admitted and stay, in the order in which they were.
struct Model {
  explicit Model(uint64_t limit) : spec(rate_spec(limit, limit * kSecond)) {}

  void reset() {
    word.value = 0;
    clock.now_ns = kNow;
    kept.clear();
  }
  // A shard asks `times` times at `now_ns`, and reads its clock before it refuses. No step between an admission and its
  // entry.
  void ask(unsigned times, uint64_t now_ns) {
    for (unsigned i = 0; i < times; ++i) {
      uint64_t used_ns = now_ns;
      if (take(word, spec, 1, now_ns, [&] { return used_ns = std::max(clock(), now_ns); }))
        kept.push_back(used_ns);
    }
  }
  // One that takes its time for the present.
  void ask_behind(uint64_t now_ns) {
    if (take(word, spec, 1, now_ns)) kept.push_back(now_ns);
  }
  // The word if only those who stay had ever come; 0: they would not all have been admitted.
  uint64_t reference() const {
    uint64_t end = 0;
    for (const uint64_t now_ns : kept) {
      end = std::max(end, now_ns * kTicksPerNs) + spec.interval;
      if (end > now_ns * kTicksPerNs + spec.burst()) return 0;
    }
    return std::max(end, uint64_t{1});
  }
  bool exact() const { return reference() != 0 && settled() >= settled(reference()); }
  // All that lies in the past is as good as now.
  uint64_t settled(uint64_t end) const { return std::max(end, clock.now_ns * kTicksPerNs); }
  uint64_t settled() const { return settled(word.value); }

  const RateSpec spec;
  SteppedWord word;
  SteppedClock clock;
  std::vector<uint64_t> kept;
};

using GiveBack = std::function<void(Model&, const Charge&)>;

void by_the_clock(Model& model, const Charge& charge) {
  give_back(model.word, charge, charge.cost_ticks, kNow, model.clock);
}
// As if time stood still since the charge.
void whole(Model& model, const Charge& charge) {
  model.word.fetch_sub(charge.cost_ticks, std::memory_order_relaxed);
}
// By a time that was read once, before the word.
void by_an_older_look(Model& model, const Charge& charge) {
  const uint64_t now_ns = model.clock();
  give_back(model.word, charge, charge.cost_ticks, now_ns, [&] { return now_ns; });
}

struct Found {
  uint64_t runs = 0;
  uint64_t inexact = 0;
};

// One request has been charged at kNow and is given back, while time passes to `later_ns` and a shard that sees that
// asks `times` times, and if `lagging` another one asks whose time has stood still.
Found one_gives_back(uint64_t limit, unsigned times, uint64_t later_ns, bool lagging, const GiveBack& give) {
  Model model(limit);
  Charge charge;
  Found found;
  std::vector<std::function<void()>> programs{
      [&] { give(model, charge); },
      [&] {
        model.clock.pass_to(later_ns);
        model.ask(times, later_ns);
      },
  };
  if (lagging) programs.emplace_back([&] { model.ask_behind(kNow); });
  found.runs = Interleaver::explore(
      programs,
      [&] {
        model.reset();
        std::atomic<uint64_t> before{0};
        charge = take(before, model.spec, 1, kNow).charge(model.spec, 1);
        model.word.value = before.load();
      },
      [&] {
        if (!model.exact()) ++found.inexact;
        // What has gone back is free: all that fits is admitted in the end.
        model.ask(static_cast<unsigned>(limit), model.clock.now_ns);
        EXPECT_GE(model.kept.size(), limit);
      });
  return found;
}

TEST(GiveBackModel, OneThatGivesBackNeverLetsInMoreThanIfItHadNotCome) {
  for (const uint64_t later_ns : {kNow, kNow + kSecond / 2, kNow + kSecond, kNow + 3 * kSecond}) {
    for (const uint64_t limit : {1u, 2u}) {
      const Found found = one_gives_back(limit, 3, later_ns, /*lagging=*/false, by_the_clock);
      EXPECT_EQ(found.inexact, 0u) << limit << " after " << later_ns - kNow;
    }
  }
  const Found three = one_gives_back(1, 1, kNow + kSecond, /*lagging=*/true, by_the_clock);
  EXPECT_EQ(three.inexact, 0u);
  EXPECT_GT(three.runs, 500u);
}

TEST(GiveBackModel, FindsThoseWhoTakeNoFreshLookAtTheClock) {
  EXPECT_GT(one_gives_back(1, 1, kNow + kSecond, /*lagging=*/false, whole).inexact, 0u);
  EXPECT_GT(one_gives_back(1, 1, kNow + kSecond, /*lagging=*/false, by_an_older_look).inexact, 0u);
  EXPECT_EQ(one_gives_back(1, 1, kNow, /*lagging=*/false, whole).inexact, 0u) << "time stands still";
}

// Two are charged one behind the other and both are given back, while others come in between.
uint64_t inexact_of_two(std::array<size_t, 2> order, uint64_t later_ns) {
  Model model(2);
  std::array<Charge, 2> charges;
  uint64_t inexact = 0;
  Interleaver::explore(
      {[&] {
         for (const size_t i : order) by_the_clock(model, charges[i]);
       },
       [&] {
         model.clock.pass_to(later_ns);
         model.ask(2, later_ns);
       }},
      [&] {
        model.reset();
        std::atomic<uint64_t> before{0};
        for (Charge& charge : charges) charge = take(before, model.spec, 1, kNow).charge(model.spec, 1);
        model.word.value = before.load();
      },
      [&] {
        const uint64_t passed = (later_ns - kNow) * kTicksPerNs;
        inexact += !model.exact();
        EXPECT_NE(model.reference(), 0u);
        EXPECT_LE(model.settled(model.reference()), model.settled() + passed);
        EXPECT_GE(model.settled(), kNow * kTicksPerNs + model.kept.size() * model.spec.interval)
            << "in the long run it is never more than the rate allows";
      });
  return inexact;
}

TEST(GiveBackModel, TwoThatGiveBackStayWithinWhatTheHeaderSays) {
  for (const uint64_t later_ns : {kNow, kNow + kSecond / 2, kNow + kSecond}) {
    EXPECT_EQ(inexact_of_two({1, 0}, later_ns), 0u) << "the later one first, after " << later_ns - kNow;
  }
  EXPECT_EQ(inexact_of_two({0, 1}, kNow), 0u) << "at one instant exactly the limit";
  EXPECT_GT(inexact_of_two({0, 1}, kNow + kSecond), 0u) << "what remains, as the header says";
}

}  // namespace
}  // namespace weir::routing::give_back_model_test
