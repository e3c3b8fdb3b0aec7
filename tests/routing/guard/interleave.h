// Runs two or three small programs in every order in which their steps on shared words can be interleaved. A
// word's load, CAS and addition are one step each, so the code under test is the production code over another
// word.
//
//   explore({program, program}, setup, check): setup() ─▶ all orders of steps, one run each ─▶ check() after
//   each
//
// Depth first: each run follows a prefix of choices and then the first runnable program; the last choice that
// has an alternative is changed for the next run. Programs run on threads of their own, one at a time, handed
// a baton.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <semaphore>
#include <thread>
#include <vector>

namespace weir::tests {

class Interleaver {
 public:
  // How many orders there were.
  static uint64_t explore(const std::vector<std::function<void()>>& programs,
                          const std::function<void()>& setup, const std::function<void()>& check) {
    std::vector<Choice> choices;
    uint64_t runs = 0;
    do {
      setup();
      Interleaver run(programs, choices);
      check();
      ++runs;
      while (!choices.empty() && choices.back().taken + 1 == choices.back().of) choices.pop_back();
      if (!choices.empty()) ++choices.back().taken;
    } while (!choices.empty());
    return runs;
  }

  // A step of the running program begins: somebody else may come first.
  static void step() {
    if (current_ != nullptr) current_->yield();
  }

 private:
  struct Choice {
    size_t taken;
    size_t of;
  };

  Interleaver(const std::vector<std::function<void()>>& programs, std::vector<Choice>& choices)
      : batons_(programs.size()) {
    std::vector<size_t> runnable;
    std::vector<std::thread> threads;
    std::vector<char> done(programs.size(), false);
    for (size_t i = 0; i < programs.size(); ++i) {
      threads.emplace_back([&, i] {
        current_ = this;
        self_ = i;
        batons_[i].acquire();
        programs[i]();
        done[i] = true;
        scheduler_.release();
      });
    }
    for (size_t depth = 0; true; ++depth) {
      runnable.clear();
      for (size_t i = 0; i < programs.size(); ++i) {
        if (!done[i]) runnable.push_back(i);
      }
      if (runnable.empty()) break;
      if (depth == choices.size()) choices.push_back({0, runnable.size()});
      batons_[runnable[choices[depth].taken]].release();
      scheduler_.acquire();
    }
    for (std::thread& thread : threads) thread.join();
  }

  void yield() {
    scheduler_.release();
    batons_[self_].acquire();
  }

  static inline thread_local Interleaver* current_ = nullptr;
  static inline thread_local size_t self_ = 0;

  struct Baton : std::binary_semaphore {
    Baton() : std::binary_semaphore(0) {}
  };
  std::vector<Baton> batons_;
  Baton scheduler_;
};

// std::atomic<uint64_t> as far as guards use it. The baton orders everything.
class SteppedWord {
 public:
  uint64_t load(std::memory_order = std::memory_order_seq_cst) const {
    Interleaver::step();
    return value;
  }
  bool compare_exchange_weak(uint64_t& expected, uint64_t desired, std::memory_order) {
    Interleaver::step();
    if (value != expected) {
      expected = value;
      return false;
    }
    value = desired;
    return true;
  }
  uint64_t fetch_sub(uint64_t amount, std::memory_order) {
    Interleaver::step();
    value -= amount;
    return value + amount;
  }

  uint64_t value = 0;
};

}  // namespace weir::tests
