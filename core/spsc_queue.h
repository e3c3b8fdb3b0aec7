// A bounded queue from one thread to one other: access records from a shard to the control thread.
//
//     producer ──▶ tail_ ┌─┬─┬─┬─┬─┬─┬─┬─┐ head_ ──▶ consumer
//                        └─┴─┴─┴─┴─┴─┴─┴─┘              positions only rise; slot = position % capacity
//
// Neither side ever waits: a full queue refuses the element (the caller drops and counts it), an empty one
// answers nullptr.
//
// Each side remembers the other's position as it last saw it and looks again only when that says full or
// empty, so in steady flow the two cores do not exchange a cache line per element.
//
// Why the ordering suffices: there are two hand-overs. An element goes to the consumer by the producer's
// release store of tail_, seen by the consumer's acquire load; the slot goes back to the producer by the
// consumer's release store of head_, seen by the producer's acquire load. Each side is the only writer of its
// own position and may therefore read it relaxed.
//
// Thread: one producer, one consumer. Allocates only in the constructor; the pages of a slot are first
// touched when it is first used.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

#include "core/assert.h"
#include "core/cache_line.h"

namespace weir::core {

// T is copied as bytes and never constructed or destroyed: slots begin with indeterminate content.
template <typename T>
class SpscQueue {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  // `capacity` elements, a power of two.
  explicit SpscQueue(size_t capacity)
      : mask_(capacity - 1),
        // Creates the array of T implicitly (C++20 [intro.object]) without writing to it.
        slots_(static_cast<T*>(::operator new(capacity * sizeof(T), kAlignment))) {
    WEIR_ASSERT(std::has_single_bit(capacity));
  }
  ~SpscQueue() { ::operator delete(slots_, kAlignment); }

  SpscQueue(const SpscQueue&) = delete;
  SpscQueue& operator=(const SpscQueue&) = delete;

  size_t capacity() const { return mask_ + 1; }

  // ---- producer ----

  // The slot of the next element, to be filled in place and then committed; nullptr when the queue is full.
  // Asking again without committing answers the same slot.
  T* begin_push() {
    const size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - seen_head_ > mask_) {
      seen_head_ = head_.load(std::memory_order_acquire);  // the consumer is done with the slots before it
      if (tail - seen_head_ > mask_) return nullptr;
    }
    return &slots_[tail & mask_];
  }

  // Hands the slot of the last begin_push() to the consumer.
  void commit_push() {
    const size_t tail = tail_.load(std::memory_order_relaxed);
    WEIR_ASSERT(tail - seen_head_ <= mask_);
    tail_.store(tail + 1, std::memory_order_release);  // after the element's bytes
  }

  // Copies an element in; false when the queue is full.
  bool try_push(const T& element) {
    T* slot = begin_push();
    if (slot == nullptr) return false;
    *slot = element;
    commit_push();
    return true;
  }

  // ---- consumer ----

  // The oldest element, which stays until pop(); nullptr when the queue is empty.
  T* front() {
    const size_t head = head_.load(std::memory_order_relaxed);
    if (head == seen_tail_) {
      seen_tail_ = tail_.load(std::memory_order_acquire);  // the bytes of the elements before it are visible
      if (head == seen_tail_) return nullptr;
    }
    return &slots_[head & mask_];
  }

  // Gives the slot of front() back to the producer.
  void pop() {
    const size_t head = head_.load(std::memory_order_relaxed);
    WEIR_ASSERT(head != seen_tail_);
    head_.store(head + 1, std::memory_order_release);  // after the last use of the element's bytes
  }

  // Calls visit(T&) for up to `limit` elements that are there now, oldest first, and answers how many. Their
  // slots go back to the producer together at the end.
  template <typename Visitor>
  size_t drain(Visitor&& visit, size_t limit = SIZE_MAX) {
    const size_t head = head_.load(std::memory_order_relaxed);
    seen_tail_ = tail_.load(std::memory_order_acquire);  // as in front()
    const size_t there = seen_tail_ - head;
    const size_t count = there < limit ? there : limit;
    for (size_t i = 0; i < count; ++i) visit(slots_[(head + i) & mask_]);
    if (count != 0) head_.store(head + count, std::memory_order_release);  // as in pop()
    return count;
  }

  // ---- any thread ----

  // How many elements wait; already the past when it arrives. For gauges.
  size_t approximate_size() const {
    // head_ first: it cannot be past a tail_ that is read later.
    const size_t head = head_.load(std::memory_order_acquire);
    return tail_.load(std::memory_order_relaxed) - head;
  }

 private:
  static constexpr std::align_val_t kAlignment{alignof(T) > kCacheLineBytes ? alignof(T) : kCacheLineBytes};

  const size_t mask_;
  T* const slots_;
  // Producer's line.
  alignas(kCacheLineBytes) std::atomic<size_t> tail_{0};
  size_t seen_head_ = 0;
  // Consumer's line.
  alignas(kCacheLineBytes) std::atomic<size_t> head_{0};
  size_t seen_tail_ = 0;
};

}  // namespace weir::core
