// weirctl: the operator's command line. Parses arguments, nothing more; see commands.h.
#include <curl/curl.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>

#include "tools/exit_codes.h"
#include "tools/weirctl/commands.h"
#include "tools/weirctl/top.h"

namespace {

using namespace weir::tools;

constexpr const char* kFooter = R"(
Examples:
  weirctl status
  weirctl explain --tenant bank-17 --scenario support-chat --user u-4021
  weirctl validate table.yaml
  weirctl apply table.yaml --reason "support-v2: 5 % to 25 %"
  weirctl kill unit support-41 --reason "wrong answers, incident 311"
  weirctl upgrade
  weirctl top

Exit codes: 0 done; 1 weir refused or failed; 2 what you gave is wrong; 3 weir cannot be reached.)";

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Looks at and steers a running weir through its admin socket.", "weirctl"};
  app.footer(kFooter);
  app.set_version_flag("--version", "weirctl " WEIR_VERSION);
  app.require_subcommand(1);
  app.fallthrough();  // --socket and --json may stand behind the command too

  std::string socket = "/run/weir/admin.sock";
  bool json = false;
  app.add_option("--socket", socket, "admin.socket of the weir to speak to")
      ->envname("WEIR_ADMIN_SOCKET")
      ->capture_default_str();
  app.add_flag("--json", json, "print the answer as it came instead of a table");

  std::string file, reason, revision, scope, name;
  Commands::Subject subject;
  bool dry_run = false, once = false;
  double interval_seconds = 1;

  app.add_subcommand("status", "what runs: revision, table, kills, connections");
  app.add_subcommand("upgrade",
                     "replaces the process: binary and weir.yaml as they are now, nothing refused or cut");
  app.add_subcommand("table", "prints the table that serves now, as JSON");
  app.add_subcommand("metrics", "prints /metrics, as Prometheus reads it");

  CLI::App* apply = app.add_subcommand("apply", "replaces the table whole, or says every reason why not");
  apply->add_option("file", file, "YAML or JSON; - reads stdin")->required();
  apply->add_option("--reason", reason, "why; kept with the change");
  apply
      ->add_option("--revision", revision,
                   "refuse unless this revision serves (default: the one that serves now)")
      ->check(CLI::NonNegativeNumber);
  apply->add_flag("--dry-run", dry_run, "only validate");

  CLI::App* validate = app.add_subcommand("validate", "checks a table without changing anything");
  validate->add_option("file", file, "YAML or JSON; - reads stdin")->required();

  const CLI::IsMember scopes({"global", "provider", "unit", "scenario", "flag", "tenant"});
  CLI::App* kill = app.add_subcommand("kill", "switches something off, at once");
  CLI::App* unkill = app.add_subcommand("unkill", "takes a kill back");
  for (CLI::App* command : {kill, unkill}) {
    command->add_option("scope", scope, "global, provider, unit, scenario, flag or tenant")
        ->required()
        ->check(scopes);
    command->add_option("name", name, "of the provider, unit, ...; global takes none");
    command->add_option("--reason", reason, "why; kept with the change")->required();
  }

  CLI::App* explain = app.add_subcommand("explain", "which unit a request would get, rule by rule");
  explain->add_option("--tenant", subject.tenant, "tenant")->required();
  explain->add_option("--scenario", subject.scenario, "as in x-weir-scenario");
  explain->add_option("--user", subject.user, "as in x-weir-user");
  explain->add_option("--conversation", subject.conversation, "as in x-weir-conversation");
  explain->add_option("--model", subject.model, "as in the body's model");
  explain->add_option("--attr", subject.attributes, "name=value, as in x-weir-attr-<name>; may be repeated")
      ->allow_extra_args(false);

  CLI::App* limits = app.add_subcommand("limits", "rate limits: what is left, when it is back");
  CLI::App* budgets = app.add_subcommand("budgets", "budgets: spent, reserved, tripped");
  for (CLI::App* command : {limits, budgets}) {
    command->add_option("--tenant", subject.tenant, "only its own, its keys' and its pilots'");
  }
  app.add_subcommand("breakers", "how each model is doing at its providers");
  CLI::App* purge = app.add_subcommand("purge", "answers kept in the cache are not given again");
  purge->add_option("scope", scope, "tenant, unit or scenario")
      ->required()
      ->check(CLI::IsMember({"tenant", "unit", "scenario"}));
  purge->add_option("name", name, "of the tenant, unit or scenario")->required();

  CLI::App* top = app.add_subcommand("top", "live: share, errors and latency per unit; q leaves");
  top->add_flag("--once", once, "print the totals since the start and leave");
  top->add_option("--interval", interval_seconds, "seconds between two readings")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();

  try {
    app.parse(argc, argv);
    if ((kill->parsed() || unkill->parsed()) && (scope == "global") != name.empty()) {
      throw CLI::ValidationError("name",
                                 scope == "global" ? "global takes no name" : "is missing: which " + scope);
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitBadInput;
  }

  curl_global_init(CURL_GLOBAL_DEFAULT);
  AdminClient client(socket);
  Commands commands(client, json ? OutputStyle::json : OutputStyle::human);
  if (app.got_subcommand("status")) return commands.status();
  if (app.got_subcommand("upgrade")) return commands.upgrade();
  if (app.got_subcommand("table")) return commands.table();
  if (app.got_subcommand("metrics")) return commands.metrics();
  if (apply->parsed()) return dry_run ? commands.validate(file) : commands.apply(file, reason, revision);
  if (validate->parsed()) return commands.validate(file);
  if (kill->parsed()) return commands.flip(Commands::Switch::kill, scope, name, reason);
  if (unkill->parsed()) return commands.flip(Commands::Switch::unkill, scope, name, reason);
  if (explain->parsed()) return commands.explain(subject);
  if (limits->parsed()) return commands.limits(subject.tenant);
  if (budgets->parsed()) return commands.budgets(subject.tenant);
  if (app.got_subcommand("breakers")) return commands.breakers();
  if (purge->parsed()) return commands.purge(scope, name);
  return run_top(client, once, std::chrono::milliseconds(std::lround(interval_seconds * 1000)));
}
