#include "tools/weir/program_pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace weir::tools {
namespace {

// In KiB, of files' pages that this process has mapped.
int resident_of_files() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssFile:")) return std::stoi(line.substr(8));
  }
  return 0;
}

// A page of its own among the constants of this program.
constexpr size_t kPage = 4096;
alignas(kPage) const volatile char constants[2 * kPage] = {'a'};

TEST(ProgramPages, LeaveTheProcessButForThoseThatWereWrittenTo) {
  ASSERT_EQ(static_cast<size_t>(::getpagesize()), kPage) << "the test is written for such pages";
  void* const page = const_cast<char*>(constants);
  ASSERT_EQ(::mprotect(page, kPage, PROT_READ | PROT_WRITE), 0);
  static_cast<char*>(page)[1] = 'b';
  ASSERT_EQ(::mprotect(page, kPage, PROT_READ), 0);

  ProgramPages pages;
  const int before = resident_of_files();
  pages.release();
  EXPECT_LT(resident_of_files(), before * 3 / 4);
  EXPECT_EQ(constants[0], 'a');
  EXPECT_EQ(constants[1], 'b') << "what was written was taken for the file's";
  pages.release();
}

}  // namespace
}  // namespace weir::tools
