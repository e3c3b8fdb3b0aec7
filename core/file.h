// Files: reading one, writing one whole, appending lines to a log, keeping other processes out. Part of the
// seam: core/system/file.cc is the system's, a simulation has its own disk.
//
// Cold path; each AppendFile belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace weir::core {

// The bytes of a file. The error is one sentence with the path and the reason: it cannot be read, it is no
// regular file or pipe, or it is larger than `max_bytes`.
std::expected<std::string, std::string> read_file(const std::string& path, uint64_t max_bytes);

// Whether there is anything at this path.
bool file_exists(const std::string& path);

// Takes a file away; that it is not there is as good.
void remove_file(const std::string& path);

// A regular file, read from its beginning in pieces.
class InputFile {
 public:
  static std::expected<std::unique_ptr<InputFile>, std::string> open(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  uint64_t size() const { return size_; }  // when it was opened
  // Fills `to` with the next bytes; an error if there are fewer.
  std::expected<void, std::string> read(std::span<std::byte> to);

 private:
  InputFile(int descriptor, std::string path, uint64_t size)
      : descriptor_(descriptor), path_(std::move(path)), size_(size) {}

  int descriptor_;
  std::string path_;
  uint64_t size_;
  uint64_t at_ = 0;
};

// A file that takes the place of another in one step: whoever opens the path finds the old one or the whole
// new one, also after a power failure. Written beside it as `path`.new, which only one writer may do at a
// time.
class ReplacementFile {
 public:
  // Readable and writable by the owner alone.
  static std::expected<std::unique_ptr<ReplacementFile>, std::string> create(const std::string& path);
  // Without commit() nothing has happened.
  ~ReplacementFile();
  ReplacementFile(const ReplacementFile&) = delete;
  ReplacementFile& operator=(const ReplacementFile&) = delete;

  std::expected<void, std::string> write(std::span<const std::byte> bytes);
  // Waits for the disk, then takes the path over. Nothing may be called afterwards.
  std::expected<void, std::string> commit();

 private:
  ReplacementFile(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}

  int descriptor_;
  std::string path_;
  bool committed_ = false;
};

// Is there anything of that name? What may not be looked at is not there.
bool exists(const std::string& path);

// Makes a folder (mode 0750) if there is none, in one that is there, and makes that durable. The error is one
// sentence.
std::expected<void, std::string> make_folder(const std::string& path);

// Held by one process at a time, and let go when that ends, however it does (flock(2)).
class FileLock {
 public:
  // Makes the file (mode 0640), which stays. The error is one sentence; where another process holds the lock
  // it names that.
  static std::expected<std::unique_ptr<FileLock>, std::string> acquire(const std::string& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
};

// A log that lines are appended to: a file of a path, which can be opened anew after it was rotated away, or
// the process's stdout.
//
// Invariants
//   1. Only the bytes that append() counts as written are there for good. After an error they end with a
//      whole line: what was written of the next one is taken back from a file, and ended with a line break of
//      its own by the next append() where that cannot be done (a pipe; a file that another process has appended to
//      meanwhile).
//   2. A pipe or terminal whose reader is slow never makes append() wait; a disk may.
//   3. Several processes may append to one file or pipe: their lines never mix, up to PIPE_BUF bytes each.
class AppendFile {
 public:
  // Opens for appending; makes the file (mode 0640), not its folder. The error is one sentence.
  static std::expected<std::unique_ptr<AppendFile>, std::string> open(const std::string& path);
  static std::unique_ptr<AppendFile> standard_output();
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  enum class Outcome : uint8_t {
    done,     // all of it
    waiting,  // the reader is slow: offer the rest later
    failed,   // full disk, broken pipe, ...: reason() says which
  };
  struct Appended {
    size_t bytes = 0;
    Outcome outcome = Outcome::done;
  };
  // Appends whole lines. If the outcome is `waiting`, the next call must begin with the byte after the
  // counted ones; if it is `failed`, with a line.
  Appended append(std::string_view lines);
  // After `waiting`: true once it may be worth another try, false if the reader takes nothing for so long.
  bool wait_for_reader(int timeout_ms);

  // Opens the path again, because it names another file now, and goes on there; on failure it stays with the
  // old file. Without effect on stdout. The error is one sentence.
  std::expected<void, std::string> reopen();

  // Why the last append() failed, one sentence.
  const std::string& reason() const { return reason_; }

 private:
  AppendFile(int descriptor, std::string path);
  void fail(int error, size_t partial, size_t last_count);

  int descriptor_;
  std::string path_;  // empty = stdout
  std::string reason_;
  bool regular_ = false;      // a file on disk
  bool mid_line_ = false;     // it ends with part of a line, whose rest is to come
  bool broken_line_ = false;  // it ends with part of a line that nobody will complete
};

}  // namespace weir::core
