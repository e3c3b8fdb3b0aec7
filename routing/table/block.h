// Blocks: immutable pieces of a large structure, so that a new version of it shares with the old one all that
// has not changed, and so that it goes to disk and comes back as it stands in memory.
//
//   version 1   [b0][b1][b2][b3]
//   version 2   [b0][b1][B2][b3]        a change of one object copies one block; b0, b1, b3 are shared
//
// A block is one allocation, position-independent:
//
//   header, 64 B │ records: `count` of one size │ words: 8 B each, parts of varying size │ text, no
//   terminators
//
// Object i of a block owns records[i] and whatever begins at its `words` and `text`, up to where that of
// object i + 1 begins: objects stand in the same order in all three parts, so a run of them is copied as
// three ranges.
//
// Invariants
//   1. Immutable once it is in a BlockList; freed with the last list that holds it. All bytes are set,
//      padding to zero: the same objects make the same bytes.
//   2. A BlockList's with() costs one copy of the array of BlockRefs (a memcpy) and some reference counts,
//      not one for each block: counts are kept in pages of 32 blocks.
//
// Thread: made on any one thread, read by any number of them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/assert.h"
#include "core/cache_line.h"

namespace weir::routing {

struct alignas(core::kCacheLineBytes) BlockLine {
  std::array<std::byte, core::kCacheLineBytes> bytes;
};

using BlockPtr = std::shared_ptr<const BlockLine[]>;

struct BlockHeader {
  uint32_t lines = 0;        // of the whole block, this one included
  uint32_t count = 0;        // of records
  uint32_t record_size = 0;  // bytes of one
  uint32_t words = 0;
  uint32_t text = 0;  // bytes
  uint32_t used = 0;  // of the records, where that is less (HashIndex)
};

// Where the parts of a block are. Cheap to make; lives as long as the block.
template <typename Record>
struct BlockRef {
  const Record* records = nullptr;
  const uint64_t* words = nullptr;
  const char* text = nullptr;

  static BlockRef of(const BlockLine* block) {
    BlockRef ref;
    ref.records = reinterpret_cast<const Record*>(block + 1);
    const BlockHeader& head = ref.header();
    WEIR_ASSERT(head.record_size == sizeof(Record));
    ref.words = reinterpret_cast<const uint64_t*>(ref.records + head.count);
    ref.text = reinterpret_cast<const char*>(ref.words + head.words);
    return ref;
  }

  const BlockHeader& header() const {
    return *reinterpret_cast<const BlockHeader*>(reinterpret_cast<const BlockLine*>(records) - 1);
  }
  size_t count() const { return header().count; }
};

// Collects objects into a block. Record: trivially copyable, a multiple of 8 bytes, with `uint32_t words,
// text`.
template <typename Record>
class BlockBuilder {
  static_assert(std::is_trivially_copyable_v<Record> && sizeof(Record) % 8 == 0);

 public:
  size_t count() const { return records_.size(); }

  // Begins the next object; what is appended from now on is its own. Valid until the next call.
  Record& begin() {
    WEIR_ASSERT(words_.size() < UINT32_MAX && text_.size() < UINT32_MAX);
    Record& record = records_.emplace_back();
    record.words = static_cast<uint32_t>(words_.size());
    record.text = static_cast<uint32_t>(text_.size());
    return record;
  }
  Record& last() { return records_.back(); }

  void append_text(std::string_view text) { text_.insert(text_.end(), text.begin(), text.end()); }
  std::vector<uint64_t>& words() { return words_; }
  // Appends values, the last word filled up with zeros.
  template <typename Value>
  void append(std::span<const Value> values) {
    static_assert(std::has_unique_object_representations_v<Value>);
    const size_t at = words_.size();
    words_.resize(at + (values.size_bytes() + 7) / 8);
    if (!values.empty()) std::memcpy(words_.data() + at, values.data(), values.size_bytes());
  }

  // Appends objects [first, last) of another block.
  void copy(const BlockRef<Record>& from, size_t first, size_t last) {
    if (first == last) return;
    const BlockHeader& head = from.header();
    WEIR_ASSERT(last <= head.count);
    const Record& begin = from.records[first];
    const uint32_t words_end = last == head.count ? head.words : from.records[last].words;
    const uint32_t text_end = last == head.count ? head.text : from.records[last].text;
    const uint32_t words_shift = static_cast<uint32_t>(words_.size()) - begin.words;
    const uint32_t text_shift = static_cast<uint32_t>(text_.size()) - begin.text;
    for (size_t i = first; i < last; i++) {
      Record& record = records_.emplace_back(from.records[i]);
      record.words += words_shift;
      record.text += text_shift;
    }
    words_.insert(words_.end(), from.words + begin.words, from.words + words_end);
    text_.insert(text_.end(), from.text + begin.text, from.text + text_end);
  }

  // The block; the builder is empty again, and keeps its memory.
  std::shared_ptr<BlockLine[]> take() {
    const size_t records_size = records_.size() * sizeof(Record);
    const size_t words_size = words_.size() * 8;
    const size_t bytes = sizeof(BlockLine) + records_size + words_size + text_.size();
    BlockHeader head{.lines = static_cast<uint32_t>((bytes + sizeof(BlockLine) - 1) / sizeof(BlockLine)),
                     .count = static_cast<uint32_t>(records_.size()),
                     .record_size = sizeof(Record),
                     .words = static_cast<uint32_t>(words_.size()),
                     .text = static_cast<uint32_t>(text_.size())};
    std::shared_ptr<BlockLine[]> block(new BlockLine[head.lines]);
    block[0] = block[head.lines - 1] = {};
    auto* to = reinterpret_cast<std::byte*>(block.get());
    std::memcpy(to, &head, sizeof(head));
    to += sizeof(BlockLine);
    const auto put = [&to](const void* from, size_t size) {
      if (size != 0) std::memcpy(to, from, size);
      to += size;
    };
    put(records_.data(), records_size);
    put(words_.data(), words_size);
    put(text_.data(), text_.size());
    records_.clear();
    words_.clear();
    text_.clear();
    return block;
  }

 private:
  std::vector<Record> records_;
  std::vector<uint64_t> words_;
  std::vector<char> text_;
};

// The blocks of one structure, in order. A value; copying it shares everything. Ref: BlockRef<Record>.
template <typename Ref>
class BlockList {
 public:
  BlockList() = default;
  explicit BlockList(std::span<const BlockPtr> blocks) : size_(blocks.size()) {
    auto refs = std::make_shared<Ref[]>(size_);
    auto pages = std::make_shared<Pages>((size_ + kPage - 1) / kPage);
    for (size_t i = 0; i < size_; i += kPage) {
      auto page = std::make_shared<Page>();
      std::copy_n(blocks.begin() + static_cast<ptrdiff_t>(i), std::min(kPage, size_ - i), page->begin());
      (*pages)[i / kPage] = std::move(page);
    }
    for (size_t i = 0; i < size_; i++) refs[i] = Ref::of(blocks[i].get());
    refs_ = std::move(refs);
    pages_ = std::move(pages);
  }

  size_t size() const { return size_; }
  const Ref& operator[](size_t at) const { return refs_[at]; }
  const BlockPtr& block(size_t at) const { return (*(*pages_)[at / kPage])[at % kPage]; }

  struct Replacement {
    size_t at;  // up to size(): appended; sorted
    BlockPtr block;
  };
  // The same list but for these.
  BlockList with(std::span<const Replacement> replacements) const {
    if (replacements.empty()) return *this;
    BlockList list;
    list.size_ = std::max(size_, replacements.back().at + 1);
    auto refs = std::make_shared<Ref[]>(list.size_);
    std::copy_n(refs_.get(), size_, refs.get());
    auto pages = std::make_shared<Pages>();
    pages->reserve((list.size_ + kPage - 1) / kPage);
    if (pages_ != nullptr) *pages = *pages_;
    pages->resize((list.size_ + kPage - 1) / kPage);
    Page* page = nullptr;
    size_t number = SIZE_MAX;
    size_t end = size_;
    for (const Replacement& replacement : replacements) {
      WEIR_ASSERT(replacement.at <= end);
      end = std::max(end, replacement.at + 1);
      if (replacement.at / kPage != number) {
        number = replacement.at / kPage;
        const std::shared_ptr<const Page>& old = (*pages)[number];
        auto copy = old == nullptr ? std::make_shared<Page>() : std::make_shared<Page>(*old);
        page = copy.get();
        (*pages)[number] = std::move(copy);
      }
      (*page)[replacement.at % kPage] = replacement.block;
      refs[replacement.at] = Ref::of(replacement.block.get());
    }
    list.refs_ = std::move(refs);
    list.pages_ = std::move(pages);
    return list;
  }

  // Of the blocks alone.
  size_t memory_bytes() const {
    size_t lines = 0;
    for (size_t i = 0; i < size_; i++) lines += reinterpret_cast<const BlockHeader*>(block(i).get())->lines;
    return lines * sizeof(BlockLine);
  }

 private:
  static constexpr size_t kPage = 32;
  using Page = std::array<BlockPtr, kPage>;
  using Pages = std::vector<std::shared_ptr<const Page>>;

  std::shared_ptr<const Ref[]> refs_;
  std::shared_ptr<const Pages> pages_;
  size_t size_ = 0;
};

}  // namespace weir::routing
