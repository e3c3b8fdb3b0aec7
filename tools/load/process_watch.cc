#include "tools/load/process_watch.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace weir::tools {

uint64_t cpu_ns_of(const std::vector<int>& pids) {
  uint64_t sum = 0;
  for (const int pid : pids) {
    std::error_code error;
    for (const auto& task :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", error)) {
      std::ifstream file(task.path() / "schedstat");
      uint64_t on_cpu_ns = 0;
      if (file >> on_cpu_ns) sum += on_cpu_ns;
    }
  }
  return sum;
}

uint64_t memory_kib_of(const std::vector<int>& pids) {
  uint64_t sum = 0;
  for (const int pid : pids) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/smaps_rollup");
    for (std::string word; file >> word;) {
      uint64_t kib = 0;
      if (word == "Pss:" && file >> kib) sum += kib;
    }
  }
  return sum;
}

}  // namespace weir::tools
