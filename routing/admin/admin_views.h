// What the admin API answers, as JSON: the shapes of tools/weirctl/admin_client.h. Reads, changes nothing.
//
// Thread: the control loop's.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "routing/admin/control.h"
#include "routing/admin/query.h"
#include "routing/table/problem.h"

namespace weir::routing {

using Json = nlohmann::ordered_json;

inline constexpr std::string_view kJsonType = "application/json";

// Text of an answer. Bytes that are not UTF-8 become U+FFFD: nothing that an operator sent makes it throw.
std::string to_text(const Json& json);

// {"error":{message,type,param,code}}; an empty param or code is null.
Json error_view(std::string_view message, std::string_view type, std::string_view param,
                std::string_view code);
Json error_view(core::Error error);

// The error shape with {"problems":[{path,message,line?,column?}], "problem_count"} beside it.
Json problems_view(std::span<const Problem> problems);

// The error shape, with the newest revision beside it where that matters, or the problems.
Json refusal_view(const Refusal& refusal);
Json outcome_view(const ChangeOutcome& outcome);

Json text_or_null(std::string_view text);  // null for none
Json actor_view(const Actor& actor);
Json kill_view(const Kill& kill);
Json object_change_view(const ObjectChange& change);
// The first kMaxListedObjects of them.
Json object_changes_view(std::span<const ObjectChange> changes);
Json change_view(const Change& change);
Json proposal_view(const Proposal& proposal);
// A body as the registry keeps it; null for none.
Json body_view(const std::optional<std::string>& body);
std::string time_text(int64_t wall_ns);  // RFC 3339

struct Process {
  std::string version;
  double uptime_s;
  bool upgrading = false;            // a successor is starting
  std::string upgrade_failure = {};  // why the last one did not start
};
Json status_view(const ControlThread& control, const Process& process, const Caller& caller);

// A refusal names the parameter at fault.
struct ExplainRefusal {
  int status;
  std::string message;
  std::string param;
};
std::expected<Json, ExplainRefusal> explain_view(ControlThread& control, const Target& target);

// Metrics of the process beside those of its shards.
void append_control_metrics(const ControlThread& control, const Process& process, std::string& out);

}  // namespace weir::routing
