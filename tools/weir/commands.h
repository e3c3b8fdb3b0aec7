// What `weir check`, `weir hash-key` and `weir version` do: output on stdout, problems on stderr, one per
// line, and an exit code. `weir serve` is in serve.h.
#pragma once

#include <string>
#include <vector>

#include "routing/table/problem.h"
#include "tools/exit_codes.h"

namespace weir::tools {

// Prints "file: n problems" and each problem on a line of its own as "path: message".
void print_problems(const std::string& file, const std::vector<routing::Problem>& problems);

// Checks a configuration with its certificates and its table, whose credentials must be there.
int check_config(const std::string& config_file);

// Checks a table alone; credentials are not looked at.
int check_table(const std::string& table_file);

// Prints the JSON Schema of tables, for editors.
int print_schema();

enum class KeySource : uint8_t { standard_input, generate };

// Prints the keyed hash of an API key, for the table's `hash`. A key is read from stdin, never from the
// arguments, where every user of the machine could see it.
int print_key_hash(const std::string& config_file, KeySource source);

// Prints what this binary is and was built with.
int print_version();

}  // namespace weir::tools
