#include "tools/weirctl/commands.h"

#include <fmt/format.h>
#include <poll.h>

#include <cstdio>

#include "tools/exit_codes.h"
#include "tools/weirctl/json_fields.h"
#include "tools/weirctl/path_segment.h"
#include "tools/weirctl/render.h"
#include "tools/weirctl/table_files.h"
#include "tools/weirctl/terminal_text.h"

namespace weir::tools {

using nlohmann::json;

namespace {

constexpr int kUpgradePauseMs = 20;

std::vector<std::pair<std::string, std::string>> query_of(const Commands::GuardOptions& which) {
  return {{"tenant", which.tenant}, {"user", which.user}, {"sort", which.closest_first ? "used" : ""}};
}

std::string with_line_end(std::string text) {
  if (!text.ends_with('\n')) text += '\n';
  return text;
}

int exit_code_of(long status, const std::string& code) {
  if (code == "lost_update" || code == "stale_proposal") return kExitConflict;
  // These say that what was sent is wrong; the rest that the moment or the server is.
  switch (status) {
    case 400:
    case 404:
    case 405:
    case 411:
    case 413:
    case 415:
    case 422:
      return kExitBadInput;
    default:
      return kExitFailure;
  }
}

// What to do about a refusal, beyond what weir says; empty when that is all.
std::string advice(const AdminRequest& request, const json& refusal, const std::string& code) {
  if (code == "nothing_to_roll_back") {
    return "to turn it off instead:\n  weirctl flag set FLAG TENANT --state off --reason '...'\n";
  }
  const auto newest = number(refusal, "revision");
  if (code == "lost_update" && newest && !request.if_match.empty())
    return fmt::format("what has changed:\n  weirctl diff {} {}\n", request.if_match, *newest);
  return "";
}

int exit_code_of(const json& outcome) {
  return member(outcome, "proposal").is_number() ? kExitProposed : kExitOk;
}

}  // namespace

int Commands::refuse(const AdminRequest& request, const AdminReply& reply) {
  json body = json::parse(reply.body, nullptr, false);
  const std::string code = text_of(mapping(body, "error"), "code");
  if (file_of_ && body.is_object() && body.contains("problems")) {
    for (json& problem : body["problems"]) {
      if (const std::string file = file_of_(text_of(problem, "path")); !file.empty()) problem["file"] = file;
    }
  }
  if (output_.style == OutputStyle::json) {
    fmt::print("{}", with_line_end(file_of_ ? to_text(body) : reply.body));
  } else {
    fmt::print(stderr, "{}{}", render_error(reply.status, file_of_ ? to_text(body) : reply.body),
               advice(request, body, code));
  }
  return exit_code_of(reply.status, code);
}

std::expected<json, int> Commands::ask(const AdminRequest& request) {
  auto reply = client_.call(request);
  if (!reply) {
    fmt::print(stderr, "{}\n", reply.error());
    return std::unexpected(kExitUnreachable);
  }
  if (!reply->ok()) return std::unexpected(refuse(request, *reply));
  return json::parse(reply->body, nullptr, false);
}

int Commands::perform(const AdminRequest& request, const std::function<std::string(const json&)>& show) {
  auto reply = client_.call(request);
  if (!reply) {
    fmt::print(stderr, "{}\n", reply.error());
    return kExitUnreachable;
  }
  if (!reply->ok()) return refuse(request, *reply);
  const json answer = json::parse(reply->body, nullptr, false);
  fmt::print("{}", output_.style == OutputStyle::json ? with_line_end(reply->body) : show(answer));
  const auto count = number(answer, "count");
  return output_.check && count.value_or(0) > 0 ? kExitFound : exit_code_of(answer);
}

int Commands::print(const json& view, const std::string& text) {
  fmt::print("{}", output_.style == OutputStyle::json ? to_text(view) + '\n' : text);
  return kExitOk;
}

bool Commands::has_reason(const ChangeOptions& options) {
  if (options.dry_run || !options.reason.empty()) return true;
  fmt::print(stderr, "--reason is missing: say why; it is kept with the change\n");
  return false;
}

int Commands::perform_change(AdminRequest request, const ChangeOptions& options) {
  request.if_match = options.revision;
  if (options.dry_run) request.query.emplace_back("dry_run", "true");
  request.query.emplace_back("proposal", options.proposal);
  return perform(request, [this](const json& outcome) { return render_outcome(outcome, output_.width); });
}

int Commands::status() {
  return perform({.path = "/v1/status"},
                 [this](const json& status) { return render_status(status, output_.width); });
}

// While nobody serves the admin socket, the question waits in its queue. Asked again is only who says that it
// is not decided yet.
int Commands::upgrade() {
  const auto before = ask({.path = "/v1/status"});
  if (!before) return before.error();
  const auto begun = ask({.method = "POST", .path = "/v1/upgrade"});
  if (!begun) return begun.error();
  const std::string pid = field(*before, "pid");
  while (true) {
    const auto after = ask({.path = "/v1/status"});
    if (!after) return after.error();
    const bool followed = field(*after, "pid") != pid;
    if (followed && is_true(*after, "ready")) {
      return print(*after, wrapped(fmt::format("process {} serves revision {}; {} finishes what it has begun",
                                               field(*after, "pid"), field(*after, "revision"), pid),
                                   output_.width));
    }
    if (!followed && !is_true(*after, "upgrading")) {
      fmt::print(stderr, "the successor did not start: {}. Process {} goes on as before; its log says more\n",
                 field(*after, "upgrade_failure"), pid);
      return kExitFailure;
    }
    ::poll(nullptr, 0, kUpgradePauseMs);
  }
}

int Commands::metrics() {
  output_.style = OutputStyle::json;  // it is text already
  return perform({.path = "/metrics"}, [](const json&) { return std::string(); });
}

int Commands::table(const std::string& revision) {
  return perform({.path = "/v1/table", .query = {{"revision", revision}}},
                 [](const json& document) { return to_text(document, 2) + "\n"; });
}

int Commands::apply(const std::string& path, const ChangeOptions& options) {
  if (!has_reason(options)) return kExitBadInput;
  auto table = read_table(path);
  if (!table) {
    fmt::print(stderr, "{}\n", table.error());
    return kExitBadInput;
  }
  ChangeOptions based = options;
  if (based.revision.empty() && !based.dry_run) {
    const auto status = ask({.path = "/v1/status"});
    if (!status) return status.error();
    based.revision = std::to_string(number(*status, "revision").value_or(0));
  }
  if (!table->files.empty()) file_of_ = [&table](const std::string& place) { return table->file_of(place); };
  const int exit_code =
      perform_change({.method = "PUT",
                      .path = "/v1/table",
                      .query = {{"reason", options.reason.empty() ? "dry run" : options.reason}},
                      .body = std::move(table->text),
                      .content_type = table->content_type},
                     based);
  file_of_ = {};
  return exit_code;
}

int Commands::validate(const std::string& path) {
  auto table = read_table(path);
  if (!table) {
    fmt::print(stderr, "{}\n", table.error());
    return kExitBadInput;
  }
  if (!table->files.empty()) file_of_ = [&table](const std::string& place) { return table->file_of(place); };
  const int exit_code = perform({.method = "POST",
                                 .path = "/v1/table:validate",
                                 .body = std::move(table->text),
                                 .content_type = table->content_type},
                                [&](const json&) { return fmt::format("{} is valid\n", path); });
  file_of_ = {};
  return exit_code;
}

int Commands::get(const std::string& kind, const std::string& name, const std::string& revision,
                  const std::string& after) {
  if (!name.empty()) {
    return perform(
        {.path = "/v1/" + path_segment(kind) + "/" + path_segment(name), .query = {{"revision", revision}}},
        [](const json& body) { return shown(to_text(body)) + "\n"; });
  }
  return perform(
      {.path = "/v1/" + path_segment(kind), .query = {{"after", after}}}, [this](const json& page) {
        std::vector<std::vector<std::string>> rows;
        for (const json& object : list(page, "objects")) {
          rows.push_back({field(object, "name"), shown(to_text(member(object, "body")))});
        }
        std::string text = render_table({{"NAME"}, {"BODY", Align::left, Fit::prose}}, rows, output_.width);
        if (const std::string next = field(page, "next"); next != "-")
          text += fmt::format("and more: --after {}\n", shell_word(next));
        return text;
      });
}

int Commands::edit(const std::string& method, const std::string& kind, const std::string& name,
                   const std::string& body, const ChangeOptions& options) {
  if (!has_reason(options)) return kExitBadInput;
  std::string text = body;
  if (method == "PUT") {
    auto file = read_table(body);
    if (!file) {
      fmt::print(stderr, "{}\n", file.error());
      return kExitBadInput;
    }
    text = std::move(file->text);
  }
  return perform_change({.method = method,
                         .path = "/v1/" + path_segment(kind) + "/" + path_segment(name),
                         .query = {{"reason", options.reason.empty() ? "dry run" : options.reason}},
                         .body = std::move(text)},
                        options);
}

int Commands::export_csv(const std::string& what, const std::string& revision) {
  output_.style = OutputStyle::json;  // it is text already
  return perform({.path = "/v1/export", .query = {{"format", "csv"}, {"what", what}, {"revision", revision}}},
                 [](const json&) { return std::string(); });
}

int Commands::flip(Switch action, const std::string& scope, const std::string& name,
                   const ChangeOptions& options) {
  if (!has_reason(options)) return kExitBadInput;
  json body{{"scope", scope}, {"reason", options.reason}};
  if (!name.empty()) body["name"] = name;
  const bool kills = action == Switch::kill;
  return perform({.method = "POST",
                  .path = kills ? "/v1/kill" : "/v1/unkill",
                  .body = to_text(body),
                  .if_match = options.revision},
                 [&](const json& outcome) {
                   std::string text = fmt::format("{}{} is {}", scope, name.empty() ? "" : " " + shown(name),
                                                  kills ? "switched off" : "back");
                   if (const json& live = member(outcome, "live_in_ms"); live.is_number())
                     text += fmt::format(" on every shard, after {:.1f} ms", live.get<double>());
                   text = wrapped(fmt::format("{}; revision {}", text, field(outcome, "revision")),
                                  output_.width);
                   if (kills) {
                     text += fmt::format("back on:\n  weirctl unkill {}{} --reason '...'\n", scope,
                                         name.empty() ? "" : " " + shell_word(shown(name)));
                   }
                   return text;
                 });
}

int Commands::explain(const Subject& subject) {
  AdminRequest request{.path = "/v1/explain",
                       .query = {{"tenant", subject.tenant},
                                 {"scenario", subject.scenario},
                                 {"user", subject.user},
                                 {"conversation", subject.conversation},
                                 {"model", subject.model},
                                 {"key", subject.key}}};
  for (const std::string& attribute : subject.attributes) {
    const size_t equals = attribute.find('=');
    if (equals == std::string::npos || equals == 0) {
      fmt::print(stderr, "--attr {}: write it as name=value\n", attribute);
      return kExitBadInput;
    }
    request.query.emplace_back("attr." + attribute.substr(0, equals), attribute.substr(equals + 1));
  }
  return perform(request,
                 [this](const json& explanation) { return render_explain(explanation, output_.width); });
}

int Commands::limits(const GuardOptions& which) {
  return perform({.path = "/v1/limits", .query = query_of(which)},
                 [this](const json& answer) { return render_limits(answer, output_.width); });
}

int Commands::budgets(const GuardOptions& which) {
  return perform({.path = "/v1/budgets", .query = query_of(which)},
                 [this](const json& answer) { return render_budgets(answer, output_.width); });
}

int Commands::breakers() {
  return perform({.path = "/v1/breakers"},
                 [this](const json& answer) { return render_breakers(answer, output_.width); });
}

int Commands::purge(const std::string& scope, const std::string& name, const ChangeOptions& options) {
  if (!has_reason(options)) return kExitBadInput;
  const json body{{"scope", scope}, {"name", name}, {"reason", options.reason}};
  return perform(
      {.method = "POST", .path = "/v1/cache:purge", .body = to_text(body)}, [](const json& answer) {
        const bool logged = member(answer, "logged") != false;
        return fmt::format("{} answers are not given again\n{}", field(answer, "purged"),
                           logged ? "" : "the audit log could not be written: this is not in it\n");
      });
}

}  // namespace weir::tools
