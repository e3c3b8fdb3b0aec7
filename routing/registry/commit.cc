// Making a change durable: objects, kills, and what audit() finds the change by.
#include <algorithm>

#include "routing/registry/database.h"
#include "routing/registry/mentions.h"

namespace weir::routing {
namespace {

using Kind = RegistryError::Kind;

std::string shown(const ObjectChange& object) {
  return std::string(to_string(object.kind)) + " " + object.name;
}

}  // namespace

RegistryResult<uint64_t> Registry::commit(const Commit& commit) {
  Database& db = *database_;
  // Kills make revisions, and leave the table as it is.
  if (commit.based_on && (*commit.based_on < db.head.table_revision || *commit.based_on > db.head.revision)) {
    return db.refused(Kind::stale, "the change is based on revision " + std::to_string(*commit.based_on) +
                                       ", the table's newest is " + std::to_string(db.head.table_revision) +
                                       ": read that and decide again");
  }
  Change change{.revision = db.head.revision + 1,
                .wall_ns = commit.wall_ns,
                .actor = commit.actor,
                .action = commit.action,
                .target = commit.target,
                .reason = commit.reason,
                .based_on = commit.based_on,
                .approved_by = commit.approved_by,
                .detail = commit.detail};
  auto written = db.write(std::move(change), [&](Database::Entry& entry) -> RegistryResult<void> {
    if (auto done = db.write_objects(commit.objects, entry); !done) return done;
    if (auto done = db.write_kills(commit, entry); !done) return done;
    return commit.proposal == 0 ? RegistryResult<void>() : db.mark_applied(commit.proposal, entry);
  });
  if (!written) return std::unexpected(std::move(written.error()));
  return written->revision;
}

// In the order of the tables' keys: a million rows are appended, not scattered.
RegistryResult<void> Registry::Database::write_objects(const std::vector<ObjectChange>& objects,
                                                       Entry& entry) {
  std::vector<const ObjectChange*> sorted;
  sorted.reserve(objects.size());
  for (const ObjectChange& object : objects) sorted.push_back(&object);
  const auto key = [](const ObjectChange* object) {
    return std::pair(object->kind, std::string_view(object->name));
  };
  if (!std::ranges::is_sorted(sorted, {}, key)) std::ranges::stable_sort(sorted, {}, key);
  objects_digest.finish();  // whatever a failed change left behind
  for (size_t i = 0; i < sorted.size(); i++) {
    if (i + 1 < sorted.size() && key(sorted[i]) == key(sorted[i + 1])) continue;  // the last one counts
    auto done = write_object(*sorted[i], entry);
    if (!done) return std::unexpected(std::move(done.error()));
    entry.change.object_count += *done;
  }
  entry.digests.objects = objects_digest.finish();
  return {};
}

// False: nothing to change.
RegistryResult<bool> Registry::Database::write_object(const ObjectChange& object, Entry& entry) {
  const int64_t kind = to_number(object.kind);
  std::optional<std::string> before;
  if (head.revision != 0) {
    auto now = body_at(object.kind, object.name, head.revision);
    if (!now) return std::unexpected(std::move(now.error()));
    before = std::move(*now);
  }
  if (before == object.after) return false;
  if (is_immutable(object.kind) && object.after && head.revision != 0) {
    auto rows = any_body.with(kind, object.name);
    if (rows.next() && rows.text(0) != *object.after) {
      return std::unexpected(RegistryError{
          Kind::conflict_immutable,
          shown(object) + " has another body already, and a " + std::string(to_string(object.kind)) +
              " never changes under its name, not even when it was deleted: give the new one a new "
              "name",
          shown(object)});
    }
    if (rows.failed()) return failed();
  }
  std::string_view digest;
  Sha256Digest hash;
  if (object.after) {
    hash = body_hash.add(*object.after).finish();
    digest = bytes_of(hash);
  }
  const auto blob = object.after ? std::optional(sqlite::Blob{digest}) : std::nullopt;
  if (!add_object.with(kind, object.name, entry.change.revision, object.after).run() ||
      !add_touch.with(entry.change.revision, kind, object.name, blob).run()) {
    return failed();
  }
  objects_digest.add(object.kind, object.name, digest);
  mention(object.kind, before ? std::string_view(*before) : std::string_view(),
          object.after ? std::string_view(*object.after) : std::string_view(), entry.mentions);
  return true;
}

RegistryResult<void> Registry::Database::write_kills(const Commit& commit, Entry& entry) {
  for (const Kill& kill : commit.unkilled) {
    const auto scope = static_cast<int>(kill.scope);
    {
      auto rows = find_kill.with(scope, kill.name);
      if (rows.next()) {
        entry.change.unkilled.push_back({kill.scope, kill.name, std::string(rows.text(0)), rows.integer(1)});
      } else if (rows.failed()) {
        return failed();
      } else {
        continue;
      }
    }
    if (!drop_kill.with(scope, kill.name).run()) return failed();
    mention(kill, entry.mentions);
  }
  for (const Kill& kill : commit.killed) {
    if (!add_kill.with(static_cast<int>(kill.scope), kill.name, kill.reason, kill.since_wall_ns).run()) {
      return failed();
    }
    if (sqlite3_changes(connection.handle()) == 0) continue;
    entry.change.killed.push_back(kill);
    mention(kill, entry.mentions);
  }
  return {};
}

}  // namespace weir::routing
