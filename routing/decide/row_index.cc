#include "routing/decide/row_index.h"

#include <algorithm>
#include <bit>
#include <string>
#include <unordered_map>
#include <utility>

#include "core/assert.h"
#include "core/limits.h"
#include "routing/decide/bucket.h"
#include "routing/decide/segments.h"

namespace weir::routing {

namespace {

using Group = PackedRows::Group;

static_assert(sizeof(PackedRow) == 8 && sizeof(Group) == 8);

// Gives equal terms one place. Number 0 stands for "always, and no segment".
class TermsPool {
 public:
  explicit TermsPool(PackedRows& packed) : packed_(packed) { packed_.terms.push_back({}); }

  uint32_t number(const TenantFlag& row) {
    const RowTerms always;
    if (row.start_ns == always.start_ns && row.expires_ns == always.expires_ns &&
        row.until_ns == always.until_ns && row.segments.empty())
      return 0;
    WEIR_ASSERT(row.segments.size() <= UINT16_MAX);
    key_.clear();
    append(&row.start_ns, sizeof(row.start_ns));
    append(&row.expires_ns, sizeof(row.expires_ns));
    append(&row.until_ns, sizeof(row.until_ns));
    append(&row.on_expiry, sizeof(row.on_expiry));
    append(row.segments.data(), row.segments.size() * sizeof(SegmentIndex));
    const auto [place, is_new] = numbers_.try_emplace(key_, static_cast<uint32_t>(packed_.terms.size()));
    if (is_new) {
      packed_.terms.push_back({.start_ns = row.start_ns,
                               .expires_ns = row.expires_ns,
                               .until_ns = row.until_ns,
                               .first_segment = static_cast<uint32_t>(packed_.segments.size()),
                               .segment_count = static_cast<uint16_t>(row.segments.size()),
                               .on_expiry = row.on_expiry});
      packed_.segments.insert(packed_.segments.end(), row.segments.begin(), row.segments.end());
    }
    return place->second;
  }

 private:
  void append(const void* bytes, size_t size) { key_.append(static_cast<const char*>(bytes), size); }

  PackedRows& packed_;
  std::unordered_map<std::string, uint32_t> numbers_;
  std::string key_;
};

class Packer {
 public:
  explicit Packer(TableBody& body) : body_(body), terms_(packed_) {}

  PackedRows pack() {
    packed_.blocks.reserve(body_.tenants.size());
    for (const Tenant& tenant : body_.tenants) {
      sort_rows(tenant);
      const auto first = static_cast<uint32_t>(packed_.words.size());
      const bool dense = order_.size() * 2 >= body_.flags.size() && !order_.empty();
      packed_.blocks.push_back({first, dense ? pack_dense(first) : pack_sparse()});
      WEIR_ASSERT(packed_.words.size() < UINT32_MAX);
    }
    return std::move(packed_);
  }

 private:
  uint32_t rank(const TenantFlag& row) const {
    const Flag& flag = body_[row.flag];
    return body_[flag.scenario].first_rank + flag.bit;
  }

  // By rank, which is mostly the order of the flags, in which a tenant's rows come.
  void sort_rows(const Tenant& tenant) {
    order_.clear();
    for (const TenantFlag& row : tenant.flags) order_.emplace_back(rank(row), &row);
    if (!std::is_sorted(order_.begin(), order_.end())) std::sort(order_.begin(), order_.end());
    for (size_t i = 1; i < order_.size(); i++) {
      WEIR_ASSERT(order_[i - 1].first < order_[i].first);  // no tenant has two rows on one flag
    }
  }

  PackedRow pack_row(const TenantFlag& row) {
    PackedRow packed;
    packed.terms = terms_.number(row);
    packed.milli_percent = row.milli_percent & 0x1ffff;  // at most 100'000
    packed.present = 1;
    packed.limited = row.limit_rpm != 0 || row.limit_total_requests != 0;
    packed.timed = row.until_ns != INT64_MAX;
    packed.state = std::to_underlying(row.state) & 3;
    packed.on_rollback = std::to_underlying(row.on_rollback) & 3;
    packed.bit = body_[row.flag].bit;
    return packed;
  }

  uint32_t pack_dense(uint32_t first) {
    packed_.words.resize(first + body_.flags.size());
    for (const auto& [rank, row] : order_) packed_.words[first + rank] = pack_row(*row);
    return PackedRows::kDense;
  }

  uint32_t pack_sparse() {
    groups_.clear();
    for (size_t i = 0; i < order_.size(); i++) {
      const ScenarioIndex scenario = body_[order_[i].second->flag].scenario;
      if (groups_.empty() || groups_.back().scenario != scenario) {
        groups_.push_back({.scenario = scenario, .first = static_cast<uint32_t>(i) & kMaxFirst, .count = 0});
      }
      groups_.back().count++;
    }
    const auto count = static_cast<uint32_t>(groups_.size());
    WEIR_ASSERT(count + order_.size() <= kMaxFirst);
    for (Group& group : groups_) {
      group.first += count;
      packed_.words.push_back(std::bit_cast<PackedRow>(group));
    }
    for (const auto& [rank, row] : order_) packed_.words.push_back(pack_row(*row));
    return count;
  }

  static constexpr uint32_t kMaxFirst = 0xffffff;  // Group::first

  TableBody& body_;
  PackedRows packed_;
  TermsPool terms_;
  std::vector<std::pair<uint32_t, const TenantFlag*>> order_;  // of one tenant: rank, row
  std::vector<Group> groups_;                                  // of one tenant
};

}  // namespace

void index_rows(TableBody& body) {
  uint32_t rank = 0;
  for (Scenario& scenario : body.scenarios) {
    WEIR_ASSERT(scenario.combinations.size() == size_t{1} << scenario.flags.size());
    WEIR_ASSERT(scenario.combinations.size() <= core::limits::kMaxUnitCombinations);
    scenario.combination_hashes.clear();
    for (const UnitIndex unit : scenario.combinations)
      scenario.combination_hashes.push_back(body[unit].short_hash);
    scenario.first_rank = rank;
    rank += static_cast<uint32_t>(scenario.flags.size());
  }
  WEIR_ASSERT(rank == body.flags.size());
  for (const Segment& segment : body.segments) WEIR_ASSERT(peak_pending(segment.steps).has_value());
  for (Flag& flag : body.flags) flag.split = begin_split(flag.salt);
  body.rows = Packer(body).pack();
}

std::span<const PackedRow> find_rows(const TableBody& body, TenantIndex tenant, ScenarioIndex scenario) {
  const PackedRows& packed = body.rows;
  const auto at = static_cast<size_t>(tenant);
  WEIR_ASSERT(at < packed.blocks.size());
  const PackedRows::Block block = packed.blocks[at];
  const PackedRow* words = packed.words.data() + block.first;
  if (block.groups == PackedRows::kDense) {
    return {words + body[scenario].first_rank, body[scenario].flags.size()};
  }

  const PackedRow* end = words + block.groups;
  const PackedRow* group =
      std::lower_bound(words, end, scenario, [](const PackedRow& word, ScenarioIndex wanted) {
        return std::bit_cast<Group>(word).scenario < wanted;
      });
  if (group == end || std::bit_cast<Group>(*group).scenario != scenario) return {};
  const Group found = std::bit_cast<Group>(*group);
  return {words + found.first, found.count};
}

const TenantFlag* find_row(const TableBody& body, TenantIndex tenant, FlagIndex flag) {
  const std::vector<TenantFlag>& rows = body[tenant].flags;
  const auto row = std::lower_bound(rows.begin(), rows.end(), flag,
                                    [](const TenantFlag& a, FlagIndex b) { return a.flag < b; });
  return row != rows.end() && row->flag == flag ? &*row : nullptr;
}

}  // namespace weir::routing
