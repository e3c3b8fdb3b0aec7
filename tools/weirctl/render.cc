#include "tools/weirctl/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <vector>

#include "routing/table/diff.h"
#include "tools/weirctl/json_fields.h"
#include "tools/weirctl/terminal_text.h"

namespace weir::tools {
namespace {

using nlohmann::json;

constexpr size_t kLabel = 9;  // columns of what stands before a line's text: "pid      7"

std::string labelled(std::string_view label, std::string_view text, size_t width) {
  return wrapped(fmt::format("{:<{}}{}", label, kLabel, text), width, kLabel);
}

// "alice (operator)".
std::string actor(const json& who) {
  return who.is_object() ? fmt::format("{} ({})", field(who, "name"), field(who, "role")) : "-";
}

// "row tenant shop-4 on flag support-v2".
std::string deed(const json& change) {
  const std::string target = field(change, "target");
  return target == "-" ? field(change, "action") : field(change, "action") + " " + target;
}

std::string kill_text(const json& kill) {
  const std::string name = field(kill, "name");
  return field(kill, "scope") + (name == "-" ? "" : " " + name);
}

std::optional<std::string> body_of(const json& value) {
  if (value.is_null()) return std::nullopt;
  return to_text(value);
}

// The objects of a change, or the kills that it made and took back.
std::string effects(const json& change, size_t width) {
  std::string text;
  for (const auto& [name, verb] : {std::pair("killed", "killed"), std::pair("unkilled", "back")}) {
    for (const json& kill : list(change, name))
      text += wrapped(fmt::format("{:<8} {}", verb, kill_text(kill)), width, kLabel);
  }
  const json& objects = list(change, "objects");
  const uint64_t count = number(change, "object_count").value_or(objects.size());
  if (count > 0) text += render_changes(objects, count, width);
  return text;
}

struct MemberColumn {
  const char* heading;
  const char* name;
  Align align = Align::left;
};

// The objects of a list as a table, a column for each of these members.
std::string render_members(const json& answer, std::string_view name,
                           std::initializer_list<MemberColumn> members, size_t width) {
  std::vector<Column> columns;
  for (const MemberColumn& one : members) columns.push_back({.heading = one.heading, .align = one.align});
  std::vector<std::vector<std::string>> rows;
  for (const json& object : list(answer, name)) {
    std::vector<std::string>& cells = rows.emplace_back();
    for (const MemberColumn& one : members) cells.push_back(field(object, one.name));
  }
  std::string text = render_table(columns, rows, width);
  if (is_true(answer, "more")) text += "and more: ask for one with --tenant\n";
  return text;
}

}  // namespace

std::string uptime(double seconds) {
  auto total = static_cast<uint64_t>(std::max(seconds, 0.0));
  const uint64_t days = total / 86400, hours = total / 3600 % 24, minutes = total / 60 % 60;
  if (days > 0) return fmt::format("{}d{}h", days, hours);
  if (hours > 0) return fmt::format("{}h{}m", hours, minutes);
  if (minutes > 0) return fmt::format("{}m{}s", minutes, total % 60);
  return fmt::format("{}s", total);
}

std::string render_headline(const json& status, size_t width) {
  const json& up = member(status, "uptime_s");
  return wrapped(
      fmt::format("weir {}  {}  revision {}  up {}  {}  {}  {} in flight", field(status, "version"),
                  is_true(status, "ready") ? "ready" : "NOT READY", field(status, "revision"),
                  up.is_number() ? uptime(up.get<double>()) : "-", counted(status, "shards", "shard"),
                  counted(status, "connections", "connection"), counted(status, "exchanges", "exchange")),
      width);
}

std::string render_status(const json& status, size_t width) {
  const json& table = mapping(status, "table");
  std::string text = render_headline(status, width);
  text += labelled("pid", field(status, "pid"), width);
  text += labelled("table",
                   fmt::format("published {}: {}, {}, {}, {}, {}", when(status, "published"),
                               counted(table, "tenants", "tenant"), counted(table, "scenarios", "scenario"),
                               counted(table, "flags", "flag"), counted(table, "units", "unit"),
                               counted(table, "keys", "key")),
                   width);
  const uint64_t live = number(status, "live_tables").value_or(1);
  if (live > 1) {
    text += labelled("",
                     fmt::format("{} older table{} exchanges that began on {}", live - 1,
                                 live == 2 ? " serves" : "s serve", live == 2 ? "it" : "them"),
                     width);
  }
  if (const std::string registry = field(status, "registry"); registry != "-")
    text += labelled("registry", registry, width);
  if (const json& caller = member(status, "caller"); caller.is_object())
    text += labelled("you", actor(caller), width);
  for (const json& kill : list(status, "kills")) {
    text +=
        labelled("killed",
                 fmt::format("{} since {}: {}{}", kill_text(kill), when(kill, "since"), field(kill, "reason"),
                             member(kill, "durable") == false ? " (NOT DURABLE: a restart forgets it)" : ""),
                 width);
  }
  for (const json& host : list(status, "unresolved")) {
    text +=
        labelled("unknown", fmt::format("host {}: {}", field(host, "host"), field(host, "reason")), width);
  }
  return text;
}

std::string command_of(std::string_view call, const json& body) {
  const auto word = [&](const char* name) { return shell_word(shown(text_of(body, name))); };
  constexpr std::string_view kRow = "POST /v1/flags/", kTenants = "/tenants/", kReason = " --reason '...'";
  if (call == "POST /v1/kill") {
    const bool global = text_of(body, "scope") == "global";
    return fmt::format("weirctl kill {}{}{}", word("scope"), global ? "" : " " + word("name"), kReason);
  }
  if (call == "POST /v1/rollback") {
    const std::string flag = text_of(body, "flag");
    return fmt::format("weirctl rollback {} {}{}{}{}", word("scope"), word("name"),
                       flag.empty() ? "" : " --flag ", flag.empty() ? "" : word("flag"), kReason);
  }
  const size_t tenants = call.find(kTenants);
  if (call.starts_with(kRow) && tenants != std::string_view::npos) {
    std::string command = fmt::format("weirctl flag set {} {}",
                                      shell_word(shown(call.substr(kRow.size(), tenants - kRow.size()))),
                                      shell_word(shown(call.substr(tenants + kTenants.size()))));
    for (const auto& [name, value] : body.items()) {
      if (name == "reason") continue;
      command +=
          fmt::format(" --{} {}", shown(name),
                      shell_word(shown(value.is_string() ? value.get<std::string>() : to_text(value))));
    }
    return command + std::string(kReason);
  }
  return "";
}

std::string render_explain(const json& explanation, size_t width) {
  const json& error = member(explanation, "error");
  const std::string subject =
      fmt::format("{} for tenant {}", field(explanation, "scenario"), field(explanation, "tenant"));
  std::string text;
  if (error.is_object()) {
    text += wrapped(
        fmt::format("{} is refused: {} {}", subject, field(error, "status"), field(error, "message")), width);
  } else {
    text += wrapped(fmt::format("{} gets unit {}", subject, field(explanation, "unit")), width);
    if (const std::string because = field(explanation, "because"); because != "-")
      text += labelled("because", because, width);
    text +=
        wrapped(fmt::format("arm {}, flag {}, state {}, reason {}, revision {}", field(explanation, "arm"),
                            field(explanation, "flag"), field(explanation, "state"),
                            field(explanation, "reason"), field(explanation, "revision")),
                width);
  }
  if (const json& setter = member(explanation, "set_by"); setter.is_object()) {
    text += labelled("set by",
                     fmt::format("{} at {}, revision {}: {}", actor(member(setter, "actor")),
                                 when(setter, "at"), field(setter, "revision"), field(setter, "reason")),
                     width);
  }
  std::vector<std::vector<std::string>> rows;
  for (const json& step : list(explanation, "steps")) {
    rows.push_back({field(step, "rule"), is_true(step, "matched") ? "yes" : "no", field(step, "detail")});
  }
  text += '\n' + render_table({{"RULE"}, {"MATCHED"}, {"DETAIL", Align::left, Fit::prose}}, rows, width);
  const json& ways = list(explanation, "turns_off");
  if (!ways.empty()) text += "\nWHAT TURNS IT OFF\n";
  for (const json& way : ways) {
    text += wrapped(field(way, "does"), width);
    text += fmt::format("  {}\n", command_of(text_of(way, "call"), mapping(way, "body")));
  }
  return text;
}

std::string render_outcome(const json& outcome, size_t width) {
  const json& approvals = list(outcome, "approvals");
  if (member(outcome, "proposal").is_number()) {
    const std::string id = field(outcome, "proposal");
    return wrapped(fmt::format("proposal {} waits for approval by {}; nothing has changed yet", id,
                               joined(approvals, ", then ")),
                   width) +
           fmt::format("  weirctl approve {} --reason '...'\n", id);
  }
  if (is_true(outcome, "dry_run")) {
    const json& changes = list(outcome, "changes");
    std::string text = render_changes(changes, number(outcome, "count").value_or(changes.size()), width);
    if (!approvals.empty()) text += wrapped("needs approval by " + joined(approvals, ", then "), width);
    return text +
           wrapped(fmt::format("nothing has changed; revision {} serves", field(outcome, "revision")), width);
  }
  if (number(outcome, "changed") == 0u) {
    return wrapped(fmt::format("it was so already; revision {} serves", field(outcome, "revision")), width);
  }
  std::string text = fmt::format("revision {} answers on every shard", field(outcome, "revision"));
  if (number(outcome, "restored_revision"))
    text += fmt::format(", as of revision {}", field(outcome, "restored_revision"));
  if (number(outcome, "changed")) text += ": " + counted(outcome, "changed", "object") + " changed";
  const json &durable = member(outcome, "durable_in_ms"), &live = member(outcome, "live_in_ms");
  if (durable.is_number() && live.is_number()) {
    text += fmt::format("; on disk after {:.1f} ms, live after {:.1f} ms", durable.get<double>(),
                        live.get<double>());
  }
  return wrapped(text, width);
}

std::string render_changes(const json& changes, uint64_t count, size_t width) {
  std::vector<routing::ObjectChange> objects;
  for (const json& change : changes) {
    objects.push_back(
        {.kind = routing::parse_object_kind(text_of(change, "kind")).value_or(routing::ObjectKind::settings),
         .name = text_of(change, "name"),
         .before = body_of(member(change, "before")),
         .after = body_of(member(change, "after"))});
  }
  std::string text;
  const std::string plain = routing::diff_text(objects);
  for (size_t begin = 0; begin < plain.size();) {
    const size_t end = std::min(plain.find('\n', begin), plain.size());
    text += wrapped(std::string_view(plain).substr(begin, end - begin), width, 6);
    begin = end + 1;
  }
  if (count > objects.size()) text += fmt::format("and {} more objects\n", count - objects.size());
  return text;
}

std::string render_log(const json& changes, size_t width) {
  std::vector<std::vector<std::string>> rows;
  for (const json& change : changes) {
    rows.push_back({field(change, "revision"), when(change, "at"), field(member(change, "actor"), "name"),
                    deed(change), field(change, "reason")});
  }
  if (rows.empty()) return "no change\n";
  return render_table({{"REVISION", Align::right},
                       {"WHEN"},
                       {"WHO"},
                       {"WHAT", Align::left, Fit::prose},
                       {"WHY", Align::left, Fit::prose}},
                      rows, width);
}

std::string render_change(const json& change, size_t width) {
  std::string text = fmt::format("revision {}", field(change, "revision"));
  if (number(change, "based_on")) text += fmt::format(", based on {}", field(change, "based_on"));
  text = wrapped(text, width);
  text += labelled("what", deed(change), width);
  text += labelled("why", field(change, "reason"), width);
  text += labelled("who", actor(member(change, "actor")), width);
  text += labelled("when", field(change, "at"), width);
  if (!list(change, "approved_by").empty())
    text += labelled("approved", joined(list(change, "approved_by")), width);
  text += labelled("hash", field(change, "hash"), 0);
  if (const json& detail = member(change, "detail"); !detail.is_null())
    text += labelled("detail", shown(to_text(detail)), width);
  return text + effects(change, width);
}

std::string render_proposals(const json& proposals, size_t width) {
  std::vector<std::vector<std::string>> rows;
  for (const json& proposal : proposals) {
    rows.push_back({field(proposal, "id"), field(proposal, "state"), field(proposal, "waits_for"),
                    field(member(proposal, "author"), "name"), when(proposal, "at"), deed(proposal),
                    field(proposal, "reason")});
  }
  if (rows.empty()) return "no proposal waits\n";
  return render_table({{"ID", Align::right},
                       {"STATE"},
                       {"WAITS FOR"},
                       {"BY"},
                       {"WHEN"},
                       {"WHAT", Align::left, Fit::prose},
                       {"WHY", Align::left, Fit::prose}},
                      rows, width);
}

std::string render_proposal(const json& proposal, size_t width) {
  std::string text = wrapped(fmt::format("proposal {} is {}, based on revision {}", field(proposal, "id"),
                                         field(proposal, "state"), field(proposal, "based_on")),
                             width);
  text += labelled("what", deed(proposal), width);
  text += labelled("why", field(proposal, "reason"), width);
  text += labelled("who", actor(member(proposal, "author")), width);
  text += labelled("when", field(proposal, "at"), width);
  text += labelled("needs", joined(list(proposal, "required"), ", then "), width);
  text += labelled("has", joined(list(proposal, "approvals")), width);
  text += effects(proposal, width);
  if (const std::string role = field(proposal, "waits_for"); role != "-") {
    text += wrapped(
        fmt::format("an {} (not {}) approves with", role, field(member(proposal, "author"), "name")), width);
    text += fmt::format("  weirctl approve {} --reason '...'\n", field(proposal, "id"));
  }
  return text;
}

std::string render_problems(const json& found, size_t width) {
  const json& problems = list(found, "problems");
  if (problems.empty()) return "no problem\n";
  std::vector<std::vector<std::string>> rows;
  for (const json& problem : problems) {
    rows.push_back({field(problem, "problem"), field(problem, "name"), field(problem, "tenant"),
                    field(problem, "owner"), when(problem, "since"), field(problem, "detail")});
  }
  std::string text = render_table(
      {{"PROBLEM"}, {"FLAG OR UNIT"}, {"TENANT"}, {"OWNER"}, {"SINCE"}, {"DETAIL", Align::left, Fit::prose}},
      rows, width);
  const uint64_t count = number(found, "count").value_or(problems.size());
  if (count > problems.size()) text += fmt::format("and {} more\n", count - problems.size());
  return text;
}

std::string render_limits(const json& answer, size_t width) {
  return render_members(answer, "limits",
                        {{"SCOPE", "scope"},
                         {"NAME", "name"},
                         {"FLAG", "flag"},
                         {"LIMIT", "limit"},
                         {"RATE", "rate", Align::right},
                         {"ON_EXCEED", "on_exceed"},
                         {"LEFT", "remaining", Align::right},
                         {"RESET_MS", "reset_ms", Align::right},
                         {"IN_FLIGHT", "in_flight", Align::right},
                         {"USED", "used", Align::right},
                         {"REFUSED", "refused", Align::right}},
                        width);
}

std::string render_budgets(const json& answer, size_t width) {
  return render_members(answer, "budgets",
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
                         {"ENDS_IN_S", "ends_in_s", Align::right}},
                        width);
}

std::string render_breakers(const json& answer, size_t width) {
  return render_members(answer, "breakers",
                        {{"MODEL", "model"},
                         {"PROVIDER", "provider"},
                         {"STATE", "state"},
                         {"OPEN_MS", "open_ms", Align::right},
                         {"SAID_429", "limited"},
                         {"FAILED_IN_A_ROW", "consecutive_failures", Align::right},
                         {"OPENED", "opened", Align::right},
                         {"KEPT_AWAY", "kept_away", Align::right}},
                        width);
}

std::string render_error(long status, std::string_view body) {
  const json reply = json::parse(body, nullptr, false);
  if (!reply.is_object()) return fmt::format("weir answered {} without saying why\n", status);
  std::string text = fmt::format("{}\n", field(member(reply, "error"), "message"));
  const json& problems = list(reply, "problems");
  for (const json& problem : problems) {
    const std::string path = field(problem, "path");  // empty = the document as a whole
    const std::string file = text_of(problem, "file");
    text += fmt::format("{}{}{}{}{}\n", shown(file), file.empty() ? "" : ": ", path, path.empty() ? "" : ": ",
                        field(problem, "message"));
  }
  const uint64_t total = number(reply, "problem_count").value_or(0);
  if (total > problems.size()) text += fmt::format("and {} more\n", total - problems.size());
  return text;
}

}  // namespace weir::tools
