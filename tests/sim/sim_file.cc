// Files and names of the simulated kernel: files live in the World, names do not resolve.
#include <cstring>
#include <utility>

#include "core/file.h"
#include "core/resolver.h"
#include "tests/sim/sim_world.h"

namespace weir::core {

bool file_exists(const std::string& path) {
  return sim::World::now().files.contains(path);
}

void remove_file(const std::string& path) {
  sim::World::now().files.erase(path);
}

std::expected<std::string, std::string> read_file(const std::string& path, uint64_t max_bytes) {
  const auto& files = sim::World::now().files;
  const auto found = files.find(path);
  if (found == files.end()) return std::unexpected(path + " does not exist");
  if (found->second.size() > max_bytes) return std::unexpected(path + " is too large");
  return found->second;
}

std::expected<std::unique_ptr<InputFile>, std::string> InputFile::open(const std::string& path) {
  const auto& files = sim::World::now().files;
  const auto found = files.find(path);
  if (found == files.end()) return std::unexpected(path + " does not exist");
  return std::unique_ptr<InputFile>(new InputFile(0, path, found->second.size()));
}
InputFile::~InputFile() = default;

std::expected<void, std::string> InputFile::read(std::span<std::byte> to) {
  const std::string& file = sim::World::now().files[path_];
  if (file.size() - at_ < to.size()) return std::unexpected(path_ + " ends too early");
  std::memcpy(to.data(), file.data() + at_, to.size());
  at_ += to.size();
  return {};
}

std::expected<std::unique_ptr<ReplacementFile>, std::string> ReplacementFile::create(
    const std::string& path) {
  sim::World::now().files[path + ".new"].clear();
  return std::unique_ptr<ReplacementFile>(new ReplacementFile(0, path));
}
ReplacementFile::~ReplacementFile() {
  sim::World::now().files.erase(path_ + ".new");
}

std::expected<void, std::string> ReplacementFile::write(std::span<const std::byte> bytes) {
  sim::World::now().files[path_ + ".new"].append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return {};
}

std::expected<void, std::string> ReplacementFile::commit() {
  auto& files = sim::World::now().files;
  files[path_] = std::move(files[path_ + ".new"]);
  return {};
}

bool exists(const std::string& path) {
  return sim::World::now().files.contains(path);
}

std::expected<void, std::string> make_folder(const std::string&) {
  return {};
}

// One process: nobody to keep out.
std::expected<std::unique_ptr<FileLock>, std::string> FileLock::acquire(const std::string&) {
  return std::unique_ptr<FileLock>(new FileLock(-1));
}
FileLock::~FileLock() = default;

AppendFile::AppendFile(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
AppendFile::~AppendFile() = default;

std::expected<std::unique_ptr<AppendFile>, std::string> AppendFile::open(const std::string& path) {
  sim::World::now().files[path];
  return std::unique_ptr<AppendFile>(new AppendFile(0, path));
}

AppendFile::Appended AppendFile::append(std::string_view lines) {
  sim::World::now().files[path_] += lines;
  return {lines.size(), Outcome::done};
}

bool AppendFile::wait_for_reader(int) {
  return true;
}

std::expected<void, std::string> AppendFile::reopen() {
  return {};
}

std::expected<std::vector<SocketAddress>, std::string> resolve_host(const std::string& host, uint16_t) {
  return std::unexpected(host + " does not resolve here");
}

}  // namespace weir::core
