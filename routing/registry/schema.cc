#include "routing/registry/schema.h"

#include <array>

namespace weir::routing {
namespace {

// `kind` is ObjectKind, `scope` KillScope, `state` Proposal::State. A body that is NULL: the object is gone.
// Tables without rowid are kept in the order of their keys, which is the order they are read in: newest
// version first.
constexpr const char* kFirst = R"(
  CREATE TABLE object (
    kind INTEGER NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, body TEXT,
    PRIMARY KEY (kind, name, revision DESC)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE touch (
    revision INTEGER NOT NULL, kind INTEGER NOT NULL, name TEXT NOT NULL, digest BLOB,
    PRIMARY KEY (revision, kind, name)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE change (
    sequence INTEGER PRIMARY KEY, revision INTEGER UNIQUE, wall_ns INTEGER NOT NULL,
    record TEXT NOT NULL, hash BLOB NOT NULL
  ) STRICT;
  CREATE INDEX change_by_time ON change (wall_ns, revision);
  CREATE TABLE mention (
    kind INTEGER NOT NULL, name TEXT NOT NULL, sequence INTEGER NOT NULL,
    PRIMARY KEY (kind, name, sequence)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE kill (
    id INTEGER PRIMARY KEY, scope INTEGER NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL,
    since_wall_ns INTEGER NOT NULL, UNIQUE (scope, name)
  ) STRICT;
  CREATE TABLE label (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE proposal (id INTEGER PRIMARY KEY, state INTEGER NOT NULL, record TEXT NOT NULL) STRICT;
  CREATE INDEX proposal_open ON proposal (id) WHERE state = 0;
)";

constexpr auto kSteps = std::to_array<const char*>({kFirst});

}  // namespace

std::span<const char* const> schema_steps() {
  return kSteps;
}

}  // namespace weir::routing
