#include "tools/weirctl/commands.h"

#include <fmt/format.h>
#include <poll.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>

#include "tools/exit_codes.h"
#include "tools/weirctl/render.h"

namespace weir::tools {
namespace {

using nlohmann::json;

constexpr int kUpgradePauseMs = 20;

struct Document {
  std::string text;
  std::string content_type;
};

// JSON by its name or, from stdin, by its first character; anything else is YAML.
std::optional<Document> read_document(const std::string& file) {
  Document document;
  try {
    std::ifstream opened;
    if (file != "-") opened.open(file, std::ios::binary);
    std::istream& input = file == "-" ? std::cin : opened;
    document.text.assign(std::istreambuf_iterator<char>(input), {});
    if (file != "-" && !opened.is_open()) throw std::ios_base::failure("cannot be opened");
  } catch (const std::ios_base::failure&) {  // thrown for a folder, which opens but does not read
    fmt::print(stderr, "cannot read {}: {}\n", file, std::strerror(errno));
    return std::nullopt;
  }
  const size_t first = document.text.find_first_not_of(" \t\r\n");
  const bool is_json =
      file.ends_with(".json") || (first != std::string::npos && document.text[first] == '{' && file == "-");
  document.content_type = is_json ? "application/json" : "application/yaml";
  return document;
}

// The answer's number at `key` as text; "?" when it is not there.
std::string value_at(const json& reply, const char* key) {
  return reply.is_object() && reply.contains(key) ? printable(reply[key].dump()) : "?";
}

int exit_code_of(long status) {
  // 400, 404 and 422 say that what was sent is wrong; 409 and the rest that the moment or the server is.
  return status == 400 || status == 404 || status == 422 ? kExitBadInput : kExitFailure;
}

}  // namespace

// `show` turns the parsed answer into text for people.
template <typename Show>
int Commands::perform(const AdminRequest& request, Show show) {
  auto reply = client_.call(request);
  if (!reply) {
    fmt::print(stderr, "{}\n", reply.error());
    return kExitUnreachable;
  }
  if (style_ == OutputStyle::json) {
    fmt::print("{}{}", reply->body, reply->body.ends_with('\n') ? "" : "\n");
    return reply->ok() ? kExitOk : exit_code_of(reply->status);
  }
  if (!reply->ok()) {
    fmt::print(stderr, "{}", render_error(reply->status, reply->body));
    return exit_code_of(reply->status);
  }
  fmt::print("{}", show(json::parse(reply->body, nullptr, false)));
  return kExitOk;
}

int Commands::status() {
  return perform({.path = "/v1/status"}, render_status);
}

// While nobody serves the admin socket, the question waits in its queue. Asked again is only who says that it
// is not decided yet.
int Commands::upgrade() {
  const auto get_status = [&]() -> std::optional<json> {
    auto reply = client_.call({.path = "/v1/status"});
    if (reply && reply->ok()) return json::parse(reply->body, nullptr, false);
    fmt::print(stderr, "{}", reply ? render_error(reply->status, reply->body) : reply.error() + "\n");
    return std::nullopt;
  };
  const auto before = get_status();
  if (!before) return kExitUnreachable;
  auto begun = client_.call({.method = "POST", .path = "/v1/upgrade"});
  if (!begun || !begun->ok()) {
    fmt::print(stderr, "{}", begun ? render_error(begun->status, begun->body) : begun.error() + "\n");
    return begun ? exit_code_of(begun->status) : kExitUnreachable;
  }
  const std::string pid = value_at(*before, "pid");
  for (auto after = get_status(); after; after = get_status()) {
    const bool followed = value_at(*after, "pid") != pid;
    if (followed && value_at(*after, "ready") == "true") {
      if (style_ == OutputStyle::json) {
        fmt::print("{}\n", after->dump(-1, ' ', false, json::error_handler_t::replace));
      } else {
        fmt::print("process {} serves revision {}; {} finishes what it has begun\n", value_at(*after, "pid"),
                   value_at(*after, "revision"), pid);
      }
      return kExitOk;
    }
    if (!followed && value_at(*after, "upgrading") != "true") {
      fmt::print(stderr, "the successor did not start: {}. Process {} goes on as before; its log says more\n",
                 value_at(*after, "upgrade_failure"), pid);
      return kExitFailure;
    }
    ::poll(nullptr, 0, kUpgradePauseMs);
  }
  return kExitUnreachable;
}

int Commands::table() {
  return perform({.path = "/v1/table"}, [](const json& document) { return document.dump(2) + "\n"; });
}

int Commands::metrics() {
  style_ = OutputStyle::json;  // it is text already
  return perform({.path = "/metrics"}, [](const json&) { return std::string(); });
}

int Commands::apply(const std::string& file, const std::string& reason, const std::string& revision) {
  auto document = read_document(file);
  if (!document) return kExitBadInput;
  std::string based_on = revision;
  if (based_on.empty()) {
    auto status = client_.call({.path = "/v1/status"});
    if (!status) {
      fmt::print(stderr, "{}\n", status.error());
      return kExitUnreachable;
    }
    if (!status->ok()) {
      fmt::print(stderr, "{}", render_error(status->status, status->body));
      return exit_code_of(status->status);
    }
    based_on = value_at(json::parse(status->body, nullptr, false), "revision");
  }
  AdminRequest request{.method = "PUT",
                       .path = "/v1/table",
                       .query = {{"reason", reason}},
                       .body = std::move(document->text),
                       .content_type = document->content_type,
                       .if_match = based_on};
  return perform(request, [](const json& reply) {
    return fmt::format("revision {} answers on every shard, after {} ms\n", value_at(reply, "revision"),
                       value_at(reply, "live_in_ms"));
  });
}

int Commands::validate(const std::string& file) {
  auto document = read_document(file);
  if (!document) return kExitBadInput;
  AdminRequest request{.method = "POST",
                       .path = "/v1/table:validate",
                       .body = std::move(document->text),
                       .content_type = document->content_type};
  return perform(request, [&](const json&) { return fmt::format("{} is valid\n", file); });
}

int Commands::flip(Switch action, const std::string& scope, const std::string& name,
                   const std::string& reason) {
  json body{{"scope", scope}, {"reason", reason}};
  if (!name.empty()) body["name"] = name;
  const bool kills = action == Switch::kill;
  AdminRequest request{.method = "POST",
                       .path = kills ? "/v1/kill" : "/v1/unkill",
                       .body = body.dump(-1, ' ', false, json::error_handler_t::replace)};
  return perform(request, [&](const json& reply) {
    return fmt::format("{}{}{} is {} as of revision {}\n", scope, name.empty() ? "" : " ", name,
                       kills ? "switched off" : "back", value_at(reply, "revision"));
  });
}

int Commands::explain(const Subject& subject) {
  AdminRequest request{.path = "/v1/explain",
                       .query = {{"tenant", subject.tenant},
                                 {"scenario", subject.scenario},
                                 {"user", subject.user},
                                 {"conversation", subject.conversation},
                                 {"model", subject.model}}};
  for (const std::string& attribute : subject.attributes) {
    const size_t equals = attribute.find('=');
    if (equals == std::string::npos || equals == 0) {
      fmt::print(stderr, "--attr {}: write it as name=value\n", attribute);
      return kExitBadInput;
    }
    request.query.emplace_back("attr." + attribute.substr(0, equals), attribute.substr(equals + 1));
  }
  return perform(request, render_explain);
}

int Commands::limits(const std::string& tenant) {
  return perform({.path = "/v1/limits", .query = {{"tenant", tenant}}}, render_limits);
}

int Commands::budgets(const std::string& tenant) {
  return perform({.path = "/v1/budgets", .query = {{"tenant", tenant}}}, render_budgets);
}

int Commands::breakers() {
  return perform({.path = "/v1/breakers"}, render_breakers);
}

int Commands::purge(const std::string& scope, const std::string& name) {
  const json body{{"scope", scope}, {"name", name}};
  AdminRequest request{.method = "POST",
                       .path = "/v1/cache:purge",
                       .body = body.dump(-1, ' ', false, json::error_handler_t::replace)};
  return perform(request, [](const json& reply) {
    return fmt::format("{} answers are not given again\n", value_at(reply, "purged"));
  });
}

}  // namespace weir::tools
