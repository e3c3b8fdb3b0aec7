// Which changes wait for somebody else (DESIGN section 7): what a change does to launches, and whose approval
// the scenarios and flags ask for before it (`approvals` in the table).
//
//   objects before and after ──find_touches──▶ touches ──rules of flags and scenarios──▶ roles, in order
//
//   production  a tenant's row goes to production, from whatever state; an existing flag gets another
//   candidate; a
//               scenario another stable unit
//   widen       more of a tenant's traffic may get the candidate: off to pilot, a larger percentage, another
//   segment,
//               a looser or no limit of the pilot; a flag excludes less; a segment changes that a pilot
//               admits by or a flag excludes by
//   prompt      a flag's candidate or a scenario's units use a prompt that neither used before
//   rules       a flag or scenario loses or changes its `approvals`
//
// Invariants
//   1. The rules that count are those from before the change, so nobody writes himself out of them; a new
//      flag or scenario brings its own.
//   2. What only narrows (to off, down, more excluded, a row taken away) touches nothing. Rollbacks and kills
//      do not ask at all: their callers leave this out.
//
// Pure; any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "routing/table/object_source.h"
#include "routing/table/objects.h"

namespace weir::routing {

enum class TouchKind : uint8_t { production, widen, prompt, rules };
std::string_view to_string(TouchKind kind);

struct Touch {
  TouchKind kind = TouchKind::widen;
  std::string flag;  // empty: of the scenario itself
  std::string scenario;
  std::string tenant;  // empty: of all tenants
  std::string detail;  // for people: "percent 5 -> 25"

  friend bool operator==(const Touch&, const Touch&) = default;
};

struct NeededApprovals {
  std::vector<Touch> touches;  // those that somebody must approve; at most kMaxTouches
  std::vector<std::string>
      roles;  // operator, approver, admin: in the order they approve; empty = nothing to wait for
};

// What `changes` do to launches, as far as scenarios or flags want approvals for it. `before` holds the
// table's objects as they are without the changes.
NeededApprovals needed_approvals(std::span<const ObjectChange> changes, const ObjectSource& before);

// Touches listed at most; the roles count them all.
inline constexpr size_t kMaxTouches = 100;

}  // namespace weir::routing
