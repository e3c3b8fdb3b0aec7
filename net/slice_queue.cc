#include "net/slice_queue.h"

#include <algorithm>
#include <cstring>

namespace weir::net {
namespace {

constexpr uint32_t kCopyBlockBytes = 16 * 1024;

}  // namespace

// The last slice, if `size` bytes may be written directly behind it.
core::Slice* SliceQueue::open_tail(uint32_t size) {
  if (!tail_is_ours_ || count_ == locked_) return nullptr;
  core::Slice& tail = at(count_ - 1);
  return tail.room() - tail.size() >= size ? &tail : nullptr;
}

// Joins all slices that are not locked into one block with `room` bytes to spare.
bool SliceQueue::collapse(uint32_t room, core::BufferPool& buffers) {
  uint64_t total = room;
  for (uint32_t i = locked_; i < count_; ++i) total += at(i).size();
  if (total > UINT32_MAX / 2) return false;
  core::Slice joined = buffers.allocate(static_cast<uint32_t>(std::max<uint64_t>(total, kCopyBlockBytes)));
  if (joined.block() == nullptr) return false;
  uint32_t size = 0;
  for (uint32_t i = locked_; i < count_; ++i) {
    std::memcpy(joined.mutable_data() + size, at(i).data(), at(i).size());
    size += at(i).size();
    at(i).reset();
  }
  joined.set_size(size);
  count_ = locked_;
  at(count_++) = std::move(joined);
  tail_is_ours_ = true;
  return true;
}

bool SliceQueue::push(core::Slice slice, Keep keep, core::BufferPool& buffers) {
  const uint32_t size = slice.size();
  if (size == 0) return true;
  if (keep == Keep::reference && count_ < kCapacity) {
    if (count_ == locked_ || !at(count_ - 1).absorb(slice)) {
      at(count_++) = std::move(slice);
      tail_is_ours_ = false;
    }
    bytes_ += size;
    return true;
  }
  core::Slice* tail = open_tail(size);
  if (tail == nullptr) {
    if (count_ < kCapacity) {
      core::Slice fresh = buffers.allocate(std::max(size, kCopyBlockBytes));
      if (fresh.block() == nullptr) return false;
      at(count_++) = std::move(fresh);
      tail_is_ours_ = true;
    } else {
      // All slots may be locked: then nothing can be joined, but kCapacity locked slices are only ever
      // reached by lock() on a full ring, which leaves no room until the send ends.
      if (locked_ == kCapacity || !collapse(size, buffers)) return false;
    }
    tail = &at(count_ - 1);
  }
  std::memcpy(tail->mutable_data() + tail->size(), slice.data(), size);
  tail->set_size(tail->size() + size);
  bytes_ += size;
  return true;
}

uint32_t SliceQueue::lock(std::span<iovec, kCapacity> pieces) {
  WEIR_ASSERT(locked_ == 0);
  // One slot stays free for what is pushed while the send is under way.
  locked_ = std::min(count_, kCapacity - 1);
  for (uint32_t i = 0; i < locked_; ++i) {
    pieces[i] = {const_cast<uint8_t*>(at(i).data()), at(i).size()};
  }
  if (locked_ == count_) tail_is_ours_ = false;
  return locked_;
}

void SliceQueue::unlock(uint64_t sent) {
  WEIR_ASSERT(sent <= bytes_);
  bytes_ -= sent;
  while (sent > 0) {
    WEIR_ASSERT(locked_ > 0);
    core::Slice& front = at(0);
    if (sent < front.size()) {
      front.drop_front(static_cast<uint32_t>(sent));
      break;
    }
    sent -= front.size();
    front.reset();
    first_ = (first_ + 1) % kCapacity;
    --count_;
    --locked_;
  }
  locked_ = 0;
}

void SliceQueue::drop_all() {
  WEIR_ASSERT(locked_ == 0);
  for (uint32_t i = 0; i < count_; ++i) at(i).reset();
  count_ = 0;
  bytes_ = 0;
  tail_is_ours_ = false;
}

}  // namespace weir::net
