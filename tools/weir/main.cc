// weir: the daemon's command line. Parses arguments, nothing more; see serve.h and commands.h.
#include <CLI/CLI.hpp>

#include "tools/weir/commands.h"
#include "tools/weir/registry_commands.h"
#include "tools/weir/serve.h"

namespace {

using namespace weir::tools;
namespace routing = weir::routing;

constexpr const char* kFooter = R"(
Examples:
  export WEIR_KEY_HASH_SECRET=$(openssl rand -hex 32)      # keep it: stored key hashes depend on it
  weir hash-key --config weir.yaml --generate              # a new API key, and its hash for the table
  weir check --config weir.yaml                            # every problem of configuration and table
  weir serve --config weir.yaml

Exit codes: 0 done; 1 the system refused (port in use, no permission, old kernel) or a registry is damaged; 2 bad arguments,
configuration or table: nothing was started.)";

int serve_config(const std::string& config_file, char** arguments) {
  // First of all: the launcher starts successors with what there is now, environment and rights.
  const auto launcher = Launcher::fork_now(arguments);
  auto config = load_config(config_file);
  if (config) return serve(*config, launcher.get());
  print_problems(config_file, config.error());
  return kExitBadInput;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"LLM gateway: one OpenAI-compatible endpoint, the model decided per tenant.", "weir"};
  app.footer(kFooter);
  app.require_subcommand(1);

  std::string config_file, table_file;
  bool schema = false, generate = false;

  CLI::App* run = app.add_subcommand(
      "serve", "runs the gateway until SIGINT or SIGTERM; SIGUSR2 replaces it without a cut");
  run->add_option("--config", config_file, "configuration, YAML or JSON")->required();

  CLI::App* check = app.add_subcommand("check", "checks a configuration and its table, or a table alone");
  CLI::Option_group* what = check->add_option_group("what", "what to check");
  what->add_option("--config", config_file,
                   "a configuration, its certificates and its table with all credentials");
  what->add_option("--table", table_file, "a table alone; credentials are not looked at");
  what->add_flag("--schema", schema, "check nothing; print the JSON Schema of tables, for editors");
  what->require_option(1);

  CLI::App* hash = app.add_subcommand("hash-key", "prints the hash of an API key, which is read from stdin");
  hash->add_option("--config", config_file, "configuration with the key_hash_secret")->required();
  hash->add_flag("--generate", generate, "make a new key instead, and print it with its hash");

  std::string registry_file;
  uint64_t revision = 0;
  routing::AuditQuery query;
  CLI::App* registry =
      app.add_subcommand("registry", "looks into a registry file that no running weir has open");
  registry->require_subcommand(1);
  CLI::App* verify = registry->add_subcommand("verify", "recomputes the log's hashes and every object's");
  CLI::App* log = registry->add_subcommand("log", "prints changes, newest first");
  log->add_option("--tenant", query.tenant, "those of this tenant");
  log->add_option("--flag", query.flag, "those of this flag");
  log->add_option("--limit", query.limit, "how many")->capture_default_str();
  CLI::App* document = registry->add_subcommand("export", "prints the table as JSON");
  document->add_option("--revision", revision, "as it stood then; the newest when left out");
  for (CLI::App* command : {verify, log, document}) {
    command->add_option("--file", registry_file, "the registry, e.g. /var/lib/weir/registry.db")->required();
  }

  CLI::App* version = app.add_subcommand("version", "prints versions of weir and what it was built with");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitBadInput;
  }
  if (version->parsed()) return print_version();
  if (hash->parsed())
    return print_key_hash(config_file, generate ? KeySource::generate : KeySource::standard_input);
  if (verify->parsed()) return verify_registry(registry_file);
  if (log->parsed()) {
    query.with_bodies = false;
    return print_registry_log(registry_file, query);
  }
  if (document->parsed()) return export_registry(registry_file, revision);
  if (run->parsed()) return serve_config(config_file, argv);
  if (schema) return print_schema();
  return table_file.empty() ? check_config(config_file) : check_table(table_file);
}
