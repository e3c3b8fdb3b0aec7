#include "routing/admin/registry_threads.h"

namespace weir::routing {

RegistryResult<std::unique_ptr<RegistryThreads>> RegistryThreads::open(const Registry::Options& options) {
  std::unique_ptr<RegistryThreads> made(new RegistryThreads(options));
  if (options.path != ":memory:") made->path_ = options.path;
  if (auto opened = made->reopen(); !opened) return std::unexpected(std::move(opened.error()));
  return made;
}

void RegistryThreads::release() {
  for (Worker* worker : {&reading_, &writing_}) worker->finish();
  reader_.reset();
  planner_.reset();
  registry_.reset();
}

RegistryResult<void> RegistryThreads::reopen() {
  auto registry = Registry::open(options_);
  if (!registry) return std::unexpected(std::move(registry.error()));
  registry_ = std::move(*registry);
  for (auto* reader : {&reader_, &planner_}) {
    auto opened = registry_->reader();
    if (!opened) return std::unexpected(std::move(opened.error()));
    *reader = std::move(*opened);
  }
  return {};
}

}  // namespace weir::routing
