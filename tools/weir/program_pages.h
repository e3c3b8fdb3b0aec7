// The pages of a program's files that only its start needs: parsers, the compiler of tables, symbols for the linker.
//
// Thread: the main thread.
#pragma once

namespace weir::tools {

class ProgramPages {
 public:
  // Before the sandbox, which may not let the process look at its own pages.
  ProgramPages();
  ProgramPages(const ProgramPages&) = delete;
  ProgramPages& operator=(const ProgramPages&) = delete;
  ~ProgramPages();

  // Takes the code and constants of the program and its libraries out of the process. What is needed again
  // comes back from the page cache when it is touched, in runs of 64 KiB. Pages that somebody has written to (a
  // debugger's breakpoint, a probe) stay. Once; without effect where pages cannot be looked at.
  void release();

 private:
  int pagemap_;
};

}  // namespace weir::tools
