// What a ring does once it is made, asked of the kernel: whoever takes the process over has the ring, and with it all
// that seccomp cannot see.
#include <dirent.h>
#include <gtest/gtest.h>
#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <set>
#include <string>

#include "core/buffer.h"
#include "core/io.h"

namespace weir::core {
namespace {

std::set<int> ring_descriptors() {
  std::set<int> found;
  DIR* folder = ::opendir("/proc/self/fd");
  while (const dirent* entry = ::readdir(folder)) {
    char target[64] = {};
    const std::string path = std::string("/proc/self/fd/") + entry->d_name;
    if (::readlink(path.c_str(), target, sizeof target - 1) < 0) continue;
    int number = -1;
    std::from_chars(entry->d_name, entry->d_name + std::strlen(entry->d_name), number);
    if (std::string_view(target) == "anon_inode:[io_uring]") found.insert(number);
  }
  ::closedir(folder);
  return found;
}

// The ring of an Io, seen through its descriptor by code that is not ours.
class RingRestrictions : public ::testing::Test {
 protected:
  static constexpr uint32_t kEntries = 64;

  void SetUp() override {
    const std::set<int> before = ring_descriptors();
    auto made = Io::create({.submission_entries = kEntries, .completion_entries = 128}, buffers_);
    ASSERT_TRUE(made.has_value()) << made.error();
    io_ = std::move(*made);
    io_->submit_and_wait(0);
    for (const int descriptor : ring_descriptors()) {
      if (!before.contains(descriptor)) descriptor_ = descriptor;
    }
    ASSERT_GE(descriptor_, 0);
    // A ring of the same shape tells where in the shared memory what is.
    io_uring_params shape{};
    shape.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    shape.cq_entries = 128;
    io_uring other{};
    const int result = ::io_uring_queue_init_params(kEntries, &other, &shape);
    if (result == -EINVAL) GTEST_SKIP() << "a kernel before 6.1";
    ASSERT_EQ(result, 0);
    ::io_uring_queue_exit(&other);
    ASSERT_EQ(::io_uring_queue_mmap(descriptor_, &shape, &ring_), 0);
    ring_.flags = shape.flags;
    ring_.features = shape.features;
    ring_.enter_ring_fd = descriptor_;
    // The Io has submitted already: what comes goes behind that.
    ring_.sq.sqe_head = ring_.sq.sqe_tail = *ring_.sq.ktail;
    for (unsigned i = 0; i < ring_.sq.ring_entries; ++i) ring_.sq.array[i] = i;
  }
  // What the kernel answers to an operation of this kind.
  int result_of(uint8_t operation, uint8_t flags = 0) {
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    if (entry == nullptr) return 0;
    std::memset(entry, 0, sizeof *entry);
    entry->opcode = operation;
    entry->flags = flags;
    entry->fd = -1;
    entry->user_data = 7;
    const int submitted = ::io_uring_submit(&ring_);
    EXPECT_EQ(submitted, 1);
    io_uring_cqe* answer = nullptr;
    __kernel_timespec patience{.tv_sec = 10, .tv_nsec = 0};
    if (submitted != 1 || ::io_uring_wait_cqe_timeout(&ring_, &answer, &patience) != 0) return 0;
    const int result = answer->res;
    ::io_uring_cqe_seen(&ring_, answer);
    return result;
  }

  BufferPool buffers_;
  std::unique_ptr<Io> io_;
  io_uring ring_{};
  int descriptor_ = -1;
};

TEST_F(RingRestrictions, LetNoOperationPassThatWeirDoesNotUse) {
  const std::set<int> used = {IORING_OP_ACCEPT,  IORING_OP_RECV,         IORING_OP_SEND,  IORING_OP_SENDMSG,
                              IORING_OP_CONNECT, IORING_OP_ASYNC_CANCEL, IORING_OP_CLOSE, IORING_OP_POLL_ADD};
  for (int operation = 0; operation < IORING_OP_LAST; ++operation) {
    if (used.contains(operation)) continue;
    EXPECT_EQ(result_of(static_cast<uint8_t>(operation)), -EACCES) << operation;
  }
  EXPECT_EQ(result_of(IORING_OP_POLL_ADD), -EBADF);  // that one is looked at
}

TEST_F(RingRestrictions, LetNoFlagPassThatWeirDoesNotUse) {
  for (const uint8_t flag : {IOSQE_FIXED_FILE, IOSQE_IO_DRAIN, IOSQE_IO_LINK, IOSQE_IO_HARDLINK, IOSQE_ASYNC})
    EXPECT_EQ(result_of(IORING_OP_POLL_ADD, flag), -EACCES) << int{flag};
}

TEST_F(RingRestrictions, LetNothingBeRegistered) {
  for (unsigned what = 0; what < IORING_REGISTER_LAST; ++what) {
    if (what == IORING_REGISTER_ENABLE_RINGS || what == IORING_UNREGISTER_RING_FDS) continue;
    const long result = ::syscall(SYS_io_uring_register, descriptor_, what, nullptr, 0);
    EXPECT_EQ(result, -1) << what;
    EXPECT_EQ(errno, EACCES) << what;
  }
}

}  // namespace
}  // namespace weir::core
