#include "routing/guard/answer_cache.h"

#include <algorithm>
#include <cstring>

#include "core/assert.h"

namespace weir::routing {
namespace {

constexpr uint64_t kLowHalf = UINT32_MAX;
constexpr unsigned kLooks = 64;  // at other entries, to make room for one chunk

uint64_t tag_of(core::Hash128 key) {
  return key.low != 0 ? key.low : 1;
}

}  // namespace

void CacheLine::clear() {
  for (auto* word : {&check, &expires_ns, &extent, &tenant, &unit, &scenario})
    word->store(0, std::memory_order_relaxed);
}

AnswerCache::AnswerCache(size_t memory_bytes)
    : chunk_count_(static_cast<uint32_t>(std::clamp<size_t>(memory_bytes / kChunkBytes, 1, UINT32_MAX / 2))),
      memory_(size_t{chunk_count_} * kChunkBytes),
      links_memory_(size_t{chunk_count_} * sizeof(std::atomic<uint32_t>)),
      bytes_(static_cast<uint8_t*>(memory_.data())),
      next_(static_cast<std::atomic<uint32_t>*>(links_memory_.data())),
      // An entry has a chunk at least, so there are as many lines as chunks, and as many again for an even
      // spread.
      lines_(size_t{chunk_count_} * 2 * core::kCacheLineBytes) {
  WEIR_ASSERT(bytes_ != nullptr && next_ != nullptr);
}

uint32_t AnswerCache::take_chunk() {
  uint64_t head = free_.load(std::memory_order_acquire);
  while ((head & kLowHalf) != 0) {
    const auto top = static_cast<uint32_t>(head & kLowHalf);
    // Another may have taken `top` meanwhile, and then this is not its successor: the count tells.
    const uint64_t rest = next_[top - 1].load(std::memory_order_relaxed);
    if (free_.compare_exchange_weak(head, ((head >> 32) + 1) << 32 | rest, std::memory_order_acq_rel,
                                    std::memory_order_acquire)) {
      next_[top - 1].store(0, std::memory_order_relaxed);
      return top;
    }
  }
  uint32_t fresh = untouched_.load(std::memory_order_relaxed);
  while (fresh < chunk_count_) {
    if (untouched_.compare_exchange_weak(fresh, fresh + 1, std::memory_order_relaxed)) return fresh + 1;
  }
  return 0;
}

void AnswerCache::give_chain(uint32_t first) {
  if (first == 0) return;
  uint32_t last = first;
  while (const uint32_t next = next_[last - 1].load(std::memory_order_relaxed)) last = next;
  uint64_t head = free_.load(std::memory_order_relaxed);
  do {
    next_[last - 1].store(static_cast<uint32_t>(head & kLowHalf), std::memory_order_relaxed);
  } while (!free_.compare_exchange_weak(head, ((head >> 32) + 1) << 32 | first, std::memory_order_acq_rel,
                                        std::memory_order_relaxed));
}

uint32_t AnswerCache::free_chunks() const {
  uint32_t count = chunk_count_ - untouched_.load(std::memory_order_relaxed);
  for (auto at = static_cast<uint32_t>(free_.load(std::memory_order_acquire) & kLowHalf); at != 0;
       at = next_[at - 1].load(std::memory_order_relaxed)) {
    ++count;
  }
  return count;
}

// A locked line loses what it has.
void AnswerCache::empty(CacheLine& line) {
  give_chain(static_cast<uint32_t>(line.extent.load(std::memory_order_relaxed) & kLowHalf));
  line.clear();
}

// Empties an entry or so: of those the hand comes by, one that has expired, else the last one that nobody
// reads.
bool AnswerCache::make_room(uint64_t now_ns) {
  bool made = false;
  for (unsigned look = 0; look < kLooks && !made; ++look) {
    const size_t at = hand_.fetch_add(1, std::memory_order_relaxed) % lines_.capacity();
    CacheLine* line = lines_.try_lock_at(at);
    if (line == nullptr) continue;
    const bool filled = line->extent.load(std::memory_order_relaxed) != 0;
    const bool old = line->expires_ns.load(std::memory_order_relaxed) <= now_ns;
    if (filled && (old || look >= kLooks / 8)) {
      empty(*line);
      if (!old) evictions_.fetch_add(1, std::memory_order_relaxed);
      made = true;
    }
    lines_.unlock(*line);
  }
  return made;
}

void AnswerCache::begin(Draft& draft) {
  drop(draft);
  draft.collecting_ = true;
  draft.purges_ = purges_.load(std::memory_order_acquire);
}

void AnswerCache::append(Draft& draft, std::span<const uint8_t> bytes, uint64_t now_ns) {
  if (!draft.collecting_) return;
  if (bytes.size() > core::limits::kMaxCacheEntryBytes - draft.size_) return drop(draft);
  while (!bytes.empty()) {
    uint32_t used = draft.size_ % kChunkBytes;
    if (used == 0) {
      uint32_t taken = take_chunk();
      if (taken == 0 && make_room(now_ns)) taken = take_chunk();
      if (taken == 0) return drop(draft);
      if (draft.last_ != 0) next_[draft.last_ - 1].store(taken, std::memory_order_relaxed);
      if (draft.first_ == 0) draft.first_ = taken;
      draft.last_ = taken;
    }
    const auto size = static_cast<uint32_t>(std::min<size_t>(bytes.size(), kChunkBytes - used));
    std::memcpy(chunk(draft.last_) + used, bytes.data(), size);
    draft.size_ += size;
    bytes = bytes.subspan(size);
  }
}

void AnswerCache::drop(Draft& draft) {
  give_chain(draft.first_);
  draft = {};
}

bool AnswerCache::store(Draft& draft, core::Hash128 key, const CacheLabels& labels, uint64_t ttl_ns,
                        uint64_t now_ns) {
  const auto busy_until = [now_ns](const CacheLine& held) {
    const uint64_t expires_ns = held.expires_ns.load(std::memory_order_relaxed);
    return expires_ns <= now_ns ? 0 : expires_ns;
  };
  const auto was_purged = [&draft](uint64_t purges) { return purges != draft.purges_; };
  // Asked first, so that what began after the purge and stands there already is left alone.
  const bool keeps = draft.size_ != 0 && ttl_ns != 0 && !was_purged(purges_.load(std::memory_order_acquire));
  CacheLine* line = keeps ? lines_.lock(tag_of(key), busy_until) : nullptr;
  if (line == nullptr) {
    drop(draft);
    return false;
  }
  empty(*line);
  line->check.store(key.high, std::memory_order_relaxed);
  line->expires_ns.store(now_ns + ttl_ns, std::memory_order_relaxed);
  line->extent.store(uint64_t{draft.size_} << 32 | draft.first_, std::memory_order_relaxed);
  line->tenant.store(labels.tenant, std::memory_order_relaxed);
  line->unit.store(labels.unit, std::memory_order_relaxed);
  line->scenario.store(labels.scenario, std::memory_order_relaxed);
  const bool stands = !was_purged(purges_.fetch_add(0, std::memory_order_acq_rel));
  if (!stands) empty(*line);
  lines_.unlock(*line);
  draft = {};
  return stands;
}

void AnswerCache::look_up(core::Hash128 key, uint64_t now_ns, Hit& hit) {
  CacheLine* line = lines_.find(tag_of(key));
  if (line == nullptr) return;
  const uint64_t extent = line->extent.load(std::memory_order_relaxed);
  if (extent == 0 || line->check.load(std::memory_order_relaxed) != key.high ||
      line->expires_ns.load(std::memory_order_relaxed) <= now_ns) {
    return lines_.release(*line);
  }
  hit.line = line;
  hit.size = static_cast<uint32_t>(extent >> 32);
  hit.part_count = 0;
  uint32_t left = hit.size;
  for (auto at = static_cast<uint32_t>(extent & kLowHalf); left > 0;
       at = next_[at - 1].load(std::memory_order_relaxed)) {
    const uint32_t size = std::min(left, kChunkBytes);
    hit.parts[hit.part_count++] = {reinterpret_cast<const char*>(chunk(at)), size};
    left -= size;
  }
}

void AnswerCache::release(Hit& hit) {
  if (hit.line != nullptr) lines_.release(*hit.line);
  hit.line = nullptr;
}

uint64_t AnswerCache::purge(std::atomic<uint64_t> CacheLine::* label, uint64_t value) {
  uint64_t count = 0;
  purges_.fetch_add(1, std::memory_order_acq_rel);
  for (size_t at = 0; at < lines_.capacity(); ++at) {
    CacheLine& line = lines_.at(at);
    if ((line.*label).load(std::memory_order_relaxed) != value) continue;
    // A store under way may fill it with another's answer right now; that one is lost as well, and no harm
    // done.
    count += line.expires_ns.exchange(0, std::memory_order_relaxed) != 0;
  }
  return count;
}

}  // namespace weir::routing
