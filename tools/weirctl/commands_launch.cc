// Flags and tenants: who has what, and how it goes back.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "tools/exit_codes.h"
#include "tools/weirctl/commands.h"
#include "tools/weirctl/json_fields.h"
#include "tools/weirctl/launch_view.h"
#include "tools/weirctl/path_segment.h"
#include "tools/weirctl/render.h"
#include "tools/weirctl/table_files.h"
#include "tools/weirctl/terminal_text.h"

namespace weir::tools {

using nlohmann::json;

namespace {

constexpr const char* kLastChanges = "5";

int64_t wall_now_ns() {
  return std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count();
}

bool has_scope(const json& kills, std::string_view scope) {
  for (const json& kill : kills) {
    if (text_of(kill, "scope") == scope) return true;
  }
  return false;
}

// Where to roll back to, as the API wants it: a revision is a number.
json target_of(const std::string& to) {
  if (!to.empty() && to.find_first_not_of("0123456789") == std::string::npos && to.size() < 19) {
    return std::stoull(to);
  }
  return to;
}

}  // namespace

int Commands::flags(const std::string& after) {
  auto page = ask({.path = "/v1/flags", .query = {{"after", after}}});
  if (!page) return page.error();
  const auto status = ask({.path = "/v1/status"});
  if (!status) return status.error();
  return print(*page, render_flags(*page, list(*status, "kills"), output_.width));
}

// The provider whose kill turns the unit off; empty when it is not known.
std::string Commands::provider_of(const std::string& unit) {
  if (unit.empty()) return "";
  const auto read = [this](const std::string& path) {
    const auto reply = client_.call({.path = path});
    return reply && reply->ok() ? json::parse(reply->body, nullptr, false) : json();
  };
  const std::string model = text_of(read("/v1/units/" + path_segment(unit)), "model");
  return model.empty() ? "" : text_of(read("/v1/models/" + path_segment(model)), "provider");
}

// Of one flag, the kills that concern it. `view` holds its name and body.
json Commands::kills_on(const json& kills, const json& view) {
  const std::string unit = text_of(mapping(member(view, "body"), "candidate"), "unit");
  return kills_of_flag(kills, view, has_scope(kills, "provider") ? provider_of(unit) : "");
}

int Commands::flag(const std::string& name, const std::string& states, const std::string& after) {
  const auto body = ask({.path = "/v1/flags/" + path_segment(name)});
  if (!body) return body.error();
  const auto rows =
      ask({.path = "/v1/flags/" + path_segment(name) + "/tenants",
           .query = {{"state", states.empty() ? "production,pilot" : states}, {"after", after}}});
  if (!rows) return rows.error();
  const auto scenario = ask({.path = "/v1/scenarios/" + path_segment(text_of(*body, "scenario"))});
  if (!scenario) return scenario.error();
  const auto status = ask({.path = "/v1/status"});
  if (!status) return status.error();
  const auto changes =
      ask({.path = "/v1/audit", .query = {{"flag", name}, {"limit", kLastChanges}, {"bodies", "false"}}});
  if (!changes) return changes.error();

  json view{{"revision", member(*rows, "revision")},
            {"flag", name},
            {"body", *body},
            {"stable", member(*scenario, "stable")},
            {"counts", mapping(*rows, "counts")},
            {"rows", list(*rows, "rows")},
            {"next", member(*rows, "next")},
            {"changes", list(*changes, "changes")}};
  view["kills"] = kills_on(list(*status, "kills"), view);
  add_ways_off_flag(view);
  return print(view, render_flag(view, wall_now_ns(), output_.width));
}

int Commands::tenant(const std::string& name) {
  const auto body = ask({.path = "/v1/tenants/" + path_segment(name)});
  if (!body) return body.error();
  const auto status = ask({.path = "/v1/status"});
  if (!status) return status.error();
  const auto changes =
      ask({.path = "/v1/audit", .query = {{"tenant", name}, {"limit", kLastChanges}, {"bodies", "false"}}});
  if (!changes) return changes.error();

  json view{{"revision", member(*status, "revision")},
            {"tenant", name},
            {"body", *body},
            {"killed_flags", json::array()},
            {"changes", list(*changes, "changes")}};
  const json& kills = list(*status, "kills");
  view["kills"] = kills_of_tenant(kills, view);
  for (const auto& [flag, row] : mapping(*body, "flags").items()) {
    if (kills.empty()) break;
    const auto flag_body = ask({.path = "/v1/flags/" + path_segment(flag)});
    if (!flag_body) return flag_body.error();
    for (const json& kill : kills_on(kills, json{{"flag", flag}, {"body", *flag_body}})) {
      if (text_of(kill, "scope") == "global") continue;  // listed already
      if (view["killed_flags"].empty() || view["killed_flags"].back() != flag)
        view["killed_flags"].push_back(flag);
      if (std::find(view["kills"].begin(), view["kills"].end(), kill) == view["kills"].end())
        view["kills"].push_back(kill);
    }
  }
  add_ways_off_tenant(view);
  return print(view, render_tenant(view, wall_now_ns(), output_.width));
}

int Commands::set_row(const std::string& flag, const std::string& tenant, json members,
                      const ChangeOptions& options) {
  if (!has_reason(options)) return kExitBadInput;
  if (members.empty()) {
    fmt::print(stderr, "say what to set: --state, --percent, ...; see weirctl flag set --help\n");
    return kExitBadInput;
  }
  members["reason"] = options.reason.empty() ? "dry run" : options.reason;
  return perform_change({.method = "POST",
                         .path = "/v1/flags/" + path_segment(flag) + "/tenants/" + path_segment(tenant),
                         .body = to_text(members)},
                        options);
}

int Commands::rollback(const Rollback& wanted, const ChangeOptions& options) {
  if (!has_reason(options)) return kExitBadInput;
  json body{{"scope", wanted.scope},
            {"to", target_of(wanted.to)},
            {"reason", options.reason.empty() ? "dry run" : options.reason}};
  for (const auto& [name, value] :
       {std::pair("name", &wanted.name), {"flag", &wanted.flag}, {"note", &wanted.note}}) {
    if (!value->empty()) body[name] = *value;
  }
  if (!wanted.evidence_file.empty()) {
    const auto file = read_table(wanted.evidence_file);
    const json evidence = file ? json::parse(file->text, nullptr, false) : json();
    if (!evidence.is_object()) {
      fmt::print(stderr, "{}\n", file ? wanted.evidence_file + " holds no JSON object" : file.error());
      return kExitBadInput;
    }
    body["evidence"] = evidence;
  }
  const int exit_code =
      perform_change({.method = "POST", .path = "/v1/rollback", .body = to_text(body)}, options);
  if (exit_code == kExitOk && !options.dry_run && output_.style == OutputStyle::human)
    show_last_rollback(wanted);
  return exit_code;
}

// What the rollback just made has done, and how to take it back. It is made: a failure to tell is none.
void Commands::show_last_rollback(const Rollback& wanted) {
  const auto reply = client_.call({.path = "/v1/audit", .query = {{"limit", "1"}}});
  if (!reply || !reply->ok()) return;
  const json page = json::parse(reply->body, nullptr, false);
  const json& changes = list(page, "changes");
  if (changes.empty() || text_of(changes[0], "action") != "rollback") return;  // somebody else was here since
  const json& objects = list(changes[0], "objects");
  fmt::print("{}", render_changes(objects, number(changes[0], "object_count").value_or(objects.size()),
                                  output_.width));
  const auto revision = number(changes[0], "revision");
  if (!revision) return;
  const auto word = [](const std::string& lead, const std::string& text) {
    return text.empty() ? "" : lead + shell_word(shown(text));
  };
  fmt::print("to take it back:\n  weirctl rollback {}{}{} --to {} --reason '...'\n", wanted.scope,
             word(" ", wanted.name), word(" --flag ", wanted.flag), *revision - 1);
}

int Commands::problems(const std::string& which) {
  return perform({.path = "/v1/flags", .query = {{"problem", which}}},
                 [this](const json& found) { return render_problems(found, output_.width); });
}

}  // namespace weir::tools
