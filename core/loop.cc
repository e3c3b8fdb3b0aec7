#include "core/loop.h"

#include <algorithm>
#include <utility>

namespace weir::core {
namespace {

// Receives that go on in one turn after memory has come back: about what the receive memory at start serves when
// each takes a window full.
constexpr uint32_t kStarvedPerTurn = 32;

// How long receive memory is kept for the next burst, at least.
constexpr uint64_t kTrimPeriodNs = milliseconds(1000);

}  // namespace

void TurnTask::unlink() {
  if (previous_ == nullptr) return;
  previous_->next_ = next_;
  next_->previous_ = previous_;
  next_ = previous_ = nullptr;
}

TurnTaskList::~TurnTaskList() {
  while (!empty()) sentinel_.next_->unlink();
  sentinel_.next_ = sentinel_.previous_ = nullptr;
}

void TurnTaskList::add(TurnTask& task) {
  if (task.queued()) return;
  task.previous_ = sentinel_.previous_;
  task.next_ = &sentinel_;
  sentinel_.previous_->next_ = &task;
  sentinel_.previous_ = &task;
}

void TurnTaskList::run_next() {
  TurnTask& task = *sentinel_.next_;
  task.unlink();
  task.run_(task);
}

void TurnTaskList::take_all(TurnTaskList& from) {
  if (from.empty()) return;
  TurnTask& first = *from.sentinel_.next_;
  TurnTask& last = *from.sentinel_.previous_;
  from.sentinel_.next_ = from.sentinel_.previous_ = &from.sentinel_;
  first.previous_ = sentinel_.previous_;
  last.next_ = &sentinel_;
  sentinel_.previous_->next_ = &first;
  sentinel_.previous_ = &last;
}

void TurnTaskList::run_all() {
  // Moved to a list of its own, so that a task may add itself or others again and may destroy any task.
  TurnTaskList batch;
  batch.take_all(*this);
  while (!batch.empty()) batch.run_next();
}

Loop::Loop() : now_ns_(monotonic_now_ns()), wall_now_ns_(core::wall_now_ns()), timers_(now_ns_), trim_(on_trim, this) {}
Loop::~Loop() = default;

std::expected<std::unique_ptr<Loop>, std::string> Loop::create(const IoOptions& options) {
  std::unique_ptr<Loop> loop(new Loop);
  auto io = Io::create(options, loop->buffers_);
  if (!io) return std::unexpected(io.error());
  loop->io_ = std::move(*io);
  return loop;
}

void Loop::turn(uint64_t max_wait_ns) {
  uint64_t wait_ns = max_wait_ns;
  if (!end_of_turn_.empty() || starved_end_.queued()) {
    wait_ns = 0;
  } else if (const uint64_t deadline_ns = timers_.next_deadline_ns(); deadline_ns != kNoDeadline) {
    wait_ns = std::min(wait_ns, timeout_until(deadline_ns, now_ns_));
  }
  io_->submit_and_wait(wait_ns);
  ++turns_;
  now_ns_ = monotonic_now_ns();
  wall_now_ns_ = core::wall_now_ns();
  if (turn_hook_ != nullptr) turn_hook_(turn_hook_context_);
  io_->dispatch();
  timers_.advance(now_ns_);
  if (has_posted_.load(std::memory_order_relaxed)) run_posted();
  end_of_turn_.run_all();
  // Last, because all of the above may give memory back, and the next turn may wait.
  if (io_->take_receive_pressure()) holders_.run_all();
  if (io_->take_buffers_returned()) {
    starved_end_.unlink();
    starved_.take_all(served_);
    if (!starved_.empty()) starved_.add(starved_end_);
    if (!trim_.armed() && io_->stats().spare_bytes > 0) timers_.schedule(trim_, deadline_after(now_ns_, kTrimPeriodNs));
  }
  // A few at a time: a thousand that wake for the memory of ten find nothing. Who finds none waits behind
  // starved_end_ until memory comes back again, or the loop would never rest.
  for (uint32_t count = 0; count < kStarvedPerTurn && starved_end_.queued(); ++count) starved_.run_next();
  last_turn_ns_ = monotonic_now_ns() - now_ns_;
}

void Loop::on_trim(Timer& timer) {
  auto& self = timer.owner<Loop>();
  if (self.io_->trim_receive_memory())
    self.timers_.schedule(timer, deadline_after(self.now_ns_, kTrimPeriodNs));
}

void Loop::post(std::function<void()> work) {
  {
    const std::lock_guard guard(posted_lock_);
    posted_.push_back(std::move(work));
  }
  has_posted_.store(true, std::memory_order_relaxed);  // the lock orders the vector itself
  wake();
}

void Loop::run_posted() {
  std::vector<std::function<void()>> batch;
  {
    const std::lock_guard guard(posted_lock_);
    batch.swap(posted_);
    has_posted_.store(false, std::memory_order_relaxed);
  }
  for (auto& work : batch) work();
}

}  // namespace weir::core
