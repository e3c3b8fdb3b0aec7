// A large block of zeros that costs memory only where it is used: pages straight from the kernel. (The
// allocator's calloc may write its zeros, and then an idle table of millions of slots is resident.)
//
// Aligned to a page. Allocation failure leaves data() null. Thread: any, one owner.
#pragma once

#include <sys/mman.h>

#include <cstddef>

namespace weir::core {

class ZeroedMemory {
 public:
  explicit ZeroedMemory(size_t bytes) : bytes_(bytes) {
    void* pages = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages != MAP_FAILED) data_ = pages;
  }
  ~ZeroedMemory() {
    if (data_ != nullptr) ::munmap(data_, bytes_);
  }
  ZeroedMemory(const ZeroedMemory&) = delete;
  ZeroedMemory& operator=(const ZeroedMemory&) = delete;

  void* data() const { return data_; }

 private:
  size_t bytes_;
  void* data_ = nullptr;
};

}  // namespace weir::core
