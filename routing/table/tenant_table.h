// The tenants and keys of a table: a million of them in little memory, any one changed in microseconds.
//
//   TenantTable ─▶ tenants     [256][256][256] ...     blocks (routing/table/block.h), by TenantIndex
//               ─▶ keys        [256][256][256] ...     by KeyIndex
//               ─▶ indices     tenant id ─▶ TenantIndex   key id ─▶ KeyIndex   key hash ─▶ KeyIndex
//
//   a tenant's block    records: 32 bytes each │ words: packed rows, limits, budgets … │ text: ids, names
//
// A tenant costs its record, its texts, eight bytes a row and what else was said of it; the rest of a spec
// (routing/table/tenant_spec.h) takes no room where it was not given. Consumers read a Tenant or a Key: a
// view that finds the parts.
//
//   compile()         the document ─▶ TableBody + TenantTable                 (routing/table/compile.h)
//   change_tenants()  TenantTable + some tenants and keys ─▶ TenantTable     (routing/table/compile_change.h)
//   tenant images     TenantTable ◀─▶ file                                    (routing/table/tenant_image.h)
//
// Invariants
//   1. Immutable. A changed table shares all blocks but those of the changed objects with the one it was made
//      from.
//   2. It belongs to bodies whose TableBody::basis is its own: same names in the same order, so every index
//      in it is good for that body. All of its indices were checked when it was made.
//   3. An index keeps its meaning through change_tenants(): a removed object leaves a hole, which is never
//      filled; a new one comes at the end. Through compile() it does not.
//   4. No provider's credential is here, and of a client's key only its keyed hash.
//   5. A look-up of a key or a tenant touches one line of an index and one of a record, whatever the size.
//
// Thread: made on any one thread; read by any number of them, without allocation.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "core/assert.h"
#include "routing/table/block.h"
#include "routing/table/hash_index.h"
#include "routing/table/indices.h"
#include "routing/table/tenant_spec.h"

namespace weir::routing {

struct TenantRecord {
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint16_t kDense = UINT16_MAX;

  uint32_t words = 0;          // its rows: routing/decide/row_index.h
  uint32_t text = 0;           // its id, its display name, that name inside a JSON string
  uint32_t more = kNone;       // a TenantMore, in words from `words`
  uint32_t first_key = kNone;  // of its keys, the one whose id sorts first
  uint32_t key_count = 0;
  uint32_t acted_for = 0;  // keys that may act for it
  uint16_t groups = 0;     // of its rows; kDense: a row for every flag
  uint16_t name_size = 0;  // 0: as the id
  uint16_t json_size = 0;  // 0: as the name
  uint8_t id_size = 0;     // 0: it was removed
  uint8_t unused = 0;
};
static_assert(sizeof(TenantRecord) == 32);

// What not every tenant has. Follow: Limits, user Limits, Budgets, user Budgets, RowDetails, RowLimits,
// ModelIndices.
struct TenantMore {
  uint32_t details = 0;
  uint32_t row_limits = 0;
  uint32_t models = 0;
  uint8_t budgets = 0;
  uint8_t user_budgets = 0;
  uint8_t limits = 0;       // 0 or 1
  uint8_t user_limits = 0;  // 0 or 1
};
static_assert(sizeof(TenantMore) == 16);

// What the packed row leaves out. Sorted by the rank of the flag.
struct RowDetail {
  uint32_t rank = 0;
  UnitIndex previous{};
  int64_t review_ns = INT64_MAX;
};
static_assert(sizeof(RowDetail) == 16);

struct RowLimits {
  uint32_t rank = 0;
  uint32_t unused = 0;
  PilotLimits limits;
};
static_assert(sizeof(RowLimits) == 40);

struct KeyRecord {
  static constexpr uint32_t kNone = UINT32_MAX;

  Digest hash{};
  uint32_t words = 0;  // a KeyMore, if has_more
  uint32_t text = 0;   // its id
  TenantIndex tenant{};
  uint32_t scenario = kNone;
  uint8_t id_size = 0;  // 0: it was removed
  uint8_t has_more = 0;
  uint8_t unused[6] = {};
};
static_assert(sizeof(KeyRecord) == 56);

// What few keys have. Follow: Limits, Budgets, TenantIndices.
struct KeyMore {
  uint32_t act_as = 0;
  uint8_t budgets = 0;
  uint8_t limits = 0;  // 0 or 1
  uint8_t unused[2] = {};
};
static_assert(sizeof(KeyMore) == 8);

using TenantBlock = BlockRef<TenantRecord>;
using KeyBlock = BlockRef<KeyRecord>;

// Who names a tenant; a part of its record.
struct TenantLinks {
  uint32_t first_key = TenantRecord::kNone;
  uint32_t key_count = 0;
  uint32_t acted_for = 0;
};

// One tenant of a table, as long as that lives.
class Tenant {
 public:
  Tenant(const TenantBlock& block, const TenantRecord& record) : block_(block), record_(record) {}

  bool exists() const { return record_.id_size != 0; }
  std::string_view id() const { return {text(), record_.id_size}; }
  std::string_view display_name() const {
    return record_.name_size == 0 ? id() : std::string_view(text() + record_.id_size, record_.name_size);
  }
  // The display name as the inside of a JSON string.
  std::string_view display_name_json() const {
    if (record_.json_size == 0) return display_name();
    return {text() + record_.id_size + record_.name_size, record_.json_size};
  }
  std::span<const ModelIndex> models() const { return parts().models; }  // it may name directly, sorted
  Limits limits() const { return parts().limits; }
  std::span<const Budget> budgets() const { return parts().budgets; }
  Limits user_limits() const { return parts().user_limits; }  // of each of its users
  std::span<const Budget> user_budgets() const { return parts().user_budgets; }

  // Of its keys, the one whose id sorts first.
  std::optional<KeyIndex> first_key() const {
    if (record_.first_key == TenantRecord::kNone) return std::nullopt;
    return KeyIndex{record_.first_key};
  }
  TenantLinks links() const { return {record_.first_key, record_.key_count, record_.acted_for}; }

  // For routing/decide/row_index.h, which knows how rows are packed.
  const uint64_t* row_words() const { return block_.words + record_.words; }
  uint16_t row_groups() const { return record_.groups; }
  std::span<const RowDetail> row_details() const { return parts().details; }
  std::span<const RowLimits> row_limits() const { return parts().row_limits; }

 private:
  struct Parts {
    Limits limits, user_limits;
    std::span<const Budget> budgets, user_budgets;
    std::span<const RowDetail> details;
    std::span<const RowLimits> row_limits;
    std::span<const ModelIndex> models;
  };
  Parts parts() const;
  const char* text() const { return block_.text + record_.text; }

  const TenantBlock& block_;
  const TenantRecord& record_;
};

// One key of a table, as long as that lives.
class Key {
 public:
  Key(const KeyBlock& block, const KeyRecord& record) : block_(block), record_(record) {}

  bool exists() const { return record_.id_size != 0; }
  std::string_view id() const { return {block_.text + record_.text, record_.id_size}; }
  TenantIndex tenant() const { return record_.tenant; }
  const Digest& hash() const { return record_.hash; }  // zeros: it was removed
  std::optional<ScenarioIndex> scenario() const {
    if (record_.scenario == KeyRecord::kNone) return std::nullopt;
    return ScenarioIndex{record_.scenario};
  }
  std::span<const TenantIndex> act_as() const { return parts().act_as; }  // besides its own, sorted
  bool may_act_for(TenantIndex tenant) const;
  Limits limits() const { return parts().limits; }
  std::span<const Budget> budgets() const { return parts().budgets; }

 private:
  struct Parts {
    Limits limits;
    std::span<const Budget> budgets;
    std::span<const TenantIndex> act_as;
  };
  Parts parts() const;

  const KeyBlock& block_;
  const KeyRecord& record_;
};

class TenantTable {
 public:
  static constexpr uint32_t kPerBlock = 256;  // objects

  // What it is made of; a value that shares all blocks.
  struct Parts {
    BlockList<TenantBlock> tenants;
    BlockList<KeyBlock> keys;
    HashIndex tenant_ids, key_ids, key_hashes;
    uint32_t tenant_end = 0, key_end = 0;      // indices given out
    uint32_t tenant_count = 0, key_count = 0;  // that exist
    Digest basis{};                            // TableBody::basis
  };

  TenantTable() = default;
  explicit TenantTable(Parts parts) : parts_(std::move(parts)) {}

  Tenant operator[](TenantIndex index) const {
    const auto at = static_cast<uint32_t>(index);
    WEIR_ASSERT(at < parts_.tenant_end);
    const TenantBlock& block = parts_.tenants[at / kPerBlock];
    return {block, block.records[at % kPerBlock]};
  }
  Key operator[](KeyIndex index) const {
    const auto at = static_cast<uint32_t>(index);
    WEIR_ASSERT(at < parts_.key_end);
    const KeyBlock& block = parts_.keys[at / kPerBlock];
    return {block, block.records[at % kPerBlock]};
  }

  std::optional<TenantIndex> find(std::string_view tenant_id) const;
  std::optional<KeyIndex> find_key(std::string_view key_id) const;
  // Time depends on keyed hashes only: equality reads all 32 bytes whatever they hold (DESIGN section 6).
  std::optional<KeyIndex> find_key(const Digest& hash) const;

  // How many there are. Their indices are below *_end; some of those may be of removed ones.
  uint32_t tenant_count() const { return parts_.tenant_count; }
  uint32_t key_count() const { return parts_.key_count; }
  uint32_t tenant_end() const { return parts_.tenant_end; }
  uint32_t key_end() const { return parts_.key_end; }

  const Digest& basis() const { return parts_.basis; }
  const Parts& parts() const { return parts_; }
  size_t memory_bytes() const;

 private:
  Parts parts_;
};

// The hashes under which the indices hold an object.
uint32_t index_hash(std::string_view id);
uint32_t index_hash(const Digest& hash);

}  // namespace weir::routing
