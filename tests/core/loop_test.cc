#include "core/loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/emulated.h"

namespace weir::core {
namespace {

class LoopTest : public ::testing::Test {
 protected:
  std::unique_ptr<Loop> loop = tests::ring_or_skip(Loop::create());
};

struct Note {
  Note(std::vector<int>& into, int number) : list(into), value(number), task(run, this) {}
  static void run(TurnTask& task) {
    auto& self = task.owner<Note>();
    self.list.push_back(self.value);
    if (self.again_on != nullptr) self.again_on->at_end_of_turn(task);
    if (self.destroys != nullptr) self.destroys->reset();
  }
  std::vector<int>& list;
  int value;
  Loop* again_on = nullptr;
  std::unique_ptr<Note>* destroys = nullptr;
  TurnTask task;
};

TEST_F(LoopTest, RunsEndOfTurnTasksOnceInOrder) {
  std::vector<int> seen;
  Note first(seen, 1), second(seen, 2);
  loop->at_end_of_turn(first.task);
  loop->at_end_of_turn(second.task);
  loop->at_end_of_turn(first.task);
  loop->turn(0);
  loop->turn(0);
  EXPECT_EQ(seen, (std::vector<int>{1, 2}));
}

TEST_F(LoopTest, DoesNotWaitWhileATaskIsQueued) {
  std::vector<int> seen;
  Note note(seen, 1);
  note.again_on = loop.get();
  loop->at_end_of_turn(note.task);
  for (int i = 0; i < 3; ++i) loop->turn(UINT64_MAX);  // would wait for ever
  EXPECT_EQ(seen, (std::vector<int>{1, 1, 1}));
}

TEST_F(LoopTest, ForgetsATaskThatIsDestroyed) {
  std::vector<int> seen;
  auto later = std::make_unique<Note>(seen, 2);
  Note first(seen, 1);
  first.destroys = &later;
  loop->at_end_of_turn(first.task);
  loop->at_end_of_turn(later->task);
  {
    Note gone(seen, 3);
    loop->at_end_of_turn(gone.task);
  }
  loop->turn(0);
  EXPECT_EQ(seen, std::vector<int>{1});
}

// Waits for receive memory again each time it is told that some has come back.
struct Starving {
  explicit Starving(Loop& on) : loop(on), task(run, this) { loop.when_buffers_return(task, false); }
  static void run(TurnTask& task) {
    auto& self = task.owner<Starving>();
    ++self.runs;
    self.loop.when_buffers_return(task, false);
  }
  Loop& loop;
  int runs = 0;
  TurnTask task;
};

TEST(LoopMemory, TellsEachWhoStarvesOnceThatMemoryIsBackAndThenRests) {
  const auto memory = tests::ring_or_skip(Loop::create({.incremental_block_bytes = 4096,
                                                        .incremental_blocks = 1,
                                                        .whole_block_bytes = 4096,
                                                        .whole_blocks = 1,
                                                        .max_receive_bytes = 4096}));
  Loop& loop = *memory;
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  std::vector<Slice> held;
  Operation receive(&held, [](void* list, Completion& completion) {
    if (completion.result > 0) static_cast<std::vector<Slice>*>(list)->push_back(std::move(completion.data));
  });
  const std::string bytes(8192, 'x');
  ASSERT_EQ(write(pair[0], bytes.data(), bytes.size()), 8192);
  loop.io().receive(receive, pair[1]);
  for (int i = 0; i < 100 && receive.armed(); ++i) loop.turn(1'000'000);
  ASSERT_FALSE(receive.armed()) << "all memory is held";
  std::vector<std::unique_ptr<Starving>> starving;
  for (int i = 0; i < 100; ++i) starving.push_back(std::make_unique<Starving>(loop));
  const auto runs_of_each = [&](int runs) {
    for (const auto& each : starving) EXPECT_EQ(each->runs, runs);
  };
  for (int i = 0; i < 20; ++i) loop.turn(0);
  runs_of_each(0);
  held.clear();
  for (int i = 0; i < 20; ++i) loop.turn(0);
  runs_of_each(1);
  close(pair[0]);
  close(pair[1]);
}

TEST_F(LoopTest, SaysWhatIsWorthCopyingOutOfReceiveMemory) {
  const uint32_t half = IoOptions{}.incremental_block_bytes / 2;
  EXPECT_TRUE(loop->worth_copying_out(half - 1));
  EXPECT_FALSE(loop->worth_copying_out(half)) << "there is memory left, and the copy would be as large";
}

TEST_F(LoopTest, LetsATaskDestroyItself) {
  std::vector<int> seen;
  auto self = std::make_unique<Note>(seen, 1);
  self->destroys = &self;
  loop->at_end_of_turn(self->task);
  loop->turn(0);
  EXPECT_EQ(seen, std::vector<int>{1});
  EXPECT_EQ(self, nullptr);
}

TEST_F(LoopTest, WaitsNoLongerThanTheNextTimer) {
  bool fired = false;
  Timer timer([](Timer& expired) { expired.owner<bool>() = true; }, &fired);
  const uint64_t deadline_ns = loop->now_ns() + milliseconds(5);
  loop->timers().schedule(timer, deadline_ns);
  for (int turns = 0; !fired && turns < 100; ++turns) loop->turn(UINT64_MAX);
  EXPECT_TRUE(fired);
  EXPECT_GE(loop->now_ns(), deadline_ns);
}

TEST_F(LoopTest, WaitsNoLongerThanItIsTold) {
  const uint64_t begin_ns = loop->now_ns();
  loop->turn(milliseconds(2));
  EXPECT_GE(loop->now_ns() - begin_ns, milliseconds(2));
  EXPECT_EQ(loop->turns(), 1u);
}

TEST_F(LoopTest, RunsPostedWorkOnItsOwnThread) {
  std::thread::id ran_on;
  std::thread other([&] { loop->post([&] { ran_on = std::this_thread::get_id(); }); });
  while (ran_on == std::thread::id()) loop->turn(UINT64_MAX);
  other.join();
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST_F(LoopTest, LosesNothingOfWhatManyThreadsPost) {
  constexpr int kThreads = 4, kEach = 2000;
  int count = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < kEach; ++j) loop->post([&count] { ++count; });
    });
  }
  while (count < kThreads * kEach) loop->turn(UINT64_MAX);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(count, kThreads * kEach);
}

TEST_F(LoopTest, CallsTheTurnHookBeforePostedWork) {
  std::vector<int> seen;
  loop->on_turn([](void* list) { static_cast<std::vector<int>*>(list)->push_back(1); }, &seen);
  loop->post([&] { seen.push_back(2); });
  loop->turn(UINT64_MAX);
  EXPECT_EQ(seen, (std::vector<int>{1, 2}));
}

TEST_F(LoopTest, LetsPostedWorkPostMore) {
  int count = 0;
  std::function<void()> work = [&] {
    if (++count < 10) loop->post(work);
  };
  loop->post(work);
  while (count < 10) loop->turn(UINT64_MAX);
  EXPECT_EQ(count, 10);
}

}  // namespace
}  // namespace weir::core
