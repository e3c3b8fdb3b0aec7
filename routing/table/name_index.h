// Hash indices of the compiled table: name -> index, short unit hash -> index. (Tenants and keys have indices
// that change in parts: routing/table/hash_index.h.)
//
// Open addressing with linear probing at a load of at most one half, 16-byte slots: a hit costs one miss for
// the slot and one for the object it names, which the caller reads next anyway.
//
// Invariants
//   1. Built by one thread before the table is published; then only read, by any number of shards.
//   2. NameIndex holds pointers to the caller's bytes, never copies: what was inserted must not move or die
//      before the index (TableBody's vectors are final before its indices are built).
//   3. find() never allocates. A slot's tag is a part of the hash; equality is always decided on all bytes.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/assert.h"
#include "routing/table/tenant_spec.h"

namespace weir::routing {

// 64-bit hash of a name: fast on short strings, not for strangers' input (nobody but the operator inserts).
uint64_t hash_name(std::string_view name);

// 64-bit hash of a digest. Real ones spread by themselves; those of a made-up table may count upwards.
uint64_t hash_digest(const Digest& digest);

// The probing shared by the indices. Entry: a 16-byte value with `uint32_t value` and hash().
template <typename Entry>
class ProbeTable {
 public:
  static constexpr uint32_t kEmpty = UINT32_MAX;

  void reserve(size_t count) {
    if (count * 2 > slots_.size()) rehash(std::bit_ceil(count * 2));
  }

  size_t size() const { return size_; }

  // The first entry on `hash`'s probe path that `same` accepts; null when there is none.
  template <typename Same>
  const Entry* find(uint64_t hash, Same same) const {
    if (slots_.empty()) return nullptr;
    for (size_t at = hash & mask();; at = (at + 1) & mask()) {
      const Entry& slot = slots_[at];
      if (slot.value == kEmpty) return nullptr;
      if (same(slot)) return &slot;
    }
  }

  // The entry must not be there yet.
  void add(const Entry& entry) {
    WEIR_ASSERT(entry.value != kEmpty);
    reserve(size_ + 1);
    place(entry);
    size_++;
  }

 private:
  size_t mask() const { return slots_.size() - 1; }

  void place(const Entry& entry) {
    size_t at = entry.hash() & mask();
    while (slots_[at].value != kEmpty) at = (at + 1) & mask();
    slots_[at] = entry;
  }

  void rehash(size_t capacity) {
    std::vector<Entry> old(capacity);
    old.swap(slots_);
    for (const Entry& entry : old) {
      if (entry.value != kEmpty) place(entry);
    }
  }

  std::vector<Entry> slots_;  // empty, or a power of two
  size_t size_ = 0;
};

// Name -> index. Names are compared byte by byte; at most 65,535 bytes long.
class NameIndex {
 public:
  void reserve(size_t count) { table_.reserve(count); }
  size_t size() const { return table_.size(); }

  // False, and nothing changes, when the name is there already. `name`'s bytes must outlive the index.
  bool insert(std::string_view name, uint32_t value) {
    WEIR_ASSERT(name.size() <= UINT16_MAX);
    const uint64_t hash = hash_name(name);
    if (lookup(name, hash) != nullptr) return false;
    table_.add(Entry{name.data(), value, static_cast<uint16_t>(name.size()), tag(hash)});
    return true;
  }

  std::optional<uint32_t> find(std::string_view name) const {
    const Entry* entry = lookup(name, hash_name(name));
    if (entry == nullptr) return std::nullopt;
    return entry->value;
  }

 private:
  struct Entry {
    const char* data = nullptr;
    uint32_t value = UINT32_MAX;
    uint16_t length = 0;
    uint16_t tag = 0;
    uint64_t hash() const { return hash_name({data, length}); }
  };
  static_assert(sizeof(Entry) == 16);

  static uint16_t tag(uint64_t hash) { return static_cast<uint16_t>(hash >> 48); }

  const Entry* lookup(std::string_view name, uint64_t hash) const {
    return table_.find(hash, [&](const Entry& entry) {
      return entry.tag == tag(hash) && entry.length == name.size() &&
             (name.empty() || std::memcmp(entry.data, name.data(), name.size()) == 0);
    });
  }

  ProbeTable<Entry> table_;
};

// Unit::short_hash -> index. Short hashes come from SHA-256, so they spread by themselves.
class ShortHashIndex {
 public:
  void reserve(size_t count) { table_.reserve(count); }
  size_t size() const { return table_.size(); }

  // False, and nothing changes, when the hash is there already.
  bool insert(uint64_t hash, uint32_t value) {
    if (find(hash)) return false;
    table_.add(Entry{hash, value});
    return true;
  }

  std::optional<uint32_t> find(uint64_t hash) const {
    const Entry* entry = table_.find(hash, [&](const Entry& slot) { return slot.key == hash; });
    if (entry == nullptr) return std::nullopt;
    return entry->value;
  }

 private:
  struct Entry {
    uint64_t key = 0;
    uint32_t value = UINT32_MAX;
    uint64_t hash() const { return key; }
  };
  static_assert(sizeof(Entry) == 16);

  ProbeTable<Entry> table_;
};

}  // namespace weir::routing
