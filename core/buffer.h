// Buffer memory of one shard: blocks with reference counts, and slices of them.
//
// Bytes are received into blocks, looked at where they are, and sent from where they are; a Slice keeps
// the block alive from the receive to the last completion of the send. Two kinds of block:
//
//   receive blocks   handed to the kernel by core::Io; the kernel fills one, possibly for many sockets
//                    one after the other; recycled to the kernel when the last slice of it is gone
//   general blocks   power-of-two sizes, from per-size LIFO free lists, for everything else
//
// Invariants
//   1. A block's memory is followed by kPadding readable bytes (simdjson reads ahead).
//   2. A block is recycled exactly once per use: when its count falls to zero. The kernel's own hold on a
//      receive block counts as one.
//   3. Everything here belongs to one shard: counts are not atomic; a Slice never changes threads.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "core/assert.h"
#include "core/limits.h"
#include "core/zeroed_memory.h"

namespace weir::core {

class BufferPool;

struct Block {
  uint8_t* base = nullptr;
  uint32_t capacity = 0;
  uint32_t references = 0;
  uint32_t filled = 0;            // receive blocks: bytes the kernel has handed out of it so far
  uint16_t receive_id = 0;        // receive blocks: the id the kernel knows it by
  uint8_t size_class = 0;         // general blocks
  bool is_receive = false;
  BufferPool* pool = nullptr;
  Block* next_free = nullptr;
  std::unique_ptr<ZeroedMemory> mapped;  // large general blocks: the memory itself
};

// Some bytes of a block, holding one reference on it. Without a block it views static memory.
class Slice {
 public:
  Slice() = default;
  // Takes over one reference that the caller holds on `block`.
  Slice(uint8_t* data, uint32_t size, Block* block) : data_(data), size_(size), block_(block) {}
  // Views memory that outlives every use of the slice (constants).
  static Slice of_static(std::string_view text) {
    return {reinterpret_cast<uint8_t*>(const_cast<char*>(text.data())), static_cast<uint32_t>(text.size()), nullptr};
  }
  Slice(Slice&& other) noexcept
      : data_(other.data_), size_(std::exchange(other.size_, 0)), block_(std::exchange(other.block_, nullptr)) {}
  Slice& operator=(Slice&& other) noexcept {
    if (this != &other) {
      reset();
      data_ = other.data_;
      size_ = std::exchange(other.size_, 0);
      block_ = std::exchange(other.block_, nullptr);
    }
    return *this;
  }
  Slice(const Slice&) = delete;
  Slice& operator=(const Slice&) = delete;
  ~Slice() { reset(); }

  inline void reset();
  const uint8_t* data() const { return data_; }
  uint8_t* mutable_data() { return data_; }
  uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<const uint8_t> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  Block* block() const { return block_; }
  // Bytes from data() to the end of the block: what a writer may fill. 0 for static memory.
  uint32_t room() const { return block_ ? static_cast<uint32_t>(block_->base + block_->capacity - data_) : 0; }

  // Another slice of the same block: [offset, offset + size) of this one.
  Slice share(uint32_t offset, uint32_t size) const {
    WEIR_ASSERT(offset <= size_ && size <= size_ - offset);
    if (block_) ++block_->references;
    return {data_ + offset, size, block_};
  }
  Slice share() const { return share(0, size_); }
  void drop_front(uint32_t count) {
    WEIR_ASSERT(count <= size_);
    data_ += count;
    size_ -= count;
  }
  void truncate(uint32_t size) {
    WEIR_ASSERT(size <= size_);
    size_ = size;
  }
  // For a writer that has filled room().
  void set_size(uint32_t size) {
    WEIR_ASSERT(size <= room());
    size_ = size;
  }
  // Joins `next` onto this one when it lies directly behind in the same block (the caller then drops it).
  bool absorb(const Slice& next) {
    if (block_ == nullptr || next.block_ != block_ || next.data_ != data_ + size_) return false;
    size_ += next.size_;
    return true;
  }

 private:
  uint8_t* data_ = nullptr;
  uint32_t size_ = 0;
  Block* block_ = nullptr;
};

class BufferPool {
 public:
  static constexpr uint32_t kPadding = 64;
  static constexpr uint32_t kSmallestClass = 9;    // 512 B
  static constexpr uint32_t kLargestClass = 29;    // 512 MiB: a table that an operator puts in place

  explicit BufferPool(uint64_t max_bytes = limits::kMaxBufferBytesPerShard) : max_bytes_(max_bytes) {}
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // An empty slice (size 0) with room() >= `size` writable bytes; block() is null when the pool is at its
  // limit (out_of_buffers) or the size is above the largest class.
  Slice allocate(uint32_t size);
  // allocate() + copy.
  Slice copy_of(std::span<const uint8_t> bytes);

  uint64_t allocated_bytes() const { return allocated_bytes_; }
  uint64_t live_blocks() const { return live_blocks_; }     // general blocks in use
  void release(Block* block);                               // the last reference is gone

  // ---- for core::Io only ----
  using RecycleHook = void (*)(void* context, Block& block);
  void on_recycle(RecycleHook hook, void* context) {
    recycle_ = hook;
    recycle_context_ = context;
  }

 private:
  Block* take(uint32_t size_class);
  Block* pop_free(uint32_t size_class);
  void free_block(Block* block);
  void free_what_is_kept();

  std::array<Block*, kLargestClass + 1> free_{};
  std::array<uint32_t, kLargestClass + 1> free_count_{};
  std::array<uint32_t, kLargestClass + 1> in_use_{};
  uint64_t max_bytes_;
  uint64_t allocated_bytes_ = 0;
  uint64_t live_blocks_ = 0;
  RecycleHook recycle_ = nullptr;
  void* recycle_context_ = nullptr;
};

inline void Slice::reset() {
  if (Block* block = std::exchange(block_, nullptr); block != nullptr) {
    WEIR_ASSERT(block->references > 0);
    if (--block->references == 0) block->pool->release(block);
  }
  size_ = 0;
}

}  // namespace weir::core
