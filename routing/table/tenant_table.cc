#include "routing/table/tenant_table.h"

#include <algorithm>
#include <cstring>

#include "routing/table/name_index.h"

namespace weir::routing {
namespace {

// Hands out one part of an object's words after the other.
class WordReader {
 public:
  explicit WordReader(const uint64_t* at) : at_(at) {}

  template <typename Value>
  std::span<const Value> take(size_t count) {
    const auto* first = reinterpret_cast<const Value*>(at_);
    at_ += (count * sizeof(Value) + 7) / 8;
    return {first, count};
  }
  Limits take_limits(size_t count) { return count == 0 ? Limits() : take<Limits>(1)[0]; }

 private:
  const uint64_t* at_;
};

bool same_digest(const Digest& a, const Digest& b) {
  uint64_t difference = 0;
  for (size_t i = 0; i < a.size(); i += 8) {
    uint64_t x, y;
    std::memcpy(&x, a.data() + i, 8);
    std::memcpy(&y, b.data() + i, 8);
    difference |= x ^ y;
  }
  return difference == 0;
}

}  // namespace

Tenant::Parts Tenant::parts() const {
  Parts parts;
  if (record_.more == TenantRecord::kNone) return parts;
  WordReader reader(row_words() + record_.more);
  const TenantMore& more = reader.take<TenantMore>(1)[0];
  parts.limits = reader.take_limits(more.limits);
  parts.user_limits = reader.take_limits(more.user_limits);
  parts.budgets = reader.take<Budget>(more.budgets);
  parts.user_budgets = reader.take<Budget>(more.user_budgets);
  parts.details = reader.take<RowDetail>(more.details);
  parts.row_limits = reader.take<RowLimits>(more.row_limits);
  parts.models = reader.take<ModelIndex>(more.models);
  return parts;
}

Key::Parts Key::parts() const {
  Parts parts;
  if (record_.has_more == 0) return parts;
  WordReader reader(block_.words + record_.words);
  const KeyMore& more = reader.take<KeyMore>(1)[0];
  parts.limits = reader.take_limits(more.limits);
  parts.budgets = reader.take<Budget>(more.budgets);
  parts.act_as = reader.take<TenantIndex>(more.act_as);
  return parts;
}

bool Key::may_act_for(TenantIndex tenant) const {
  return tenant == record_.tenant || std::ranges::binary_search(act_as(), tenant);
}

uint32_t index_hash(std::string_view id) {
  return static_cast<uint32_t>(hash_name(id) >> 32);
}
uint32_t index_hash(const Digest& hash) {
  return static_cast<uint32_t>(hash_digest(hash) >> 32);
}

std::optional<TenantIndex> TenantTable::find(std::string_view tenant_id) const {
  const auto found = parts_.tenant_ids.find(
      index_hash(tenant_id), [&](uint32_t index) { return (*this)[TenantIndex{index}].id() == tenant_id; });
  if (!found) return std::nullopt;
  return TenantIndex{*found};
}

std::optional<KeyIndex> TenantTable::find_key(std::string_view key_id) const {
  const auto found = parts_.key_ids.find(
      index_hash(key_id), [&](uint32_t index) { return (*this)[KeyIndex{index}].id() == key_id; });
  if (!found) return std::nullopt;
  return KeyIndex{*found};
}

std::optional<KeyIndex> TenantTable::find_key(const Digest& hash) const {
  const auto found = parts_.key_hashes.find(
      index_hash(hash), [&](uint32_t index) { return same_digest((*this)[KeyIndex{index}].hash(), hash); });
  if (!found) return std::nullopt;
  return KeyIndex{*found};
}

size_t TenantTable::memory_bytes() const {
  return parts_.tenants.memory_bytes() + parts_.keys.memory_bytes() +
         parts_.tenant_ids.parts().memory_bytes() + parts_.key_ids.parts().memory_bytes() +
         parts_.key_hashes.parts().memory_bytes();
}

}  // namespace weir::routing
