#include "tools/weir/shard_thread.h"

#include <pthread.h>
#include <sched.h>

#include <utility>

#include "core/log.h"
#include "routing/exchange/shard.h"

namespace weir::tools {

struct ShardThread::Running {
  routing::Shard shard;
  bool ending = false;
};

ShardThread::ShardThread(uint32_t index, std::optional<int> cpu, const core::IoOptions& options)
    : index_(index), options_(options), thread_([this, cpu] { run(cpu); }) {}

ShardThread::~ShardThread() {
  if (!told_) work_.set_value({});
  thread_.join();
}

std::expected<void, std::string> ShardThread::opened() {
  return opened_.get_future().get();
}

void ShardThread::serve(routing::Gateway& gateway, std::vector<ShardListener> listeners,
                        std::function<void()> on_end) {
  told_ = true;
  work_.set_value({.gateway = &gateway, .listeners = std::move(listeners), .on_end = std::move(on_end)});
}

void ShardThread::wake() {
  loop_->wake();
}

void ShardThread::drain(uint32_t idle_ms) {
  loop_->post([this, idle_ms] {
    running_->shard.begin_drain(idle_ms);
    running_->ending = true;
  });
}

void ShardThread::close_now() {
  loop_->post([this] {
    running_->shard.close_all();
    running_->ending = true;
  });
}

void ShardThread::run(std::optional<int> cpu) {
  const std::string name = "shard " + std::to_string(index_);
  pthread_setname_np(pthread_self(), name.c_str());
  if (cpu) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(static_cast<size_t>(*cpu), &cpus);
    // Before the loop, so that its memory is near. A refusal (a container's) costs speed, not correctness.
    if (const int error = pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus); error != 0) {
      core::log_warning("shard_not_pinned", {{"shard", index_}, {"cpu", *cpu}, {"errno", error}});
    }
  }
  auto loop = core::Loop::create(options_);
  if (!loop) return opened_.set_value(std::unexpected(std::move(loop.error())));
  loop_ = std::move(*loop);
  opened_.set_value({});

  Work work = work_.get_future().get();
  if (work.gateway != nullptr) {
    Running running{.shard = {*loop_, *work.gateway, index_}};
    running_ = &running;
    for (const ShardListener& listener : work.listeners)
      running.shard.listen(listener.descriptor, listener.tls);
    while (!running.ending || !running.shard.closed()) loop_->turn();
    loop_->turn(0);  // hands the last closes to the kernel: a listener nobody accepts from must not stay
  }
  running_ = nullptr;
  // The loop stays until the destructor: others may still wake it.
  if (work.on_end) work.on_end();
}

}  // namespace weir::tools
