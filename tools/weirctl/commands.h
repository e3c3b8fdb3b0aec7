// What each weirctl command does: its calls, the answer on stdout, a refusal on stderr, an exit code.
//
// With --json stdout holds the answer of weir as it came, also that of a refusal; `flag` and `tenant`, which
// put several answers together, print the shapes of tools/weirctl/launch_view.h.
//
// commands.cc: tables and objects; commands_launch.cc: flags and tenants; commands_log.cc: what has happened.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/weirctl/admin_client.h"

namespace weir::tools {

enum class OutputStyle : uint8_t { human, json };

struct Output {
  OutputStyle style = OutputStyle::human;
  size_t width = 0;    // of the terminal; 0 = lines of any length
  bool check = false;  // exit kExitFound when there is a difference or a problem
};

// What every change may say.
struct ChangeOptions {
  std::string reason;
  std::string revision = {};  // refuse unless the table is still as it was then
  bool dry_run = false;
  std::string proposal = {};  // whose place the change takes
};

class Commands {
 public:
  using json = nlohmann::json;
  Commands(AdminClient& client, Output output) : client_(client), output_(output) {}

  int status();
  // Replaces the process and waits until its successor serves.
  int upgrade();
  int metrics();
  int table(const std::string& revision);
  // Replaces the table by a file, a folder or stdin ("-").
  int apply(const std::string& path, const ChangeOptions& options);
  int validate(const std::string& path);
  int get(const std::string& kind, const std::string& name, const std::string& revision,
          const std::string& after);
  // `method`: PUT with a file's body, PATCH with a merge patch, DELETE without either.
  int edit(const std::string& method, const std::string& kind, const std::string& name,
           const std::string& body, const ChangeOptions& options);
  int export_csv(const std::string& what, const std::string& revision);

  enum class Switch : uint8_t { kill, unkill };
  int flip(Switch action, const std::string& scope, const std::string& name, const ChangeOptions& options);
  struct Subject {
    std::string tenant, scenario, user, conversation, model, key;
    std::vector<std::string> attributes;  // name=value
  };
  int explain(const Subject& subject);

  int flags(const std::string& after);
  // `states`: which rows, comma-separated; empty = pilot and production.
  int flag(const std::string& name, const std::string& states, const std::string& after);
  int tenant(const std::string& name);
  // `members` of the tenant's row; null takes one away.
  int set_row(const std::string& flag, const std::string& tenant, json members, const ChangeOptions& options);
  struct Rollback {
    std::string scope, name, flag, to, note, evidence_file;
  };
  int rollback(const Rollback& wanted, const ChangeOptions& options);
  int problems(const std::string& which);

  struct LogQuery {
    std::string tenant, flag, kind, name, since, before, limit;
    bool whole = false;  // every change with all it did
  };
  int audit(const LogQuery& query);
  int verify();
  int change(const std::string& revision);
  int diff(const std::string& from, const std::string& to);
  int label(const std::string& name, const std::string& revision, const std::string& reason);
  int proposals(const std::string& id, bool all);
  int decide(const std::string& id, const std::string& verb, const std::string& reason);

  // What guards have counted; of one tenant, or with an empty name all.
  // Which limits and budgets are shown.
  struct GuardOptions {
    std::string tenant, user;
    bool closest_first = false;
  };
  int limits(const GuardOptions& which);
  int budgets(const GuardOptions& which);
  int breakers();
  // Answers of a tenant, unit or scenario are not given from the cache again.
  int purge(const std::string& scope, const std::string& name, const ChangeOptions& options);

 private:
  // A successful answer; else what went wrong has been printed and this is the exit code.
  std::expected<json, int> ask(const AdminRequest& request);
  // Prints the answer: as it came, or as `show` turns it into text.
  int perform(const AdminRequest& request, const std::function<std::string(const json&)>& show);
  int perform_change(AdminRequest request, const ChangeOptions& options);
  int print(const json& view, const std::string& text);
  int refuse(const AdminRequest& request, const AdminReply& reply);
  void show_last_rollback(const Rollback& wanted);
  std::string provider_of(const std::string& unit);
  json kills_on(const json& kills, const json& flag_view);
  // False: the reason is missing, and that was said.
  bool has_reason(const ChangeOptions& options);

  AdminClient& client_;
  Output output_;
  std::function<std::string(const std::string& path)> file_of_ = {};  // of a problem, while a folder is sent
};

}  // namespace weir::tools
