// Reading the log: which changes, and what they did.
#include <algorithm>
#include <iterator>
#include <limits>

#include "core/limits.h"
#include "routing/registry/database.h"

namespace weir::routing {
namespace {

constexpr int64_t kEver = std::numeric_limits<int64_t>::min();

}  // namespace

RegistryResult<Change> Registry::Database::read_change(const sqlite::Rows& row) {
  auto parsed = parse_record(row.text(0));
  if (!parsed) return damaged("a row of its log is no record");
  parsed->change.hash = to_hex(row.text(1));
  return std::move(parsed->change);
}

// Newest first.
RegistryResult<std::vector<uint64_t>> Registry::Database::sequences_of(ObjectKind kind,
                                                                       const std::string& name,
                                                                       uint64_t before) {
  std::vector<uint64_t> found;
  auto rows = sequences.with(to_number(kind), name, before);
  while (rows.next()) found.push_back(rows.number(0));
  if (rows.failed()) return failed();
  return found;
}

// Those of a change that the query asks for. Of a change of very many (an import) only objects that it names:
// finding the rows of a flag would mean to read them all.
RegistryResult<std::vector<ObjectChange>> Registry::Database::objects_of(const Change& change,
                                                                         const AuditQuery& query) {
  std::vector<ObjectChange> objects;
  const auto take = [&](sqlite::Rows rows) -> RegistryResult<void> {
    while (rows.next()) {
      objects.push_back(
          {.kind = static_cast<ObjectKind>(rows.integer(0)), .name = std::string(rows.text(1))});
    }
    return rows.failed() ? failed() : RegistryResult<void>();
  };
  const auto take_one = [&](ObjectKind kind, const std::string& name) {
    return take(touched_one.with(change.revision, to_number(kind), name));
  };
  const uint32_t most = core::limits::kMaxChangeObjects;
  const bool all = !query.kind && query.flag.empty() && query.tenant.empty();
  const bool few = change.object_count <= most;
  RegistryResult<void> taken;
  if (all || few) {
    taken = take(touched.with(change.revision, most));
  } else {
    if (query.kind && !query.name.empty()) taken = take_one(*query.kind, query.name);
    if (query.kind && query.name.empty()) {
      taken = take(touched_of_kind.with(change.revision, to_number(*query.kind), most));
    }
    if (taken && !query.flag.empty()) taken = take_one(ObjectKind::flag, query.flag);
    if (taken && !query.tenant.empty()) taken = take_one(ObjectKind::tenant, query.tenant);
  }
  if (!taken) return std::unexpected(std::move(taken.error()));
  for (ObjectChange& object : objects) {
    auto before = body_at(object.kind, object.name, change.revision - 1);
    if (!before) return std::unexpected(std::move(before.error()));
    auto after = body_at(object.kind, object.name, change.revision);
    if (!after) return std::unexpected(std::move(after.error()));
    object.before = std::move(*before);
    object.after = std::move(*after);
  }
  if (all || !few) return objects;
  std::erase_if(objects, [&](const ObjectChange& object) {
    Mentions mentions = {{object.kind, object.name}};
    mention(object.kind, object.before.value_or(""), object.after.value_or(""), mentions);
    return !(query.kind && object.kind == *query.kind && (query.name.empty() || query.name == object.name)) &&
           !(!query.flag.empty() && mentions.contains({ObjectKind::flag, query.flag})) &&
           !(!query.tenant.empty() && mentions.contains({ObjectKind::tenant, query.tenant}));
  });
  return objects;
}

RegistryResult<std::string> Registry::hash_of(uint64_t revision) const {
  auto rows = database_->find_change.with(revision);
  if (rows.next()) return to_hex(rows.text(1));
  if (rows.failed()) return database_->failed();
  return "";
}

RegistryResult<std::optional<Change>> Registry::change_of(uint64_t revision) const {
  Database& db = *database_;
  Reading reading(db);
  if (auto begun = reading.begin(); !begun) return std::unexpected(std::move(begun.error()));
  std::optional<Change> change;
  {
    auto rows = db.find_change.with(revision == 0 ? db.head.revision : revision);
    if (rows.next()) {
      auto read = db.read_change(rows);
      if (!read) return std::unexpected(std::move(read.error()));
      change = std::move(*read);
    }
    if (rows.failed()) return db.failed();
  }
  if (!change) return std::nullopt;
  auto objects = db.objects_of(*change, {});
  if (!objects) return std::unexpected(std::move(objects.error()));
  change->objects = std::move(*objects);
  return change;
}

RegistryResult<std::vector<Change>> Registry::audit(const AuditQuery& query) const {
  Database& db = *database_;
  Reading reading(db);
  if (auto begun = reading.begin(); !begun) return std::unexpected(std::move(begun.error()));
  const uint64_t before = query.before_sequence.value_or(std::numeric_limits<int64_t>::max());
  const int64_t since = query.since_wall_ns.value_or(kEver);
  const uint32_t limit = std::min(query.limit, core::limits::kMaxAuditRows);
  std::vector<std::pair<ObjectKind, std::string>> filters;
  if (query.kind) filters.emplace_back(*query.kind, query.name);
  if (!query.flag.empty()) filters.emplace_back(ObjectKind::flag, query.flag);
  if (!query.tenant.empty()) filters.emplace_back(ObjectKind::tenant, query.tenant);

  std::vector<Change> changes;
  const auto take = [&](sqlite::Rows rows) -> RegistryResult<void> {
    while (rows.next()) {
      auto change = db.read_change(rows);
      if (!change) return std::unexpected(std::move(change.error()));
      changes.push_back(std::move(*change));
    }
    return rows.failed() ? db.failed() : RegistryResult<void>();
  };
  if (filters.empty()) {
    if (auto taken = take(db.changes_before.with(before, since, limit)); !taken) {
      return std::unexpected(std::move(taken.error()));
    }
  } else {
    std::vector<uint64_t> matching;
    for (const auto& [kind, name] : filters) {
      auto found = db.sequences_of(kind, name, before);
      if (!found) return std::unexpected(std::move(found.error()));
      if (&name == &filters.front().second) {
        matching = std::move(*found);
        continue;
      }
      std::vector<uint64_t> both;
      std::ranges::set_intersection(matching, *found, std::back_inserter(both), std::greater());
      matching = std::move(both);
    }
    for (size_t i = 0; i < matching.size() && changes.size() < limit; i++) {
      if (auto taken = take(db.change_at.with(matching[i], since)); !taken) {
        return std::unexpected(std::move(taken.error()));
      }
    }
  }
  if (!query.with_bodies) return changes;
  for (Change& change : changes) {
    if (change.object_count == 0) continue;
    auto objects = db.objects_of(change, query);
    if (!objects) return std::unexpected(std::move(objects.error()));
    change.objects = std::move(*objects);
  }
  return changes;
}

}  // namespace weir::routing
