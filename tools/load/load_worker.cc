#include "tools/load/load_worker.h"

#include <time.h>

#include <algorithm>
#include <cmath>

#include "core/strong.h"
#include "tools/load/load_connection.h"
#include "tools/load/process_watch.h"

namespace weir::tools {
namespace {

constexpr uint32_t kOpenAtOnce = 128;            // a burst of thousands would overflow the backlog
constexpr uint32_t kRefusedOpensToGiveUp = 256;  // in a row, before the first that worked

uint64_t nanoseconds(double seconds) {
  return static_cast<uint64_t>(seconds * 1e9);
}

uint64_t thread_cpu_ns() {
  timespec spent{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return static_cast<uint64_t>(spent.tv_sec) * core::kNsPerSecond + static_cast<uint64_t>(spent.tv_nsec);
}

// `total` things for `workers`: how many the one of this index gets.
uint64_t share(uint64_t total, uint32_t workers, uint32_t index) {
  return total / workers + (index < total % workers ? 1 : 0);
}

}  // namespace

uint64_t LoadResult::error_count() const {
  uint64_t sum = 0;
  for (const auto& [name, count] : errors) sum += count;
  return sum;
}

void LoadResult::merge(const LoadResult& other) {
  if (problem.empty()) problem = other.problem;
  latency.merge(other.latency);
  service.merge(other.service);
  first_token.merge(other.first_token);
  frame_gap.merge(other.frame_gap);
  window_answers += other.window_answers;
  window_frames += other.window_frames;
  window_ns = std::max(window_ns, other.window_ns);
  all_answers += other.all_answers;
  all_frames += other.all_frames;
  all_bytes += other.all_bytes;
  sent_bytes += other.sent_bytes;
  reconnects += other.reconnects;
  most_waiting += other.most_waiting;
  cpu_ns += other.cpu_ns;
  watched_cpu_ns += other.watched_cpu_ns;
  watched_kib += other.watched_kib;
  for (const auto& [status, count] : other.statuses) statuses[status] += count;
  for (const auto& [name, count] : other.errors) errors[name] += count;
  if (example.empty()) example = other.example;
}

LoadWorker::LoadWorker(const LoadOptions& options, uint32_t index, std::vector<core::SocketAddress> addresses,
                       std::shared_ptr<net::TlsClientContext> tls, Ready& ready)
    : options_(options),
      index_(index),
      addresses_(std::move(addresses)),
      tls_(std::move(tls)),
      ready_(ready),
      mix_(options, index),
      arrivals_(options.seed * 7'919 + index),
      rate_(options.rate / options.threads) {
  if (options.requests) requests_left_ = share(*options.requests, options.threads, index);
}

LoadWorker::~LoadWorker() = default;

void LoadWorker::stop() {
  stopping_.store(true, std::memory_order_relaxed);
  if (core::Loop* loop = wakeable_.load(std::memory_order_acquire); loop != nullptr) loop->wake();
}

void LoadWorker::run() {
  const uint64_t cpu_before_ns = thread_cpu_ns();
  auto loop = core::Loop::create();
  if (!loop) {
    result_.problem = std::move(loop.error());
    ready_.arrive_and_drop();
    return;
  }
  loop_ = std::move(*loop);
  wakeable_.store(loop_.get(), std::memory_order_release);
  loop_->on_turn([](void* self) { static_cast<LoadWorker*>(self)->on_turn(); }, this);
  to_open_ = static_cast<uint32_t>(share(options_.connections, options_.threads, index_));
  for (uint32_t i = 0; i < to_open_; ++i) {
    // The workers' connections together go to the URLs in turn.
    const size_t url = (i * options_.threads + index_) % options_.urls.size();
    connections_.push_back(std::make_unique<LoadConnection>(*this, url));
  }
  just_sent_.reserve(connections_.size());
  work();
  result_.cpu_ns = thread_cpu_ns() - cpu_before_ns;
  loop_->on_turn(nullptr, nullptr);
  connections_.clear();
}

void LoadWorker::work() {
  const auto to_open = static_cast<uint32_t>(connections_.size());
  open_more();
  while (opened_once_ < to_open && result_.problem.empty() && !stopping_.load(std::memory_order_relaxed))
    loop_->turn();
  ready_.arrive_and_wait();
  if (result_.problem.empty()) {
    loop_->turn(0);  // the loop's clock is from before the wait for the others
    begin_schedule();
    while (phase_ != Phase::closing) {
      loop_->turn(wait_ns());
      stamp_sent();
    }
  }
  phase_ = Phase::closing;
  for (auto& connection : connections_) connection->close();
  const auto all_closed = [&] {
    return std::ranges::all_of(connections_, [](auto& one) { return one->closed(); });
  };
  while (!all_closed()) loop_->turn(core::milliseconds(1));
  loop_->turn(0);  // hands the last closes to the kernel
}

void LoadWorker::open_more() {
  while (to_open_ > 0 && opening_ < kOpenAtOnce) {
    ++opening_;
    connections_[--to_open_]->open();
  }
}

void LoadWorker::on_opened(LoadConnection& connection) {
  refused_opens_ = 0;
  if (phase_ == Phase::opening) {
    ++opened_once_;
    --opening_;
    open_more();
  } else {
    on_free(connection);
  }
}

void LoadWorker::on_open_failed(LoadConnection&, core::Error error) {
  const core::ErrorInfo& info = core::describe(error.code);
  if (phase_ != Phase::opening) return count_error(info.token, "");
  // What fails at the beginning is tried again for as long as others come through.
  if (++refused_opens_ >= std::min<size_t>(connections_.size(), kRefusedOpensToGiveUp)) {
    result_.problem = "no connection could be opened: " + std::string(info.token);
  }
}

void LoadWorker::begin_schedule() {
  const uint64_t now_ns = loop_->now_ns();
  window_begin_ns_ = now_ns + nanoseconds(options_.warmup_s);
  window_end_ns_ = window_begin_ns_ + nanoseconds(options_.duration_s);
  phase_ = Phase::warm_up;
  if (options_.warmup_s == 0) begin_window();
  if (options_.idle) return;
  if (open_loop()) {
    for (auto& connection : connections_) free_.push_back(connection.get());
    next_due_ns_ = now_ns + draw_interval_ns();
    return;
  }
  // Spread over the ramp: streams that all begin at once would stay in step.
  const uint64_t ramp_ns = nanoseconds(options_.ramp_s);
  for (size_t i = 0; i < connections_.size(); ++i) {
    if (ramp_ns == 0) {
      on_free(*connections_[i]);
    } else {
      connections_[i]->free_after(ramp_ns * i / connections_.size());
    }
  }
}

uint64_t LoadWorker::draw_interval_ns() {
  const double mean_ns = 1e9 / rate_;
  return static_cast<uint64_t>(
      options_.arrivals == Arrivals::fixed ? mean_ns : -std::log(1 - arrivals_.unit()) * mean_ns);
}

uint64_t LoadWorker::wait_ns() const {
  uint64_t until_ns = owed() ? grace_end_ns_ : 0;
  if (phase_ == Phase::warm_up) until_ns = std::min(next_due_ns_, window_begin_ns_);
  if (phase_ == Phase::window) until_ns = std::min(next_due_ns_, window_end_ns_);
  return core::timeout_until(until_ns, core::monotonic_now_ns());
}

// Before the handlers of each turn: time passes, and what is due begins.
void LoadWorker::on_turn() {
  if (phase_ == Phase::opening || phase_ == Phase::closing) return;
  const uint64_t now_ns = loop_->now_ns();
  while (starting() && next_due_ns_ <= now_ns && next_due_ns_ < window_end_ns_) {
    due_.push_back(next_due_ns_);
    next_due_ns_ += draw_interval_ns();
  }
  advance(now_ns);
  while (!due_.empty() && !free_.empty()) {
    LoadConnection& connection = *free_.front();
    free_.pop_front();
    on_free(connection);
  }
  result_.most_waiting = std::max<uint64_t>(result_.most_waiting, due_.size());
}

void LoadWorker::advance(uint64_t now_ns) {
  const bool stopping = stopping_.load(std::memory_order_relaxed);
  if (phase_ == Phase::warm_up && (now_ns >= window_begin_ns_ || stopping)) {
    window_begin_ns_ = std::min(window_begin_ns_, now_ns);
    begin_window();
  }
  if (phase_ == Phase::window && (now_ns >= window_end_ns_ || stopping)) end_window(now_ns, End::by_time);
  if (phase_ != Phase::drain) return;
  if (owed() && now_ns < grace_end_ns_ && !stopping) return;
  if (in_flight_ > 0) result_.errors["unanswered"] += in_flight_;
  if (!due_.empty()) result_.errors["never_sent"] += due_.size();
  due_.clear();
  if (window_end_ns_ == UINT64_MAX) {  // ended by count: with the last answer
    window_end_ns_ = now_ns;
    close_window();
  }
  result_.window_ns = window_end_ns_ - window_begin_ns_;
  phase_ = Phase::closing;
}

void LoadWorker::begin_window() {
  phase_ = Phase::window;
  if (index_ == 0) result_.watched_cpu_ns = cpu_ns_of(options_.watched_pids);
}

void LoadWorker::close_window() {
  if (index_ != 0) return;
  result_.watched_cpu_ns = cpu_ns_of(options_.watched_pids) - result_.watched_cpu_ns;
  result_.watched_kib = memory_kib_of(options_.watched_pids);
}

void LoadWorker::end_window(uint64_t now_ns, End end) {
  window_end_ns_ = end == End::by_count ? UINT64_MAX : std::min(window_end_ns_, now_ns);
  if (end == End::by_time) close_window();
  next_due_ns_ = UINT64_MAX;
  grace_end_ns_ = now_ns + nanoseconds(options_.grace_s);
  phase_ = Phase::drain;
}

// False when the run has begun all its requests.
bool LoadWorker::take_request(uint64_t intended_ns) {
  if (requests_left_ == UINT64_MAX || intended_ns < window_begin_ns_) return true;
  if (requests_left_ == 0) return false;
  --requests_left_;
  return true;
}

// A connection may begin a request now, or wait for one.
void LoadWorker::on_free(LoadConnection& connection) {
  if (options_.idle || phase_ == Phase::closing) return;
  const uint64_t now_ns = loop_->now_ns();
  uint64_t intended_ns = 0;
  if (open_loop()) {
    if (due_.empty()) return free_.push_back(&connection);
    intended_ns = due_.front();
    due_.pop_front();
  } else if (!starting()) {
    return;
  }
  const uint64_t counts_from_ns = intended_ns == 0 ? now_ns : intended_ns;
  if (!take_request(counts_from_ns)) {
    due_.clear();
    if (phase_ == Phase::window) end_window(now_ns, End::by_count);
    return;
  }
  connection.start(intended_ns, in_window(counts_from_ns));
}

void LoadWorker::stamp_sent() {
  if (just_sent_.empty()) return;
  const uint64_t now_ns = core::monotonic_now_ns();
  for (LoadConnection* connection : just_sent_) connection->sent(now_ns);
  just_sent_.clear();
}

void LoadWorker::count_error(std::string_view name, std::string_view example) {
  ++result_.errors[std::string(name)];
  progress_.errors.add();
  if (result_.example.empty()) {
    result_.example =
        std::string(name) + (example.empty() ? "" : ": ") + std::string(example.substr(0, kExampleBytes));
  }
}

}  // namespace weir::tools
