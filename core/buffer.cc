#include "core/buffer.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>

#include "core/poison.h"

namespace weir::core {
namespace {

// Free blocks kept per size class; what comes back above that goes to the allocator. Large blocks are
// rare and dear to keep, and those that no request of a client is large enough for are not kept at all.
uint32_t keep_at_most(uint32_t size_class) {
  constexpr uint32_t kKeepBytes = 4u << 20;
  constexpr uint32_t kLargestKept = 26;  // 64 MiB
  if (size_class > kLargestKept) return 0;
  return std::max<uint32_t>(2, kKeepBytes >> size_class);
}

}  // namespace

BufferPool::~BufferPool() {
  for (Block*& head : free_) {
    while (head != nullptr) {
      Block* block = std::exchange(head, head->next_free);
      unpoison(block->base, block->capacity);
      free_block(block);
    }
  }
}

void BufferPool::free_block(Block* block) {
  allocated_bytes_ -= block->capacity;
  std::free(block->base);
  delete block;
}

Block* BufferPool::take(uint32_t size_class) {
  if (Block* block = free_[size_class]; block != nullptr) {
    free_[size_class] = block->next_free;
    --free_count_[size_class];
    unpoison(block->base, block->capacity);
    return block;
  }
  const uint32_t capacity = 1u << size_class;
  if (allocated_bytes_ + capacity > max_bytes_) return nullptr;
  auto* base = static_cast<uint8_t*>(std::malloc(capacity + kPadding));
  if (base == nullptr) return nullptr;
  auto* block = new (std::nothrow) Block;
  if (block == nullptr) {
    std::free(base);
    return nullptr;
  }
  std::memset(base + capacity, 0, kPadding);
  block->base = base;
  block->capacity = capacity;
  block->size_class = static_cast<uint8_t>(size_class);
  block->pool = this;
  allocated_bytes_ += capacity;
  return block;
}

Slice BufferPool::allocate(uint32_t size) {
  const uint32_t size_class = std::max<uint32_t>(kSmallestClass, static_cast<uint32_t>(std::bit_width(std::max(size, 1u) - 1)));
  if (size_class > kLargestClass) return {};
  Block* block = take(size_class);
  if (block == nullptr) return {};
  block->references = 1;
  ++live_blocks_;
  return {block->base, 0, block};
}

Slice BufferPool::copy_of(std::span<const uint8_t> bytes) {
  Slice copy = allocate(static_cast<uint32_t>(bytes.size()));
  if (copy.block() == nullptr) return copy;
  std::memcpy(copy.mutable_data(), bytes.data(), bytes.size());
  copy.set_size(static_cast<uint32_t>(bytes.size()));
  return copy;
}

void BufferPool::release(Block* block) {
  if (block->is_receive) {
    recycle_(recycle_context_, *block);
    return;
  }
  --live_blocks_;
  const uint32_t size_class = block->size_class;
  if (free_count_[size_class] >= keep_at_most(size_class)) {
    free_block(block);
    return;
  }
  poison(block->base, block->capacity);
  block->next_free = free_[size_class];
  free_[size_class] = block;
  ++free_count_[size_class];
}

}  // namespace weir::core
