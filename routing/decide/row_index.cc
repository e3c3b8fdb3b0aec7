#include "routing/decide/row_index.h"

#include <algorithm>
#include <utility>

#include "core/assert.h"
#include "core/limits.h"
#include "routing/decide/bucket.h"

namespace weir::routing {

namespace {

PackedRow pack(const TenantFlag& row, const Flag& flag, std::vector<SegmentIndex>& segments) {
  WEIR_ASSERT(row.segments.size() <= UINT16_MAX);
  const auto first_segment = static_cast<uint32_t>(segments.size());
  segments.insert(segments.end(), row.segments.begin(), row.segments.end());
  return PackedRow{.start_ns = row.start_ns,
                   .expires_ns = row.expires_ns,
                   .milli_percent = row.milli_percent,
                   .first_segment = first_segment,
                   .segment_count = static_cast<uint16_t>(row.segments.size()),
                   .bit = flag.bit,
                   .state = row.state,
                   .on_expiry = row.on_expiry,
                   .on_rollback = row.on_rollback,
                   .limited = row.limit_rpm != 0 || row.limit_total_requests != 0};
}

}  // namespace

void index_rows(TableBody& body) {
  static_assert(sizeof(PackedRow) == 32 && sizeof(RowGroup) == 8);
  for (Scenario& scenario : body.scenarios) {
    WEIR_ASSERT(scenario.combinations.size() == size_t{1} << scenario.flags.size());
    WEIR_ASSERT(scenario.combinations.size() <= core::limits::kMaxUnitCombinations);
    scenario.combination_hashes.clear();
    for (const UnitIndex unit : scenario.combinations) scenario.combination_hashes.push_back(body[unit].short_hash);
  }
  for (Flag& flag : body.flags) flag.split = begin_split(flag.salt);

  size_t row_count = 0;
  for (const Tenant& tenant : body.tenants) row_count += tenant.flags.size();
  WEIR_ASSERT(row_count < UINT32_MAX);

  PackedRows packed;
  packed.groups_of_tenant.reserve(body.tenants.size() + 1);
  packed.rows.reserve(row_count);
  std::vector<const TenantFlag*> order;
  for (const Tenant& tenant : body.tenants) {
    packed.groups_of_tenant.push_back(static_cast<uint32_t>(packed.groups.size()));
    order.clear();
    for (const TenantFlag& row : tenant.flags) order.push_back(&row);
    std::sort(order.begin(), order.end(), [&](const TenantFlag* a, const TenantFlag* b) {
      const Flag& flag_a = body[a->flag];
      const Flag& flag_b = body[b->flag];
      return std::pair(flag_a.scenario, flag_a.bit) < std::pair(flag_b.scenario, flag_b.bit);
    });
    const Flag* before = nullptr;
    for (const TenantFlag* row : order) {
      const Flag& flag = body[row->flag];
      if (before == nullptr || before->scenario != flag.scenario) {
        packed.groups.push_back({flag.scenario, static_cast<uint32_t>(packed.rows.size())});
      } else {
        WEIR_ASSERT(before->bit < flag.bit);  // no tenant has two rows on one flag
      }
      before = &flag;
      packed.rows.push_back(pack(*row, flag, packed.segments));
    }
  }
  packed.groups_of_tenant.push_back(static_cast<uint32_t>(packed.groups.size()));
  packed.groups.push_back({ScenarioIndex{UINT32_MAX}, static_cast<uint32_t>(packed.rows.size())});
  body.rows = std::move(packed);
}

std::span<const PackedRow> find_rows(const TableBody& body, TenantIndex tenant, ScenarioIndex scenario) {
  const PackedRows& packed = body.rows;
  const auto at = static_cast<size_t>(tenant);
  WEIR_ASSERT(at + 1 < packed.groups_of_tenant.size());
  const uint32_t first = packed.groups_of_tenant[at];
  const uint32_t count = packed.groups_of_tenant[at + 1] - first;
  if (count == 0) return {};
  const RowGroup* groups = packed.groups.data() + first;
  // Tenants with rows on every scenario are the costly ones, and their groups stand where the index says.
  uint32_t found = std::min(static_cast<uint32_t>(scenario), count - 1);
  if (groups[found].scenario != scenario) {
    const RowGroup* group = std::lower_bound(groups, groups + count, scenario,
                                             [](const RowGroup& a, ScenarioIndex b) { return a.scenario < b; });
    if (group == groups + count || group->scenario != scenario) return {};
    found = static_cast<uint32_t>(group - groups);
  }
  const uint32_t begin = groups[found].first_row;
  return {packed.rows.data() + begin, groups[found + 1].first_row - begin};
}

const TenantFlag* find_row(const TableBody& body, TenantIndex tenant, FlagIndex flag) {
  const std::vector<TenantFlag>& rows = body[tenant].flags;
  const auto row = std::lower_bound(rows.begin(), rows.end(), flag,
                                    [](const TenantFlag& a, FlagIndex b) { return a.flag < b; });
  return row != rows.end() && row->flag == flag ? &*row : nullptr;
}

}  // namespace weir::routing
