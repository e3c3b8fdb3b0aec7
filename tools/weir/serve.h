// Runs the gateway: what `weir serve` does once its configuration stands.
#pragma once

#include "tools/exit_codes.h"
#include "tools/weir/config.h"
#include "tools/weir/successor.h"

namespace weir::tools {

// Starts the shards, the control thread and the admin socket, prints one JSON line on stdout when ready
// (the addresses that were really bound), and returns after SIGINT or SIGTERM has drained the exchanges, or
// SIGUSR2 has put a successor in the place of this process; `launcher` starts it, null = none can be started.
// Returns the exit code of the process: kExitOk, kExitFailure (port in use, no permission, old kernel, ...)
// or kExitBadInput (the table has problems). What went wrong has been printed on stderr, one line each.
int serve(const Config& config, Launcher* launcher);

}  // namespace weir::tools
