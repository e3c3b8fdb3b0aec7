// Turns answers of the admin API into text for a terminal `width` columns wide (0: lines of any length).
// Pure: JSON in, text out.
//
// Commands that a person may copy stand on a line of their own and are never broken.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace weir::tools {

// "3d4h", "2h5m", "5m10s", "42s".
std::string uptime(double seconds);

// The first lines of `weirctl status` and `weirctl watch`, and the whole of `weirctl status`.
std::string render_headline(const nlohmann::json& status, size_t width);
std::string render_status(const nlohmann::json& status, size_t width);

// Which unit and why, who made it so, and what turns it off.
std::string render_explain(const nlohmann::json& explanation, size_t width);
// A call of the admin API as the command that makes it: "weirctl kill flag f --reason '...'". Empty when
// there is none.
std::string command_of(std::string_view call, const nlohmann::json& body);

// What came of a change: made, proposed, or what it would do.
std::string render_outcome(const nlohmann::json& outcome, size_t width);

// Object changes, member by member (routing/table/diff.h). `count`: how many there are; more than listed is
// said.
std::string render_changes(const nlohmann::json& changes, uint64_t count, size_t width);

// Changes, newest first, as a table; and one of them with all it did.
std::string render_log(const nlohmann::json& changes, size_t width);
std::string render_change(const nlohmann::json& change, size_t width);

std::string render_proposals(const nlohmann::json& proposals, size_t width);
std::string render_proposal(const nlohmann::json& proposal, size_t width);

std::string render_problems(const nlohmann::json& found, size_t width);

// Answers of /v1/limits, /v1/budgets, /v1/breakers, a line per row.
std::string render_limits(const nlohmann::json& answer, size_t width);
std::string render_budgets(const nlohmann::json& answer, size_t width);
std::string render_breakers(const nlohmann::json& answer, size_t width);

// An error answer: its sentence, then every problem as "path: message" on a line of its own.
std::string render_error(long status, std::string_view body);

}  // namespace weir::tools
