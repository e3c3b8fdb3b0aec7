#include "routing/table/hash_index.h"

#include <bit>

namespace weir::routing {
namespace {

constexpr size_t kWanted = 512;  // entries of a part when the index is built
constexpr size_t kMost = 2048;   // on the average; more, and the index is built anew with more parts

uint32_t bits_for(size_t entries) {
  return entries <= 2 * kWanted ? 0 : static_cast<uint32_t>(std::bit_width((entries - 1) / kWanted));
}

}  // namespace

HashIndex::Part HashIndex::Part::of(const BlockLine* block) {
  const auto& head = *reinterpret_cast<const BlockHeader*>(block);
  WEIR_ASSERT(head.record_size == sizeof(Entry) && head.used < head.count);  // a search ends at a free slot
  return {reinterpret_cast<const Entry*>(block + 1), head.count, head.used};
}

BlockPtr HashIndex::make_part(std::span<const Entry> entries, std::vector<Pair>* suspects) {
  const auto capacity = static_cast<uint32_t>(entries.size() + entries.size() / 2 + 2);
  const size_t bytes = sizeof(BlockLine) + capacity * sizeof(Entry);
  const BlockHeader head{.lines = static_cast<uint32_t>((bytes + sizeof(BlockLine) - 1) / sizeof(BlockLine)),
                         .count = capacity,
                         .record_size = sizeof(Entry),
                         .used = static_cast<uint32_t>(entries.size())};
  std::shared_ptr<BlockLine[]> block(new BlockLine[head.lines]);
  block[0] = block[head.lines - 1] = {};
  std::memcpy(block.get(), &head, sizeof(head));
  auto* slots = reinterpret_cast<Entry*>(block.get() + 1);
  std::fill_n(slots, capacity, Entry());
  for (const Entry& entry : entries) {
    uint32_t at = slot_of(entry.hash, capacity);
    for (; slots[at].value != Entry::kNone; at = at + 1 == capacity ? 0 : at + 1) {
      if (suspects != nullptr && slots[at].hash == entry.hash) {
        suspects->emplace_back(slots[at].value, entry.value);
      }
    }
    slots[at] = entry;
  }
  return block;
}

HashIndex HashIndex::build(std::span<const Entry> entries, std::vector<Pair>* suspects) {
  HashIndex index;
  index.size_ = entries.size();
  if (entries.empty()) return index;
  index.bits_ = bits_for(entries.size());
  // Sorted by part first, so that parts are filled one after the other, each in cache.
  std::vector<uint32_t> ends((size_t{1} << index.bits_) + 1);
  for (const Entry& entry : entries) ends[index.part_of(entry.hash) + 1]++;
  for (size_t i = 1; i < ends.size(); i++) ends[i] += ends[i - 1];
  std::vector<Entry> sorted(entries.size());
  std::vector<uint32_t> next(ends.begin(), ends.end() - 1);
  for (const Entry& entry : entries) sorted[next[index.part_of(entry.hash)]++] = entry;
  std::vector<BlockPtr> parts;
  parts.reserve(ends.size() - 1);
  for (size_t i = 0; i + 1 < ends.size(); i++) {
    parts.push_back(make_part(std::span(sorted).subspan(ends[i], ends[i + 1] - ends[i]), suspects));
  }
  index.parts_ = BlockList<Part>(parts);
  return index;
}

HashIndex HashIndex::restore(std::span<const BlockPtr> parts) {
  HashIndex index;
  if (parts.empty()) return index;
  WEIR_ASSERT(std::has_single_bit(parts.size()));
  index.bits_ = static_cast<uint32_t>(std::countr_zero(parts.size()));
  index.parts_ = BlockList<Part>(parts);
  for (size_t i = 0; i < parts.size(); i++) index.size_ += index.parts_[i].count;
  return index;
}

HashIndex HashIndex::with(std::span<const Entry> removed, std::span<const Entry> added) const {
  if (removed.empty() && added.empty()) return *this;
  // By hash, which is by part.
  const auto sorted = [](std::span<const Entry> entries) {
    std::vector<Entry> copy(entries.begin(), entries.end());
    std::ranges::sort(copy);
    return copy;
  };
  const std::vector<Entry> gone = sorted(removed);
  const std::vector<Entry> come = sorted(added);
  size_t dropped = 0;
  const auto append_kept = [&](size_t part, std::vector<Entry>& out) {
    for (uint32_t i = 0; i < parts_[part].capacity; i++) {
      const Entry& entry = parts_[part].slots[i];
      if (entry.value == Entry::kNone) continue;
      if (std::ranges::binary_search(gone, entry)) {
        dropped++;
      } else {
        out.push_back(entry);
      }
    }
  };
  const size_t size = size_ - gone.size() + come.size();
  std::vector<Entry> entries;
  if (parts_.size() == 0 || size > parts_.size() * kMost) {
    for (size_t i = 0; i < parts_.size(); i++) append_kept(i, entries);
    WEIR_ASSERT(dropped == gone.size());
    entries.insert(entries.end(), come.begin(), come.end());
    return build(entries);
  }

  std::vector<BlockList<Part>::Replacement> replacements;
  for (size_t g = 0, c = 0; g < gone.size() || c < come.size();) {
    const size_t part = std::min(g < gone.size() ? part_of(gone[g].hash) : SIZE_MAX,
                                 c < come.size() ? part_of(come[c].hash) : SIZE_MAX);
    entries.clear();
    append_kept(part, entries);
    while (g < gone.size() && part_of(gone[g].hash) == part) g++;
    for (; c < come.size() && part_of(come[c].hash) == part; c++) entries.push_back(come[c]);
    replacements.push_back({part, make_part(entries, nullptr)});
  }
  WEIR_ASSERT(dropped == gone.size());  // each was there
  HashIndex index;
  index.parts_ = parts_.with(replacements);
  index.bits_ = bits_;
  index.size_ = size;
  return index;
}

}  // namespace weir::routing
