// Builds the tenant table of a whole document, in the document's order.
//
//   add(tenant)* ─▶ end_tenants() ─▶ add(key)* ─▶ end_keys() ─▶ take()
//
// A spec's text and vectors are copied into blocks, so one spec can be used for all. Indices in specs are
// those of `body`, whose flags are ranked (rank_flags()).
//
// Thread: any one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "routing/decide/row_index.h"
#include "routing/table/table.h"
#include "routing/table/tenant_spec.h"
#include "routing/table/tenant_table.h"

namespace weir::routing {

// Appends tenants to blocks, one after the other.
class TenantEncoder {
 public:
  explicit TenantEncoder(const TableBody& body) : body_(body), rows_(body) {}
  void append(const TenantSpec& spec, BlockBuilder<TenantRecord>& to);

 private:
  void find_details(const TenantSpec& spec);

  const TableBody& body_;
  RowPacker rows_;
  std::vector<RowDetail> details_;
  std::vector<RowLimits> row_limits_;
};

void append_key(const KeySpec& spec, BlockBuilder<KeyRecord>& to);

void set_links(TenantRecord& record, const TenantLinks& links);

class TenantTableBuilder {
 public:
  explicit TenantTableBuilder(const TableBody& body) : body_(body), encoder_(body) {}

  // How many are to come, for speed.
  void reserve_tenants(size_t count) { tenant_ids_.reserve(count); }
  void reserve_keys(size_t count);

  TenantIndex add(const TenantSpec& spec);
  // Answers those whose id an earlier one has.
  std::vector<TenantIndex> end_tenants();
  // Fast when it is asked for tenants one after the other: documents list keys in the order of their tenants.
  std::optional<TenantIndex> find(std::string_view tenant_id);

  KeyIndex add(const KeySpec& spec);
  struct Repeated {
    std::vector<KeyIndex> ids, hashes;
  };
  // Without ids and hashes that were left out.
  Repeated end_keys();

  std::string_view id(TenantIndex index) const { return tenant(static_cast<uint32_t>(index)).id(); }
  std::string_view id(KeyIndex index) const;

  // Not after something was repeated.
  std::unique_ptr<TenantTable> take();

 private:
  Tenant tenant(uint32_t index) const;

  const TableBody& body_;
  TenantEncoder encoder_;
  TenantTable::Parts parts_;
  BlockBuilder<TenantRecord> tenants_;
  BlockBuilder<KeyRecord> keys_;
  std::vector<std::shared_ptr<BlockLine[]>> tenant_blocks_;  // still to be changed: links_
  std::vector<BlockPtr> key_blocks_;
  std::vector<TenantLinks> links_;  // by TenantIndex
  uint32_t last_found_ = UINT32_MAX;
  std::vector<HashIndex::Entry> tenant_ids_, key_ids_, key_hashes_;
};

}  // namespace weir::routing
