#include "tools/weirctl/launch_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "routing/table/scalars.h"
#include "tools/weirctl/json_fields.h"
#include "tools/weirctl/render.h"
#include "tools/weirctl/terminal_text.h"

namespace weir::tools {
namespace {

using nlohmann::json;

constexpr std::string_view kReason = " --reason '...'";
constexpr size_t kFewFlags = 3;  // whose commands are spelt out; more would push the table off the screen

std::optional<int64_t> time_of(const json& object, std::string_view name) {
  return routing::parse_timestamp_ns(text_of(object, name));
}

// The candidate's unit, or the layer as JSON.
std::string candidate_of(const json& flag) {
  const json& candidate = member(flag, "candidate");
  if (candidate.is_null()) return "-";
  const std::string unit = field(candidate, "unit");
  return unit == "-" ? "layer " + shown(to_text(candidate)) : unit;
}

bool names(const json& kill, std::string_view scope, const std::string& name) {
  return text_of(kill, "scope") == scope &&
         (scope == "global" || (!name.empty() && text_of(kill, "name") == name));
}

bool has_kill(const json& kills, std::string_view scope, const std::string& name) {
  return std::ranges::any_of(kills, [&](const json& kill) { return names(kill, scope, name); });
}

void add_way(json& view, std::string does, std::string command) {
  view["turns_off"].push_back({{"does", std::move(does)}, {"command", std::move(command)}});
}

std::string kill_lines(const json& kills, size_t width) {
  std::string text;
  for (const json& kill : kills) {
    const std::string name = field(kill, "name");
    text += wrapped(fmt::format("KILLED   {}{} since {}: {}", field(kill, "scope"),
                                name == "-" ? "" : " " + name, when(kill, "since"), field(kill, "reason")),
                    width, 9);
  }
  return text;
}

std::string ways_text(const json& view, size_t width) {
  std::string text;
  for (const json& way : list(view, "turns_off")) {
    text += wrapped(field(way, "does"), width);
    text += "  " + field(way, "command") + '\n';
  }
  return text;
}

std::string changes_text(const json& view, size_t width) {
  const json& changes = list(view, "changes");
  return changes.empty() ? "" : "\nLAST CHANGES\n" + render_log(changes, width);
}

// "2027-01-15", "2027-01-15 (freeze)": when a row ends by itself, and how if not by going off.
std::string expiry_of(const json& row) {
  if (member(row, "expires").is_null()) return "-";
  const std::string action = text_of(row, "on_expiry");
  return when(row, "expires") +
         (action.empty() || action == "off" ? "" : fmt::format(" ({})", shown(action)));
}

std::string limits_of(const json& row) {
  const json& limits = mapping(row, "limits");
  std::string text;
  const auto add = [&](std::string part) { text += (text.empty() ? "" : ", ") + part; };
  if (member(limits, "rpm").is_number()) add(field(limits, "rpm") + " rpm");
  if (member(limits, "tpm").is_number()) add(field(limits, "tpm") + " tpm");
  if (member(limits, "concurrency").is_number()) add(field(limits, "concurrency") + " at a time");
  if (member(limits, "total_requests").is_number()) add(field(limits, "total_requests") + " requests");
  if (member(limits, "until").is_string()) add("until " + when(limits, "until"));
  return text;
}

}  // namespace

std::string share_of(const json& row) {
  if (text_of(row, "state") == "production") return "everybody";
  std::string share;
  const json& percent = member(row, "percent");
  if (percent.is_number() && percent.get<double>() > 0) share = fmt::format("{:g} %", percent.get<double>());
  const json& segments = list(row, "segments");
  if (!segments.empty()) share += (share.empty() ? "" : " + ") + joined(segments);
  return share.empty() ? "nobody" : share;
}

std::string standing_of(const json& row, bool killed, int64_t wall_now_ns) {
  if (text_of(row, "state") == "off") return "off";
  if (killed) return "KILLED";
  const auto past = [&](const json& object, const char* name) {
    return time_of(object, name).value_or(INT64_MAX) <= wall_now_ns;
  };
  if (time_of(row, "start").value_or(INT64_MIN) > wall_now_ns) return "starts " + when(row, "start");
  if (past(row, "expires")) {
    const std::string action = text_of(row, "on_expiry");
    if (action != "alert" && action != "freeze") return "expired";
    return action == "freeze" ? "on (frozen)" : "on (expired)";
  }
  if (text_of(row, "state") == "pilot" && past(mapping(row, "limits"), "until")) return "over";
  return "on";
}

json kills_of_flag(const json& kills, const json& flag, const std::string& provider) {
  json found = json::array();
  const json& body = member(flag, "body");
  for (const json& kill : kills) {
    const bool of_tenant = std::ranges::any_of(
        list(flag, "rows"), [&](const json& row) { return names(kill, "tenant", text_of(row, "tenant")); });
    if (of_tenant || names(kill, "global", "") || names(kill, "flag", text_of(flag, "flag")) ||
        names(kill, "scenario", text_of(body, "scenario")) || names(kill, "provider", provider) ||
        names(kill, "unit", text_of(mapping(body, "candidate"), "unit"))) {
      found.push_back(kill);
    }
  }
  return found;
}

json kills_of_tenant(const json& kills, const json& tenant) {
  json found = json::array();
  for (const json& kill : kills) {
    if (names(kill, "global", "") || names(kill, "tenant", text_of(tenant, "tenant"))) found.push_back(kill);
  }
  return found;
}

void add_ways_off_flag(json& flag) {
  const std::string name = shell_word(shown(text_of(flag, "flag")));
  const std::string unit = text_of(mapping(member(flag, "body"), "candidate"), "unit");
  flag["turns_off"] = json::array();
  if (has_kill(list(flag, "kills"), "flag", text_of(flag, "flag"))) {
    add_way(flag,
            "It is killed for everybody. Back on:", fmt::format("weirctl unkill flag {}{}", name, kReason));
  }
  add_way(flag, "for one tenant, back to what it was before",
          fmt::format("weirctl rollback tenant TENANT --flag {}{}", name, kReason));
  add_way(flag, "for one tenant, off",
          fmt::format("weirctl flag set {} TENANT --state off{}", name, kReason));
  add_way(flag, "for everybody, at once, no approval needed",
          fmt::format("weirctl kill flag {}{}", name, kReason));
  if (!unit.empty()) {
    add_way(flag, "its unit, wherever it is used",
            fmt::format("weirctl kill unit {}{}", shell_word(shown(unit)), kReason));
  }
}

void add_ways_off_tenant(json& tenant) {
  const std::string name = shell_word(shown(text_of(tenant, "tenant")));
  const json& flags = mapping(member(tenant, "body"), "flags");
  tenant["turns_off"] = json::array();
  const auto add_flag = [&](const std::string& about, const std::string& flag) {
    add_way(tenant, about + ": as it was before its last change",
            fmt::format("weirctl rollback tenant {} --flag {}{}", name, flag, kReason));
    add_way(tenant, about + ": off",
            fmt::format("weirctl flag set {} {} --state off{}", flag, name, kReason));
  };
  if (flags.size() <= kFewFlags) {
    for (const auto& [flag, row] : flags.items()) add_flag("flag " + shown(flag), shell_word(shown(flag)));
  } else {
    add_flag("one flag", "FLAG");
  }
  add_way(tenant, "the whole tenant: as it was before its last change; --to takes a revision or a time",
          fmt::format("weirctl rollback tenant {}{}", name, kReason));
  add_way(
      tenant,
      has_kill(list(tenant, "kills"), "tenant", text_of(tenant, "tenant"))
          ? "It is killed. Back on:"
          : "nothing for this tenant any more: every request is refused",
      fmt::format("weirctl {} tenant {}{}",
                  has_kill(list(tenant, "kills"), "tenant", text_of(tenant, "tenant")) ? "unkill" : "kill",
                  name, kReason));
}

std::string render_flag(const json& flag, int64_t wall_now_ns, size_t width) {
  const json &body = member(flag, "body"), &kills = list(flag, "kills"), &rows = list(flag, "rows"),
             &counts = mapping(flag, "counts");
  std::string text =
      wrapped(fmt::format("flag {} at revision {}", field(flag, "flag"), field(flag, "revision")), width);
  text += wrapped(fmt::format("gives    {} in scenario {}, instead of {}", candidate_of(body),
                              field(body, "scenario"), field(flag, "stable")),
                  width, 9);
  text += wrapped("owner    " + field(body, "owner"), width, 9);
  if (const json& never = list(body, "exclude"); !never.empty())
    text += wrapped("never    for segments " + joined(never), width, 9);
  if (const json& approvals = member(body, "approvals"); approvals.is_object()) {
    text += wrapped(fmt::format("approval for {} by {}", joined(list(approvals, "for")),
                                joined(list(approvals, "by"), ", then ")),
                    width, 9);
  }
  text += kill_lines(kills, width);

  text += '\n' + wrapped(fmt::format("WHO HAS IT: {} in production, {} in pilot; off for {}",
                                     counted(counts, "production", "tenant"), field(counts, "pilot"),
                                     field(counts, "off")),
                         width);
  const bool killed =
      std::ranges::any_of(kills, [](const json& kill) { return text_of(kill, "scope") != "tenant"; });
  std::vector<std::vector<std::string>> cells;
  for (const json& entry : rows) {
    const json& row = member(entry, "body");
    const bool gone = killed || has_kill(kills, "tenant", text_of(entry, "tenant"));
    cells.push_back({field(entry, "tenant"), field(row, "state"), standing_of(row, gone, wall_now_ns),
                     share_of(row), limits_of(row), expiry_of(row), field(row, "owner"),
                     field(row, "reason")});
  }
  if (!cells.empty()) {
    text += render_table({{"TENANT"},
                          {"STATE"},
                          {"NOW"},
                          {"FOR"},
                          {"LIMITS", Align::left, Fit::prose},
                          {"EXPIRES"},
                          {"OWNER"},
                          {"WHY", Align::left, Fit::note}},
                         cells, width);
  }
  if (const std::string next = field(flag, "next"); next != "-") {
    text += wrapped(fmt::format("and more after {}: --after {}", next, shell_word(next)), width);
  }
  text += "\nWHAT TURNS IT OFF (--dry-run shows what a rollback or set would do)\n" + ways_text(flag, width);
  return text + changes_text(flag, width);
}

std::string render_tenant(const json& tenant, int64_t wall_now_ns, size_t width) {
  const json &body = member(tenant, "body"), &kills = list(tenant, "kills");
  const std::string name = field(body, "name");
  std::string text =
      wrapped(fmt::format("tenant {}{} at revision {}", field(tenant, "tenant"),
                          name == "-" ? "" : fmt::format(" ({})", name), field(tenant, "revision")),
              width);
  if (const json& limits = mapping(body, "limits"); !limits.empty())
    text += wrapped("limits   " + shown(to_text(limits)), width, 9);
  if (const json& budgets = list(body, "budgets"); !budgets.empty())
    text += wrapped("budgets  " + shown(to_text(budgets)), width, 9);
  text += kill_lines(kills, width);

  const json& flags = mapping(body, "flags");
  std::vector<std::vector<std::string>> cells;
  for (const auto& [flag, row] : flags.items()) {
    const json& killed_flags = list(tenant, "killed_flags");
    const bool killed = has_kill(kills, "global", "") ||
                        has_kill(kills, "tenant", text_of(tenant, "tenant")) ||
                        std::ranges::find(killed_flags, json(flag)) != killed_flags.end();
    cells.push_back({shown(flag), field(row, "state"), standing_of(row, killed, wall_now_ns), share_of(row),
                     limits_of(row), field(row, "previous"), when(row, "review"), expiry_of(row),
                     field(row, "owner"), field(row, "reason")});
  }
  text += cells.empty() ? "\nno row on any flag: stable units answer\n"
                        : '\n' + render_table({{"FLAG"},
                                               {"STATE"},
                                               {"NOW"},
                                               {"FOR"},
                                               {"LIMITS", Align::left, Fit::prose},
                                               {"RETURNS TO"},
                                               {"REVIEW"},
                                               {"EXPIRES"},
                                               {"OWNER"},
                                               {"WHY", Align::left, Fit::note}},
                                              cells, width);
  text += "\nHOW IT GOES BACK (--dry-run shows what a rollback would do)\n" + ways_text(tenant, width);
  return text + changes_text(tenant, width);
}

std::string render_flags(const json& flags, const json& kills, size_t width) {
  std::vector<std::vector<std::string>> cells;
  for (const json& entry : list(flags, "objects")) {
    const json& body = member(entry, "body");
    const std::string name = text_of(entry, "name"), scenario = text_of(body, "scenario"),
                      unit = text_of(mapping(body, "candidate"), "unit");
    const bool killed = has_kill(kills, "global", "") || has_kill(kills, "flag", name) ||
                        has_kill(kills, "scenario", scenario) || has_kill(kills, "unit", unit);
    cells.push_back({shown(name), field(body, "scenario"), candidate_of(body), field(body, "owner"),
                     killed ? "KILLED" : "-"});
  }
  if (cells.empty()) return "no flags\n";
  std::string text = render_table(
      {{"FLAG"}, {"SCENARIO"}, {"CANDIDATE", Align::left, Fit::prose}, {"OWNER"}, {"KILLED"}}, cells, width);
  if (const std::string next = field(flags, "next"); next != "-")
    text += wrapped(fmt::format("and more after {}: --after {}", next, shell_word(next)), width);
  return text;
}

}  // namespace weir::tools
