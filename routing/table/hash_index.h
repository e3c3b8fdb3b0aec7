// From the hash of a name or digest to the numbers of the objects that may have it: the indices of a table's
// tenants and keys. The caller compares the object itself, which it reads next anyway.
//
// An entry is eight bytes: 32 bits of the hash, and the number. Entries are spread by the top bits of the
// hash over parts of some hundred entries, each a block (routing/table/block.h) with open addressing at a
// load of two thirds; a change copies the parts it touches.
//
//   hash ─ top bits ─▶ part ─ mixed, scaled to its size ─▶ slot, then linear probing
//
// Two objects with equal 32 bits are rare (about a hundred pairs in a million) and harmless.
//
// Thread: made on any one thread, read by any number of them. find() does not allocate.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "routing/table/block.h"

namespace weir::routing {

class HashIndex {
 public:
  struct Entry {
    static constexpr uint32_t kNone = UINT32_MAX;
    uint32_t hash = 0;
    uint32_t value = kNone;
    auto operator<=>(const Entry&) const = default;
  };

  // Entries in any order. Appends to `suspects` the pairs of values (earlier, later) with equal hashes, for a
  // caller that wants none to be equal.
  using Pair = std::pair<uint32_t, uint32_t>;
  static HashIndex build(std::span<const Entry> entries, std::vector<Pair>* suspects = nullptr);

  // An index that was stored: its parts, as parts() gives them.
  static HashIndex restore(std::span<const BlockPtr> parts);

  // The first value under `hash` that `same(value)` accepts.
  template <typename Same>
  std::optional<uint32_t> find(uint32_t hash, Same&& same) const {
    if (size_ == 0) return std::nullopt;
    const Part& part = parts_[part_of(hash)];
    const uint32_t capacity = part.capacity;
    for (uint32_t at = slot_of(hash, capacity);; at = at + 1 == capacity ? 0 : at + 1) {
      const Entry& entry = part.slots[at];
      if (entry.value == Entry::kNone) return std::nullopt;
      if (entry.hash == hash && same(entry.value)) return entry.value;
    }
  }

  // The same index without some entries, which must be there, and with others.
  HashIndex with(std::span<const Entry> removed, std::span<const Entry> added) const;

  size_t size() const { return size_; }

  struct Part {
    const Entry* slots = nullptr;
    uint32_t capacity = 0;
    uint32_t count = 0;
    static Part of(const BlockLine* block);
  };
  const BlockList<Part>& parts() const { return parts_; }

 private:
  size_t part_of(uint32_t hash) const { return uint64_t{hash} >> (32 - bits_); }
  static uint32_t slot_of(uint32_t hash, uint32_t capacity) {
    return static_cast<uint32_t>(uint64_t{hash * 0x9e3779b1u} * capacity >> 32);
  }
  static BlockPtr make_part(std::span<const Entry> entries, std::vector<Pair>* suspects);

  BlockList<Part> parts_;  // 2^bits_, or none
  uint32_t bits_ = 0;
  size_t size_ = 0;
};

}  // namespace weir::routing
