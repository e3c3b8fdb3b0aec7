// A tenant's rows on flags, packed for decide() into the tenant's words (routing/table/tenant_table.h).
//
// A row as people write it (TenantFlag) is over a hundred bytes; a hundred of them per tenant are too far
// apart to search in the time a decision has. Packed, a row is eight bytes; dates and segments stand behind
// the rows, once for all rows of the tenant that share them. Two layouts:
//
//   words ─▶ dense: rows on a good part of all flags, so there is a row for every flag, by rank
//            [s0 b0][s0 b1][s1 b0][s2 b0]... {terms}{terms}        row = Scenario::first_rank + bit
//         ─▶ sparse: groups by scenario, then the rows
//            {s0, 2}{s7, 4} [s0 b0][s0 b1] [s7 b2]... {terms}      binary search among the groups; mostly one
//            line in all
//
// A tenant's words are contiguous and know no addresses: a block of tenants is copied and stored as it
// stands.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "routing/table/table.h"

namespace weir::routing {

// One row; one word.
struct PackedRow {
  uint32_t terms = 0;  // a RowTerms, in words from the tenant's first; 0: always, and no segment
  uint32_t milli_percent : 17 = 0;
  uint32_t present : 1 = 0;      // 0: the tenant has no row on this flag
  uint32_t limited : 1 = 0;      // a limit of the pilot is set, but for its time
  uint32_t timed : 1 = 0;        // the pilot ends at RowTerms::until_ns
  uint32_t state : 2 = 0;        // FlagState
  uint32_t on_rollback : 2 = 0;  // OnRollback
  uint32_t bit : 8 = 0;          // Flag::bit
};

// The rows of one scenario, in sparse layout; one word.
struct RowGroup {
  ScenarioIndex scenario{};
  uint32_t first : 24 = 0;  // its first row, from the tenant's first word
  uint32_t count : 8 = 0;   // of its rows
};

// When a row runs and whom it admits beside its percentage. Its segments follow.
struct RowTerms {
  int64_t start_ns = INT64_MIN;
  int64_t expires_ns = INT64_MAX;
  int64_t until_ns = INT64_MAX;
  uint32_t segment_count = 0;
  ExpiryAction on_expiry = ExpiryAction::off;
  uint8_t unused[3] = {};

  std::span<const SegmentIndex> segments() const {
    return {reinterpret_cast<const SegmentIndex*>(this + 1), segment_count};
  }
};

inline constexpr RowTerms kAlways{};

// A tenant's rows on the flags of one scenario, sorted by bit; skip those that are not `present`.
struct ScenarioRows {
  std::span<const PackedRow> rows;
  const uint64_t* words = nullptr;  // of the tenant

  const RowTerms& terms(const PackedRow& row) const {
    return row.terms == 0 ? kAlways : *reinterpret_cast<const RowTerms*>(words + row.terms);
  }
};

// A whole row.
struct TenantRow {
  FlagIndex flag{};
  FlagState state = FlagState::off;
  uint32_t milli_percent = 0;
  std::span<const SegmentIndex> segments;  // views the table
  int64_t start_ns = INT64_MIN;
  int64_t expires_ns = INT64_MAX;
  int64_t until_ns = INT64_MAX;   // the pilot's last moment
  int64_t review_ns = INT64_MAX;  // somebody looks at it again
  ExpiryAction on_expiry = ExpiryAction::off;
  OnRollback on_rollback = OnRollback::switch_next_turn;
  UnitIndex previous{};
  PilotLimits limits = {};
};

// Fills Scenario::first_rank: flags are ranked by scenario, then by bit. Before any rows are packed.
void rank_flags(TableBody& body);
// Fills Scenario::combination_hashes and Flag::split. When the units are built. Control thread, as all of the
// above.
void index_flags(TableBody& body);

inline uint32_t flag_rank(const TableBody& body, FlagIndex flag) {
  return body[body[flag].scenario].first_rank + body[flag].bit;
}

// Packs the rows of one tenant after the other. One thread.
class RowPacker {
 public:
  explicit RowPacker(const TableBody& body) : body_(body) {}

  // Appends a tenant's rows to `words`; at most one a flag, in any order. Answers TenantRecord::groups.
  uint16_t pack(std::span<const TenantFlag> rows, std::vector<uint64_t>& words);

 private:
  void sort(std::span<const TenantFlag> rows);
  void pack_dense(std::vector<uint64_t>& words);
  uint16_t pack_sparse(std::vector<uint64_t>& words);
  uint64_t pack_row(const TenantFlag& row, std::vector<uint64_t>& words);
  uint32_t place_terms(const TenantFlag& row, std::vector<uint64_t>& words);

  const TableBody& body_;
  size_t first_ = 0;                                           // the tenant's first word
  std::vector<std::pair<uint32_t, const TenantFlag*>> order_;  // rank, row
  std::vector<RowGroup> groups_;
  struct Place {
    size_t at;
    size_t size;
  };
  std::vector<Place> terms_;
  std::vector<uint64_t> scratch_;
};

// O(1) for tenants with rows on at least half of the flags, else O(log scenarios). Any thread.
ScenarioRows find_rows(const TableBody& body, const Tenant& tenant, ScenarioIndex scenario);

// The whole row; none if the tenant has none. Any thread, no allocation.
std::optional<TenantRow> find_row(const TableBody& body, const Tenant& tenant, FlagIndex flag);

// Calls each(flag) for every flag on which the tenant has a row, by rank. Any thread, no allocation.
template <typename Each>
void for_each_flag(const TableBody& body, const Tenant& tenant, Each&& each) {
  const auto in_scenario = [&](ScenarioIndex scenario) {
    for (const PackedRow& row : find_rows(body, tenant, scenario).rows) {
      if (row.present != 0) each(body[scenario].flags[row.bit]);
    }
  };
  if (tenant.row_groups() == TenantRecord::kDense) {
    for (uint32_t i = 0; i < body.scenarios.size(); i++) in_scenario(ScenarioIndex{i});
  } else {
    const auto* groups = reinterpret_cast<const RowGroup*>(tenant.row_words());
    for (uint16_t i = 0; i < tenant.row_groups(); i++) in_scenario(groups[i].scenario);
  }
}

}  // namespace weir::routing
