// Back to how it was: for one tenant, a tenant's row, a flag, a scenario, or everything (DESIGN section 7).
// One action, never waiting for approval, never lifting a kill.
//
//   to: previous ─▶ the newest change of the scope ─▶ the revision before it
//                   (a rollback among them: what it went back to, so that a second one goes further back, not
//                   forth)
//       revision, time, label ─▶ that revision
//   what differs between then and now ─▶ of the scope only ─▶ with what it refers to, if that is gone ─▶ a
//   Plan
//
// Invariants
//   1. Nothing is deleted: what was not there then stays, without effect, since rows that were not there are
//      taken away. Conversations may still finish on it.
//   2. Keys are never touched: a revoked key does not come back.
//   3. A unit or prompt that comes back has the body it had: they are immutable.
//
// Pure but for reading the registry; compile worker.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>

#include "routing/admin/change.h"

namespace weir::routing {

struct Rollback {
  enum class Scope : uint8_t { tenant, flag, scenario, all };
  Scope scope = Scope::all;
  std::string name = {};  // empty for all
  std::string flag = {};  // Scope::tenant: the row on it alone; empty = the whole tenant

  // Where to; the first that is set. None of them: previous.
  std::optional<uint64_t> revision = {};
  std::optional<int64_t> wall_ns = {};
  std::optional<std::string> label = {};

  std::string note = {};      // for people
  std::string evidence = {};  // canonical JSON; may be empty
};

std::string_view to_string(Rollback::Scope scope);
std::optional<Rollback::Scope> parse_rollback_scope(std::string_view text);

// Refusals: unknown_name, unknown_revision, unknown_label, nothing_to_roll_back.
std::expected<Plan, Refusal> plan_rollback(const Rollback& rollback, const Newest& newest);

}  // namespace weir::routing
