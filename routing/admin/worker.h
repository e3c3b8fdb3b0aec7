// One thread for what takes too long for the control loop: compiling a table, reading certificates, taking a
// large table apart. Meanwhile the loop drains records and answers the admin API (a kill must not wait behind
// a compile).
//
// Jobs run one after the other, in order. Thread: run() any; a job hands its result back with Loop::post().
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace weir::routing {

class Worker {
 public:
  Worker();
  // Finishes the jobs that are queued.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void run(std::function<void()> job);
  // Waits until the jobs that are queued by now have ended.
  void finish();

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;  // guarded by mutex_
  bool stopping_ = false;                   // guarded by mutex_
  std::thread thread_;
};

}  // namespace weir::routing
