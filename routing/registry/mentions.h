// What a change concerns beside the objects it touches, so that audit() finds it without reading every
// change: the flags whose rows of a tenant became other ones, the tenant that a key belongs to, what a kill
// names.
//
// Pure; any thread.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "routing/table/kills.h"
#include "routing/table/objects.h"

namespace weir::routing {

// Kind and name; an empty name stands for any of the kind.
using Mentions = std::set<std::pair<ObjectKind, std::string>>;

// Of one object's change; a body that is empty = it is not there.
void mention(ObjectKind kind, std::string_view before, std::string_view after, Mentions& mentions);
void mention(const Kill& kill, Mentions& mentions);

}  // namespace weir::routing
