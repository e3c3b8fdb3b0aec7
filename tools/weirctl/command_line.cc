#include "tools/weirctl/command_line.h"

#include <fmt/format.h>

#include <cmath>
#include <iostream>
#include <memory>

#include "tools/exit_codes.h"
#include "tools/weirctl/completion.h"
#include "tools/weirctl/terminal_text.h"

namespace weir::tools {
namespace {

constexpr const char* kLook = "Look";
constexpr const char* kChange = "Change (each takes --reason; most --dry-run)";
constexpr const char* kHistory = "History and approvals";
constexpr const char* kTools = "Tools";

// First of all what somebody needs who has been woken up and has never seen weir.
constexpr const char* kDescription = R"(Looks at and steers a running weir through its admin socket.

On call:
  weirctl flags                        # which flags there are
  weirctl flag support-v2              # who has it, and what turns it off
  weirctl tenant bank-17               # what it has, and how it goes back
  weirctl rollback tenant bank-17 --reason 'incident 311'
  weirctl kill flag support-v2 --reason 'incident 311'
)";

constexpr const char* kFooter = R"(
Exit codes: 0 done; 1 weir refused or failed; 2 what you gave is wrong, nothing
has changed; 3 weir cannot be reached; 4 waits for approval, nothing has changed
yet; 5 the table has changed since: look and try again; 6 --check found
something.
Every command takes --help, with examples, and --json.)";

// One line of help must fit beside the options' names.
constexpr size_t kNamesWidth = 26;

class Formatter : public CLI::Formatter {
 public:
  Formatter() { column_width(kNamesWidth); }
  // Without "TEXT REQUIRED ... Excludes": the description says it.
  std::string make_option_opts(const CLI::Option* option) const override {
    return option->get_expected_max() > 0 && option->get_positional() ? ""
           : option->get_items_expected_max() > 0                     ? " X"
                                                                      : "";
  }
};

}  // namespace

CommandLine::CommandLine() : app_(kDescription, "weirctl") {
  app_.formatter(std::make_shared<Formatter>());
  app_.footer(kFooter);
  app_.set_version_flag("--version", "weirctl " WEIR_VERSION, "print the version");
  app_.require_subcommand(1);
  app_.fallthrough();  // --socket and --json may stand behind the command too
  app_.add_option("--socket", socket_, "the admin.socket (/run/weir/admin.sock)")
      ->envname("WEIR_ADMIN_SOCKET");
  app_.add_flag("--json", json_, "for machines: weir's answer as it came");
  add_looking();
  add_changing();
  add_history();
  add_tools();
}

CLI::App* CommandLine::add(CLI::App& parent, const std::string& name, const std::string& does,
                           const std::string& group, const std::string& examples, Action action) {
  CLI::App* command = parent.add_subcommand(name, does);
  command->group(group);
  command->footer("\nExamples:\n" + examples);
  command->callback([this, command, action = std::move(action)] {
    if (command->get_subcommands().empty()) action_ = action;  // else one of those is meant
  });
  return command;
}

void CommandLine::add_change_options(CLI::App* command) {
  command->add_option("--reason", change_.reason, "why; kept with the change for ever");
  command->add_option("--revision", change_.revision, "refuse if the table is a newer one")
      ->check(CLI::NonNegativeNumber);
}

void CommandLine::add_paging(CLI::App* command) {
  command->add_option("--after", after_, "go on after this name");
}

void CommandLine::add_looking() {
  add(app_, "status", "what runs: revision, table, kills", kLook,
      "  weirctl status\n  weirctl status --json | jq .kills",
      [](Commands& commands, AdminClient&) { return commands.status(); });

  CLI::App* flags = add(app_, "flags", "every flag", kLook, "  weirctl flags",
                        [this](Commands& commands, AdminClient&) { return commands.flags(after_); });
  add_paging(flags);

  CLI::App* flag =
      add(app_, "flag", "who has a flag, and what turns it off", kLook,
          "  weirctl flag support-v2\n"
          "  weirctl flag support-v2 --states off\n"
          "  weirctl flag set support-v2 bank-17 --state pilot --percent 5 \\\n"
          "      --reason 'first 5 percent'",
          [this](Commands& commands, AdminClient&) { return commands.flag(name_, states_, after_); });
  flag->add_option("flag", name_, "the flag");
  flag->add_option("--states", states_, "off, pilot, production (pilot,production)");
  add_paging(flag);
  add_flag_set(*flag);

  CLI::App* tenant =
      add(app_, "tenant", "what a tenant has, and how it goes back", kLook, "  weirctl tenant bank-17",
          [this](Commands& commands, AdminClient&) { return commands.tenant(name_); });
  tenant->add_option("tenant", name_, "the tenant")->required();

  CLI::App* explain = add(app_, "explain", "which unit a request gets, rule by rule", kLook,
                          "  weirctl explain --tenant bank-17 --scenario support-chat --user u-1\n"
                          "  weirctl explain --tenant bank-17 --user u-1 --attr plan=pro",
                          [this](Commands& commands, AdminClient&) { return commands.explain(subject_); });
  explain->add_option("--tenant", subject_.tenant, "the tenant, or name a key");
  explain->add_option("--key", subject_.key, "the id of an API key");
  explain->add_option("--scenario", subject_.scenario, "as in x-weir-scenario");
  explain->add_option("--model", subject_.model, "as in the body's model");
  explain->add_option("--user", subject_.user, "as in x-weir-user");
  explain->add_option("--conversation", subject_.conversation, "as in x-weir-conversation");
  explain->add_option("--attr", subject_.attributes, "name=value, as in x-weir-attr-<name>")
      ->allow_extra_args(false);

  CLI::App* problems = add(app_, "problems", "launches that somebody has forgotten", kLook,
                           "  weirctl problems\n"
                           "  weirctl problems expired,no_owner\n"
                           "  weirctl problems --check || mail -s 'look after these' launches@example.com",
                           [this](Commands& commands, AdminClient&) { return commands.problems(problems_); });
  problems->add_option("which", problems_, "some of them, comma-separated (all)");
  problems->add_flag("--check", output_.check, "exit 6 when there is one");

  CLI::App* limits = add(app_, "limits", "rate limits: what is left, when it is back", kLook,
                         "  weirctl limits --tenant bank-17\n"
                         "  weirctl limits --tenant bank-17 --user u-7\n"
                         "  weirctl limits --closest          # nearly used up first",
                         [this](Commands& commands, AdminClient&) { return commands.limits(guards_); });
  CLI::App* budgets = add(app_, "budgets", "budgets: spent, reserved, tripped", kLook,
                          "  weirctl budgets\n"
                          "  weirctl budgets --tenant bank-17\n"
                          "  weirctl budgets --tenant bank-17 --user u-7\n"
                          "  weirctl budgets --closest         # nearly used up first",
                          [this](Commands& commands, AdminClient&) { return commands.budgets(guards_); });
  for (CLI::App* command : {limits, budgets}) {
    command->add_option("--tenant", guards_.tenant, "only its own, its keys', pilots' and users' rules");
    command->add_option("--user", guards_.user, "what is counted of one of its users")->needs("--tenant");
    command->add_flag("--closest", guards_.closest_first, "those of which most is used first");
  }
  add(app_, "breakers", "how each model is doing at its providers", kLook, "  weirctl breakers",
      [](Commands& commands, AdminClient&) { return commands.breakers(); });

  CLI::App* watch = add(app_, "watch", "live: shares, errors, latency, cost; q leaves", kLook,
                        "  weirctl watch\n"
                        "  weirctl watch --scenario support-chat --window 60\n"
                        "  weirctl watch --once          # totals since weir's start",
                        [this](Commands&, AdminClient& client) { return run_watch(client, watch_); });
  watch->alias("top");
  watch->add_option("--scenario", watch_.scenario, "only this one");
  watch->add_option("--tenant", watch_.tenant, "only what this tenant asked for");
  watch->add_option("--interval", watch_.interval_seconds, "seconds between readings (1)")
      ->check(CLI::Range(0.1, 3600.0));
  watch->add_option("--window", watch_.window_seconds, "seconds that figures cover (10)")
      ->check(CLI::Range(0.1, 3600.0));
  watch->add_flag("--once", watch_.once, "totals since weir's start");

  CLI::App* table = add(app_, "table", "prints the table as JSON", kLook,
                        "  weirctl table > backup.json\n  weirctl table --revision 41",
                        [this](Commands& commands, AdminClient&) { return commands.table(revision_); });
  table->add_option("--revision", revision_, "as it was then")->check(CLI::NonNegativeNumber);

  CLI::App* get =
      add(app_, "get", "one object, or all of a kind", kLook,
          "  weirctl get units\n  weirctl get units support-41 --json\n"
          "  weirctl get tenants bank-17 --revision 41",
          [this](Commands& commands, AdminClient&) { return commands.get(kind_, name_, revision_, after_); });
  get->add_option("kind", kind_, "units, flags, tenants, ...")->required();
  get->add_option("name", name_, "the object (all)");
  get->add_option("--revision", revision_, "as it was then")->check(CLI::NonNegativeNumber);
  add_paging(get);
}

CLI::App* CommandLine::add_flag_set(CLI::App& flag) {
  CLI::App* set = add(flag, "set", "changes a tenant's row", "Commands",
                      "  weirctl flag set support-v2 bank-17 --state pilot --percent 5 \\\n"
                      "      --reason 'first 5 percent'\n"
                      "  weirctl flag set support-v2 bank-17 --state production --dry-run\n"
                      "  weirctl flag set support-v2 bank-17 --unset expires --reason 'for good'\n"
                      "What is not said stays as it is. A new row also needs --owner and --review.",
                      [this](Commands& commands, AdminClient&) {
                        return commands.set_row(name_, scope_, row_members(), change_);
                      });
  set->add_option("flag", name_, "the flag")->required();
  set->add_option("tenant", scope_, "the tenant")->required();
  const auto text = [&](const std::string& option, const char* member, const char* description) {
    return set->add_option_function<std::string>(
        option, [this, member](const std::string& value) { row_[member] = value; }, description);
  };
  text("--state", "state", "off, pilot or production")->check(CLI::IsMember({"off", "pilot", "production"}));
  set->add_option_function<double>(
         "--percent", [this](double percent) { row_["percent"] = percent; },
         "of the tenant's users, while in pilot")
      ->check(CLI::Range(0.0, 100.0));
  set->add_option("--segments", segments_, "who gets it besides, comma-separated")->delimiter(',');
  text("--start", "start", "from when: 2026-12-01T09:00Z");
  text("--review", "review", "when somebody looks at it again");
  text("--expires", "expires", "until when");
  text("--on-expiry", "on_expiry", "off, freeze or alert")->check(CLI::IsMember({"off", "freeze", "alert"}));
  text("--owner", "owner", "one person's id");
  text("--approver", "approver", "one person's id");
  text("--previous", "previous", "the unit to return to");
  text("--on-rollback", "on_rollback", "switch_next_turn, finish or restart")
      ->check(CLI::IsMember({"switch_next_turn", "finish", "restart"}));
  const auto limit = [&](const std::string& option, const char* member, const char* what) {
    set->add_option_function<uint64_t>(
        option, [this, member](uint64_t value) { row_["limits"][member] = value; },
        fmt::format("{}; past that, `previous` answers", what));
  };
  limit("--rpm", "rpm", "requests a minute");
  limit("--tpm", "tpm", "tokens a minute");
  limit("--concurrency", "concurrency", "at the same time");
  limit("--total-requests", "total_requests", "requests in all");
  set->add_option_function<std::string>(
      "--until", [this](const std::string& value) { row_["limits"]["until"] = value; },
      "the pilot's last moment");
  set->add_option("--unset", unset_, "takes these away, comma-separated")->delimiter(',');
  set->add_flag("--dry-run", change_.dry_run, "show what would change");
  set->add_option("--proposal", change_.proposal, "instead of what this one proposes");
  add_change_options(set);
  return set;
}

nlohmann::json CommandLine::row_members() const {
  nlohmann::json members = row_;
  if (!segments_.empty()) {
    members["segments"] =
        segments_ == std::vector<std::string>{""} ? nlohmann::json::array() : nlohmann::json(segments_);
  }
  for (const std::string& name : unset_) members[name] = nullptr;
  return members;
}

void CommandLine::add_changing() {
  CLI::App* apply = add(app_, "apply", "replaces the table by a file or a folder", kChange,
                        "  weirctl apply -f table.yaml --dry-run\n"
                        "  weirctl apply -f table.d --reason 'support-v2: 5 % to 25 %'\n"
                        "  weirctl apply -f table.d --dry-run --check   # in CI: 6 when they differ\n"
                        "A folder's .yaml, .yml and .json files are put together; a name may stand in\n"
                        "one of them only. Either all of it is taken, or every reason why not is said.",
                        [this](Commands& commands, AdminClient&) {
                          return commands.apply(path_.empty() ? file_ : path_, change_);
                        });
  apply->add_option("file", path_, "file or folder; - reads stdin");
  apply->add_option("-f,--file", file_, "the same");
  apply->add_flag("--dry-run", change_.dry_run, "show what would change");
  apply->add_flag("--check", output_.check, "with --dry-run: exit 6 if anything would");
  apply->add_option("--proposal", change_.proposal, "instead of what this one proposes");
  add_change_options(apply);

  CLI::App* rollback =
      add(app_, "rollback", "brings back what was, in one step", kChange,
          "  weirctl rollback tenant bank-17 --reason 'incident 311'\n"
          "  weirctl rollback tenant bank-17 --flag support-v2 --dry-run\n"
          "  weirctl rollback flag support-v2 --to 2026-12-01T09:00Z --reason 'i. 311'\n"
          "  weirctl rollback all --to known_good --reason 'incident 311'\n"
          "No approval is needed, nothing is lost: the next rollback takes it back.",
          [this](Commands& commands, AdminClient&) { return commands.rollback(rollback_, change_); });
  rollback->add_option("scope", rollback_.scope, "tenant, flag, scenario or all")
      ->required()
      ->check(CLI::IsMember({"tenant", "flag", "scenario", "all"}));
  rollback->add_option("name", rollback_.name, "of it; all takes none");
  rollback_.to = "previous";
  rollback->add_option("--to", rollback_.to, "previous, a revision, time or label (previous)");
  rollback->add_option("--flag", rollback_.flag, "of a tenant: its row on this flag alone");
  rollback->add_option("--note", rollback_.note, "more about it");
  rollback->add_option("--evidence", rollback_.evidence_file, "file with a JSON object, kept with it");
  rollback->add_flag("--dry-run", change_.dry_run, "show what would come back");
  add_change_options(rollback);

  for (const auto action : {Commands::Switch::kill, Commands::Switch::unkill}) {
    const bool kills = action == Commands::Switch::kill;
    CLI::App* flip = add(app_, kills ? "kill" : "unkill",
                         kills ? "switches something off, at once" : "takes a kill back", kChange,
                         kills ? "  weirctl kill flag support-v2 --reason 'incident 311'\n"
                                 "  weirctl kill unit support-41 --reason 'wrong answers'\n"
                                 "  weirctl kill global --reason 'stop everything'\n"
                                 "A killed flag, unit or provider: the stable unit or a fallback answers. A\n"
                                 "killed scenario or tenant, and global: requests are refused."
                               : "  weirctl unkill flag support-v2 --reason 'mended'",
                         [this, action](Commands& commands, AdminClient&) {
                           return commands.flip(action, scope_, name_, change_);
                         });
    flip->add_option("scope", scope_, "global, provider, unit, scenario, flag, tenant")
        ->required()
        ->check(CLI::IsMember({"global", "provider", "unit", "scenario", "flag", "tenant"}));
    flip->add_option("name", name_, "of it; global takes none");
    add_change_options(flip);
  }

  const auto edit = [this](const std::string& name, const char* method, const std::string& does,
                           const std::string& examples) {
    CLI::App* command =
        add(app_, name, does, kChange, examples, [this, method](Commands& commands, AdminClient&) {
          return commands.edit(method, kind_, name_, method == std::string("PATCH") ? patch_ : file_,
                               change_);
        });
    command->add_option("kind", kind_, "units, flags, tenants, ...")->required();
    command->add_option("name", name_, "the object")->required();
    command->add_flag("--dry-run", change_.dry_run, "show what would change");
    command->add_option("--proposal", change_.proposal, "instead of what this one proposes");
    add_change_options(command);
    return command;
  };
  edit("put", "PUT", "makes or replaces one object",
       "  weirctl put units support-42 -f unit.json --reason 'the next candidate'")
      ->add_option("-f,--file", file_, "its body as JSON; - reads stdin")
      ->required();
  edit("patch", "PATCH", "changes members of one object",
       "  weirctl patch flags support-v2 '{\"owner\":\"u-7\"}' --reason 'handed over'\n"
       "A JSON merge patch: null takes a member away.")
      ->add_option("patch", patch_, "JSON")
      ->required();
  edit("delete", "DELETE", "takes one object away", "  weirctl delete flags support-v1 --reason 'done'");
}

void CommandLine::add_history() {
  CLI::App* audit = add(app_, "audit", "who changed what, when and why", kHistory,
                        "  weirctl audit --tenant bank-17\n"
                        "  weirctl audit --flag support-v2 --since 2026-12-01 --whole\n"
                        "  weirctl audit verify",
                        [this](Commands& commands, AdminClient&) { return commands.audit(log_); });
  audit->add_option("--tenant", log_.tenant, "changes that concern it");
  audit->add_option("--flag", log_.flag, "changes that concern it");
  audit->add_option("--kind", log_.kind, "with --name: changes of one object");
  audit->add_option("--name", log_.name, "with --kind");
  audit->add_option("--since", log_.since, "2026-12-01 or 2026-12-01T09:00Z");
  audit->add_option("--before", log_.before, "go on before this number");
  audit->add_option("--limit", log_.limit, "how many at most")->check(CLI::PositiveNumber);
  audit->add_flag("--whole", log_.whole, "with all that each one did");
  add(*audit, "verify", "recomputes the log's hash chain; exit 6 on faults", "Commands",
      "  weirctl audit verify", [](Commands& commands, AdminClient&) { return commands.verify(); });

  add(app_, "change", "one change with all it did", kHistory, "  weirctl change 42",
      [this](Commands& commands, AdminClient&) { return commands.change(revision_); })
      ->add_option("revision", revision_, "its revision")
      ->required()
      ->check(CLI::NonNegativeNumber);

  CLI::App* diff = add(app_, "diff", "what differs between two revisions", kHistory,
                       "  weirctl diff 41\n  weirctl diff 41 42\n  weirctl diff 41 --check",
                       [this](Commands& commands, AdminClient&) { return commands.diff(revision_, to_); });
  diff->add_option("from", revision_, "a revision")->required()->check(CLI::NonNegativeNumber);
  diff->add_option("to", to_, "another (the newest)")->check(CLI::NonNegativeNumber);
  diff->add_flag("--check", output_.check, "exit 6 when they differ");

  CLI::App* label = add(
      app_, "label", "which revision has a label, or sets it", kHistory,
      "  weirctl label known_good\n"
      "  weirctl label known_good --reason 'a quiet week'\n"
      "  weirctl label known_good --to 41 --reason 'the one before the incident'",
      [this](Commands& commands, AdminClient&) { return commands.label(name_, revision_, change_.reason); });
  label->add_option("label", name_, "its name")->required();
  label->add_option("--to", revision_, "the revision (the newest)")->check(CLI::NonNegativeNumber);
  label->add_option("--reason", change_.reason, "why; sets it");

  CLI::App* proposals =
      add(app_, "proposals", "changes that wait for approval; one of them whole", kHistory,
          "  weirctl proposals\n  weirctl proposals 4",
          [this](Commands& commands, AdminClient&) { return commands.proposals(id_, all_); });
  proposals->add_option("id", id_, "this one, with all it would do");
  proposals->add_flag("--all", all_, "also those that are decided");

  for (const std::string verb : {"approve", "withdraw"}) {
    CLI::App* decide =
        add(app_, verb, verb == "approve" ? "approves somebody else's proposal" : "takes a proposal back",
            kHistory,
            fmt::format("  weirctl {} 4 --reason '{}'", verb,
                        verb == "approve" ? "review 1182 passed" : "not needed any more"),
            [this, verb](Commands& commands, AdminClient&) {
              return commands.decide(id_, verb, change_.reason);
            });
    decide->add_option("id", id_, "the proposal")->required();
    decide->add_option("--reason", change_.reason, "why; kept in the log");
  }
}

void CommandLine::add_tools() {
  CLI::App* validate = add(
      app_, "validate", "checks a table, changes nothing", kTools,
      "  weirctl validate table.yaml\n  weirctl validate table.d",
      [this](Commands& commands, AdminClient&) { return commands.validate(path_.empty() ? file_ : path_); });
  validate->add_option("file", path_, "file or folder; - reads stdin");
  validate->add_option("-f,--file", file_, "the same");

  CLI::App* export_csv =
      add(app_, "export", "the registry as CSV, for spreadsheets", kTools,
          "  weirctl export > rows.csv          # a line per tenant and flag\n"
          "  weirctl export objects > all.csv",
          [this](Commands& commands, AdminClient&) { return commands.export_csv(what_, revision_); });
  export_csv->add_option("what", what_, "rows or objects (rows)")->check(CLI::IsMember({"rows", "objects"}));
  export_csv->add_option("--revision", revision_, "as it was then")->check(CLI::NonNegativeNumber);

  add(app_, "upgrade", "a new process takes over, nothing is cut", kTools,
      "  weirctl upgrade          # the binary and weir.yaml as they are now",
      [](Commands& commands, AdminClient&) { return commands.upgrade(); });

  CLI::App* purge = add(app_, "purge", "cached answers are not given again", kTools,
                        "  weirctl purge unit support-41 --reason 'wrong answers'\n"
                        "  weirctl purge tenant bank-17 --reason 'their wish'",
                        [this](Commands& commands, AdminClient&) {
                          return commands.purge(scope_, name_, change_);
                        });
  purge->add_option("scope", scope_, "tenant, unit or scenario")
      ->required()
      ->check(CLI::IsMember({"tenant", "unit", "scenario"}));
  purge->add_option("name", name_, "of it")->required();
  purge->add_option("--reason", change_.reason, "why; kept in the log");

  add(app_, "metrics", "prints /metrics, as Prometheus reads it", kTools,
      "  weirctl metrics | grep weir_kills",
      [](Commands& commands, AdminClient&) { return commands.metrics(); });

  add(app_, "completion", "prints a shell's completion", kTools,
      "  source <(weirctl completion bash)      # in ~/.bashrc\n"
      "  source <(weirctl completion zsh)       # in ~/.zshrc",
      [this](Commands&, AdminClient&) {
        fmt::print("{}", completion_script(shell_));
        return kExitOk;
      })
      ->add_option("shell", shell_, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
}

int CommandLine::complete(std::vector<std::string> words) {
  const char* socket = std::getenv("WEIR_ADMIN_SOCKET");
  std::string path = socket == nullptr ? socket_ : socket;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == "--socket") path = words[i + 1];
  }
  AdminClient client(path);
  for (const Candidate& candidate :
       complete_words(app_, words, [&](const std::string& kind, const std::string& prefix) {
         return names_at(client, kind, prefix);
       })) {
    fmt::print("{}\t{}\n", candidate.word, candidate.description);
  }
  return kExitOk;
}

int CommandLine::run(int argc, const char* const* argv) {
  if (argc > 1 && argv[1] == kCompleteWords) return complete({argv + 2, argv + argc});
  try {
    app_.parse(argc, argv);
    const auto given = [this](const char* command) { return app_.got_subcommand(command); };
    const auto want_name = [](const std::string& scope, const char* nameless, const std::string& name) {
      if ((scope == nameless) == name.empty()) return;
      throw CLI::ValidationError("name",
                                 scope == nameless ? scope + " takes no name" : "is missing: which " + scope);
    };
    if (given("kill") || given("unkill")) want_name(scope_, "global", name_);
    if (given("rollback")) want_name(rollback_.scope, "all", rollback_.name);
    if (given("flag") && name_.empty()) throw CLI::ValidationError("flag", "is missing: which one");
    if ((given("apply") || given("validate")) && path_.empty() == file_.empty()) {
      throw CLI::ValidationError("file", "say one file or folder");
    }
  } catch (const CLI::ParseError& error) {
    return app_.exit(error) == 0 ? kExitOk : kExitBadInput;
  }
  output_.style = json_ ? OutputStyle::json : OutputStyle::human;
  output_.width = terminal_width();
  watch_.json = json_;
  AdminClient client(socket_);
  Commands commands(client, output_);
  return action_(commands, client);
}

}  // namespace weir::tools
