#include "routing/table/compile_change.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "core/assert.h"
#include "routing/table/compile_state.h"
#include "routing/table/document.h"
#include "routing/table/tenant_builder.h"

namespace weir::routing {
namespace {

constexpr uint32_t kPerBlock = TenantTable::kPerBlock;

// One object of the change.
template <typename Index, typename Spec>
struct Changed {
  std::string_view name;
  const std::optional<std::string>* json;
  Index index;
  bool existed;
  Spec spec;

  bool stays() const { return json->has_value(); }
};

template <typename Items>
Names names_of(std::string_view kind, const NameIndex& index, const Items& items, uint32_t end) {
  Names names{.kind = kind, .index = &index, .list = {}, .end = end};
  const size_t count = std::min<size_t>({items.size(), end, Names::kMaxSuggested + 1});
  for (size_t i = 0; i < count; i++) names.list.push_back(items[i].name);
  return names;
}

class TenantChange {
 public:
  TenantChange(const TableBody& body, const TenantTable& base)
      : body_(body),
        base_(base),
        models_(names_of("model", body.model_names, body.models, UINT32_MAX)),
        units_(names_of("unit", body.unit_names, body.units, body.declared_units)),
        segments_(names_of("segment", body.segment_names, body.segments, UINT32_MAX)),
        scenarios_(names_of("scenario", body.scenario_names, body.scenarios, UINT32_MAX)),
        flags_(names_of("flag", body.flag_names, body.flags, UINT32_MAX)),
        reading_{.problems = problems_,
                 .body = body,
                 .model_names = models_,
                 .unit_names = units_,
                 .segment_names = segments_,
                 .scenario_names = scenarios_,
                 .flag_names = flags_} {
    reading_.find_tenant = [this](std::string_view id) { return find_tenant(id); };
  }

  std::expected<std::unique_ptr<TenantTable>, std::vector<Problem>> run(
      std::span<const ObjectChange> changes) {
    collect(changes);
    for (ChangedTenant& tenant : tenants_) read(tenant);
    for (ChangedKey& key : keys_) read(key);
    if (problems_.empty()) check_hashes();
    if (problems_.empty()) link();
    if (!problems_.empty()) return std::unexpected(problems_.take());
    return build();
  }

 private:
  using ChangedTenant = Changed<TenantIndex, TenantSpec>;
  using ChangedKey = Changed<KeyIndex, KeySpec>;

  // How the record of a tenant changes that keys begin or cease to name.
  struct LinkChange {
    int64_t keys = 0;
    int64_t acted_for = 0;
    uint32_t base_keys_changed = 0;
    uint32_t first_new_key =
        TenantRecord::kNone;  // of the changed keys that stay, the one whose id sorts first
    TenantLinks links;
  };

  // ---- reading ----

  void collect(std::span<const ObjectChange> changes) {
    uint32_t next_tenant = base_.tenant_end();
    uint32_t next_key = base_.key_end();
    for (const ObjectChange& change : changes) {
      if (change.kind == ObjectKind::tenant) {
        add(change, base_.find(change.name), next_tenant, tenants_, tenant_by_id_);
      } else {
        WEIR_ASSERT(change.kind == ObjectKind::key);
        add(change, base_.find_key(change.name), next_key, keys_, key_by_id_);
      }
    }
    for (const ChangedKey& key : keys_) key_by_index_.emplace(static_cast<uint32_t>(key.index), &key);
  }

  template <typename Index, typename Spec>
  void add(const ObjectChange& change, std::optional<Index> found, uint32_t& next,
           std::vector<Changed<Index, Spec>>& to, std::unordered_map<std::string_view, size_t>& by_id) {
    const Path root;
    const Path section(root, plural(change.kind));
    const Path at(section, change.name);
    if (!found) check_name(problems_, at, change.name);
    if (!found && !change.after)
      problems_.add(at, fmt::format("there is no such {}", to_string(change.kind)));
    if (!by_id.emplace(change.name, to.size()).second) return problems_.add(at, "is changed twice; keep one");
    const Index index = found ? *found : Index{next++};
    to.push_back({change.name, &change.after, index, found.has_value(), {}});
  }

  // Parses a changed object's body and calls read(path, element).
  template <typename Change, typename Read>
  void parse(std::string_view section, const Change& change, Read&& read) {
    if (!change.stays()) return;
    const Path root;
    const Path parent(root, section);
    const Path at(parent, change.name);
    const auto document = Document::parse(**change.json, TableFormat::json);
    if (document) return read(at, document->root());
    for (const Problem& problem : document.error()) problems_.add(at, to_string(problem));
  }

  void read(ChangedTenant& tenant) {
    parse("tenants", tenant, [&](const Path& path, Element element) {
      tenant.spec.id = tenant.name;
      read_tenant(reading_, path, element, tenant.spec);
    });
  }

  void read(ChangedKey& key) {
    parse("keys", key, [&](const Path& path, Element element) {
      read_key(reading_, path, element, key.spec);
      if (key.spec.id != key.name && !key.spec.id.empty()) {
        problems_.add(Path(path, "id"), fmt::format("must be {}, the name of the object", quote(key.name)));
      }
    });
  }

  std::optional<TenantIndex> find_tenant(std::string_view id) {
    const auto changed = tenant_by_id_.find(id);
    if (changed != tenant_by_id_.end()) {
      const ChangedTenant& tenant = tenants_[changed->second];
      if (tenant.stays()) return tenant.index;
    } else if (const auto found = base_.find(id)) {
      return found;
    }
    list_tenants();
    return std::nullopt;
  }

  // For suggestions, when one is wanted.
  void list_tenants() {
    std::vector<std::string_view>& list = reading_.tenant_list;
    for (uint32_t i = 0; i < base_.tenant_end() && list.size() <= Names::kMaxSuggested; i++) {
      if (base_[TenantIndex{i}].exists()) list.push_back(base_[TenantIndex{i}].id());
    }
  }

  // ---- checks across objects ----

  const ChangedKey* changed(KeyIndex index) const {
    const auto found = key_by_index_.find(static_cast<uint32_t>(index));
    return found == key_by_index_.end() ? nullptr : found->second;
  }

  // No hash may be that of a key that is not changed, nor of two that are.
  void check_hashes() {
    std::map<Digest, const ChangedKey*> seen;
    for (const ChangedKey& key : keys_) {
      if (!key.stays()) continue;
      const auto there = base_.find_key(key.spec.hash);
      const bool taken = there && changed(*there) == nullptr;
      if (!taken && seen.emplace(key.spec.hash, &key).second) continue;
      const Path root;
      const Path section(root, "keys");
      const Path at(section, key.name);
      problems_.add(Path(at, "hash"), "is the hash of another key; a key belongs to one tenant");
    }
  }

  std::string_view id_of(uint32_t key) const {
    const auto found = key_by_index_.find(key);
    return found == key_by_index_.end() ? base_[KeyIndex{key}].id() : found->second->name;
  }

  void link() {
    for (const ChangedKey& key : keys_) {
      if (key.existed) {
        const Key old = base_[key.index];
        LinkChange& own = links_[static_cast<uint32_t>(old.tenant())];
        own.keys--;
        own.base_keys_changed++;
        for (const TenantIndex other : old.act_as()) links_[static_cast<uint32_t>(other)].acted_for--;
      }
      if (!key.stays()) continue;
      LinkChange& own = links_[static_cast<uint32_t>(key.spec.tenant)];
      own.keys++;
      if (own.first_new_key == TenantRecord::kNone || key.name < id_of(own.first_new_key)) {
        own.first_new_key = static_cast<uint32_t>(key.index);
      }
      for (const TenantIndex other : key.spec.act_as) links_[static_cast<uint32_t>(other)].acted_for++;
    }
    for (const ChangedTenant& tenant : tenants_) links_.try_emplace(static_cast<uint32_t>(tenant.index));
    for (auto& [index, change] : links_) change.links = apply(index, change);
    for (const ChangedTenant& tenant : tenants_) {
      if (tenant.stays()) continue;
      const TenantLinks& links = links_[static_cast<uint32_t>(tenant.index)].links;
      if (links.key_count == 0 && links.acted_for == 0) continue;
      const Path root;
      const Path section(root, "tenants");
      problems_.add(Path(section, tenant.name),
                    fmt::format("has {} keys, and {} of others may act for it; remove those first",
                                links.key_count, links.acted_for));
    }
  }

  TenantLinks apply(uint32_t index, const LinkChange& change) const {
    const TenantLinks before = index < base_.tenant_end() ? base_[TenantIndex{index}].links() : TenantLinks();
    TenantLinks after;
    after.key_count = static_cast<uint32_t>(before.key_count + change.keys);
    after.acted_for = static_cast<uint32_t>(before.acted_for + change.acted_for);
    after.first_key = change.first_new_key;
    if (before.key_count == change.base_keys_changed) return after;  // no other keys
    uint32_t first_kept = before.first_key;
    if (changed(KeyIndex{first_kept}) != nullptr) first_kept = find_first_kept(TenantIndex{index});
    if (after.first_key == TenantRecord::kNone || id_of(first_kept) < id_of(after.first_key)) {
      after.first_key = first_kept;
    }
    return after;
  }

  // Of the tenant's keys that are not changed, the one whose id sorts first; there is one. Rare, so all keys
  // are looked at.
  uint32_t find_first_kept(TenantIndex tenant) const {
    uint32_t first = TenantRecord::kNone;
    for (uint32_t i = 0; i < base_.key_end(); i++) {
      const Key key = base_[KeyIndex{i}];
      if (!key.exists() || key.tenant() != tenant || changed(KeyIndex{i}) != nullptr) continue;
      if (first == TenantRecord::kNone || key.id() < id_of(first)) first = i;
    }
    WEIR_ASSERT(first != TenantRecord::kNone);
    return first;
  }

  // ---- building ----

  std::unique_ptr<TenantTable> build() {
    TenantTable::Parts parts = base_.parts();
    build_tenants(parts);
    build_keys(parts);
    return std::make_unique<TenantTable>(std::move(parts));
  }

  // Copies blocks but for some objects: `write(index, builder)` appends the object of that index. `indices`
  // are sorted.
  template <typename Record, typename Write>
  static BlockList<BlockRef<Record>> rewrite(const BlockList<BlockRef<Record>>& blocks,
                                             std::span<const uint32_t> indices, Write&& write) {
    std::vector<typename BlockList<BlockRef<Record>>::Replacement> replacements;
    BlockBuilder<Record> builder;
    for (size_t i = 0; i < indices.size();) {
      const uint32_t number = indices[i] / kPerBlock;
      const bool is_new = number >= blocks.size();
      const size_t count = is_new ? 0 : blocks[number].count();
      size_t copied = 0;
      for (; i < indices.size() && indices[i] / kPerBlock == number; i++) {
        const size_t at = indices[i] % kPerBlock;
        const size_t end = std::min(at, count);
        if (copied < end) builder.copy(blocks[number], copied, end);
        WEIR_ASSERT(builder.count() == at);
        write(indices[i], builder);
        copied = at + 1;
      }
      if (copied < count) builder.copy(blocks[number], copied, count);
      replacements.push_back({number, builder.take()});
    }
    return blocks.with(replacements);
  }

  void build_tenants(TenantTable::Parts& parts) {
    std::map<uint32_t, const ChangedTenant*> changed_tenants;
    std::vector<HashIndex::Entry> gone, come;
    for (const ChangedTenant& tenant : tenants_) {
      const auto index = static_cast<uint32_t>(tenant.index);
      changed_tenants.emplace(index, &tenant);
      const HashIndex::Entry entry{index_hash(tenant.name), index};
      if (tenant.existed && !tenant.stays()) gone.push_back(entry);
      if (!tenant.existed) come.push_back(entry);
      parts.tenant_end = std::max(parts.tenant_end, index + 1);
    }
    parts.tenant_ids = parts.tenant_ids.with(gone, come);
    parts.tenant_count = static_cast<uint32_t>(parts.tenant_count + come.size() - gone.size());

    std::vector<uint32_t> indices;
    for (const auto& [index, change] : links_) indices.push_back(index);
    TenantEncoder encoder(body_);
    const BlockList<TenantBlock> blocks = parts.tenants;
    parts.tenants = rewrite(blocks, indices, [&](uint32_t index, BlockBuilder<TenantRecord>& to) {
      const auto found = changed_tenants.find(index);
      if (found == changed_tenants.end()) {
        to.copy(blocks[index / kPerBlock], index % kPerBlock, index % kPerBlock + 1);
      } else if (found->second->stays()) {
        encoder.append(found->second->spec, to);
      } else {
        to.begin();
      }
      set_links(to.last(), links_.at(index).links);
    });
  }

  void build_keys(TenantTable::Parts& parts) {
    std::vector<HashIndex::Entry> ids_gone, ids_come, hashes_gone, hashes_come;
    std::vector<uint32_t> indices;
    for (const auto& [index, key] : key_by_index_) {
      indices.push_back(index);
      const HashIndex::Entry id{index_hash(key->name), index};
      if (key->existed) {
        const Digest& old = base_[KeyIndex{index}].hash();
        if (!key->stays()) ids_gone.push_back(id);
        if (!key->stays() || old != key->spec.hash) hashes_gone.push_back({index_hash(old), index});
        if (key->stays() && old != key->spec.hash) hashes_come.push_back({index_hash(key->spec.hash), index});
      } else {
        ids_come.push_back(id);
        hashes_come.push_back({index_hash(key->spec.hash), index});
      }
      parts.key_end = std::max(parts.key_end, index + 1);
    }
    parts.key_ids = parts.key_ids.with(ids_gone, ids_come);
    parts.key_hashes = parts.key_hashes.with(hashes_gone, hashes_come);
    parts.key_count = static_cast<uint32_t>(parts.key_count + ids_come.size() - ids_gone.size());
    parts.keys = rewrite(parts.keys, indices, [&](uint32_t index, BlockBuilder<KeyRecord>& to) {
      const ChangedKey& key = *key_by_index_.at(index);
      if (key.stays()) {
        append_key(key.spec, to);
      } else {
        to.begin();
      }
    });
  }

  const TableBody& body_;
  const TenantTable& base_;
  Problems problems_;
  const Names models_, units_, segments_, scenarios_, flags_;
  TenantReading reading_;
  std::vector<ChangedTenant> tenants_;
  std::vector<ChangedKey> keys_;
  std::unordered_map<std::string_view, size_t> tenant_by_id_, key_by_id_;
  std::map<uint32_t, const ChangedKey*> key_by_index_;
  std::map<uint32_t, LinkChange> links_;  // by TenantIndex: those whose record is written anew
};

}  // namespace

std::expected<std::unique_ptr<TenantTable>, std::vector<Problem>> change_tenants(
    const TableBody& body, const TenantTable& base, std::span<const ObjectChange> changes) {
  WEIR_ASSERT(body.basis == base.basis());
  return TenantChange(body, base).run(changes);
}

}  // namespace weir::routing
