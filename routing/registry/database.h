// The inside of a Registry: its connection, its statements, and where the log stands. Shared by the sources
// of routing/registry, which each do a part of Registry's work.
#pragma once

#include <functional>

#include "core/file.h"
#include "routing/registry/change_record.h"
#include "routing/registry/mentions.h"
#include "routing/registry/registry.h"
#include "routing/registry/sqlite.h"

namespace weir::routing {

constexpr int64_t to_number(ObjectKind kind) {
  return static_cast<int64_t>(kind);
}

struct Registry::Database {
  // Where the log ends.
  struct Head {
    uint64_t sequence = 0;
    uint64_t revision = 0;
    uint64_t table_revision = 0;
    std::string hash = std::string(32, '\0');  // raw; zeros before the first row
  };

  // A row of the log under way.
  struct Entry {
    Change change;
    RecordDigests digests;
    Mentions mentions;
  };

  Options options;
  std::string uri;
  std::unique_ptr<core::FileLock> lock;  // none: in memory, a simulated disk, a reader
  bool reader = false;
  sqlite::Connection connection;  // before the statements, which must go first
  Head head;
  Sha256 body_hash;
  ObjectsDigest objects_digest;

  bool in_memory() const { return options.path == ":memory:"; }

  // ---- database.cc ----
  RegistryResult<void> open_file();
  RegistryResult<void> open_reader(const Database& writer);
  // Brings `head` up to date, and checks that the last row of the log is what was written.
  RegistryResult<void> load_head();
  // Does `work` and adds its row to the log, in one transaction: durable when it returns, or nothing is
  // there. `entry` has all but sequence and objects.
  RegistryResult<Change> write(Change change, const std::function<RegistryResult<void>(Entry&)>& work);

  void settle();
  void undo_commit();
  bool undo_owed = false;  // the disk refused it

  // Why the last call of SQLite failed, as a sentence.
  RegistryError error() const;
  std::unexpected<RegistryError> failed() const { return std::unexpected(error()); }
  std::unexpected<RegistryError> damaged(const std::string& what) const;
  std::unexpected<RegistryError> refused(RegistryError::Kind kind, std::string message) const;
  // The newest for 0; not_found for one that was not made yet.
  RegistryResult<uint64_t> existing(uint64_t revision) const;

  // ---- commit.cc ----
  RegistryResult<void> write_objects(const std::vector<ObjectChange>& objects, Entry& entry);
  RegistryResult<bool> write_object(const ObjectChange& object, Entry& entry);
  RegistryResult<void> write_kills(const Commit& commit, Entry& entry);
  RegistryResult<void> mark_applied(uint64_t id, Entry& entry);

  // ---- registry.cc ----
  RegistryResult<std::optional<std::string>> body_at(ObjectKind kind, std::string_view name,
                                                     uint64_t revision);

  // ---- audit.cc ----
  RegistryResult<Change> read_change(const sqlite::Rows& row);  // record and hash; without objects
  RegistryResult<std::vector<uint64_t>> sequences_of(ObjectKind kind, const std::string& name,
                                                     uint64_t before);
  RegistryResult<std::vector<ObjectChange>> objects_of(const Change& change, const AuditQuery& query);

  // ---- proposals.cc ----
  RegistryResult<void> store_proposal(const Proposal& proposal, Entry& entry);

  sqlite::Statement last_changes{connection,
                                 "SELECT record, hash FROM change ORDER BY sequence DESC LIMIT 2"};
  sqlite::Statement add_change{connection, "INSERT INTO change VALUES (?, ?, ?, ?, ?)"};
  sqlite::Statement add_mention{connection, "INSERT OR IGNORE INTO mention VALUES (?, ?, ?)"};
  sqlite::Statement add_object{connection, "INSERT INTO object VALUES (?, ?, ?, ?)"};
  sqlite::Statement add_touch{connection, "INSERT INTO touch VALUES (?, ?, ?, ?)"};
  sqlite::Statement any_body{
      connection, "SELECT body FROM object WHERE kind = ? AND name = ? AND body IS NOT NULL LIMIT 1"};
  sqlite::Statement find_body{connection,
                              "SELECT body FROM object WHERE kind = ? AND name = ? AND revision <= ? "
                              "ORDER BY revision DESC LIMIT 1"};
  sqlite::Statement all_objects{connection,
                                "SELECT kind, name, revision, body FROM object WHERE kind <= ? "
                                "ORDER BY kind, name, revision DESC"};
  sqlite::Statement touched{connection,
                            "SELECT kind, name FROM touch WHERE revision = ? ORDER BY kind, name LIMIT ?"};
  sqlite::Statement touched_of_kind{
      connection, "SELECT kind, name FROM touch WHERE revision = ? AND kind = ? ORDER BY name LIMIT ?"};
  sqlite::Statement touched_one{connection,
                                "SELECT kind, name FROM touch WHERE revision = ? AND kind = ? AND name = ?"};
  sqlite::Statement touched_between{connection,
                                    "SELECT DISTINCT kind, name FROM touch "
                                    "WHERE revision > ? AND revision <= ? ORDER BY kind, name"};
  sqlite::Statement versions{connection,
                             "SELECT revision FROM object WHERE kind = ? AND name = ? "
                             "ORDER BY revision DESC LIMIT ?"};
  sqlite::Statement find_change{connection, "SELECT record, hash FROM change WHERE revision = ?"};
  sqlite::Statement change_at{connection,
                              "SELECT record, hash FROM change WHERE sequence = ? AND wall_ns >= ?"};
  sqlite::Statement changes_before{connection,
                                   "SELECT record, hash FROM change WHERE sequence < ? AND wall_ns >= ? "
                                   "ORDER BY sequence DESC LIMIT ?"};
  sqlite::Statement sequences{
      connection,
      "SELECT sequence FROM mention WHERE kind = ?1 AND name = ?2 AND sequence < ?3 UNION "
      "SELECT change.sequence FROM object JOIN change ON change.revision = object.revision "
      "WHERE object.kind = ?1 AND object.name = ?2 AND change.sequence < ?3 ORDER BY 1 DESC"};
  sqlite::Statement find_time{connection, "SELECT max(revision) FROM change WHERE wall_ns <= ?"};
  sqlite::Statement add_kill{
      connection, "INSERT OR IGNORE INTO kill (scope, name, reason, since_wall_ns) VALUES (?, ?, ?, ?)"};
  sqlite::Statement find_kill{connection,
                              "SELECT reason, since_wall_ns FROM kill WHERE scope = ? AND name = ?"};
  sqlite::Statement drop_kill{connection, "DELETE FROM kill WHERE scope = ? AND name = ?"};
  sqlite::Statement all_kills{connection, "SELECT scope, name, reason, since_wall_ns FROM kill ORDER BY id"};
  sqlite::Statement put_label{connection, "INSERT OR REPLACE INTO label VALUES (?, ?)"};
  sqlite::Statement find_label{connection, "SELECT revision FROM label WHERE name = ?"};
  sqlite::Statement put_proposal{connection, "INSERT OR REPLACE INTO proposal VALUES (?, ?, ?)"};
  sqlite::Statement find_proposal{connection, "SELECT record FROM proposal WHERE id = ?"};
  sqlite::Statement last_proposal{connection, "SELECT max(id) FROM proposal"};
  // The newest, in order.
  sqlite::Statement all_proposals{
      connection, "SELECT record FROM (SELECT id, record FROM proposal ORDER BY id DESC LIMIT ?) ORDER BY id"};
  sqlite::Statement open_proposals{connection,
                                   "SELECT record FROM (SELECT id, record FROM proposal WHERE state = 0 "
                                   "ORDER BY id DESC LIMIT ?) ORDER BY id"};
};

// A view of the registry that does not move while it is read: others may commit meanwhile. Holds nobody up.
class Reading {
 public:
  explicit Reading(Registry::Database& database)
      : database_(database), transaction_(database.connection, sqlite::Transaction::Kind::read) {}

  RegistryResult<void> begin();

 private:
  Registry::Database& database_;
  sqlite::Transaction transaction_;
};

}  // namespace weir::routing
