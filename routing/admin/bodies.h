// What the bodies of admin calls say that are not objects of the table: kill, rollback, the decision on a
// proposal, a label. Only their shape is judged here; whether there is such a name is for whoever acts on it.
//
// Invariants
//   1. A refusal is a bad_value with a sentence, and the member at fault where it is about one.
//   2. What two readers could read in two ways is refused: a member twice, one that is not known. null is as
//      good as absent.
//   3. Nothing recurses deeper than limits::kMaxJsonDepth, whatever is sent.
//
// Pure; any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "routing/admin/refusal.h"
#include "routing/admin/rollback.h"
#include "routing/table/kills.h"

namespace weir::routing {

template <typename T>
using BodyResult = std::expected<T, Refusal>;

// The members of an object, all of them known, in canonical order.
BodyResult<nlohmann::json> read_members(std::string_view body, std::initializer_list<std::string_view> known);

// Every change has a reason that can be shown as it is; at most limits::kMaxTextBytes.
BodyResult<std::string> read_reason(std::string_view reason);

struct KillBody {
  KillScope scope;
  std::string name;  // empty for global
  std::string reason;
};
BodyResult<KillBody> read_kill(std::string_view body);

struct RollbackBody {
  Rollback rollback;
  std::string reason;
};
BodyResult<RollbackBody> read_rollback(std::string_view body);

// Approval or withdrawal: the reason.
BodyResult<std::string> read_decision(std::string_view body);

struct LabelBody {
  std::optional<uint64_t> revision;  // none = the newest
  std::string reason;
};
BodyResult<LabelBody> read_label(std::string_view body);

}  // namespace weir::routing
