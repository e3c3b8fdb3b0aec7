#include "core/buffer.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>

#include "core/poison.h"

namespace weir::core {
namespace {

// Free blocks kept per size class; what comes back above that goes to the system. Beside a few, a quarter of those in
// use: under a steady load blocks come and go in bursts, and a fresh one costs a page fault for every 4 KiB. When the
// load ends they go. Those that no request of a client is large enough for are not kept at all.
uint32_t keep_at_most(uint32_t size_class, uint32_t in_use) {
  constexpr uint32_t kKeepBytes = 4u << 20;
  constexpr uint32_t kLargestKept = 26;  // 64 MiB
  if (size_class > kLargestKept) return 0;
  return std::max({2u, kKeepBytes >> size_class, in_use / 4});
}

// Larger blocks are mapped, so that what is freed is the system's again at once; malloc would keep it.
constexpr uint32_t kSmallestMapped = 128 * 1024;

}  // namespace

BufferPool::~BufferPool() { free_what_is_kept(); }

void BufferPool::free_what_is_kept() {
  for (uint32_t size_class = 0; size_class < free_.size(); ++size_class) {
    while (free_[size_class] != nullptr) free_block(pop_free(size_class));
  }
}

void BufferPool::free_block(Block* block) {
  allocated_bytes_ -= block->capacity;
  if (block->mapped == nullptr) std::free(block->base);
  delete block;
}

Block* BufferPool::pop_free(uint32_t size_class) {
  Block* block = free_[size_class];
  free_[size_class] = block->next_free;
  --free_count_[size_class];
  unpoison(block->base, block->capacity);
  return block;
}

Block* BufferPool::take(uint32_t size_class) {
  if (free_[size_class] != nullptr) return pop_free(size_class);
  const uint32_t capacity = 1u << size_class;
  if (allocated_bytes_ + capacity > max_bytes_) free_what_is_kept();
  if (allocated_bytes_ + capacity > max_bytes_) return nullptr;
  std::unique_ptr<Block> block(new (std::nothrow) Block);
  if (block == nullptr) return nullptr;
  const size_t whole = size_t{capacity} + kPadding;
  if (capacity >= kSmallestMapped) {
    block->mapped.reset(new (std::nothrow) ZeroedMemory(whole));
    if (block->mapped == nullptr) return nullptr;
    block->base = static_cast<uint8_t*>(block->mapped->data());
  } else {
    block->base = static_cast<uint8_t*>(std::malloc(whole));
    if (block->base != nullptr) std::memset(block->base + capacity, 0, kPadding);
  }
  if (block->base == nullptr) return nullptr;
  block->capacity = capacity;
  block->size_class = static_cast<uint8_t>(size_class);
  block->pool = this;
  allocated_bytes_ += capacity;
  return block.release();
}

Slice BufferPool::allocate(uint32_t size) {
  const uint32_t size_class = std::max<uint32_t>(kSmallestClass, static_cast<uint32_t>(std::bit_width(std::max(size, 1u) - 1)));
  if (size_class > kLargestClass) return {};
  Block* block = take(size_class);
  if (block == nullptr) return {};
  block->references = 1;
  ++live_blocks_;
  ++in_use_[size_class];
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
  const uint32_t keep = keep_at_most(size_class, --in_use_[size_class]);
  if (free_count_[size_class] > keep) free_block(pop_free(size_class));  // fewer are in use than were
  if (free_count_[size_class] >= keep) {
    free_block(block);
    return;
  }
  poison(block->base, block->capacity);
  block->next_free = free_[size_class];
  free_[size_class] = block;
  ++free_count_[size_class];
}

}  // namespace weir::core
