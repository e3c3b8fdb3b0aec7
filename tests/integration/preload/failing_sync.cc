// A disk that does not take what it is given: loaded into weir with LD_PRELOAD, in the place of the C library's fsync()
// and fdatasync(), which SQLite calls.
//
//   WEIR_FAILING_SYNCS=40,2    the first 40 calls of the process are done, the next two fail with EIO, all others are
//                              done again
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace {

struct Failing {
  int first = 0, count = 0;
  Failing() {
    // Read before weir wipes its environment.
    if (const char* text = std::getenv("WEIR_FAILING_SYNCS"); text != nullptr)
      std::sscanf(text, "%d,%d", &first, &count);
  }
};

std::atomic<int> calls{0};

int sync_with(long call, int descriptor) {
  static const Failing failing;
  const int number = calls.fetch_add(1, std::memory_order_relaxed);
  if (number >= failing.first && number - failing.first < failing.count) {
    errno = EIO;
    return -1;
  }
  return static_cast<int>(::syscall(call, descriptor));
}

[[gnu::constructor]] void begin() {
  sync_with(SYS_fsync, -1);  // reads the variable; counted, and refused by the kernel
}

}  // namespace

extern "C" int fsync(int descriptor) {
  return sync_with(SYS_fsync, descriptor);
}
extern "C" int fdatasync(int descriptor) {
  return sync_with(SYS_fdatasync, descriptor);
}
