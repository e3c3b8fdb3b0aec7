// The unit files, as systemd itself reads them. Skipped where it is not installed.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace weir {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// What it prints, both ways.
std::string output_of(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "re");
  std::string text;
  std::array<char, 4096> piece;
  for (size_t size; (size = std::fread(piece.data(), 1, piece.size(), pipe)) > 0;)
    text.append(piece.data(), size);
  ::pclose(pipe);
  return text;
}

TEST(ServiceUnit, SaysNothingThatSystemdDoesNotUnderstand) {
  if (output_of("systemd-analyze --version").find("systemd 2") == std::string::npos)
    GTEST_SKIP() << "no systemd-analyze";
  std::string pattern = (fs::temp_directory_path() / "weir-test-XXXXXX").string();
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  const fs::path folder = pattern;
  std::string command = "systemd-analyze verify";
  for (const char* name : {"weir.service", "weir.socket"}) {
    std::string text = read(fs::path(WEIR_SOURCE_ROOT) / "tools/systemd" / name);
    ASSERT_FALSE(text.empty()) << name;
    // weir need not be installed here.
    const std::string program = "=/usr/local/bin/weir ";
    if (const size_t at = text.find(program); at != std::string::npos)
      text.replace(at, program.size(), "=/bin/true ");
    std::ofstream(folder / name) << text;
    command += " " + (folder / name).string();
  }
  // Of other units of this machine it may have to say what it likes.
  const std::string said = output_of(command);
  EXPECT_EQ(said.find("weir."), std::string::npos) << said;
  fs::remove_all(folder);
}

}  // namespace
}  // namespace weir
