// The environment as configuration and tables refer to it: ${NAME}, env:NAME. weir keeps a copy and wipes the
// original, which everybody who may read /proc/PID/environ would see, and which libraries and child processes
// inherit.
#pragma once

#include "tools/weir/config.h"

namespace weir::tools {

// What process_environment() answers from then on is a copy; of the environment itself only what libraries
// ask for stays (PATH, TZ, SSL_CERT_FILE, ...). To be called once, before any other thread begins.
void wipe_environment();

}  // namespace weir::tools
