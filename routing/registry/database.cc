#include "routing/registry/database.h"

#include <array>
#include <atomic>
#include <cerrno>

#include "core/log.h"
#include "routing/registry/schema.h"

namespace weir::routing {
namespace {

using Kind = RegistryError::Kind;

// Who holds a lock of SQLite's holds it briefly: a reader beside us, `sqlite3` in an operator's hands.
constexpr int kBusyTimeoutMs = 2'000;

// What each connection is set to.
//   synchronous=FULL     a commit is on the disk when it returns
//   mmap_size=0          a disk that fails is an error code, not a SIGBUS
//   cell_size_check=ON   a damaged page is found when it is read, before anything follows its pointers
//   trusted_schema=OFF   a file that somebody gave us runs no functions of its own
constexpr const char* kSettings =
    "PRAGMA synchronous=FULL; PRAGMA mmap_size=0; PRAGMA cell_size_check=ON; PRAGMA trusted_schema=OFF;"
    "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16384; PRAGMA journal_size_limit=16777216;";

// As a URI's path (RFC 3986): a name may hold ? and #.
std::string percent_encoded(std::string_view path) {
  std::string out;
  for (const char c : path) {
    if (c == '%' || c == '?' || c == '#' || c == '&' || c == '=' || c == '+') {
      out += '%' + to_hex({&c, 1});
    } else {
      out += c;
    }
  }
  return out;
}

std::string lock_path(const std::string& path) {
  return path + "-lock";
}

// In the file's mode, not the one that SQLite would give it: prompts are nobody else's business.
std::string file_uri(const std::string& path) {
  return "file:" + percent_encoded(path) + "?modeof=" + percent_encoded(lock_path(path));
}

// Connections of one process that give the same name see the same database.
std::string memory_uri() {
  static std::atomic<uint64_t> next{0};
  return "file:/registry-" + std::to_string(next.fetch_add(1, std::memory_order_relaxed)) + "?vfs=memdb";
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos || slash == 0 ? std::string() : path.substr(0, slash);
}

}  // namespace

RegistryError Registry::Database::error() const {
  const sqlite::Failure& failure = connection.failure();
  std::string why = failure.message;
  if (failure.system_error != 0) {
    why += std::string(", ") + std::generic_category().message(failure.system_error);
  }
  const std::string& path = options.path;
  const int primary = failure.code & 0xff;
  if (primary == SQLITE_FULL || failure.system_error == ENOSPC || failure.system_error == EDQUOT) {
    return {Kind::disk_full, "the disk that " + path + " is on is full: free some space and try again"};
  }
  switch (primary) {
    case SQLITE_NOTADB:
      return {Kind::corrupt, path + " is no registry of weir (" + why +
                                 "): name another file, or move it away to begin with an empty registry"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Kind::unavailable,
              path + " is in use by another process (" + why + "): end that, or wait until it is done"};
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
      return {Kind::unavailable, "cannot write " + path + " (" + why +
                                     "): weir needs the right to write it and to make files in its folder"};
    case SQLITE_IOERR:
    case SQLITE_NOMEM:
    case SQLITE_INTERRUPT:
      return {Kind::unavailable, "cannot read or write " + path + " (" + why +
                                     "): look for errors of the disk in the system's log"};
    default:  // SQLITE_CORRUPT; a table that is missing, a row that is there already: the file is not as we
              // left it
      return damaged(why).error();
  }
}

std::unexpected<RegistryError> Registry::Database::damaged(const std::string& what) const {
  return refused(Kind::corrupt,
                 options.path + " is damaged (" + what +
                     "): move it and its -wal file away, then put a copy back, or begin with an "
                     "empty registry, which imports the table file");
}

std::unexpected<RegistryError> Registry::Database::refused(Kind kind, std::string message) const {
  return std::unexpected(RegistryError{kind, std::move(message)});
}

RegistryResult<void> Registry::Database::open_file() {
  const bool simulated = !options.vfs.empty();
  const bool locked = !in_memory() && !simulated;
  const std::string& path = options.path;
  const auto take_lock = [&]() -> RegistryResult<void> {
    auto taken = core::FileLock::acquire(lock_path(path));
    if (!taken) {
      return refused(Kind::unavailable, "cannot open the registry " + path + ": " + taken.error() +
                                            "; only one weir at a time may have it");
    }
    lock = std::move(*taken);
    return {};
  };
  if (locked && options.create) {
    if (const std::string folder = folder_of(path); !folder.empty()) {
      if (auto made = core::make_folder(folder); !made) return refused(Kind::unavailable, made.error());
    }
    if (auto taken = take_lock(); !taken) return taken;
  }
  uri = in_memory() ? memory_uri() : simulated ? "file:" + percent_encoded(path) : file_uri(path);
  // Asked beforehand: SQLite 3.40 loses memory over a file that it cannot find.
  if (locked && !options.create && !core::exists(path)) {
    return refused(Kind::not_found, "there is no registry " + path);
  }
  const int flags = SQLITE_OPEN_READWRITE | (options.create ? SQLITE_OPEN_CREATE : 0);
  if (!connection.open(uri, flags, options.vfs)) {
    return failed();
  }
  if (locked && !options.create) {
    if (auto taken = take_lock(); !taken) return taken;
  }
  sqlite3_busy_timeout(connection.handle(), kBusyTimeoutMs);

  // Whose file it is, before anything is written to it.
  const auto application = connection.integer("PRAGMA application_id");
  const auto version = connection.integer("PRAGMA user_version");
  const auto tables = connection.integer("SELECT count(*) FROM sqlite_schema");
  if (!application || !version || !tables) return failed();
  if (*application != kApplicationId && (*application != 0 || *version != 0 || *tables != 0)) {
    return refused(Kind::corrupt,
                   path + " is a database of another program: name another file for the registry");
  }
  const auto known = static_cast<int64_t>(schema_steps().size());
  if (*version > known) {
    return refused(Kind::newer, path + " was written by a newer weir (format " + std::to_string(*version) +
                                    ", this one knows " + std::to_string(known) +
                                    "): start that one, or put back a copy made before the upgrade");
  }
  if (sqlite3_db_readonly(connection.handle(), "main") == 1) {
    return refused(
        Kind::unavailable,
        "cannot write " + path + ": weir needs the right to write it and to make files in its folder");
  }
  if (!connection.execute(kSettings)) return failed();
  const auto journal = connection.text("PRAGMA journal_mode=WAL");
  if (!journal) return failed();
  if (*journal != "wal" && !in_memory()) {
    return refused(Kind::unavailable,
                   path +
                       " is on a file system without shared memory, which a write-ahead log "
                       "needs: keep the registry on a local disk");
  }
  for (int64_t step = *version; step < known; step++) {
    sqlite::Transaction transaction(connection, sqlite::Transaction::Kind::write);
    if (!transaction.begun() || !connection.execute(schema_steps()[static_cast<size_t>(step)]) ||
        !connection.execute("PRAGMA application_id=" + std::to_string(kApplicationId)) ||
        !connection.execute("PRAGMA user_version=" + std::to_string(step + 1)) || !transaction.commit()) {
      return failed();
    }
  }
  auto loaded = load_head();
  // What the last process left in the log file need not be synced: it must be before anybody sees it. A disk that
  // refuses is no reason not to serve.
  if (loaded && !in_memory()) settle();
  return loaded;
}

void Registry::Database::settle() {
  sqlite3_wal_checkpoint_v2(connection.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
}

RegistryResult<void> Registry::Database::open_reader(const Database& writer) {
  options = writer.options;
  uri = writer.uri;
  reader = true;
  if (!connection.open(uri, SQLITE_OPEN_READWRITE, options.vfs)) return failed();
  sqlite3_busy_timeout(connection.handle(), kBusyTimeoutMs);
  if (!connection.execute(kSettings) || !connection.execute("PRAGMA query_only=ON")) return failed();
  return load_head();
}

RegistryResult<void> Registry::Database::load_head() {
  Head now;
  std::string record, before(32, '\0');
  {
    auto rows = last_changes.with();
    if (rows.next()) {
      record = rows.text(0);
      now.hash = rows.text(1);
      if (rows.next()) before = rows.text(1);
    }
    if (rows.failed()) return failed();
  }
  if (!record.empty()) {
    const auto parsed = parse_record(record);
    const Sha256Digest expected = body_hash.add(before).add(record).finish();
    if (!parsed || bytes_of(expected) != now.hash)
      return damaged("the last row of its log is not what was written");
    now.sequence = parsed->change.sequence;
  }
  const auto revision = connection.integer("SELECT max(revision) FROM change");
  const auto table = connection.integer("SELECT max(revision) FROM touch");
  if (!revision || !table) return failed();
  now.revision = static_cast<uint64_t>(*revision);
  now.table_revision = static_cast<uint64_t>(*table);
  head = std::move(now);
  return {};
}

RegistryResult<Change> Registry::Database::write(Change change,
                                                 const std::function<RegistryResult<void>(Entry&)>& work) {
  const auto insert = [&](Entry& entry, Head& next) -> RegistryResult<void> {
    const std::string record = write_record(entry.change, entry.digests);
    const Sha256Digest hash = body_hash.add(head.hash).add(record).finish();
    const auto revision = entry.change.revision == 0 ? std::nullopt : std::optional(entry.change.revision);
    if (!add_change.with(next.sequence, revision, entry.change.wall_ns, record, sqlite::Blob{bytes_of(hash)})
             .run()) {
      return failed();
    }
    for (const auto& [kind, name] : entry.mentions) {
      if (!add_mention.with(to_number(kind), name, next.sequence).run()) return failed();
    }
    next.hash = bytes_of(hash);
    entry.change.hash = to_hex(bytes_of(hash));
    if (entry.change.revision != 0) next.revision = entry.change.revision;
    if (entry.change.object_count != 0) next.table_revision = entry.change.revision;
    return {};
  };

  sqlite::Transaction transaction(connection, sqlite::Transaction::Kind::write);
  if (!transaction.begun()) return failed();
  Head next = head;
  next.sequence++;
  Entry entry{.change = std::move(change), .digests = {}, .mentions = {}};
  entry.change.sequence = next.sequence;
  if (auto done = work(entry); !done) return std::unexpected(std::move(done.error()));
  if (entry.change.object_count == 0) entry.digests.objects = objects_digest.finish();
  if (auto done = insert(entry, next); !done) return std::unexpected(std::move(done.error()));
  if (!transaction.commit()) {
    const RegistryError why = error();
    undo_commit();
    return std::unexpected(why);
  }
  undo_owed = false;
  head = std::move(next);
  return std::move(entry.change);
}

// The log file may hold the whole of what could not be synced, and a crash would bring it to life. Any write
// after it was rolled back takes its place; this one changes nothing. If the disk refuses that too, the next
// commit does, or closing the file.
void Registry::Database::undo_commit() {
  if (connection.in_transaction()) sqlite3_exec(connection.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
  const std::string same = "PRAGMA user_version=" + std::to_string(schema_steps().size());
  undo_owed = sqlite3_exec(connection.handle(), same.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK;
}

RegistryResult<uint64_t> Registry::Database::existing(uint64_t revision) const {
  if (revision <= head.revision) return revision == 0 ? head.revision : revision;
  return refused(Kind::not_found, "there is no revision " + std::to_string(revision) + ": the newest is " +
                                      std::to_string(head.revision));
}

RegistryResult<void> Reading::begin() {
  if (!transaction_.begun()) return database_.failed();
  return database_.reader ? database_.load_head() : RegistryResult<void>();
}

}  // namespace weir::routing
