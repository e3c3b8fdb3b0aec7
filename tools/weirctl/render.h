// Turns answers of the admin API into text for a terminal. Pure: JSON in, text out; a field that is missing
// prints as "-", since weirctl may be newer or older than the weir it talks to.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace weir::tools {

// `text` without control characters: names and reasons come from others and must not steer the terminal.
std::string printable(std::string_view text);

enum class Align : uint8_t { left, right };

// Aligned columns with two spaces between them. Rows may be shorter than the heading. Width counts code
// points.
std::string columns(const std::vector<std::string>& heading, const std::vector<Align>& alignment,
                    const std::vector<std::vector<std::string>>& rows);

// "3d4h", "2h5m", "5m10s", "42s".
std::string uptime(double seconds);

// The first lines of `weirctl status` and `weirctl top`, and the whole of `weirctl status`.
std::string render_headline(const nlohmann::json& status);
std::string render_status(const nlohmann::json& status);

std::string render_explain(const nlohmann::json& explanation);

// Answers of /v1/limits, /v1/budgets, /v1/breakers, a line per row.
std::string render_limits(const nlohmann::json& answer);
std::string render_budgets(const nlohmann::json& answer);
std::string render_breakers(const nlohmann::json& answer);

// An error answer: its sentence, then every problem as "path: message" on a line of its own.
std::string render_error(long status, std::string_view body);

}  // namespace weir::tools
