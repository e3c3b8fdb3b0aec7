#include "tools/weir/registry_commands.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "core/display_text.h"
#include "core/timestamp.h"

namespace weir::tools {
namespace {

int refuse(const routing::RegistryError& error) {
  fmt::print(stderr, "{}\n", error.message);
  const bool input = error.kind == routing::RegistryError::Kind::not_found;
  return input ? kExitBadInput : kExitFailure;
}

std::string shown(std::string_view text) {
  return core::displayable(text);
}

}  // namespace

int verify_registry(const std::string& file) {
  const auto registry = routing::Registry::open({.path = file, .create = false});
  if (!registry) return refuse(registry.error());
  const auto verification = (*registry)->verify({});
  if (!verification) return refuse(verification.error());
  for (const std::string& fault : verification->faults) fmt::print(stderr, "{}: {}\n", file, shown(fault));
  fmt::print("{}: revision {}, {} changes and {} objects checked, {} faults, log ends with {}\n", file,
             (*registry)->revision(), verification->changes, verification->objects,
             verification->faults.size(), (*registry)->head_hash());
  return verification->faults.empty() ? kExitOk : kExitFailure;
}

int print_registry_log(const std::string& file, const routing::AuditQuery& query) {
  const auto registry = routing::Registry::open({.path = file, .create = false});
  if (!registry) return refuse(registry.error());
  const auto changes = (*registry)->audit(query);
  if (!changes) return refuse(changes.error());
  for (const routing::Change& change : *changes) {
    fmt::print("{}  {}  {} ({})  {}  {}  {}\n",
               change.revision == 0 ? std::string("-") : std::to_string(change.revision),
               core::timestamp(change.wall_ns).view(), shown(change.actor.name), shown(change.actor.role),
               shown(change.action), change.target.empty() ? "-" : shown(change.target),
               shown(change.reason));
  }
  return kExitOk;
}

int export_registry(const std::string& file, uint64_t revision) {
  const auto registry = routing::Registry::open({.path = file, .create = false});
  if (!registry) return refuse(registry.error());
  const auto document = (*registry)->document(revision);
  if (!document) return refuse(document.error());
  fmt::print("{}\n", *document);
  return kExitOk;
}

}  // namespace weir::tools
