// What has been decided and must not be lost: every object of the table with its history, what is killed, and
// who changed what, when and why (DESIGN section 7). One SQLite file, no server.
//
//   object    (kind, name, revision) ─▶ body or gone                   every table there ever was
//   change    one row per acknowledged change, hash-chained            the audit log
//   touch     (revision, kind, name) ─▶ SHA-256 of the body            what a change did; what verify() holds
//   bodies to mention   (kind, name) ─▶ sequences of changes                     audit by tenant or flag
//   without a scan kill      what is switched off now label     names of revisions such as known_good
//   proposal     changes that wait for approval
//
//   commit(change) ─▶ object, touch, mention, kill, change: one transaction, fsync ─▶ revision
//
// Invariants
//   1. A revision is a number from 1 that each commit takes next. What a revision holds never changes
//      afterwards: rows of object, touch, mention and change are added, never updated and never deleted.
//   2. commit() returns after the transaction is durable (WAL, synchronous=FULL), or nothing of it is there. Only
//      when the disk fails at undoing it too, and the process ends by force before another change or close(), may it
//      come back, whole. open() makes durable what it finds, where the disk lets it.
//      Work of a commit does not grow with the registry.
//   3. Row n of the log holds SHA-256(hash of row n-1 ‖ its record), the record being canonical JSON that
//      holds the digest of what the change touched. verify() recomputes it all: a flipped byte is named. Who
//      can write the file can also write a whole new chain: a `hash` that was noted elsewhere tells (the
//      operational log has it).
//   4. Units and prompts are immutable: the same name with another body is refused (conflict_immutable), also
//      after it was deleted.
//   5. One writer: a second open() of the same file is refused until the first is closed or its process is
//      gone.
//   6. After an error the registry is usable: the next call works as soon as what was wrong is mended.
//   7. No secret is here: a table holds references to credentials and keyed hashes of keys only.
//
// Thread: one at a time; in production the registry's own worker, since fsync waits for the disk. What reads
// long (verify(), document(), read_objects() of a large table) runs on a reader() in another thread, and
// holds up nobody.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "routing/table/kills.h"
#include "routing/table/objects.h"

namespace weir::routing {

// Why a registry could not do what was asked. `message` is one sentence for an operator with what to do; it
// names the file where that matters.
struct RegistryError {
  enum class Kind : uint8_t {
    disk_full,           // 507
    unavailable,         // 503: read-only, I/O error, locked by another process
    corrupt,             // the file is no registry or is damaged
    newer,               // written by a newer weir
    conflict_immutable,  // 409: unit or prompt with another body
    not_found,           // no such revision, label, proposal
    stale,               // 409: the table has changed since the revision it is based on
  };
  Kind kind;
  std::string message;
  std::string object = {};  // "unit support-41", when one object is at fault
};
template <typename T>
using RegistryResult = std::expected<T, RegistryError>;

// Who asks: from the socket's peer credentials or from a token.
struct Actor {
  std::string name;  // "alice", "uid 1000", "token ci"
  std::string role;  // viewer, operator, approver, admin; "weir" for imports

  friend bool operator==(const Actor&, const Actor&) = default;
};

// What is to be made durable.
struct Commit {
  Actor actor;
  std::string action;  // import, replace, put, patch, delete, row, kill, unkill, rollback, ...
  std::string target;  // for people: "tenant bank-17", "flag support-v2", "kill unit x"; may be empty
  std::string reason;
  std::optional<uint64_t> based_on = {};  // refused as stale when an object has changed since
  std::vector<Actor> approved_by = {};
  // Each object once. `before` is not read: the registry knows it. What is there already as it is asked for,
  // or is gone already, is no change and leaves no trace.
  std::vector<ObjectChange> objects = {};
  std::vector<Kill> killed = {};    // added to the list; one that is there stays as it is
  std::vector<Kill> unkilled = {};  // scope and name count
  std::string detail = {};          // JSON kept in the log row: rollback evidence, note, ...; may be empty
  int64_t wall_ns = 0;
  uint64_t proposal = 0;  // that this carries out: `applied` in the same transaction; 0 = none
};

// A row of the log.
struct Change {
  uint64_t sequence = 0;  // from 1, no gaps
  uint64_t revision = 0;  // that it made; 0 = none: a label, an event of a proposal, a purge
  int64_t wall_ns = 0;
  Actor actor = {};
  std::string action = {};  // of Commit; or label, propose, approve, withdraw, ... (update_proposal())
  std::string target = {};
  std::string reason = {};
  std::optional<uint64_t> based_on = {};
  std::vector<Actor> approved_by = {};
  // With before and after; by kind, then name. At most limits::kMaxChangeObjects of those that the query asks
  // for (changed_between() has all of them).
  std::vector<ObjectChange> objects = {};
  uint64_t object_count = 0;                     // that it touched
  std::vector<Kill> killed = {}, unkilled = {};  // what took effect
  std::string detail = {};
  uint64_t proposal = 0;  // that it made, changed or carried out; 0 = none
  std::string hash = {};  // 64 hex digits
};

// Which changes; every filter that is set must fit. Objects and kills count; for a flag also the rows of
// tenants that name it, for a tenant also its keys.
struct AuditQuery {
  std::optional<ObjectKind> kind = {};  // changes that touch an object of this kind ...
  std::string name = {};                // ... and name
  std::string flag = {};
  std::string tenant = {};
  std::optional<int64_t> since_wall_ns = {};
  std::optional<uint64_t> before_sequence = {};  // for paging, newest first
  uint32_t limit = 100;                          // at most limits::kMaxAuditRows
  bool with_bodies = true;                       // false: `objects` stays empty
};

struct Verification {
  uint64_t changes = 0;             // rows of the log that were checked
  uint64_t objects = 0;             // bodies checked
  std::vector<std::string> faults;  // empty = all is as it was written; each names row or object and revision
};

// A change that waits for approvals.
struct Proposal {
  enum class State : uint8_t { open, applied, withdrawn, stale };  // stored: append only

  uint64_t id = 0;  // from 1
  Actor author = {};
  int64_t wall_ns = 0;
  uint64_t based_on = 0;
  std::string action = {}, target = {}, reason = {};
  std::vector<ObjectChange> objects = {};  // with before and after, as proposed
  std::vector<std::string> required = {};  // roles, in order
  std::vector<Actor> approvals = {};       // given so far, in order
  State state = State::open;
};
std::string_view to_string(Proposal::State state);

// Who did something that changes no object, and why: it becomes a row of the log.
struct Deed {
  Actor actor;
  std::string action;  // label, propose, approve, withdraw, edit, purge, ...
  std::string reason;
  int64_t wall_ns = 0;
};

class Registry {
 public:
  struct Options {
    std::string path;      // ":memory:" = nothing outlives the process. Its folder is made when it is missing
    bool create = true;    // false: not_found when there is no file
    std::string vfs = {};  // a registered SQLite VFS instead of the system's files: a simulated disk
  };
  static RegistryResult<std::unique_ptr<Registry>> open(const Options& options);
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // A second look at the same registry, for reading in another thread; sees what is committed when a call
  // begins.
  RegistryResult<std::unique_ptr<const Registry>> reader() const;

  // 0 = nothing was committed yet: import a table first.
  uint64_t revision() const;
  // The newest revision that changed an object; kills do not.
  uint64_t table_revision() const;
  // The newest row of the log, as hex digits: what vouches for all that was written.
  std::string head_hash() const;

  // Revision that was made. On error nothing of it is there.
  RegistryResult<uint64_t> commit(const Commit& change);

  // Moves what the log file (-wal) holds into the database, which else some later commit does and takes
  // longer for. To be called when nobody waits. Nothing is lost when it fails.
  void settle();

  // ---- reading; a revision of 0 stands for the newest ----
  // Every object as it stood at `revision`: kinds in the order of the enum, then by name (bytes).
  // Kinds after `last` are left out, at no cost: tenants and keys are most of a large table.
  RegistryResult<void> read_objects(uint64_t revision, const std::function<void(const ObjectView&)>& each,
                                    ObjectKind last = ObjectKind::key) const;
  RegistryResult<std::optional<std::string>> read_object(uint64_t revision, ObjectKind kind,
                                                         std::string_view name) const;
  // Objects that differ between two revisions, by kind and name; `before` as of `from`, `after` as of `to`.
  // `from` may be the later one: the result then takes the table back.
  RegistryResult<std::vector<ObjectChange>> changed_between(uint64_t from, uint64_t to) const;
  // The document at `revision` as JSON, without the kinds after `last`.
  RegistryResult<std::string> document(uint64_t revision, ObjectKind last = ObjectKind::key) const;
  // In the order they were added.
  RegistryResult<std::vector<Kill>> kills() const;
  // The newest revision at that time; not_found when there was none.
  RegistryResult<uint64_t> revision_at(int64_t wall_ns) const;
  // Of the row of the log that made it, as hex digits; empty: there is no such revision.
  RegistryResult<std::string> hash_of(uint64_t revision) const;
  // None: there is no such revision.
  RegistryResult<std::optional<Change>> change_of(uint64_t revision) const;
  // Revisions that touched an object, newest first.
  RegistryResult<std::vector<uint64_t>> revisions_of(ObjectKind kind, std::string_view name,
                                                     uint32_t limit) const;

  RegistryResult<std::vector<Change>> audit(const AuditQuery& query) const;
  // Long work: `progress` (may be empty) hears rows done of all.
  RegistryResult<Verification> verify(const std::function<void(uint64_t done, uint64_t all)>& progress) const;

  // A row of the log about something that was done with an object's name and is kept nowhere else: audit()
  // finds it by that. `detail` as in Commit. It makes no revision.
  RegistryResult<void> log(ObjectKind kind, std::string_view name, std::string detail, const Deed& deed);

  // ---- labels, proposals; each change of one is a row of the log, and makes no revision ----
  RegistryResult<void> set_label(std::string_view name, uint64_t revision, const Deed& deed);
  RegistryResult<std::optional<uint64_t>> label(std::string_view name) const;
  // The id it got; `id` is not read.
  RegistryResult<uint64_t> add_proposal(const Proposal& proposal, const Deed& deed);
  // Puts `proposal` in the place of the one with its id.
  RegistryResult<void> update_proposal(const Proposal& proposal, const Deed& deed);
  RegistryResult<std::optional<Proposal>> proposal(uint64_t id) const;
  // The newest limits::kMaxAuditRows, by id.
  RegistryResult<std::vector<Proposal>> proposals(bool open_only) const;

  struct Database;  // the inside, for the sources of routing/registry

 private:
  explicit Registry(std::unique_ptr<Database> database);
  std::unique_ptr<Database> database_;
};

}  // namespace weir::routing
