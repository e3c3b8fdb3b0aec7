#include "routing/table/tenant_builder.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <tuple>
#include <utility>

#include "routing/table/canonical_json.h"

namespace weir::routing {
namespace {

// Longer ones are none, and no table with such a name is ever taken.
std::string_view stored_id(std::string_view id) {
  return id.substr(0, UINT8_MAX);
}

template <typename Record>
void append_limits(const Limits& limits, BlockBuilder<Record>& to) {
  if (limits != Limits()) to.append(std::span(&limits, 1));
}

template <typename Record>
void append_budgets(std::span<const Budget> budgets, BlockBuilder<Record>& to) {
  static_assert(sizeof(Budget) == 24 && offsetof(Budget, on_exceed) == 16);
  for (const Budget& budget : budgets) {  // by member: the padding is to be zeros
    const size_t at = to.words().size();
    to.words().resize(at + 3);
    auto* bytes = reinterpret_cast<std::byte*>(to.words().data() + at);
    std::memcpy(bytes, &budget.window_ns, 8);
    std::memcpy(bytes + 8, &budget.limit_nano_usd, 8);
    std::memcpy(bytes + 16, &budget.on_exceed, 1);
  }
}

bool needs_escapes(std::string_view text) {
  return std::ranges::any_of(
      text, [](char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20; });
}

}  // namespace

void TenantEncoder::find_details(const TenantSpec& spec) {
  details_.clear();
  row_limits_.clear();
  for (const TenantFlag& row : spec.flags) {
    const uint32_t rank = flag_rank(body_, row.flag);
    if (row.previous != body_[body_[row.flag].scenario].stable || row.review_ns != INT64_MAX) {
      details_.push_back({.rank = rank, .previous = row.previous, .review_ns = row.review_ns});
    }
    if (row.limits.any()) row_limits_.push_back({.rank = rank, .limits = row.limits});
  }
  if (!std::ranges::is_sorted(details_, {}, &RowDetail::rank)) {
    std::ranges::sort(details_, {}, &RowDetail::rank);
  }
  std::ranges::sort(row_limits_, {}, &RowLimits::rank);
}

void TenantEncoder::append(const TenantSpec& spec, BlockBuilder<TenantRecord>& to) {
  TenantRecord& record = to.begin();
  const std::string_view id = stored_id(spec.id);
  record.id_size = static_cast<uint8_t>(id.size());
  to.append_text(id);
  if (!spec.display_name.empty() && spec.display_name != spec.id) {
    WEIR_ASSERT(spec.display_name.size() <= UINT16_MAX);
    record.name_size = static_cast<uint16_t>(spec.display_name.size());
    to.append_text(spec.display_name);
  }
  if (needs_escapes(spec.display_name)) {
    std::string json;
    append_json_string_body(json, spec.display_name);
    WEIR_ASSERT(json.size() <= UINT16_MAX);
    record.json_size = static_cast<uint16_t>(json.size());
    to.append_text(json);
  }
  record.groups = rows_.pack(spec.flags, to.words());

  find_details(spec);
  const bool plain = details_.empty() && row_limits_.empty() && spec.models.empty() &&
                     spec.limits == Limits() && spec.budgets.empty() && spec.user_limits == Limits() &&
                     spec.user_budgets.empty();
  if (plain) return;
  record.more = static_cast<uint32_t>(to.words().size()) - record.words;
  const TenantMore more{.details = static_cast<uint32_t>(details_.size()),
                        .row_limits = static_cast<uint32_t>(row_limits_.size()),
                        .models = static_cast<uint32_t>(spec.models.size()),
                        .budgets = static_cast<uint8_t>(spec.budgets.size()),
                        .user_budgets = static_cast<uint8_t>(spec.user_budgets.size()),
                        .limits = spec.limits != Limits(),
                        .user_limits = spec.user_limits != Limits()};
  to.append(std::span(&more, 1));
  append_limits(spec.limits, to);
  append_limits(spec.user_limits, to);
  append_budgets(spec.budgets, to);
  append_budgets(spec.user_budgets, to);
  to.append(std::span<const RowDetail>(details_));
  to.append(std::span<const RowLimits>(row_limits_));
  to.append(std::span<const ModelIndex>(spec.models));
}

void append_key(const KeySpec& spec, BlockBuilder<KeyRecord>& to) {
  KeyRecord& record = to.begin();
  const std::string_view id = stored_id(spec.id);
  record.hash = spec.hash;
  record.tenant = spec.tenant;
  if (spec.scenario) record.scenario = static_cast<uint32_t>(*spec.scenario);
  record.id_size = static_cast<uint8_t>(id.size());
  to.append_text(id);
  if (spec.act_as.empty() && spec.limits == Limits() && spec.budgets.empty()) return;
  record.has_more = 1;
  const KeyMore more{.act_as = static_cast<uint32_t>(spec.act_as.size()),
                     .budgets = static_cast<uint8_t>(spec.budgets.size()),
                     .limits = spec.limits != Limits()};
  to.append(std::span(&more, 1));
  append_limits(spec.limits, to);
  append_budgets(spec.budgets, to);
  to.append(std::span<const TenantIndex>(spec.act_as));
}

void TenantTableBuilder::reserve_keys(size_t count) {
  key_ids_.reserve(count);
  key_hashes_.reserve(count);
}

void set_links(TenantRecord& record, const TenantLinks& links) {
  record.first_key = links.first_key;
  record.key_count = links.key_count;
  record.acted_for = links.acted_for;
}

std::string_view TenantTableBuilder::id(KeyIndex index) const {
  const auto at = static_cast<uint32_t>(index);
  const KeyBlock& block = parts_.keys[at / TenantTable::kPerBlock];
  return Key(block, block.records[at % TenantTable::kPerBlock]).id();
}

TenantIndex TenantTableBuilder::add(const TenantSpec& spec) {
  const uint32_t index = parts_.tenant_end++;
  encoder_.append(spec, tenants_);
  tenant_ids_.push_back({index_hash(stored_id(spec.id)), index});
  if (tenants_.count() == TenantTable::kPerBlock) tenant_blocks_.push_back(tenants_.take());
  return TenantIndex{index};
}

Tenant TenantTableBuilder::tenant(uint32_t index) const {
  const TenantBlock& block = parts_.tenants[index / TenantTable::kPerBlock];
  return {block, block.records[index % TenantTable::kPerBlock]};
}

std::vector<TenantIndex> TenantTableBuilder::end_tenants() {
  if (tenants_.count() != 0) tenant_blocks_.push_back(tenants_.take());
  parts_.tenants =
      BlockList<TenantBlock>(std::vector<BlockPtr>(tenant_blocks_.begin(), tenant_blocks_.end()));
  parts_.tenant_count = parts_.tenant_end;
  links_.resize(parts_.tenant_end);

  std::vector<HashIndex::Pair> suspects;
  parts_.tenant_ids = HashIndex::build(tenant_ids_, &suspects);
  tenant_ids_ = {};
  std::vector<TenantIndex> repeated;
  for (const auto& [first, second] : suspects) {
    if (tenant(first).id() == tenant(second).id()) repeated.push_back(TenantIndex{second});
  }
  std::ranges::sort(repeated);
  repeated.erase(std::ranges::unique(repeated).begin(), repeated.end());
  return repeated;
}

std::optional<TenantIndex> TenantTableBuilder::find(std::string_view tenant_id) {
  const std::string_view id = stored_id(tenant_id);
  const uint32_t next = last_found_ + 1;
  if (next < parts_.tenant_end && tenant(next).id() == id) return TenantIndex{last_found_ = next};
  const auto found =
      parts_.tenant_ids.find(index_hash(id), [&](uint32_t index) { return tenant(index).id() == id; });
  if (!found) return std::nullopt;
  return TenantIndex{last_found_ = *found};
}

KeyIndex TenantTableBuilder::add(const KeySpec& spec) {
  const uint32_t index = parts_.key_end++;
  append_key(spec, keys_);
  key_ids_.push_back({index_hash(stored_id(spec.id)), index});
  key_hashes_.push_back({index_hash(spec.hash), index});
  if (keys_.count() == TenantTable::kPerBlock) key_blocks_.push_back(keys_.take());
  return KeyIndex{index};
}

TenantTableBuilder::Repeated TenantTableBuilder::end_keys() {
  if (keys_.count() != 0) key_blocks_.push_back(keys_.take());
  parts_.keys = BlockList<KeyBlock>(key_blocks_);
  parts_.key_count = parts_.key_end;
  const TenantTable table(parts_);
  const auto build = [&](std::vector<HashIndex::Entry>& entries, auto&& same) {
    std::vector<HashIndex::Pair> suspects;
    HashIndex index = HashIndex::build(entries, &suspects);
    entries = {};
    std::vector<KeyIndex> repeated;
    for (const auto& [first, second] : suspects) {
      if (same(table[KeyIndex{first}], table[KeyIndex{second}])) repeated.push_back(KeyIndex{second});
    }
    std::ranges::sort(repeated);
    repeated.erase(std::ranges::unique(repeated).begin(), repeated.end());
    return std::pair(std::move(index), std::move(repeated));
  };
  Repeated repeated;
  std::tie(parts_.key_ids, repeated.ids) =
      build(key_ids_, [](const Key& a, const Key& b) { return a.id() == b.id() && !a.id().empty(); });
  std::tie(parts_.key_hashes, repeated.hashes) = build(
      key_hashes_, [](const Key& a, const Key& b) { return a.hash() == b.hash() && a.hash() != Digest(); });
  return repeated;
}

std::unique_ptr<TenantTable> TenantTableBuilder::take() {
  const TenantTable table(parts_);
  for (uint32_t i = 0; i < parts_.key_end; i++) {
    const Key key = table[KeyIndex{i}];
    TenantLinks& links = links_[static_cast<uint32_t>(key.tenant())];
    links.key_count++;
    if (links.first_key == TenantRecord::kNone || key.id() < table[KeyIndex{links.first_key}].id()) {
      links.first_key = i;
    }
    for (const TenantIndex other : key.act_as()) links_[static_cast<uint32_t>(other)].acted_for++;
  }
  for (uint32_t i = 0; i < parts_.tenant_end; i++) {
    auto* records = reinterpret_cast<TenantRecord*>(tenant_blocks_[i / TenantTable::kPerBlock].get() + 1);
    TenantRecord& record = records[i % TenantTable::kPerBlock];
    set_links(record, links_[i]);
  }
  parts_.basis = body_.basis;
  return std::make_unique<TenantTable>(std::move(parts_));
}

}  // namespace weir::routing
