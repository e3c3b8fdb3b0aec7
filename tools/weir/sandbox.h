// Least privilege: what this process gives up, so that who takes it over gains little.
//
//   when                        what                             keeps out
//   first, before any thread    no core dumps, not traceable     memory, with its keys, on a disk
//                               no new privileges                setuid programs, file capabilities
//                               environment wiped                secrets in /proc/PID/environ
//                               Landlock: files (kernel 5.13)    the rest of the disk
//   each ring, when it is made  ring restrictions                what seccomp forbids, by way of the ring
//   last, all threads (TSYNC)   seccomp: a list of calls         programs, processes, the kernel's corners
//
// A system call that is not on the list fails with EPERM and is logged, once for each: {"event":
// "system_call_refused"}. The process goes on, because a library's newest habit must not end it; what matters
// is that the call did not happen. The launcher (successor.h) was forked before all of this and stays as it
// was.
//
// Thread: the main one.
#pragma once

#include <string>
#include <vector>

#include "tools/weir/config.h"

namespace weir::tools {

struct FileAccess {
  std::vector<std::string> read;   // folders and files, with all that is in them
  std::vector<std::string> write;  // the same; what is there may also be replaced and removed
};

// What a gateway of this configuration reads and writes for as long as it runs: the folders of the files
// named, so that they may be replaced. What a table names elsewhere has to be listed (Config::readable).
FileAccess files_of(const Config& config);

// Each returns what could not be done and why, one line, empty when all was. A sanitized build, whose runtime makes other
// system calls, restricts none and logs that instead (system_calls_unrestricted).
std::string give_up_privileges();
std::string restrict_files(const FileAccess& access);
std::string restrict_system_calls();

}  // namespace weir::tools
