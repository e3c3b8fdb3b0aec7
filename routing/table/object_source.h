// Where the objects of a table can be looked up: a registry, or a document that was split. Functions, so that
// what judges changes stays pure. Thread: as the functions behind it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "routing/table/objects.h"

namespace weir::routing {

struct ObjectSource {
  // The body, or none when there is no such object.
  std::function<std::optional<std::string>(ObjectKind kind, std::string_view name)> find;
  // Every object, in the order split_document() gives; views live until `each` returns. Slow with a million
  // tenants.
  std::function<void(const std::function<void(const ObjectView&)>& each)> for_each;
};

}  // namespace weir::routing
