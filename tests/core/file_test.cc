#include "core/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <csignal>
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

}  // namespace
}  // namespace weir::core
