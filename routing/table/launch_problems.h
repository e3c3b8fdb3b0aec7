// Launches that somebody has forgotten (DESIGN section 7, GET /v1/flags?problem=): which rows and flags want
// a person's attention, and why.
//
// Pure: the table, its objects, a clock's value and thresholds come in. Control thread; a pass over all rows.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/strong.h"
#include "routing/table/object_source.h"
#include "routing/table/table.h"

namespace weir::routing {

// Token of the query and of answers = the enumerator's name.
#define WEIR_LAUNCH_PROBLEM_TABLE(X)                                                                   \
  X(expired, "the row has expired")                                                                    \
  X(frozen, "the row has expired and may not change until it is renewed or switched off")              \
  X(overdue_review, "the row's review date has passed")                                                \
  X(pilot_over, "the pilot's time is over: the previous unit answers")                                 \
  X(partial_too_long, "the row has been in pilot for long: widen it, finish it or end it")             \
  X(no_owner, "the flag has no owner")                                                                 \
  X(no_previous, "the unit to return to is switched off")                                              \
  X(stale, "the flag does nothing any more: make its candidate the stable unit or take the flag away") \
  X(unused_unit, "no scenario, flag or row names the unit")

enum class LaunchProblem : uint8_t {
#define X(name, sentence) name,
  WEIR_LAUNCH_PROBLEM_TABLE(X)
#undef X
};
inline constexpr size_t kLaunchProblemCount = 0
#define X(name, sentence) +1
    WEIR_LAUNCH_PROBLEM_TABLE(X)
#undef X
    ;

std::string_view token(LaunchProblem problem);
std::string_view sentence(LaunchProblem problem);

// "expired,no_owner" or "all" as a set of bits 1 << LaunchProblem; else a sentence that names the unknown
// word.
std::expected<uint32_t, std::string> parse_launch_problems(std::string_view list);

struct LaunchFinding {
  LaunchProblem problem{};
  ObjectKind kind = ObjectKind::flag;  // flag or unit
  std::string name;                    // of the flag or unit
  std::string tenant;                  // of the row; empty = the flag or unit as such
  std::string owner;                   // of the row, else of the flag; empty = nobody
  int64_t since_wall_ns = 0;           // when it became one; 0 = not known
  std::string detail;                  // one sentence for people
};

struct LaunchQuery {
  int64_t wall_now_ns = 0;
  uint32_t wanted = UINT32_MAX;  // bits 1 << LaunchProblem
  size_t limit = 1000;           // findings listed; the rest is counted
  uint64_t partial_after_ns = 30 * 24 * 3600 * core::kNsPerSecond;
  uint64_t stale_after_ns = 30 * 24 * 3600 * core::kNsPerSecond;
  // When a row (or, without tenant, a flag) was last changed; none = not known. May be empty. Asked only for
  // rows and flags that would be findings if they are old enough; without an answer a row counts from its
  // `start`, a flag as old.
  std::function<std::optional<int64_t>(std::string_view flag, std::string_view tenant)> changed_at = {};
};

struct LaunchFindings {
  std::vector<LaunchFinding> listed;
  size_t count = 0;  // all of them
};

// By problem, then in the table's order. `objects.find` fills in owners; it may be empty.
LaunchFindings find_launch_problems(const Table& table, const ObjectSource& objects,
                                    const LaunchQuery& query);

// {"problem","kind","name","tenant":…|null,"owner":…|null,"since":…|null,"detail"}
void append_json(std::string& out, const LaunchFinding& finding);

}  // namespace weir::routing
