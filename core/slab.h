// A pool of objects of one type, owned by one shard: connections, exchanges, attempts.
//
// Why not new and delete: a shard's object count is bounded, the steady state must not allocate, and what
// outlives a loop turn (a kernel operation's user_data, a message from another shard) needs a reference
// that can be recognised as stale. A pointer cannot; a handle can:
//
//     Handle { index 7, generation 3 } ──▶ slot 7 ── generation still 3? ──▶ T*, else nullptr
//
// Invariants
//  1. Addresses are stable: memory grows by whole chunks and is given back only by the destructor.
//  2. A slot's generation is odd while its object lives and even while it is free; it rises by one at each
//     acquire and release. So generation 0, and with it a default Handle, is never live.
//  3. The slot released last is acquired first (its lines are still in the cache).
//  4. Memory is allocated only when more objects live at once than ever before.
//
// A stale handle could match again after 2^31 reuses of its slot; at a million reuses of one slot per
// second that is 35 minutes, so handles are not kept for longer than the operation they name.
//
// Thread: one shard. Limit: given at construction (core/limits.h names them); acquire() answers nullptr
// there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "core/assert.h"
#include "core/poison.h"

namespace weir::core {

// Names an object of a Slab<T> across time. A value; comparing and copying it touches no memory of the slab.
template <typename T>
struct Handle {
  uint32_t index = 0;
  uint32_t generation = 0;  // 0 = names nothing

  // The 64 bits for a kernel operation's user_data, and back.
  uint64_t packed() const { return uint64_t{generation} << 32 | index; }
  static Handle from_packed(uint64_t bits) {
    return {static_cast<uint32_t>(bits), static_cast<uint32_t>(bits >> 32)};
  }

  friend bool operator==(Handle, Handle) = default;
};

template <typename T>
class Slab {
 public:
  static constexpr uint32_t kChunkObjects = 64;

  // Allocates nothing but the (small) list of chunks.
  explicit Slab(uint32_t max_objects) : max_objects_(max_objects) {
    WEIR_ASSERT(max_objects < kNone);
    chunks_.reserve((uint64_t{max_objects} + kChunkObjects - 1) / kChunkObjects);
  }

  // Destroys what still lives, in index order.
  ~Slab() {
    for_each([this](T& object) { release(&object); });
    for (auto& chunk : chunks_) unpoison(chunk.get(), sizeof(Chunk));
  }

  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  // Constructs an object, or answers nullptr at the limit or when the machine is out of memory. T's
  // constructor may ask for its handle and acquire from this slab; it must not throw.
  template <typename... Args>
  T* acquire(Args&&... args) {
    Slot* slot = take_slot();
    if (slot == nullptr) return nullptr;
    unpoison(slot->storage, sizeof(T));
    ++slot->generation;  // before the constructor runs, which may ask for its own handle
    ++live_;
    return ::new (static_cast<void*>(slot->storage)) T(std::forward<Args>(args)...);
  }

  // Destroys an object of this slab; every handle to it is stale from before its destructor runs.
  void release(T* object) {
    Slot* slot = slot_of(object);
    WEIR_ASSERT(slot->generation & 1);
    ++slot->generation;
    --live_;
    object->~T();
    poison(slot->storage, sizeof(T));
    slot->next_free = free_;
    free_ = slot->index;
  }

  // The object, or nullptr when it has been released since.
  T* get(Handle<T> handle) {
    if (handle.index >= fresh_) return nullptr;
    Slot& slot = slot_at(handle.index);
    if (slot.generation != handle.generation || !(handle.generation & 1)) return nullptr;
    return slot.object();
  }

  // The handle of a live object of this slab.
  Handle<T> handle_of(const T* object) const {
    const Slot* slot = slot_of(object);
    WEIR_ASSERT(slot->generation & 1);
    return {slot->index, slot->generation};
  }

  // Calls visit(T&) for each live object, in index order. `visit` may release any object and acquire new
  // ones; whether it sees those is open. Walks all slots ever used: for shutdown and reports.
  template <typename Visitor>
  void for_each(Visitor&& visit) {
    for (uint32_t index = 0; index < fresh_; ++index) {
      Slot& slot = slot_at(index);
      if (slot.generation & 1) visit(*slot.object());
    }
  }

  uint32_t live() const { return live_; }
  uint32_t max_objects() const { return max_objects_; }
  // Bytes taken from the allocator so far.
  size_t memory_bytes() const { return chunks_.size() * sizeof(Chunk); }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  // Object and bookkeeping side by side: resolving a handle touches the lines that are about to be used.
  struct Slot {
    alignas(T) std::byte storage[sizeof(T)];  // first, so that T* and Slot* are the same address
    uint32_t index;
    uint32_t generation;
    uint32_t next_free;

    T* object() { return std::launder(reinterpret_cast<T*>(storage)); }
  };

  struct Chunk {
    Slot slots[kChunkObjects];
  };

  Slot& slot_at(uint32_t index) { return chunks_[index / kChunkObjects]->slots[index % kChunkObjects]; }
  const Slot& slot_at(uint32_t index) const {
    return chunks_[index / kChunkObjects]->slots[index % kChunkObjects];
  }

  const Slot* slot_of(const T* object) const {
    const Slot* slot = reinterpret_cast<const Slot*>(object);
    WEIR_ASSERT(slot->index < fresh_ && &slot_at(slot->index) == slot);
    return slot;
  }
  Slot* slot_of(T* object) { return const_cast<Slot*>(std::as_const(*this).slot_of(object)); }

  // A free slot, off the free list; nullptr at the limit. Fresh slots are first touched here, so a large
  // limit costs no memory until it is used.
  Slot* take_slot() {
    if (free_ != kNone) {
      Slot& slot = slot_at(free_);
      free_ = slot.next_free;
      return &slot;
    }
    if (fresh_ == max_objects_) return nullptr;
    if (fresh_ == chunks_.size() * kChunkObjects) {
      Chunk* chunk = new (std::nothrow) Chunk;  // uninitialised on purpose
      if (chunk == nullptr) return nullptr;
      poison(chunk, sizeof(Chunk));
      chunks_.emplace_back(chunk);  // within the reserved capacity
    }
    Slot& slot = slot_at(fresh_);
    unpoison(&slot.index, sizeof(Slot) - offsetof(Slot, index));
    slot.index = fresh_++;
    slot.generation = 0;
    return &slot;
  }

  const uint32_t max_objects_;
  uint32_t live_ = 0;
  uint32_t fresh_ = 0;     // slots below this index have been used
  uint32_t free_ = kNone;  // head of the free list
  std::vector<std::unique_ptr<Chunk>> chunks_;
};

}  // namespace weir::core
