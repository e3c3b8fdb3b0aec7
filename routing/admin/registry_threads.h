// The registry and the threads that wait for its disk.
//
//   writing   Registry: commits, kills, labels, proposals, as they are asked for; never behind long reading
//   reading   a reader: history, exports, verification
//   planner   a reader for the compile worker: what a change starts from
//
// Destroy after the ControlThread: jobs that are under way end first.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "routing/admin/worker.h"
#include "routing/registry/registry.h"

namespace weir::routing {

class RegistryThreads {
 public:
  // ":memory:" = nothing outlives the process.
  static RegistryResult<std::unique_ptr<RegistryThreads>> open(const Registry::Options& options);

  // Closes the file, so that another process may have it, once jobs that are queued have ended; waits for
  // them. Nothing may be asked of it before reopen() has succeeded.
  void release();
  RegistryResult<void> reopen();

  Worker& writing() { return writing_; }
  Registry& registry() { return *registry_; }  // on writing(), or before its first job
  Worker& reading() { return reading_; }
  const Registry& reader() const { return *reader_; }    // on reading()
  const Registry& planner() const { return *planner_; }  // on the compile worker

  // Empty = in memory.
  const std::string& path() const { return path_; }

 private:
  explicit RegistryThreads(Registry::Options options) : options_(std::move(options)) {}

  const Registry::Options options_;
  std::string path_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<const Registry> reader_, planner_;
  Worker writing_, reading_;
};

}  // namespace weir::routing
