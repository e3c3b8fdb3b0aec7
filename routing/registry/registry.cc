#include "routing/registry/registry.h"

#include "routing/registry/database.h"

namespace weir::routing {
namespace {

using Kind = RegistryError::Kind;

}  // namespace

Registry::Registry(std::unique_ptr<Database> database) : database_(std::move(database)) {}
Registry::~Registry() {
  if (database_->undo_owed) database_->undo_commit();
}

RegistryResult<std::unique_ptr<Registry>> Registry::open(const Options& options) {
  auto database = std::make_unique<Database>();
  database->options = options;
  if (auto opened = database->open_file(); !opened) return std::unexpected(std::move(opened.error()));
  return std::unique_ptr<Registry>(new Registry(std::move(database)));
}

RegistryResult<std::unique_ptr<const Registry>> Registry::reader() const {
  auto database = std::make_unique<Database>();
  if (auto opened = database->open_reader(*database_); !opened) {
    return std::unexpected(std::move(opened.error()));
  }
  return std::unique_ptr<const Registry>(new Registry(std::move(database)));
}

uint64_t Registry::revision() const {
  return database_->head.revision;
}

uint64_t Registry::table_revision() const {
  return database_->head.table_revision;
}

std::string Registry::head_hash() const {
  return to_hex(database_->head.hash);
}

void Registry::settle() {
  database_->settle();
}

RegistryResult<std::optional<std::string>> Registry::Database::body_at(ObjectKind kind, std::string_view name,
                                                                       uint64_t revision) {
  auto rows = find_body.with(to_number(kind), name, revision);
  if (rows.next()) return rows.is_null(0) ? std::nullopt : std::optional(std::string(rows.text(0)));
  if (rows.failed()) return failed();
  return std::nullopt;
}

RegistryResult<void> Registry::read_objects(uint64_t revision,
                                            const std::function<void(const ObjectView&)>& each,
                                            ObjectKind last) const {
  Database& db = *database_;
  Reading reading(db);
  if (auto begun = reading.begin(); !begun) return begun;
  const auto at = db.existing(revision);
  if (!at) return std::unexpected(at.error());
  auto rows = db.all_objects.with(to_number(last));
  int64_t kind = -1;  // of the object whose newest row at this revision was seen
  std::string name;
  while (rows.next()) {
    const ObjectView object{static_cast<ObjectKind>(rows.integer(0)), rows.text(1), rows.text(3)};
    if (rows.number(2) > *at || (rows.integer(0) == kind && object.name == name)) continue;
    kind = rows.integer(0);
    name = object.name;
    if (kind < 0 || kind >= kObjectKindCount) return db.damaged("an object of no known kind");
    if (!rows.is_null(3)) each(object);
  }
  return rows.failed() ? db.failed() : RegistryResult<void>();
}

RegistryResult<std::optional<std::string>> Registry::read_object(uint64_t revision, ObjectKind kind,
                                                                 std::string_view name) const {
  Reading reading(*database_);
  if (auto begun = reading.begin(); !begun) return std::unexpected(std::move(begun.error()));
  const auto at = database_->existing(revision);
  if (!at) return std::unexpected(at.error());
  return database_->body_at(kind, name, *at);
}

RegistryResult<std::vector<ObjectChange>> Registry::changed_between(uint64_t from, uint64_t to) const {
  Database& db = *database_;
  Reading reading(db);
  if (auto begun = reading.begin(); !begun) return std::unexpected(std::move(begun.error()));
  const auto first = db.existing(from);
  if (!first) return std::unexpected(first.error());
  const auto last = db.existing(to);
  if (!last) return std::unexpected(last.error());
  std::vector<ObjectChange> changes;
  auto rows = db.touched_between.with(std::min(*first, *last), std::max(*first, *last));
  while (rows.next()) {
    ObjectChange change{.kind = static_cast<ObjectKind>(rows.integer(0)), .name = std::string(rows.text(1))};
    auto before = db.body_at(change.kind, change.name, *first);
    if (!before) return std::unexpected(std::move(before.error()));
    auto after = db.body_at(change.kind, change.name, *last);
    if (!after) return std::unexpected(std::move(after.error()));
    if (*before == *after) continue;
    change.before = std::move(*before);
    change.after = std::move(*after);
    changes.push_back(std::move(change));
  }
  if (rows.failed()) return db.failed();
  return changes;
}

RegistryResult<std::string> Registry::document(uint64_t revision, ObjectKind last) const {
  DocumentBuilder builder;
  auto read = read_objects(revision, [&](const ObjectView& object) { builder.add(object); }, last);
  if (!read) return std::unexpected(std::move(read.error()));
  return builder.take();
}

RegistryResult<std::vector<Kill>> Registry::kills() const {
  std::vector<Kill> kills;
  auto rows = database_->all_kills.with();
  while (rows.next()) {
    if (rows.integer(0) < 0 || rows.integer(0) > static_cast<int64_t>(KillScope::tenant)) {
      return database_->damaged("a kill of no known scope");
    }
    kills.push_back({static_cast<KillScope>(rows.integer(0)), std::string(rows.text(1)),
                     std::string(rows.text(2)), rows.integer(3)});
  }
  if (rows.failed()) return database_->failed();
  return kills;
}

RegistryResult<uint64_t> Registry::revision_at(int64_t wall_ns) const {
  auto rows = database_->find_time.with(wall_ns);
  if (!rows.next()) return database_->failed();
  if (!rows.is_null(0)) return rows.number(0);
  return database_->refused(Kind::not_found,
                            "nothing was decided yet at that time: the first revision is later");
}

RegistryResult<std::vector<uint64_t>> Registry::revisions_of(ObjectKind kind, std::string_view name,
                                                             uint32_t limit) const {
  std::vector<uint64_t> revisions;
  auto rows = database_->versions.with(to_number(kind), name, limit);
  while (rows.next()) revisions.push_back(rows.number(0));
  if (rows.failed()) return database_->failed();
  return revisions;
}

}  // namespace weir::routing
