#include "core/file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "core/huge_pages.h"

namespace weir::core {
namespace {

constexpr size_t kReadBytes = 64 * 1024;
constexpr const char* kReplacementSuffix = ".new";

std::unexpected<std::string> cannot(const char* verb, const std::string& path, int error) {
  return std::unexpected(std::string("cannot ") + verb + " " + path + ": " + std::strerror(error));
}

bool is_regular(int descriptor) {
  struct stat status{};
  return ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
}

// O_NONBLOCK: opening a named pipe without a reader must not wait.
int open_for_append(const std::string& path) {
  return ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
}

}  // namespace

bool file_exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

void remove_file(const std::string& path) {
  ::unlink(path.c_str());
}

std::expected<std::string, std::string> read_file(const std::string& path, uint64_t max_bytes) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (descriptor < 0) return cannot("read", path, errno);
  struct stat status{};
  std::string text;
  const auto too_large = [&] {
    return std::unexpected("cannot read " + path + ": it is larger than " + std::to_string(max_bytes) +
                           " bytes");
  };
  if (::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
    if (static_cast<uint64_t>(status.st_size) > max_bytes) {
      ::close(descriptor);
      return too_large();
    }
    text.reserve(static_cast<uint64_t>(status.st_size) + kReadBytes + 1);  // the last read asks for more
    advise_huge_pages(text.data(), text.capacity());
  }
  while (true) {
    const size_t have = text.size();
    text.resize(have + kReadBytes);
    const ssize_t count = ::read(descriptor, text.data() + have, kReadBytes);
    const int error = errno;
    text.resize(have + static_cast<size_t>(std::max<ssize_t>(count, 0)));
    if (count < 0 && error == EINTR) continue;
    if (count <= 0 || text.size() > max_bytes) {
      ::close(descriptor);
      if (count < 0) return cannot("read", path, error);
      if (count > 0) return too_large();
      return text;
    }
  }
}

std::expected<std::unique_ptr<InputFile>, std::string> InputFile::open(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (descriptor < 0) return cannot("read", path, errno);
  struct stat status{};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    return std::unexpected("cannot read " + path + ": it is no regular file");
  }
  return std::unique_ptr<InputFile>(new InputFile(descriptor, path, static_cast<uint64_t>(status.st_size)));
}

InputFile::~InputFile() {
  ::close(descriptor_);
}

std::expected<void, std::string> InputFile::read(std::span<std::byte> to) {
  while (!to.empty()) {
    const ssize_t count = ::pread(descriptor_, to.data(), to.size(), static_cast<off_t>(at_));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return cannot("read", path_, errno);
    if (count == 0) return std::unexpected("cannot read " + path_ + ": it ends too early");
    at_ += static_cast<uint64_t>(count);
    to = to.subspan(static_cast<size_t>(count));
  }
  return {};
}

std::expected<std::unique_ptr<ReplacementFile>, std::string> ReplacementFile::create(
    const std::string& path) {
  const std::string temporary = path + kReplacementSuffix;
  ::unlink(temporary.c_str());  // of a writer that died, perhaps with other rights
  const int descriptor =
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor < 0) return cannot("write", temporary, errno);
  return std::unique_ptr<ReplacementFile>(new ReplacementFile(descriptor, path));
}

ReplacementFile::~ReplacementFile() {
  ::close(descriptor_);
  if (!committed_) ::unlink((path_ + kReplacementSuffix).c_str());
}

std::expected<void, std::string> ReplacementFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return cannot("write", path_ + kReplacementSuffix, count < 0 ? errno : ENOSPC);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return {};
}

std::expected<void, std::string> ReplacementFile::commit() {
  const std::string temporary = path_ + kReplacementSuffix;
  if (::fsync(descriptor_) != 0) return cannot("write", temporary, errno);
  if (::rename(temporary.c_str(), path_.c_str()) != 0) return cannot("replace", path_, errno);
  committed_ = true;
  // The new name is durable when the folder is.
  const size_t slash = path_.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return cannot("open", folder, errno);
  const bool synced = ::fsync(directory) == 0;
  const int error = errno;
  ::close(directory);
  if (!synced) return cannot("write", folder, error);
  return {};
}

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

std::expected<void, std::string> make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0750) != 0) {
    if (errno == EEXIST) return {};
    return cannot("make the folder", path, errno);
  }
  // The folder's name is an entry of its parent.
  const std::string parent = path + "/..";
  const int descriptor = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool durable = descriptor >= 0 && ::fsync(descriptor) == 0;
  const int error = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (!durable) return cannot("make the folder", path, error);
  return {};
}

std::expected<std::unique_ptr<FileLock>, std::string> FileLock::acquire(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
  if (descriptor < 0) return cannot("make", path, errno);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    std::array<char, 16> holder;
    const ssize_t count = ::pread(descriptor, holder.data(), holder.size(), 0);
    ::close(descriptor);
    if (error != EWOULDBLOCK) return cannot("lock", path, error);
    const std::string_view process(holder.data(), static_cast<size_t>(std::max<ssize_t>(count, 0)));
    return std::unexpected("process " + std::string(process.empty() ? "?" : process) + " holds " + path);
  }
  // For the sentence above only: that it could not be written does not matter.
  const std::string process = std::to_string(::getpid());
  if (::ftruncate(descriptor, 0) != 0 ||
      ::pwrite(descriptor, process.data(), process.size(), 0) != static_cast<ssize_t>(process.size())) {
    errno = 0;
  }
  return std::unique_ptr<FileLock>(new FileLock(descriptor));
}

FileLock::~FileLock() {
  ::close(descriptor_);
}

AppendFile::AppendFile(int descriptor, std::string path)
    : descriptor_(descriptor), path_(std::move(path)), regular_(is_regular(descriptor)) {}

AppendFile::~AppendFile() {
  if (!path_.empty()) ::close(descriptor_);
}

std::expected<std::unique_ptr<AppendFile>, std::string> AppendFile::open(const std::string& path) {
  const int descriptor = open_for_append(path);
  if (descriptor < 0) return cannot("append to", path, errno);
  return std::unique_ptr<AppendFile>(new AppendFile(descriptor, path));
}

std::unique_ptr<AppendFile> AppendFile::standard_output() {
  return std::unique_ptr<AppendFile>(new AppendFile(STDOUT_FILENO, ""));
}

std::expected<void, std::string> AppendFile::reopen() {
  if (path_.empty()) return {};
  const int descriptor = open_for_append(path_);
  if (descriptor < 0) return cannot("append to", path_, errno);
  ::close(std::exchange(descriptor_, descriptor));
  regular_ = is_regular(descriptor);
  mid_line_ = false;
  broken_line_ = false;
  return {};
}

AppendFile::Appended AppendFile::append(std::string_view lines) {
  Appended appended;
  size_t last_count = 0;  // what the last write took
  while (appended.bytes < lines.size()) {
    std::string_view rest = lines.substr(appended.bytes);
    if (broken_line_) rest = "\n";
    if (!regular_) {
      // stdout is shared with other processes, so it keeps its mode; a pipe that poll() calls writable takes
      // PIPE_BUF bytes without waiting (pipe(7)).
      pollfd ready{descriptor_, POLLOUT, 0};
      if (::poll(&ready, 1, 0) == 0) {
        appended.outcome = Outcome::waiting;
        return appended;
      }
      rest = rest.substr(0, PIPE_BUF);
      // Whole lines: others write to the pipe as well (a predecessor, our own log), and so much lands in one piece.
      if (const size_t line_end = rest.rfind('\n'); line_end != std::string_view::npos)
        rest = rest.substr(0, line_end + 1);
    }
    const ssize_t count = ::write(descriptor_, rest.data(), rest.size());
    if (count > 0) {
      last_count = static_cast<size_t>(count);
      mid_line_ = rest[static_cast<size_t>(count) - 1] != '\n';
      if (!std::exchange(broken_line_, false)) appended.bytes += static_cast<size_t>(count);
      continue;
    }
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      appended.outcome = Outcome::waiting;
      return appended;
    }
    const int error = count < 0 ? errno : ENOSPC;
    const size_t line_end = lines.substr(0, appended.bytes).rfind('\n');
    const size_t whole = line_end == std::string_view::npos ? 0 : line_end + 1;
    fail(error, appended.bytes - whole, last_count);
    return {.bytes = whole, .outcome = Outcome::failed};
  }
  return appended;
}

bool AppendFile::wait_for_reader(int timeout_ms) {
  pollfd ready{descriptor_, POLLOUT, 0};
  return ::poll(&ready, 1, timeout_ms) != 0;
}

// `partial` bytes of a line are there without their end.
void AppendFile::fail(int error, size_t partial, size_t last_count) {
  reason_ =
      "cannot append to " + (path_.empty() ? std::string("stdout") : path_) + ": " + std::strerror(error);
  if (!mid_line_) return;
  // Taken back only if nobody, as a predecessor, has appended since or between: it would be his line that goes.
  struct stat status{};
  const auto size = static_cast<off_t>(partial);
  // Not stdout: it may be written at an offset, which would leave a hole.
  const bool taken_back = regular_ && !path_.empty() && partial <= last_count &&
                          ::fstat(descriptor_, &status) == 0 &&
                          status.st_size == ::lseek(descriptor_, 0, SEEK_CUR) && status.st_size >= size &&
                          ::ftruncate(descriptor_, status.st_size - size) == 0;
  mid_line_ = false;
  broken_line_ = !taken_back;
}

}  // namespace weir::core
