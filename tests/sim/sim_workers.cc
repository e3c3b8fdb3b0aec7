#include "tests/sim/sim_workers.h"

#include <functional>
#include <utility>
#include <vector>

#include "core/assert.h"
#include "routing/admin/worker.h"

namespace weir::sim {
namespace {

struct Entry {
  const routing::Worker* worker;
  std::function<bool()> has_job;
  std::function<void()> run_one;
};

std::vector<Entry>& entries() {
  static std::vector<Entry> list;
  return list;
}

}  // namespace

size_t SimWorkers::count() {
  return entries().size();
}
bool SimWorkers::has_job(size_t worker) {
  return entries().at(worker).has_job();
}
void SimWorkers::run_one(size_t worker) {
  WEIR_ASSERT(has_job(worker));
  entries().at(worker).run_one();
}

}  // namespace weir::sim

namespace weir::routing {

Worker::Worker() {
  sim::entries().push_back({this, [this] { return !jobs_.empty(); }, [this] { work(); }});
}

Worker::~Worker() {
  finish();
  std::erase_if(sim::entries(), [this](const sim::Entry& entry) { return entry.worker == this; });
}

void Worker::run(std::function<void()> job) {
  jobs_.push_back(std::move(job));
}

void Worker::finish() {
  while (!jobs_.empty()) work();
}

void Worker::work() {
  const std::function<void()> job = std::move(jobs_.front());
  jobs_.pop_front();
  job();
}

}  // namespace weir::routing
