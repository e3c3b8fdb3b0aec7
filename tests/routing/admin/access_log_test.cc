#include "routing/admin/access_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "tests/support/process.h"

namespace weir::routing {
namespace {

constexpr int kLines = 20'000;  // several times what a pipe holds

class AccessLogOnAPipe : public ::testing::Test {
 protected:
  AccessLogOnAPipe() {
    EXPECT_EQ(::mkfifo(path_.c_str(), 0600), 0);
    reader_ = ::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    log_ = std::make_unique<AccessLog>(*core::AppendFile::open(path_));
    for (int i = 0; i < kLines; ++i) log_->add_line("{\"number\":" + std::to_string(i) + "}\n");
    log_->flush(0);
  }
  ~AccessLogOnAPipe() override { ::close(reader_); }
  size_t read_lines() const {
    ::fcntl(reader_, F_SETFL, 0);
    size_t lines = 0;
    char piece[4096];
    for (ssize_t size; lines < kLines && (size = ::read(reader_, piece, sizeof piece)) > 0;)
      lines += static_cast<size_t>(std::count(piece, piece + size, '\n'));
    return lines;
  }

  weir::testing::TemporaryFolder folder_;
  const std::string path_ = folder_.file("pipe");
  int reader_ = -1;
  std::unique_ptr<AccessLog> log_;
};

TEST_F(AccessLogOnAPipe, FinishesWhenItsReaderHasTakenAllOfIt) {
  ASSERT_TRUE(log_->pending());
  size_t lines = 0;
  std::thread reader([&] { lines = read_lines(); });
  log_->finish(0, 20'000);
  EXPECT_FALSE(log_->pending());
  EXPECT_EQ(log_->lines_written(), size_t{kLines});
  log_.reset();
  reader.join();
  EXPECT_EQ(lines, size_t{kLines});
}

TEST_F(AccessLogOnAPipe, GivesUpAReaderThatTakesNothing) {
  ASSERT_TRUE(log_->pending());
  const uint64_t written = log_->lines_written();
  log_->finish(0, 1);
  EXPECT_FALSE(log_->pending());
  EXPECT_EQ(log_->lines_written(), written);
  EXPECT_EQ(log_->lines_lost(), kLines - written);
}

TEST_F(AccessLogOnAPipe, CountsWhatAReaderThatIsGoneDoesNotGet) {
  ::close(std::exchange(reader_, -1));
  std::signal(SIGPIPE, SIG_IGN);
  const uint64_t written = log_->lines_written();
  log_->finish(0, 20'000);
  EXPECT_FALSE(log_->pending());
  EXPECT_EQ(log_->lines_lost(), kLines - written);
}

}  // namespace
}  // namespace weir::routing
