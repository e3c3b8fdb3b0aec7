#include "tools/weirctl/completion.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "core/display_text.h"
#include "routing/table/launch_problems.h"
#include "routing/table/objects.h"
#include "tools/weirctl/json_fields.h"
#include "tools/weirctl/path_segment.h"

namespace weir::tools {
namespace {

// What an option or a positional argument of this name takes: names of a kind, or one of these words.
struct Values {
  std::string_view argument;
  std::string_view kind;  // of objects; kFiles; "" = words
  std::vector<std::string_view> words = {};
};

const std::vector<Values>& values() {
  static const std::vector<Values> all = {
      {"flag", "flags"},
      {"tenant", "tenants"},
      {"scenario", "scenarios"},
      {"key", "keys"},
      {"model", "models"},
      {"previous", "units"},
      {"segments", "segments"},
      {"file", kFiles},
      {"evidence", kFiles},
      {"socket", kFiles},
      {"states", "", {"off", "pilot", "production"}},
      {"state", "", {"off", "pilot", "production"}},
      {"on-expiry", "", {"off", "freeze", "alert"}},
      {"on-rollback", "", {"switch_next_turn", "finish", "restart"}},
      {"to", "", {"previous", "known_good"}},
      {"label", "", {"known_good"}},
      {"what", "", {"rows", "objects"}},
      {"shell", "", {"bash", "zsh"}},
  };
  return all;
}

std::string without_dashes(std::string name) {
  name.erase(0, std::min(name.find_first_not_of('-'), name.size()));
  return name;
}

class Completer {
 public:
  Completer(const CLI::App& app, const NamesOf& names_of) : command_(&app), names_of_(names_of) {}

  std::vector<Candidate> complete(std::span<const std::string> words) {
    if (words.empty()) return {};
    prefix_ = words.back();
    const CLI::Option* waits = nullptr;  // an option whose value comes next
    for (const std::string& word : words.first(words.size() - 1)) {
      if (waits != nullptr) {
        waits = nullptr;
      } else if (word.starts_with('-')) {
        const CLI::Option* option = find_option(word);
        if (option != nullptr && option->get_items_expected_max() > 0) waits = option;
      } else if (const CLI::App* sub = find_command(word); sub != nullptr && given_.empty()) {
        command_ = sub;
      } else {
        given_.push_back(word);
      }
    }
    if (waits != nullptr) {
      offer_values(without_dashes(waits->get_name(false, false)));
    } else if (prefix_.starts_with('-')) {
      for (const CLI::App* app = command_; app != nullptr; app = app->get_parent()) offer_options(*app);
    } else {
      if (given_.empty()) offer_commands();
      offer_positional();
    }
    return std::move(found_);
  }

 private:
  void offer(std::string_view word, std::string_view description = {}) {
    if (word.starts_with(prefix_)) found_.push_back({std::string(word), std::string(description)});
  }

  const CLI::Option* find_option(const std::string& word) const {
    for (const CLI::App* app = command_; app != nullptr; app = app->get_parent()) {
      if (const CLI::Option* option = app->get_option_no_throw(word)) return option;
    }
    return nullptr;
  }

  const CLI::App* find_command(const std::string& word) const {
    for (const CLI::App* sub : command_->get_subcommands([](const CLI::App*) { return true; })) {
      if (sub->check_name(word)) return sub;
    }
    return nullptr;
  }

  void offer_commands() {
    for (const CLI::App* sub : command_->get_subcommands([](const CLI::App*) { return true; }))
      offer(sub->get_name(), sub->get_description());
  }

  void offer_options(const CLI::App& app) {
    for (const CLI::Option* option : app.get_options()) {
      if (option->get_lnames().empty()) continue;
      offer("--" + option->get_lnames().front(), option->get_description());
    }
  }

  void offer_positional() {
    size_t at = 0;
    for (const CLI::Option* option : command_->get_options()) {
      if (!option->get_positional()) continue;
      if (at++ == given_.size()) return offer_values(option->get_name(true, false));
    }
  }

  void offer_names(const std::string& kind) {
    for (const std::string& name : names_of_(kind, prefix_)) offer(name);
  }

  void offer_values(const std::string& argument) {
    const std::string command = command_->get_name();
    if (argument == "scope") {
      for (const char* scope : {"tenant", "scenario"}) offer(scope);
      if (command == "purge") return offer("unit");
      offer("flag");
      if (command == "rollback") return offer("all");
      for (const char* scope : {"unit", "provider", "global"}) offer(scope);
    } else if (argument == "kind") {
      for (uint8_t kind = 0; kind < routing::kObjectKindCount; ++kind)
        offer(routing::plural(static_cast<routing::ObjectKind>(kind)));
    } else if (argument == "name" && !given_.empty()) {  // of what stands before: a scope or a kind
      if (const auto kind = routing::parse_object_kind(given_[0]))
        offer_names(std::string(routing::plural(*kind)));
    } else if (argument == "which") {
      offer("all");
#define X(name, sentence) offer(#name, sentence);
      WEIR_LAUNCH_PROBLEM_TABLE(X)
#undef X
    } else {
      const auto found = std::ranges::find(values(), argument, &Values::argument);
      if (found == values().end()) return;
      if (found->kind == kFiles) {
        found_.push_back({std::string(kFiles)});
      } else if (!found->kind.empty()) {
        offer_names(std::string(found->kind));
      }
      for (const std::string_view word : found->words) offer(word);
    }
  }

  const CLI::App* command_;
  const NamesOf& names_of_;
  std::vector<std::string> given_;  // positional arguments so far
  std::string prefix_;
  std::vector<Candidate> found_;
};

constexpr std::string_view kBash = R"sh(# weirctl's completion for bash: source <(weirctl completion bash)
_weirctl() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      :files*) compopt -o default ;;
      *) COMPREPLY+=("$(printf %q "${line%%$'\t'*}")") ;;  # a name may look like a command
    esac
  done < <("${COMP_WORDS[0]}" complete-words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _weirctl weirctl
)sh";

constexpr std::string_view kZsh = R"(#compdef weirctl
# weirctl's completion for zsh: source <(weirctl completion zsh)
_weirctl() {
  local -a found
  local line word
  for line in "${(@f)$(${words[1]} complete-words "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    word=${line%%$'\t'*}
    case $word in
      '') ;;
      :files) _files ;;
      *) found+=("${word//:/\\:}:${line#*$'\t'}") ;;
    esac
  done
  (( $#found )) && _describe weirctl found
}
compdef _weirctl weirctl
)";

}  // namespace

std::vector<Candidate> complete_words(const CLI::App& app, const std::vector<std::string>& words,
                                      const NamesOf& names_of) {
  return Completer(app, names_of).complete(words);
}

std::vector<std::string> names_at(AdminClient& client, const std::string& kind, const std::string& prefix) {
  std::vector<std::string> names;
  if (!prefix.empty()) {  // `after` leaves out the name itself
    const auto whole = client.call({.path = "/v1/" + kind + "/" + path_segment(prefix)});
    if (!whole) return {};
    if (whole->ok()) names.push_back(prefix);
  }
  const auto reply = client.call({.path = "/v1/" + kind, .query = {{"after", prefix}, {"limit", "200"}}});
  if (!reply || !reply->ok()) return names;
  const nlohmann::json page = nlohmann::json::parse(reply->body, nullptr, false);
  for (const nlohmann::json& object : list(page, "objects")) {
    std::string name = text_of(object, "name");
    if (core::is_displayable_text(name)) names.push_back(std::move(name));
  }
  return names;
}

std::string_view completion_script(std::string_view shell) {
  return shell == "zsh" ? kZsh : kBash;
}

}  // namespace weir::tools
