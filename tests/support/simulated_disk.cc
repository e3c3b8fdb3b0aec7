#include "tests/support/simulated_disk.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <utility>

namespace weir::testing {

namespace {

constexpr int64_t kSector = 512;

}  // namespace

// SQLite's callbacks.
struct SimulatedDiskCalls {
  struct Handle {
    sqlite3_file base;
    SimulatedDisk* disk;
    std::shared_ptr<SimulatedDisk::File>* file;  // SQLite frees the memory without a destructor
    bool maps_memory;
  };

  static Handle& handle(sqlite3_file* file) { return *reinterpret_cast<Handle*>(file); }
  static SimulatedDisk::File& file_of(sqlite3_file* file) { return **handle(file).file; }
  static SimulatedDisk& disk_of(sqlite3_vfs* vfs) { return *static_cast<SimulatedDisk*>(vfs->pAppData); }

  static int close(sqlite3_file* file) {
    delete handle(file).file;
    return SQLITE_OK;
  }

  static int read(sqlite3_file* file, void* to, int count, sqlite3_int64 at) {
    if (!handle(file).disk->powered_) return SQLITE_IOERR_READ;
    const std::string& content = file_of(file).content;
    const auto size = static_cast<int64_t>(content.size());
    const int64_t there = std::clamp<int64_t>(size - at, 0, count);
    std::memcpy(to, content.data() + std::min<int64_t>(at, size), static_cast<size_t>(there));
    std::memset(static_cast<char*>(to) + there, 0, static_cast<size_t>(count - there));
    return there == count ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
  }

  static int write(sqlite3_file* file, const void* from, int count, sqlite3_int64 at) {
    SimulatedDisk& disk = *handle(file).disk;
    const std::string_view bytes(static_cast<const char*>(from), static_cast<size_t>(count));
    const int result = disk.operate();
    if (result == SQLITE_OK) {
      disk.write(file_of(file), at, bytes);
      return SQLITE_OK;
    }
    if (disk.chance(0.5)) disk.write(file_of(file), at, bytes.substr(0, bytes.size() / 2));
    return result == SQLITE_IOERR ? SQLITE_IOERR_WRITE : result;
  }

  static int truncate(sqlite3_file* file, sqlite3_int64 size) {
    if (const int result = handle(file).disk->operate(); result != SQLITE_OK) {
      return result == SQLITE_IOERR ? SQLITE_IOERR_TRUNCATE : result;
    }
    SimulatedDisk::File& there = file_of(file);
    there.changes.push_back({.truncated = size});
    SimulatedDisk::apply(there.content, there.changes.back());
    return SQLITE_OK;
  }

  static int sync(sqlite3_file* file, int) {
    if (handle(file).disk->operate() != SQLITE_OK) return SQLITE_IOERR_FSYNC;
    SimulatedDisk::File& there = file_of(file);
    there.durable = there.content;
    there.changes.clear();
    there.entry_durable = true;
    return SQLITE_OK;
  }

  static int size(sqlite3_file* file, sqlite3_int64* size) {
    *size = static_cast<sqlite3_int64>(file_of(file).content.size());
    return SQLITE_OK;
  }

  static int lock(sqlite3_file*, int) { return SQLITE_OK; }
  static int check_lock(sqlite3_file*, int* held) {
    *held = 0;
    return SQLITE_OK;
  }
  static int control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
  static int sector_size(sqlite3_file*) { return 4096; }
  static int characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

  static int shared_map(sqlite3_file* file, int region, int bytes, int extend, void volatile** memory) {
    if (!std::exchange(handle(file).maps_memory, true)) ++file_of(file).shared_by;
    auto& regions = file_of(file).shared_memory;
    const auto index = static_cast<size_t>(region);
    *memory = nullptr;
    if (index >= regions.size() && extend == 0) return SQLITE_OK;
    while (regions.size() <= index) regions.push_back(std::make_unique<char[]>(static_cast<size_t>(bytes)));
    *memory = regions[index].get();
    return SQLITE_OK;
  }
  static int shared_lock(sqlite3_file*, int, int, int) { return SQLITE_OK; }
  static void shared_barrier(sqlite3_file*) {}
  static int shared_unmap(sqlite3_file* file, int) {
    SimulatedDisk::File& there = file_of(file);
    if (std::exchange(handle(file).maps_memory, false) && --there.shared_by == 0) there.shared_memory.clear();
    return SQLITE_OK;
  }

  static const sqlite3_io_methods* methods() {
    static const sqlite3_io_methods table = {.iVersion = 2,
                                             .xClose = close,
                                             .xRead = read,
                                             .xWrite = write,
                                             .xTruncate = truncate,
                                             .xSync = sync,
                                             .xFileSize = size,
                                             .xLock = lock,
                                             .xUnlock = lock,
                                             .xCheckReservedLock = check_lock,
                                             .xFileControl = control,
                                             .xSectorSize = sector_size,
                                             .xDeviceCharacteristics = characteristics,
                                             .xShmMap = shared_map,
                                             .xShmLock = shared_lock,
                                             .xShmBarrier = shared_barrier,
                                             .xShmUnmap = shared_unmap,
                                             .xFetch = nullptr,
                                             .xUnfetch = nullptr};
    return &table;
  }

  static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
    SimulatedDisk& disk = disk_of(vfs);
    file->pMethods = nullptr;
    if (!disk.powered_) return SQLITE_CANTOPEN;
    std::shared_ptr<SimulatedDisk::File> opened;
    if (name == nullptr) {
      opened = std::make_shared<SimulatedDisk::File>();
    } else if (const auto found = disk.files_.find(name); found != disk.files_.end()) {
      opened = found->second;
    } else if ((flags & SQLITE_OPEN_CREATE) == 0) {
      return SQLITE_CANTOPEN;
    } else {
      opened = disk.files_[name] = std::make_shared<SimulatedDisk::File>();
    }
    handle(file).disk = &disk;
    handle(file).maps_memory = false;
    handle(file).file = new std::shared_ptr<SimulatedDisk::File>(std::move(opened));
    file->pMethods = methods();
    if (out_flags != nullptr) *out_flags = flags;
    return SQLITE_OK;
  }

  static int remove(sqlite3_vfs* vfs, const char* name, int) {
    SimulatedDisk& disk = disk_of(vfs);
    if (!disk.files_.contains(name)) return SQLITE_IOERR_DELETE_NOENT;
    if (const int result = disk.operate(); result != SQLITE_OK) {
      return result == SQLITE_IOERR ? SQLITE_IOERR_DELETE : result;
    }
    disk.files_.erase(name);
    return SQLITE_OK;
  }

  static int access(sqlite3_vfs* vfs, const char* name, int, int* there) {
    const auto& files = disk_of(vfs).files_;
    const auto found = files.find(name);
    *there = found != files.end() && !found->second->content.empty() ? 1 : 0;
    return SQLITE_OK;
  }

  static int full_path(sqlite3_vfs*, const char* name, int size, char* out) {
    sqlite3_snprintf(size, out, "%s", name);
    return SQLITE_OK;
  }

  static int randomness(sqlite3_vfs* vfs, int count, char* out) {
    for (int i = 0; i < count; i++) out[i] = static_cast<char>(disk_of(vfs).random_());
    return count;
  }
  static int pause(sqlite3_vfs*, int microseconds) { return microseconds; }
  static int time(sqlite3_vfs*, double* julian_day) {
    *julian_day = 2'460'000.5;
    return SQLITE_OK;
  }
  static int last_error(sqlite3_vfs*, int, char*) { return 0; }
};

SimulatedDisk::SimulatedDisk(uint64_t seed) : random_(seed) {
  static std::atomic<uint64_t> next{0};
  name_ = "simulated-" + std::to_string(next++);
  using Calls = SimulatedDiskCalls;
  vfs_.iVersion = 1;
  vfs_.szOsFile = sizeof(Calls::Handle);
  vfs_.mxPathname = 256;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.xOpen = Calls::open;
  vfs_.xDelete = Calls::remove;
  vfs_.xAccess = Calls::access;
  vfs_.xFullPathname = Calls::full_path;
  vfs_.xRandomness = Calls::randomness;
  vfs_.xSleep = Calls::pause;
  vfs_.xCurrentTime = Calls::time;
  vfs_.xGetLastError = Calls::last_error;
  sqlite3_vfs_register(&vfs_, 0);
}

SimulatedDisk::~SimulatedDisk() {
  sqlite3_vfs_unregister(&vfs_);
}

void SimulatedDisk::fail_at(uint64_t first, uint64_t count, int code) {
  fail_first_ = first;
  fail_count_ = count;
  fail_code_ = code;
}

int SimulatedDisk::operate() {
  const std::lock_guard guard(stalled_);
  operations_++;
  if (operations_ == cut_at_) powered_ = false;
  if (!powered_) return SQLITE_IOERR;
  const bool fails = operations_ >= fail_first_ && operations_ < fail_first_ + fail_count_;
  failures_ += fails ? 1 : 0;
  return fails ? fail_code_ : SQLITE_OK;
}

void SimulatedDisk::apply(std::string& content, const Change& change) {
  if (change.truncated) {
    content.resize(static_cast<size_t>(*change.truncated));
    return;
  }
  const auto at = static_cast<size_t>(change.at);
  content.resize(std::max(content.size(), at + change.bytes.size()));
  content.replace(at, change.bytes.size(), change.bytes);
}

void SimulatedDisk::write(File& file, int64_t at, std::string_view bytes) {
  file.changes.push_back({.at = at, .bytes = std::string(bytes)});
  apply(file.content, file.changes.back());
}

void SimulatedDisk::restart_process() {
  for (auto& [name, file] : files_) file->shared_memory.clear();
  cut_at_ = 0;
  fail_count_ = 0;
  powered_ = true;
}

void SimulatedDisk::restore_power() {
  for (auto entry = files_.begin(); entry != files_.end();) {
    File& file = *entry->second;
    const double survives = chance(0.3) ? 1.0 : chance(0.5) ? 0.5 : 0.0;
    std::string content = std::move(file.durable);
    for (const Change& change : file.changes) {
      if (change.truncated) {
        if (chance(survives)) apply(content, change);
        continue;
      }
      const auto size = static_cast<int64_t>(change.bytes.size());
      for (int64_t at = 0; at < size;) {
        const int64_t end = std::min(size, at + kSector - (change.at + at) % kSector);
        if (chance(survives)) {
          apply(content,
                {.at = change.at + at,
                 .bytes = change.bytes.substr(static_cast<size_t>(at), static_cast<size_t>(end - at))});
        }
        at = end;
      }
    }
    file.content = file.durable = std::move(content);
    file.changes.clear();
    file.shared_memory.clear();
    entry = file.entry_durable || chance(0.5) ? std::next(entry) : files_.erase(entry);
  }
  cut_at_ = 0;
  fail_count_ = 0;
  powered_ = true;
}

}  // namespace weir::testing
