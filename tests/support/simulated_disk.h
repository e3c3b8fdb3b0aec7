// A disk for SQLite that fails when a test says so, and can lose its power.
//
//   SimulatedDisk disk(seed);
//   auto registry = Registry::open({.path = "r.db", .vfs = disk.name()});
//   disk.cut_power_at(disk.operations() + 7);   // that operation, and all after it, fail
//   ...
//   disk.restore_power();                       // what was synced is there; of the rest, anything may be
//
// Files are in memory. A write is seen by readers at once, and survives a cut surely only when its file was
// synced afterwards; else it survives whole, in part (by sectors of 512 bytes) or not at all, as chance has
// it. Files that were made and never synced may be gone.
//
// One process, one connection to a file at a time: locks are always granted.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace weir::testing {

class SimulatedDisk {
 public:
  explicit SimulatedDisk(uint64_t seed);
  ~SimulatedDisk();
  SimulatedDisk(const SimulatedDisk&) = delete;
  SimulatedDisk& operator=(const SimulatedDisk&) = delete;

  // Of the VFS.
  const std::string& name() const { return name_; }

  // Writes, syncs, truncations and deletions so far.
  uint64_t operations() const { return operations_; }
  // Those that failed while there was power.
  uint64_t failures() const { return failures_; }
  // Operations `first` ... `first + count - 1` fail with `code` (SQLITE_FULL, SQLITE_IOERR); a write that
  // fails may have been done in part.
  void fail_at(uint64_t first, uint64_t count, int code);
  void cut_power_at(uint64_t operation) { cut_at_ = operation; }
  bool has_power() const { return powered_; }
  // While the lock is held, operations of other threads wait.
  [[nodiscard]] std::unique_lock<std::mutex> stall() { return std::unique_lock(stalled_); }
  // Open files are closed by then.
  void restore_power();
  // Now, instead of at an operation.
  void cut_power() { powered_ = false; }
  // The same, but only the process had ended: whatever it wrote is there.
  void restart_process();

 private:
  friend struct SimulatedDiskCalls;

  struct Change {  // not synced yet
    int64_t at = 0;
    std::string bytes = {};
    std::optional<int64_t> truncated = {};  // to this size, instead of a write
  };
  struct File {
    std::string content;  // as a reader sees it
    std::string durable;
    std::vector<Change> changes;  // from durable to content
    bool entry_durable = false;   // its name survives a cut
    std::vector<std::unique_ptr<char[]>> shared_memory;
    int shared_by = 0;  // handles that map it; the last one takes it away
  };

  // SQLITE_OK, or how this operation fails.
  int operate();
  void write(File& file, int64_t at, std::string_view bytes);
  static void apply(std::string& content, const Change& change);
  bool chance(double probability) { return std::uniform_real_distribution<>(0, 1)(random_) < probability; }

  std::string name_;
  sqlite3_vfs vfs_{};
  std::mt19937_64 random_;
  std::map<std::string, std::shared_ptr<File>> files_;
  uint64_t operations_ = 0, failures_ = 0;
  uint64_t fail_first_ = 0, fail_count_ = 0;
  int fail_code_ = SQLITE_OK;
  uint64_t cut_at_ = 0;
  bool powered_ = true;
  std::mutex stalled_;
};

}  // namespace weir::testing
