#include "routing/exchange/metrics.h"

#include <new>
#include <string_view>
#include <utility>

#include "routing/table/name_index.h"

namespace weir::routing {
namespace {

constexpr uint32_t kOther = 0;  // the series of all label sets that came too late

constexpr auto kStatusIndex = [] {
  std::array<uint8_t, 600> index{};
  index.fill(kCountedStatuses.size() - 1);
  for (size_t i = 0; i < kCountedStatuses.size(); ++i) index[kCountedStatuses[i]] = static_cast<uint8_t>(i);
  return index;
}();

// The names a record stands for; empty where there is none.
struct LabelViews {
  std::string_view tenant, scenario, unit, arm, provider;
};

LabelViews labels_of(const Record& record) {
  LabelViews labels;
  if (record.table == nullptr) return labels;
  const TableBody& body = *record.table->body;
  if (record.tenant != Record::kNone) labels.tenant = (*record.table)[TenantIndex{record.tenant}].id();
  if (record.scenario != Record::kNone) labels.scenario = body.scenarios[record.scenario].name;
  if (record.decided_unit == Record::kNone) return labels;
  const Unit& unit = body.units[record.unit != Record::kNone ? record.unit : record.decided_unit];
  labels.unit = unit.name;
  labels.arm = token(record.arm);
  const bool asked = record.unit != Record::kNone && record.provider != Record::kNone;
  labels.provider = body[asked ? ProviderIndex{record.provider} : body[unit.model].provider].name;
  return labels;
}

// The names decide, not the indices, which mean something else in the next table. A unit that several
// providers answer, or that a table moves, has a series for each.
uint64_t hash_labels(const LabelViews& labels, Arm arm) {
  uint64_t hash = static_cast<uint64_t>(arm) + 1;
  for (const std::string_view name : {labels.tenant, labels.scenario, labels.unit, labels.provider}) {
    hash = (hash ^ hash_name(name)) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 32;
  }
  return hash;
}

}  // namespace

ShardMetrics::ShardMetrics() : buckets_(std::make_unique<Bucket[]>(kBuckets)) {
  const std::string other = "other";
  add_series({.tenant = other, .scenario = other, .unit = other, .arm = other, .provider = other});
  WEIR_ASSERT(series_count() == kOther + 1);
}

MetricSeries* ShardMetrics::add_series(MetricLabels labels) {
  const uint32_t index = series_count_.load(std::memory_order_relaxed);
  if (index == series_.size()) return nullptr;
  auto* made = new (std::nothrow) MetricSeries;
  if (made == nullptr) return nullptr;
  made->labels = std::move(labels);
  series_[index].reset(made);
  series_count_.store(index + 1, std::memory_order_release);  // after the series is complete
  return made;
}

MetricSeries& ShardMetrics::series_for(const Record& record) {
  const LabelViews labels = labels_of(record);
  const uint64_t hash = hash_labels(labels, record.arm);
  uint32_t at = hash % kBuckets;
  while (buckets_[at].series != UINT32_MAX) {
    if (buckets_[at].hash == hash) return *series_[buckets_[at].series];
    at = (at + 1) % kBuckets;
  }
  const uint32_t index = series_count_.load(std::memory_order_relaxed);
  MetricSeries* made = add_series({.tenant = std::string(labels.tenant),
                                   .scenario = std::string(labels.scenario),
                                   .unit = std::string(labels.unit),
                                   .arm = std::string(labels.arm),
                                   .provider = std::string(labels.provider)});
  if (made == nullptr) return *series_[kOther];
  buckets_[at] = {hash, index};
  return *made;
}

void ShardMetrics::count(const Record& record) {
  if (record.error) errors[static_cast<size_t>(*record.error)].add();
  MetricSeries& series = series_for(record);
  series.exchanges[record.status < kStatusIndex.size() ? kStatusIndex[record.status] : kStatusIndex[0]].add();
  if (record.usage_reported || record.usage_estimated) {
    series.input_tokens.record(static_cast<uint64_t>(std::max<int64_t>(record.input_tokens, 0)));
    series.output_tokens.record(static_cast<uint64_t>(std::max<int64_t>(record.output_tokens, 0)));
    if (record.cached_input_tokens > 0)
      series.cached_input_tokens.add(static_cast<uint64_t>(record.cached_input_tokens));
    if (record.reasoning_tokens > 0)
      series.reasoning_tokens.add(static_cast<uint64_t>(record.reasoning_tokens));
  }
  // Without usage too: of attempts whose answer nobody got.
  if (record.cost_nano_usd > 0) series.cost_nano_usd.add(static_cast<uint64_t>(record.cost_nano_usd));
  if (record.first_failure) {
    // Counted against what was decided: its series may be one that never answers.
    Record decided = record;
    decided.unit = decided.provider = Record::kNone;
    decided.arm = record.decided_arm;
    series_for(decided).fallbacks.add();
  }
  series.duration_ns.record(record.total_ns);
  if (record.first_token_ns != 0) series.first_token_ns.record(record.first_token_ns);
}

}  // namespace weir::routing
