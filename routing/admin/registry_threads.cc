#include "routing/admin/registry_threads.h"

#include <utility>

namespace weir::routing {

RegistryResult<std::unique_ptr<RegistryThreads>> RegistryThreads::open(const Registry::Options& options) {
  auto registry = Registry::open(options);
  if (!registry) return std::unexpected(std::move(registry.error()));
  std::unique_ptr<RegistryThreads> made(new RegistryThreads);
  if (options.path != ":memory:") made->path_ = options.path;
  made->registry_ = std::move(*registry);
  for (auto* reader : {&made->reader_, &made->planner_}) {
    auto opened = made->registry_->reader();
    if (!opened) return std::unexpected(std::move(opened.error()));
    *reader = std::move(*opened);
  }
  return made;
}

}  // namespace weir::routing
