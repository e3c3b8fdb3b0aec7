// A child process under test: starts a binary, captures what it prints, waits for it with a bound, and
// never leaves it behind.
//
//   auto weir = Process::start(WEIR_BINARY, {.arguments = {"serve", "--config", file}});
//   auto ready = weir->wait_for_json("listen");        // nothing = not in time; see weir->output()
//   ...
//   EXPECT_EQ(weir->stop(), 0);                        // SIGTERM, then the exit code
//
// Invariants
//   1. Every wait is bounded; none sleeps or polls: they wake when the child prints or ends.
//   2. The destructor ends the child (SIGTERM, then SIGKILL after kGrace) and reaps it; a test process
//      that dies takes its children with it.
//   3. A thread drains stdout and stderr all the time, so a child never blocks on a full pipe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace weir::testing {

struct ProcessOptions {
  std::vector<std::string> arguments = {};                            // without the program's name
  std::vector<std::pair<std::string, std::string>> environment = {};  // added to this process's own
  std::string directory = {};                                         // working directory; empty = inherited
  std::string input = {};                                             // fed to stdin, which is then closed
};

class Process {
 public:
  using Milliseconds = std::chrono::milliseconds;
  static constexpr Milliseconds kPatience{20'000};  // sanitizer builds on a busy machine are slow
  static constexpr Milliseconds kGrace{5'000};

  // Null when the program cannot be started (and a test failure saying why).
  static std::unique_ptr<Process> start(const std::string& program, ProcessOptions options = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  int pid() const { return pid_; }
  std::string output() const;  // all of stdout so far
  std::string errors() const;  // all of stderr so far

  // The first line of stdout that is a JSON object holding `key`, or the `number`th; nothing if none comes in
  // time or the child ends without it.
  std::optional<nlohmann::json> wait_for_json(const std::string& key, Milliseconds patience = kPatience,
                                              int number = 1);
  // True when stdout / stderr holds `text` in time.
  bool wait_for_output(const std::string& text, Milliseconds patience = kPatience);
  bool wait_for_errors(const std::string& text, Milliseconds patience = kPatience);
  // The exit code (128 + signal when killed by one); nothing if the child still runs after `patience`.
  std::optional<int> wait(Milliseconds patience = kPatience);

  void signal(int number);
  // SIGTERM, then wait(); after `patience` SIGKILL, which returns 137.
  int stop(Milliseconds patience = kGrace);

 private:
  Process() = default;
  void drain(std::string input);
  bool wait_until(Milliseconds patience, const std::function<bool()>& condition);

  int pid_ = -1;
  int pid_descriptor_ = -1;
  int stop_descriptor_ = -1;  // eventfd: tells the drain thread to leave
  int input_ = -1, output_ = -1, errors_ = -1;
  std::optional<int> exit_code_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string output_text_, errors_text_;
  bool drained_ = false;  // both pipes are at their end
  std::thread drain_thread_;
};

struct RunResult {
  int exit_code = -1;  // -1 = could not start or did not end in time
  std::string output, errors;
};

// Starts, feeds, waits and collects in one call.
RunResult run(const std::string& program, ProcessOptions options = {},
              Process::Milliseconds patience = Process::kPatience);

// A folder that is removed with everything in it at the end of the scope.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  // Writes a file in the folder and returns its path.
  std::string write(const std::string& name, std::string_view text) const;

 private:
  std::string path_;
};

}  // namespace weir::testing
