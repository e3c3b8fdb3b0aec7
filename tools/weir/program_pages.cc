#include "tools/weir/program_pages.h"

#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace weir::tools {
namespace {

// Releases those pages that are the file's own, and not a copy of the process.
class Releaser {
 public:
  explicit Releaser(int pagemap) : pagemap_(pagemap) {}

  void release(uintptr_t begin, uintptr_t end) {
    for (uintptr_t at = begin; at < end;) {
      const size_t wanted = std::min<size_t>((end - at) / page_, entries_.size());
      const ssize_t got = ::pread(pagemap_, entries_.data(), wanted * sizeof(uint64_t),
                                  static_cast<off_t>(at / page_ * sizeof(uint64_t)));
      const size_t count = got > 0 ? static_cast<size_t>(got) / sizeof(uint64_t) : 0;
      if (count == 0) return;
      for (size_t i = 0; i < count;) {
        size_t run = i;
        while (run < count && (entries_[run] & kOfFile) != 0) ++run;
        if (run > i) ::madvise(reinterpret_cast<void*>(at + i * page_), (run - i) * page_, MADV_DONTNEED);
        i = run + 1;
      }
      at += count * page_;
    }
  }

  // Those that nobody can write to by a mere store.
  void release(const dl_phdr_info& object) {
    for (int i = 0; i < object.dlpi_phnum; ++i) {
      const auto& segment = object.dlpi_phdr[i];
      if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
      const uintptr_t begin = object.dlpi_addr + segment.p_vaddr;
      release(begin & ~(page_ - 1), (begin + segment.p_filesz + page_ - 1) & ~(page_ - 1));
    }
  }

 private:
  // Documentation/admin-guide/mm/pagemap.rst
  static constexpr uint64_t kOfFile = uint64_t{1} << 61;

  const int pagemap_;
  const uintptr_t page_ = static_cast<uintptr_t>(::getpagesize());
  std::array<uint64_t, 512> entries_;
};

}  // namespace

ProgramPages::ProgramPages() : pagemap_(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)) {}

ProgramPages::~ProgramPages() {
  if (pagemap_ >= 0) ::close(pagemap_);
}

void ProgramPages::release() {
  if (pagemap_ < 0) return;
  Releaser releaser(pagemap_);
  ::dl_iterate_phdr(
      [](dl_phdr_info* object, size_t, void* to) {
        static_cast<Releaser*>(to)->release(*object);
        return 0;
      },
      &releaser);
  ::close(std::exchange(pagemap_, -1));
}

}  // namespace weir::tools
