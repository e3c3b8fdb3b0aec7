// What has been decided and must not be lost: every object of the table with its history, what is killed, and
// who changed what, when and why (DESIGN section 7). One SQLite file, no server.
//
//   object   (kind, name) × [first revision, last revision) ─▶ body       every table there ever was
//   change   one row per acknowledged change, hash-chained                 the audit log
//   kill     what is switched off now
//   proposal changes that wait for approval      label    revision names such as known_good
//   bundle   what a rollback undid: settings before and after, evidence, note
//
//   commit(change) ─▶ objects' histories + kills + log row, one transaction, fsync ─▶ revision
//
// Invariants
//   1. A revision is a number from 1 that each commit takes next. What a revision holds never changes afterwards:
//      objects are closed and added, rows are never updated otherwise, and nothing of the log is deleted.
//   2. commit() returns after the transaction is durable (WAL, synchronous=FULL), or nothing of it is there.
//   3. Row n of the log holds SHA-256(hash of row n-1 ‖ canonical JSON of row n). verify() recomputes the chain
//      and holds the objects' bodies against the digests in it: a flipped byte is named.
//   4. Units and prompts are immutable: the same name with another body is refused (conflict_immutable), also after it was
//      deleted.
//   5. No secret is here: a table holds references to credentials and keyed hashes of keys only.
//
// Thread: one at a time; in production the registry's own worker, since fsync waits for the disk.
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

// Why a registry could not do what was asked. `message` is one sentence for an operator with what to do; it names the
// file where that matters.
struct RegistryError {
  enum class Kind : uint8_t {
    disk_full,           // 507
    unavailable,         // 503: read-only, I/O error, locked by another process
    corrupt,             // the file is no registry or is damaged
    newer,               // written by a newer weir
    conflict_immutable,  // 409: unit or prompt with another body
    not_found,           // no such revision, label, proposal
    stale,               // 409: based on another revision than the newest
  };
  Kind kind;
  std::string message;
  std::string object = {};  // "unit support-41", when one object is at fault
};
template <typename T>
using RegistryResult = std::expected<T, RegistryError>;

// Who asks: from the socket's peer credentials or from a token.
struct Actor {
  std::string name;             // "alice", "uid 1000", "token ci"
  std::string role;             // viewer, operator, approver, admin; "weir" for imports
};

// What is to be made durable.
struct Commit {
  Actor actor;
  std::string action;           // import, replace, put, patch, delete, row, kill, unkill, rollback, ...
  std::string target;           // for people and queries: "tenant bank-17", "flag support-v2", "kill unit x"; may be empty
  std::string reason;
  std::optional<uint64_t> based_on;     // refused as stale unless it is the newest revision
  std::vector<Actor> approved_by;
  std::vector<ObjectChange> objects;    // `before` is filled in by commit() where the caller left it out
  std::vector<Kill> killed;             // added to the list
  std::vector<Kill> unkilled;           // scope and name count
  std::string detail = {};              // canonical JSON kept in the log row: rollback evidence, note, ...
  int64_t wall_ns = 0;
};

// A row of the log.
struct Change {
  uint64_t sequence = 0;        // from 1, no gaps
  uint64_t revision = 0;        // that it made
  int64_t wall_ns = 0;
  Actor actor;
  std::string action;
  std::string target;
  std::string reason;
  std::optional<uint64_t> based_on;
  std::vector<Actor> approved_by;
  std::vector<ObjectChange> objects;    // with before and after; empty bodies where only digests were asked for
  std::vector<Kill> killed, unkilled;
  std::string detail;
  std::string hash;             // 64 hex digits
};

struct AuditQuery {
  std::optional<ObjectKind> kind;       // changes that touch an object of this kind ...
  std::string name;                     // ... and name
  std::string flag;                     // changes of this flag: the object, its rows, its kills
  std::string tenant;                   // changes of this tenant
  std::optional<int64_t> since_wall_ns;
  std::optional<uint64_t> before_sequence;   // for paging, newest first
  uint32_t limit = 100;                 // at most kMaxAuditRows
  bool with_bodies = true;
};

struct Verification {
  uint64_t changes = 0;         // rows checked
  uint64_t objects = 0;         // bodies checked
  std::vector<std::string> faults;   // empty = all is as it was written; each names row or object and revision
};

// A change that waits for approvals.
struct Proposal {
  uint64_t id = 0;              // from 1
  Actor author;
  int64_t wall_ns = 0;
  uint64_t based_on = 0;
  std::string action, target, reason;
  std::vector<ObjectChange> objects;
  std::vector<std::string> required;    // roles, in order
  std::vector<Actor> approvals;         // given so far, in order
  std::string state;                    // open, applied, withdrawn, void
};

class Registry {
 public:
  struct Options {
    std::string path;           // ":memory:" = nothing outlives the process
    bool create = true;
    // Makes the folder of `path` too when it is missing (one level).
  };
  struct Opened;
  static RegistryResult<std::unique_ptr<Registry>> open(const Options& options);
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // 0 = nothing was committed yet: import a table first.
  uint64_t revision() const;
  // The newest revision that changed an object; kills do not.
  uint64_t table_revision() const;

  // Revision that was made. On error nothing of it is there.
  RegistryResult<uint64_t> commit(Commit change);

  // ---- reading; a revision of 0 stands for the newest ----
  // Every object as it stood at `revision`, in the order split_document() gives.
  RegistryResult<void> read_objects(uint64_t revision, const std::function<void(const ObjectView&)>& each) const;
  RegistryResult<std::optional<std::string>> read_object(uint64_t revision, ObjectKind kind, std::string_view name) const;
  // Objects that differ between two revisions, with both bodies.
  RegistryResult<std::vector<ObjectChange>> changed_between(uint64_t from, uint64_t to) const;
  // The document at `revision` as JSON.
  RegistryResult<std::string> document(uint64_t revision) const;
  RegistryResult<std::vector<Kill>> kills() const;
  // The newest revision at that time.
  RegistryResult<uint64_t> revision_at(int64_t wall_ns) const;
  RegistryResult<std::optional<Change>> change_of(uint64_t revision) const;

  RegistryResult<std::vector<Change>> audit(const AuditQuery& query) const;
  // Long work: `progress` (may be empty) hears rows done of all.
  RegistryResult<Verification> verify(const std::function<void(uint64_t done, uint64_t all)>& progress) const;

  // ---- labels, proposals, bundles ----
  RegistryResult<void> set_label(std::string_view name, uint64_t revision, const Actor& actor, int64_t wall_ns);
  RegistryResult<std::optional<uint64_t>> label(std::string_view name) const;
  RegistryResult<uint64_t> add_proposal(const Proposal& proposal);
  RegistryResult<void> update_proposal(const Proposal& proposal);
  RegistryResult<std::optional<Proposal>> proposal(uint64_t id) const;
  RegistryResult<std::vector<Proposal>> proposals(bool open_only) const;

 private:
  struct Database;
  explicit Registry(std::unique_ptr<Database> database);
  std::unique_ptr<Database> database_;
};

}  // namespace weir::routing
