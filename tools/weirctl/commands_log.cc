// What has happened, what differs, and what waits for somebody.
#include <fmt/format.h>

#include <cstdio>

#include "tools/exit_codes.h"
#include "tools/weirctl/commands.h"
#include "tools/weirctl/json_fields.h"
#include "tools/weirctl/path_segment.h"
#include "tools/weirctl/render.h"
#include "tools/weirctl/terminal_text.h"

namespace weir::tools {

using nlohmann::json;

int Commands::audit(const LogQuery& query) {
  return perform({.path = "/v1/audit",
                  .query = {{"tenant", query.tenant},
                            {"flag", query.flag},
                            {"kind", query.kind},
                            {"name", query.name},
                            {"since", query.since},
                            {"before", query.before},
                            {"limit", query.limit},
                            {"bodies", query.whole || output_.style == OutputStyle::json ? "" : "false"}}},
                 [&](const json& page) {
                   const json& changes = list(page, "changes");
                   std::string text;
                   if (query.whole) {
                     for (const json& change : changes)
                       text += (text.empty() ? "" : "\n") + render_change(change, output_.width);
                   } else {
                     text = render_log(changes, output_.width);
                   }
                   if (const std::string next = field(page, "next"); next != "-")
                     text += fmt::format("and earlier ones: --before {}\n", next);
                   return text;
                 });
}

int Commands::verify() {
  const auto found = ask({.path = "/v1/audit:verify"});
  if (!found) return found.error();
  const bool sound = is_true(*found, "ok");
  std::string text = fmt::format("{}: {} and {}\n", sound ? "the log is sound" : "THE LOG HAS FAULTS",
                                 counted(*found, "changes", "change"), counted(*found, "objects", "object"));
  for (const json& fault : list(*found, "faults")) {
    if (fault.is_string()) text += wrapped(shown(fault.get<std::string>()), output_.width, 2);
  }
  print(*found, text);
  return sound ? kExitOk : kExitFound;
}

int Commands::change(const std::string& revision) {
  return perform({.path = "/v1/changes/" + path_segment(revision)},
                 [this](const json& change) { return render_change(change, output_.width); });
}

int Commands::diff(const std::string& from, const std::string& to) {
  return perform({.path = "/v1/diff", .query = {{"from", from}, {"to", to}}}, [this](const json& diff) {
    const json& changes = list(diff, "changes");
    return render_changes(changes, number(diff, "count").value_or(changes.size()), output_.width);
  });
}

int Commands::label(const std::string& name, const std::string& revision, const std::string& reason) {
  const auto show = [](const json& label) {
    return fmt::format("{} is revision {}\n", field(label, "label"), field(label, "revision"));
  };
  if (reason.empty() && revision.empty()) return perform({.path = "/v1/labels/" + path_segment(name)}, show);
  if (!has_reason({.reason = reason})) return kExitBadInput;
  json body{{"reason", reason}};
  if (!revision.empty()) body["revision"] = json::parse(revision, nullptr, false);
  return perform({.method = "POST", .path = "/v1/labels/" + path_segment(name), .body = to_text(body)}, show);
}

int Commands::proposals(const std::string& id, bool all) {
  if (!id.empty()) {
    const auto proposal = ask({.path = "/v1/proposals/" + path_segment(id)});
    if (!proposal) return proposal.error();
    return print(*proposal, render_proposal(*proposal, output_.width));
  }
  return perform({.path = "/v1/proposals", .query = {{"all", all ? "true" : ""}}}, [this](const json& page) {
    return render_proposals(list(page, "proposals"), output_.width);
  });
}

int Commands::decide(const std::string& id, const std::string& verb, const std::string& reason) {
  if (!has_reason({.reason = reason})) return kExitBadInput;
  const auto answer = ask({.method = "POST",
                           .path = fmt::format("/v1/proposals/{}:{}", path_segment(id), verb),
                           .body = to_text(json{{"reason", reason}})});
  if (!answer) return answer.error();
  const bool made = number(*answer, "changed").has_value();  // that was the last approval
  print(*answer, made ? render_outcome(*answer, output_.width) : render_proposal(*answer, output_.width));
  return text_of(*answer, "state") == "open" ? kExitProposed : kExitOk;
}

}  // namespace weir::tools
