// weirctl's arguments: every command with its options, its help and its examples, and what runs it. Names and
// help also feed the shells' completion (completion.h), so that it knows what there is.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "tools/weirctl/commands.h"
#include "tools/weirctl/watch.h"

namespace weir::tools {

class CommandLine {
 public:
  CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  // Parses and does it; an exit code.
  int run(int argc, const char* const* argv);

  const CLI::App& app() const { return app_; }

 private:
  using Action = std::function<int(Commands&, AdminClient&)>;

  CLI::App* add(CLI::App& parent, const std::string& name, const std::string& does, const std::string& group,
                const std::string& examples, Action action);
  void add_change_options(CLI::App* command);
  void add_paging(CLI::App* command);
  void add_looking();
  void add_changing();
  void add_history();
  void add_tools();
  CLI::App* add_flag_set(CLI::App& flag);
  nlohmann::json row_members() const;
  int complete(std::vector<std::string> words);

  CLI::App app_;
  Action action_;
  std::string socket_ = "/run/weir/admin.sock";
  Output output_;
  bool json_ = false;

  // What was said; a command looks at its own.
  std::string name_, kind_, scope_, path_, file_, states_, revision_, after_, to_, id_, patch_,
      problems_ = "all";
  std::string what_, shell_;
  ChangeOptions change_;
  Commands::Subject subject_;
  Commands::Rollback rollback_;
  Commands::LogQuery log_;
  Commands::GuardOptions guards_;
  WatchOptions watch_;
  bool all_ = false;
  std::vector<std::string> segments_, unset_;
  nlohmann::json row_ = nlohmann::json::object();
};

}  // namespace weir::tools
