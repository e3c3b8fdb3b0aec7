// What `weir registry verify`, `log` and `export` do: looking into a registry file while no weir runs on it.
// Output on stdout, problems on stderr, one per line, and an exit code. A running weir is asked with weirctl.
#pragma once

#include <cstdint>
#include <string>

#include "routing/registry/registry.h"
#include "tools/exit_codes.h"

namespace weir::tools {

// Recomputes the log's chain and every object's digest; prints each fault. kExitFailure when there is one.
int verify_registry(const std::string& file);

// Prints the changes that fit, newest first, one per line.
int print_registry_log(const std::string& file, const routing::AuditQuery& query);

// Prints the table as it stood at a revision (0 = the newest), as JSON that `PUT /v1/table` takes.
int export_registry(const std::string& file, uint64_t revision);

}  // namespace weir::tools
