#include "core/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <csignal>
#include <initializer_list>
#include <span>
#include <string>

#include "tests/support/process.h"

namespace weir::core {
namespace {

using ::testing::HasSubstr;
using weir::testing::TemporaryFolder;
using Outcome = AppendFile::Outcome;

constexpr uint64_t kPlenty = 1 << 20;

TEST(ReadFile, ReadsAllOfIt) {
  TemporaryFolder folder;
  const std::string text(200'000, 'x');
  EXPECT_EQ(*read_file(folder.write("a", text), kPlenty), text);
  EXPECT_EQ(*read_file(folder.write("empty", ""), kPlenty), "");
  EXPECT_EQ(*read_file(folder.write("exact", "12345"), 5), "12345");
}

TEST(ReadFile, SaysWhyItCannot) {
  TemporaryFolder folder;
  EXPECT_EQ(read_file(folder.file("none"), kPlenty).error(),
            "cannot read " + folder.file("none") + ": No such file or directory");
  EXPECT_THAT(read_file(folder.path(), kPlenty).error(), HasSubstr("Is a directory"));
  EXPECT_EQ(read_file(folder.write("long", "123456"), 5).error(),
            "cannot read " + folder.file("long") + ": it is larger than 5 bytes");
}

TEST(Exists, SaysWhatIsThere) {
  TemporaryFolder folder;
  EXPECT_TRUE(exists(folder.path()));
  EXPECT_TRUE(exists(folder.write("a", "")));
  EXPECT_FALSE(exists(folder.file("b")));
}

TEST(AppendFile, AppendsToWhatIsThere) {
  TemporaryFolder folder;
  const std::string path = folder.write("log", "old\n");
  const auto file = *AppendFile::open(path);
  const auto appended = file->append("one\ntwo\n");
  EXPECT_EQ(appended.bytes, 8u);
  EXPECT_EQ(appended.outcome, Outcome::done);
  EXPECT_EQ(*read_file(path, kPlenty), "old\none\ntwo\n");
}

TEST(AppendFile, SaysWhyItCannotBeOpened) {
  const auto file = AppendFile::open("/nowhere/access.log");
  ASSERT_FALSE(file.has_value());
  EXPECT_EQ(file.error(), "cannot append to /nowhere/access.log: No such file or directory");
}

TEST(AppendFile, GoesOnWithTheFileThatThePathNamesNow) {
  TemporaryFolder folder;
  const std::string path = folder.file("log");
  const auto file = *AppendFile::open(path);
  file->append("one\n");
  ASSERT_EQ(::rename(path.c_str(), folder.file("old").c_str()), 0);
  file->append("two\n");
  ASSERT_TRUE(file->reopen().has_value());
  file->append("three\n");
  EXPECT_EQ(*read_file(folder.file("old"), kPlenty), "one\ntwo\n");
  EXPECT_EQ(*read_file(path, kPlenty), "three\n");
}

TEST(AppendFile, StaysWithTheOldFileWhenTheNewOneCannotBeOpened) {
  TemporaryFolder folder;
  const std::string path = folder.file("log");
  const auto file = *AppendFile::open(path);
  ASSERT_EQ(::rename(path.c_str(), folder.file("old").c_str()), 0);
  ASSERT_EQ(::mkdir(path.c_str(), 0700), 0);
  EXPECT_FALSE(file->reopen().has_value());
  EXPECT_EQ(file->append("one\n").outcome, Outcome::done);
  EXPECT_EQ(*read_file(folder.file("old"), kPlenty), "one\n");
}

TEST(AppendFile, ReportsAFullDisk) {
  const auto file = *AppendFile::open("/dev/full");
  const auto appended = file->append("one\n");
  EXPECT_EQ(appended.outcome, Outcome::failed);
  EXPECT_EQ(appended.bytes, 0u);
  EXPECT_EQ(file->reason(), "cannot append to /dev/full: No space left on device");
}

// Room for a few bytes more, as on a disk that is nearly full: the system writes a part, then refuses.
class SizeLimit {
 public:
  explicit SizeLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~SizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, SIG_DFL);
  }

 private:
  rlimit before_{};
};

TEST(AppendFile, LeavesNoPartOfALineWhenTheDiskFillsUp) {
  TemporaryFolder folder;
  const std::string path = folder.file("log");
  const auto file = *AppendFile::open(path);
  {
    const SizeLimit limit(6);
    const auto appended = file->append("one\ntwo\nthree\n");
    EXPECT_EQ(appended.outcome, Outcome::failed);
    EXPECT_EQ(appended.bytes, 4u);
    EXPECT_EQ(*read_file(path, kPlenty), "one\n");
  }
  EXPECT_EQ(file->append("four\n").outcome, Outcome::done);
  EXPECT_EQ(*read_file(path, kPlenty), "one\nfour\n");
}

std::string shared_path;

// A line of another process, which comes when our disk is full and has just refused the rest of a line of ours:
// the signal handler runs before the system call is back.
void append_as_another_process(int) {
  rlimit limit{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_FSIZE, &limit);
  const int descriptor = ::open(shared_path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  EXPECT_EQ(::write(descriptor, "other\n", 6), 6);
  ::close(descriptor);
}

TEST(AppendFile, TakesNothingBackThatAnotherProcessHasAppended) {
  TemporaryFolder folder;
  shared_path = folder.file("log");
  const auto file = *AppendFile::open(shared_path);
  {
    const SizeLimit limit(6);
    std::signal(SIGXFSZ, append_as_another_process);
    EXPECT_EQ(file->append("one\ntwo\nthree\n").outcome, Outcome::failed);
  }
  EXPECT_EQ(file->append("four\n").outcome, Outcome::done);
  EXPECT_EQ(*read_file(shared_path, kPlenty), "one\ntwother\n\nfour\n");
}

// A pipe with a reader that a test reads when it likes.
class Pipe {
 public:
  Pipe() {
    EXPECT_EQ(::mkfifo(path().c_str(), 0600), 0);
    open_reader();
  }
  ~Pipe() { close_reader(); }
  std::string path() const { return folder_.file("pipe"); }
  void open_reader() { reader_ = ::open(path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC); }
  void close_reader() {
    if (reader_ >= 0) ::close(reader_);
    reader_ = -1;
  }
  std::string read_some(size_t most = 1 << 20) {
    std::string text(most, '\0');
    const ssize_t count = ::read(reader_, text.data(), most);
    text.resize(count > 0 ? static_cast<size_t>(count) : 0);
    return text;
  }

 private:
  TemporaryFolder folder_;
  int reader_ = -1;
};

TEST(AppendFile, NeverWaitsForASlowReader) {
  std::signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  const auto file = *AppendFile::open(pipe.path());
  std::string lines;
  for (int i = 0; i < 100'000; ++i) lines += "line " + std::to_string(i) + "\n";
  std::string_view rest = lines;
  std::string got;
  while (!rest.empty()) {
    const auto appended = file->append(rest);
    ASSERT_NE(appended.outcome, Outcome::failed);
    // Whatever others write to it now comes between lines.
    ASSERT_TRUE(appended.bytes == 0 || rest[appended.bytes - 1] == '\n');
    rest.remove_prefix(appended.bytes);
    got += pipe.read_some(10'000);
  }
  for (std::string more; !(more = pipe.read_some()).empty();) got += more;
  EXPECT_EQ(got, lines);
}

// A reader that goes away in the middle of a line, and another that comes: it finds the line ended.
TEST(AppendFile, EndsABrokenLineBeforeItGoesOn) {
  std::signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  const auto file = *AppendFile::open(pipe.path());
  std::string long_line(1 << 20, 'x');
  const auto appended = file->append(long_line + "\n");
  ASSERT_EQ(appended.outcome, Outcome::waiting);
  ASSERT_GT(appended.bytes, 0u);
  pipe.close_reader();
  const auto failed = file->append(std::string_view(long_line).substr(appended.bytes));
  EXPECT_EQ(failed.outcome, Outcome::failed);
  EXPECT_EQ(failed.bytes, 0u);
  EXPECT_THAT(file->reason(), HasSubstr("Broken pipe"));
  pipe.open_reader();
  std::string got = pipe.read_some();  // what lay in the pipe
  EXPECT_EQ(file->append("two\n").outcome, Outcome::done);
  got += pipe.read_some();
  EXPECT_EQ(got, long_line.substr(0, appended.bytes) + "\ntwo\n");
}

std::string read_in_pieces(InputFile& file, std::initializer_list<size_t> sizes) {
  std::string text;
  for (const size_t size : sizes) {
    std::string piece(size, '?');
    if (auto read = file.read(std::as_writable_bytes(std::span(piece))); !read) return read.error();
    text += piece + "|";
  }
  return text;
}

TEST(InputFile, IsReadInPieces) {
  TemporaryFolder folder;
  const std::string path = folder.write("a", "hello world");
  const auto file = InputFile::open(path);
  ASSERT_TRUE(file.has_value()) << file.error();
  EXPECT_EQ((*file)->size(), 11u);
  EXPECT_EQ(read_in_pieces(**file, {5, 0, 6}), "hello|| world|");
  EXPECT_EQ(read_in_pieces(**file, {1}), "cannot read " + path + ": it ends too early");
}

TEST(InputFile, IsARegularFile) {
  TemporaryFolder folder;
  EXPECT_THAT(InputFile::open(folder.path()).error(), HasSubstr("it is no regular file"));
  EXPECT_THAT(InputFile::open(folder.file("none")).error(), HasSubstr("No such file"));
}

std::expected<void, std::string> replace(const std::string& path, std::string_view text) {
  auto file = ReplacementFile::create(path);
  if (!file) return std::unexpected(file.error());
  if (auto written = (*file)->write(std::as_bytes(std::span(text))); !written) return written;
  return (*file)->commit();
}

TEST(ReplacementFile, TakesThePathOverWhenItIsWhole) {
  TemporaryFolder folder;
  const std::string path = folder.write("a", "old");
  {
    auto file = ReplacementFile::create(path);
    ASSERT_TRUE(file.has_value()) << file.error();
    ASSERT_TRUE((*file)->write(std::as_bytes(std::span(std::string_view("new")))).has_value());
    EXPECT_EQ(*read_file(path, kPlenty), "old");
  }  // without commit()
  EXPECT_EQ(*read_file(path, kPlenty), "old");
  EXPECT_FALSE(read_file(path + ".new", kPlenty).has_value());
  ASSERT_TRUE(replace(path, "new").has_value());
  EXPECT_EQ(*read_file(path, kPlenty), "new");
  EXPECT_FALSE(read_file(path + ".new", kPlenty).has_value());
}

TEST(ReplacementFile, IsItsOwnersAloneAndWritesOverWhatADeadWriterLeft) {
  TemporaryFolder folder;
  const std::string path = folder.file("a");
  folder.write("a.new", "half");
  ASSERT_TRUE(replace(path, "whole").has_value());
  EXPECT_EQ(*read_file(path, kPlenty), "whole");
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST(ReplacementFile, SaysWhyItCannot) {
  TemporaryFolder folder;
  EXPECT_THAT(replace(folder.file("no/folder"), "x").error(), HasSubstr("No such file or directory"));
  EXPECT_THAT(replace(folder.path(), "x").error(), HasSubstr("cannot"));
}

}  // namespace
}  // namespace weir::core
