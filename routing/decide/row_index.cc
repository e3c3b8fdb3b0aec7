#include "routing/decide/row_index.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "core/assert.h"
#include "core/limits.h"
#include "routing/decide/bucket.h"
#include "routing/decide/segments.h"

namespace weir::routing {

namespace {

constexpr uint32_t kMaxFirst = 0xffffff;  // RowGroup::first

// Rows of one tenant with more different terms than this are rare, and comparing all with all is quadratic.
constexpr size_t kTermsCompared = 32;

static_assert(sizeof(PackedRow) == 8);
static_assert(sizeof(RowTerms) == 32 && std::has_unique_object_representations_v<RowTerms>);
static_assert(core::limits::kMaxFlags < kMaxFirst);

const PackedRow* rows_at(const uint64_t* words) {
  return reinterpret_cast<const PackedRow*>(words);
}

}  // namespace

void rank_flags(TableBody& body) {
  uint32_t rank = 0;
  for (Scenario& scenario : body.scenarios) {
    scenario.first_rank = rank;
    rank += static_cast<uint32_t>(scenario.flags.size());
  }
  WEIR_ASSERT(rank == body.flags.size());
}

void index_flags(TableBody& body) {
  for (Scenario& scenario : body.scenarios) {
    WEIR_ASSERT(scenario.combinations.size() == size_t{1} << scenario.flags.size());
    WEIR_ASSERT(scenario.combinations.size() <= core::limits::kMaxUnitCombinations);
    scenario.combination_hashes.clear();
    for (const UnitIndex unit : scenario.combinations)
      scenario.combination_hashes.push_back(body[unit].short_hash);
  }
  for (const Segment& segment : body.segments) WEIR_ASSERT(peak_pending(segment.steps).has_value());
  for (Flag& flag : body.flags) flag.split = begin_split(flag.salt);
}

uint16_t RowPacker::pack(std::span<const TenantFlag> rows, std::vector<uint64_t>& words) {
  if (rows.empty()) return 0;
  first_ = words.size();
  terms_.clear();
  sort(rows);
  if (rows.size() * 2 < body_.flags.size()) return pack_sparse(words);
  pack_dense(words);
  return TenantRecord::kDense;
}

// By rank, which is mostly the order of the flags, in which a tenant's rows come.
void RowPacker::sort(std::span<const TenantFlag> rows) {
  order_.clear();
  for (const TenantFlag& row : rows) order_.emplace_back(flag_rank(body_, row.flag), &row);
  if (!std::is_sorted(order_.begin(), order_.end())) std::sort(order_.begin(), order_.end());
  for (size_t i = 1; i < order_.size(); i++) {
    WEIR_ASSERT(order_[i - 1].first < order_[i].first);  // no tenant has two rows on one flag
  }
}

void RowPacker::pack_dense(std::vector<uint64_t>& words) {
  words.resize(first_ + body_.flags.size(), std::bit_cast<uint64_t>(PackedRow()));
  for (const auto& [rank, row] : order_) {
    const uint64_t packed = pack_row(*row, words);
    words[first_ + rank] = packed;
  }
}

uint16_t RowPacker::pack_sparse(std::vector<uint64_t>& words) {
  static_assert(sizeof(RowGroup) == 8);
  groups_.clear();
  for (size_t i = 0; i < order_.size(); i++) {
    const ScenarioIndex scenario = body_[order_[i].second->flag].scenario;
    if (groups_.empty() || groups_.back().scenario != scenario) {
      groups_.push_back({.scenario = scenario, .first = static_cast<uint32_t>(i) & kMaxFirst, .count = 0});
    }
    groups_.back().count++;
  }
  const auto count = static_cast<uint32_t>(groups_.size());
  WEIR_ASSERT(count < TenantRecord::kDense);  // less than half of the flags
  for (RowGroup& group : groups_) {
    group.first += count;
    words.push_back(std::bit_cast<uint64_t>(group));
  }
  const size_t first_row = words.size();
  words.resize(first_row + order_.size());
  for (size_t i = 0; i < order_.size(); i++) {
    const uint64_t packed = pack_row(*order_[i].second, words);
    words[first_row + i] = packed;
  }
  return static_cast<uint16_t>(count);
}

uint64_t RowPacker::pack_row(const TenantFlag& row, std::vector<uint64_t>& words) {
  PackedRow packed;
  packed.terms = place_terms(row, words);
  packed.milli_percent = row.milli_percent & 0x1ffff;  // at most 100'000
  packed.present = 1;
  packed.limited = row.limits.any();
  packed.timed = row.until_ns != INT64_MAX;
  packed.state = std::to_underlying(row.state) & 3;
  packed.on_rollback = std::to_underlying(row.on_rollback) & 3;
  packed.bit = body_[row.flag].bit;
  return std::bit_cast<uint64_t>(packed);
}

// Equal terms have one place, behind the rows, whose words are there already.
uint32_t RowPacker::place_terms(const TenantFlag& row, std::vector<uint64_t>& words) {
  WEIR_ASSERT(row.segments.size() <= core::limits::kMaxSegments);
  const RowTerms terms{.start_ns = row.start_ns,
                       .expires_ns = row.expires_ns,
                       .until_ns = row.until_ns,
                       .segment_count = static_cast<uint32_t>(row.segments.size()),
                       .on_expiry = row.on_expiry};
  const bool always = row.start_ns == kAlways.start_ns && row.expires_ns == kAlways.expires_ns &&
                      row.until_ns == kAlways.until_ns;
  if (always && row.segments.empty()) return 0;
  constexpr size_t kTermsWords = sizeof(terms) / 8;
  scratch_.assign(kTermsWords + (row.segments.size() + 1) / 2, 0);
  std::memcpy(scratch_.data(), &terms, sizeof(terms));
  if (!row.segments.empty()) {
    std::memcpy(scratch_.data() + kTermsWords, row.segments.data(),
                row.segments.size() * sizeof(SegmentIndex));
  }
  for (const Place& place : terms_) {
    const std::span there(words.data() + place.at, place.size);
    if (std::ranges::equal(there, scratch_)) return static_cast<uint32_t>(place.at - first_);
  }
  const size_t at = words.size();
  if (terms_.size() < kTermsCompared) terms_.push_back({at, scratch_.size()});
  words.insert(words.end(), scratch_.begin(), scratch_.end());
  return static_cast<uint32_t>(at - first_);
}

ScenarioRows find_rows(const TableBody& body, const Tenant& tenant, ScenarioIndex scenario) {
  const uint64_t* words = tenant.row_words();
  const uint16_t groups = tenant.row_groups();
  if (groups == TenantRecord::kDense) {
    return {{rows_at(words) + body[scenario].first_rank, body[scenario].flags.size()}, words};
  }

  const auto* first = reinterpret_cast<const RowGroup*>(words);
  const RowGroup* end = first + groups;
  const RowGroup* found =
      std::lower_bound(first, end, scenario,
                       [](const RowGroup& group, ScenarioIndex wanted) { return group.scenario < wanted; });
  if (found == end || found->scenario != scenario) return {};
  return {{rows_at(words) + found->first, found->count}, words};
}

std::optional<TenantRow> find_row(const TableBody& body, const Tenant& tenant, FlagIndex flag) {
  const ScenarioIndex scenario = body[flag].scenario;
  const ScenarioRows found = find_rows(body, tenant, scenario);
  for (const PackedRow& packed : found.rows) {
    if (packed.present == 0 || packed.bit != body[flag].bit) continue;
    const RowTerms& terms = found.terms(packed);
    TenantRow row{.flag = flag,
                  .state = FlagState{static_cast<uint8_t>(packed.state)},
                  .milli_percent = packed.milli_percent,
                  .segments = terms.segments(),
                  .start_ns = terms.start_ns,
                  .expires_ns = terms.expires_ns,
                  .until_ns = terms.until_ns,
                  .on_expiry = terms.on_expiry,
                  .on_rollback = OnRollback{static_cast<uint8_t>(packed.on_rollback)},
                  .previous = body[scenario].stable};
    const uint32_t rank = flag_rank(body, flag);
    const auto details = std::ranges::equal_range(tenant.row_details(), rank, {}, &RowDetail::rank);
    if (!details.empty()) {
      row.previous = details.front().previous;
      row.review_ns = details.front().review_ns;
    }
    const auto limits = std::ranges::equal_range(tenant.row_limits(), rank, {}, &RowLimits::rank);
    if (!limits.empty()) row.limits = limits.front().limits;
    return row;
  }
  return std::nullopt;
}

}  // namespace weir::routing
