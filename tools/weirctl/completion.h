// Completion for shells. Their scripts know nothing themselves: they ask `weirctl complete-words WORD...`,
// whose last WORD is the one being typed, and get one candidate a line, "word<TAB>what it is". So what is
// completed is what the command line has (command_line.h), and names come from the weir that runs.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/weirctl/admin_client.h"

namespace weir::tools {

inline constexpr std::string_view kCompleteWords = "complete-words";

struct Candidate {
  std::string word;  // kFiles: names of files
  std::string description = {};
};
inline constexpr std::string_view kFiles = ":files";

// Names of the objects of a kind ("flags") that begin with `prefix`.
using NamesOf = std::function<std::vector<std::string>(const std::string& kind, const std::string& prefix)>;

// What the last of `words` (without the program's name) may become. Pure but for `names_of`.
std::vector<Candidate> complete_words(const CLI::App& app, const std::vector<std::string>& words,
                                      const NamesOf& names_of);

// Asks weir; nothing when it does not answer.
std::vector<std::string> names_at(AdminClient& client, const std::string& kind, const std::string& prefix);

// "bash" or "zsh".
std::string_view completion_script(std::string_view shell);

}  // namespace weir::tools
