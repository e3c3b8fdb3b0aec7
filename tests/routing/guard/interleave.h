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
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
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
      : choices_(choices), waiting_(programs.size(), false), done_(programs.size(), false) {
    std::vector<std::thread> threads;
    for (size_t i = 0; i < programs.size(); ++i) {
      threads.emplace_back([&, i] {
        current_ = this;
        self_ = i;
        yield();
        programs[i]();
        std::lock_guard lock(lock_);
        done_[i] = true;
        running_ = kNobody;
        changed_.notify_all();
      });
    }
    size_t depth = 0;
    std::unique_lock lock(lock_);
    while (true) {
      changed_.wait(lock, [&] {
        if (running_ != kNobody) return false;
        for (size_t i = 0; i < waiting_.size(); ++i) {
          if (!waiting_[i] && !done_[i]) return false;
        }
        return true;
      });
      std::vector<size_t> runnable;
      for (size_t i = 0; i < waiting_.size(); ++i) {
        if (!done_[i]) runnable.push_back(i);
      }
      if (runnable.empty()) break;
      if (depth == choices_.size()) choices_.push_back({0, runnable.size()});
      running_ = runnable[choices_[depth++].taken];
      changed_.notify_all();
    }
    lock.unlock();
    for (std::thread& thread : threads) thread.join();
  }

  void yield() {
    std::unique_lock lock(lock_);
    waiting_[self_] = true;
    running_ = kNobody;
    changed_.notify_all();
    changed_.wait(lock, [&] { return running_ == self_; });
    waiting_[self_] = false;
  }

  static constexpr size_t kNobody = SIZE_MAX;
  static inline thread_local Interleaver* current_ = nullptr;
  static inline thread_local size_t self_ = 0;

  std::vector<Choice>& choices_;
  std::mutex lock_;
  std::condition_variable changed_;
  size_t running_ = kNobody;
  std::vector<bool> waiting_, done_;
};

// std::atomic<uint64_t> as far as guards use it. The baton's lock orders everything.
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
