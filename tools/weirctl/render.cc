#include "tools/weirctl/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <optional>

namespace weir::tools {
namespace {

using nlohmann::json;

// The value at `key` as text; "-" when it is not there.
std::string field(const json& object, const char* key) {
  if (!object.is_object()) return "-";
  auto found = object.find(key);
  if (found == object.end() || found->is_null()) return "-";
  return printable(found->is_string() ? found->get_ref<const std::string&>() : found->dump());
}

bool is_true(const json& object, const char* key) {
  return object.is_object() && object.contains(key) && object[key].is_boolean() && object[key].get<bool>();
}

// The array at `key`; empty when it is not there.
const json& list(const json& object, const char* key) {
  static const json empty = json::array();
  if (!object.is_object() || !object.contains(key) || !object[key].is_array()) return empty;
  return object[key];
}

// The count at `key`; nothing when it is not there.
std::optional<uint64_t> number(const json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_number_unsigned()) return std::nullopt;
  return object[key].get<uint64_t>();
}

// "1 tenant", "2 tenants".
std::string counted(const json& object, const char* key, std::string_view one) {
  const std::string count = field(object, key);
  return fmt::format("{} {}{}", count, one, count == "1" ? "" : "s");
}

size_t width(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return result;
}

std::string columns(const std::vector<std::string>& heading, const std::vector<Align>& alignment,
                    const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const std::string& title : heading) widths.push_back(width(title));
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::string text;
  auto add = [&](const std::vector<std::string>& row) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - width(row[i]), ' ');
      line += alignment[i] == Align::right ? padding + row[i] : row[i] + padding;
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  add(heading);
  for (const auto& row : rows) add(row);
  return text;
}

std::string uptime(double seconds) {
  auto total = static_cast<uint64_t>(std::max(seconds, 0.0));
  const uint64_t days = total / 86400, hours = total / 3600 % 24, minutes = total / 60 % 60;
  if (days > 0) return fmt::format("{}d{}h", days, hours);
  if (hours > 0) return fmt::format("{}h{}m", hours, minutes);
  if (minutes > 0) return fmt::format("{}m{}s", minutes, total % 60);
  return fmt::format("{}s", total);
}

std::string render_headline(const json& status) {
  const json& up = status.is_object() && status.contains("uptime_s") ? status["uptime_s"] : json();
  return fmt::format("weir {}  {}  revision {}  up {}  {}  {}  {} in flight\n", field(status, "version"),
                     is_true(status, "ready") ? "ready" : "NOT READY", field(status, "revision"),
                     up.is_number() ? uptime(up.get<double>()) : "-", counted(status, "shards", "shard"),
                     counted(status, "connections", "connection"), counted(status, "exchanges", "exchange"));
}

std::string render_status(const json& status) {
  const json table = status.is_object() && status.contains("table") ? status["table"] : json::object();
  std::string text = render_headline(status);
  text += fmt::format("pid      {}\n", field(status, "pid"));
  text += fmt::format("table    published {}: {}, {}, {}, {}, {}\n", field(status, "published"),
                      counted(table, "tenants", "tenant"), counted(table, "scenarios", "scenario"),
                      counted(table, "flags", "flag"), counted(table, "units", "unit"),
                      counted(table, "keys", "key"));
  const uint64_t live = number(status, "live_tables").value_or(1);
  if (live > 1) {
    text += fmt::format("         {} older table{} exchanges that began on {}\n", live - 1,
                        live == 2 ? " serves" : "s serve", live == 2 ? "it" : "them");
  }
  for (const json& kill : list(status, "kills")) {
    text += fmt::format("killed   {} {} since {}: {}\n", field(kill, "scope"), field(kill, "name"),
                        field(kill, "since"), field(kill, "reason"));
  }
  return text;
}

std::string render_explain(const json& explanation) {
  std::string text =
      fmt::format("{} for tenant {} gets unit {}\narm {}, flag {}, state {}, reason {}, revision {}\n\n",
                  field(explanation, "scenario"), field(explanation, "tenant"), field(explanation, "unit"),
                  field(explanation, "arm"), field(explanation, "flag"), field(explanation, "state"),
                  field(explanation, "reason"), field(explanation, "revision"));
  std::vector<std::vector<std::string>> rows;
  for (const json& step : list(explanation, "steps")) {
    rows.push_back({field(step, "rule"), is_true(step, "matched") ? "yes" : "no", field(step, "detail")});
  }
  return text + columns({"RULE", "MATCHED", "DETAIL"}, {Align::left, Align::left, Align::left}, rows);
}

namespace {

struct Column {
  const char* title;
  const char* key;
  Align align = Align::left;
};

// The rows at `list_key`, with a column for each member.
std::string render_rows(const json& answer, const char* list_key, std::initializer_list<Column> wanted) {
  std::vector<std::string> heading;
  std::vector<Align> alignment;
  for (const Column& column : wanted) {
    heading.emplace_back(column.title);
    alignment.push_back(column.align);
  }
  std::vector<std::vector<std::string>> rows;
  for (const json& row : list(answer, list_key)) {
    auto& cells = rows.emplace_back();
    for (const Column& column : wanted) cells.push_back(field(row, column.key));
  }
  std::string text = columns(heading, alignment, rows);
  if (is_true(answer, "more")) text += "and more: ask for one with --tenant\n";
  return text;
}

}  // namespace

std::string render_limits(const json& answer) {
  return render_rows(answer, "limits",
                     {{"SCOPE", "scope"},
                      {"NAME", "name"},
                      {"FLAG", "flag"},
                      {"LIMIT", "limit"},
                      {"RATE", "rate", Align::right},
                      {"LEFT", "remaining", Align::right},
                      {"RESET_MS", "reset_ms", Align::right},
                      {"IN_FLIGHT", "in_flight", Align::right},
                      {"USED", "used", Align::right},
                      {"REFUSED", "refused", Align::right}});
}

std::string render_budgets(const json& answer) {
  return render_rows(answer, "budgets",
                     {{"SCOPE", "scope"},
                      {"NAME", "name"},
                      {"WINDOW", "window"},
                      {"USD", "usd", Align::right},
                      {"SPENT", "spent_usd", Align::right},
                      {"RESERVED", "reserved_usd", Align::right},
                      {"ON_EXCEED", "on_exceed"},
                      {"OPEN", "open"},
                      {"TRIPS", "trips", Align::right},
                      {"REFUSED", "refused", Align::right},
                      {"ENDS_IN_S", "ends_in_s", Align::right}});
}

std::string render_breakers(const json& answer) {
  return render_rows(answer, "breakers",
                     {{"MODEL", "model"},
                      {"PROVIDER", "provider"},
                      {"STATE", "state"},
                      {"OPEN_MS", "open_ms", Align::right},
                      {"FAILED_IN_A_ROW", "consecutive_failures", Align::right},
                      {"OPENED", "opened", Align::right},
                      {"KEPT_AWAY", "kept_away", Align::right}});
}

std::string render_error(long status, std::string_view body) {
  const json reply = json::parse(body, nullptr, false);
  if (!reply.is_object()) return fmt::format("weir answered {} without saying why\n", status);
  std::string text = fmt::format("{}\n", field(reply.contains("error") ? reply["error"] : json(), "message"));
  const json& problems = list(reply, "problems");
  for (const json& problem : problems) {
    const std::string path = field(problem, "path");  // empty = the document as a whole
    text += fmt::format("{}{}{}\n", path, path.empty() ? "" : ": ", field(problem, "message"));
  }
  const uint64_t total = number(reply, "problem_count").value_or(0);
  if (total > problems.size()) text += fmt::format("and {} more\n", total - problems.size());
  return text;
}

}  // namespace weir::tools
