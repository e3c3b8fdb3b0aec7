// Whole answers, kept to be given again to the very same request: exact, bounded, shared by all shards,
// without locks.
//
//   key = tenant + unit hash + canonical request        (answers never cross tenants or units)
//
//   index (UserLines): tag ─▶ line: second half of the key, expiry, size, first chunk, labels for purging
//   chunks of 4 KiB:                  ┌─────┐ next ┌─────┐
//                     first chunk ──▶ │ ... │ ───▶ │ ... │          free chunks: a stack
//                                     └─────┘      └─────┘
//
// A draft begins before the answer is asked for, is filled while it passes through, and becomes an entry when it was
// whole; until then nobody sees it. Memory is given at construction: 64 MiB hold 64 MiB, and when they are used up, what
// nobody reads at the moment gives way, a few looks at a time; what does not fit then is not cached.
//
// Invariants
//   1. An entry is read only while its line is held (in_flight), written only while it is locked: readers
//      never see half an entry, and a chunk is never given out while it is read.
//   2. A hit means all 128 bits of the key are equal. The hash is keyed with a secret of this process: nobody
//      can make two requests that collide.
//   3. Every chunk belongs to one entry, one draft, or the stack of free ones. A draft ends by store() or
//      drop().
//   4. What has expired or been purged is not given again, though its memory may be taken later.
//   5. What was asked for before something was purged is not stored after it: a purge counts itself first and walks
//      then, who stores fills the line first and asks the count then, by an addition of 0. Of the two additions
//      one is first: either the walk sees the line, or who stores sees the purge.
//
// Ordering: who stores unlocks the line with release, who looks up holds it with acquire. The stack's head
// carries a count in its upper half, so a head that comes back (ABA) is another value.
//
// Limits: kMaxCacheEntryBytes an answer. Thread: any; a draft or hit belongs to its exchange's shard.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/limits.h"
#include "core/siphash.h"
#include "core/zeroed_memory.h"
#include "routing/guard/user_lines.h"

namespace weir::routing {

// Hashes of the names an entry can be purged by.
struct CacheLabels {
  uint64_t tenant = 0, unit = 0, scenario = 0;
};

struct alignas(core::kCacheLineBytes) CacheLine {
  std::atomic<uint64_t> in_flight;
  std::atomic<uint64_t> check;       // second half of the key
  std::atomic<uint64_t> expires_ns;  // monotonic; 0 = purged, or never filled
  std::atomic<uint64_t> extent;      // size << 32 | first chunk + 1
  std::atomic<uint64_t> tenant, unit, scenario;
  std::atomic<uint64_t> unused;

  void clear();
};
static_assert(sizeof(CacheLine) == core::kCacheLineBytes);

class AnswerCache {
 public:
  static constexpr uint32_t kChunkBytes = 4096;
  static constexpr uint32_t kMaxChunks = core::limits::kMaxCacheEntryBytes / kChunkBytes;

  explicit AnswerCache(size_t memory_bytes);
  AnswerCache(const AnswerCache&) = delete;
  AnswerCache& operator=(const AnswerCache&) = delete;

  // An answer that is being collected.
  class Draft {
   public:
    bool collecting() const { return collecting_; }
    uint32_t size() const { return size_; }

   private:
    friend class AnswerCache;
    uint32_t first_ = 0, last_ = 0;  // chunk + 1
    uint32_t size_ = 0;
    bool collecting_ = false;
    uint64_t purges_ = 0;  // when it began
  };
  void begin(Draft& draft);
  // Adds bytes; without memory, or past the largest entry, the draft is dropped and collects no more.
  void append(Draft& draft, std::span<const uint8_t> bytes, uint64_t now_ns);
  void drop(Draft& draft);
  // Makes the draft the entry of `key`. False, and without effect, if one is being read there, if memory's
  // index is busy, or if something was purged since the draft began.
  bool store(Draft& draft, core::Hash128 key, const CacheLabels& labels, uint64_t ttl_ns, uint64_t now_ns);

  // An entry that is held. Its parts are valid until release().
  struct Hit {
    CacheLine* line = nullptr;
    uint32_t size = 0;
    unsigned part_count = 0;
    std::string_view parts[kMaxChunks];

    explicit operator bool() const { return line != nullptr; }
  };
  void look_up(core::Hash128 key, uint64_t now_ns, Hit& hit);
  void release(Hit& hit);

  // Entries with this label are not given again. How many there were.
  uint64_t purge(std::atomic<uint64_t> CacheLine::* label, uint64_t value);

  // Entries that gave way before their time.
  uint64_t evictions() const { return lines_.evictions() + evictions_.load(std::memory_order_relaxed); }
  uint32_t chunks() const { return chunk_count_; }
  uint32_t free_chunks() const;  // counted one by one: for tests and people

 private:
  uint8_t* chunk(uint32_t index_plus_one) { return bytes_ + size_t{index_plus_one - 1} * kChunkBytes; }
  uint32_t take_chunk();
  void give_chain(uint32_t first);
  bool make_room(uint64_t now_ns);
  void empty(CacheLine& line);

  const uint32_t chunk_count_;
  core::ZeroedMemory memory_;
  core::ZeroedMemory links_memory_;
  uint8_t* const bytes_;
  std::atomic<uint32_t>* const next_;   // by chunk: the next one + 1, 0 = last
  std::atomic<uint64_t> free_{0};       // count << 32 | chunk + 1
  std::atomic<uint32_t> untouched_{0};  // chunks from here on have never been used
  std::atomic<uint64_t> hand_{0};       // where make_room() looks next
  std::atomic<uint64_t> purges_{0};     // acq_rel: invariant 5
  std::atomic<uint64_t> evictions_{0};  // by make_room(), of what had not expired
  UserLines<CacheLine> lines_;
};

}  // namespace weir::routing
