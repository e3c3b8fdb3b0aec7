// Small pieces of memory that live as long as somebody sends them: chunk headers, response heads. Cut one
// after the other from a shared block, so that neighbours leave in one piece.
//
// Thread: its pool's.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/buffer.h"

namespace weir::core {

class BumpBlock {
 public:
  explicit BumpBlock(BufferPool& pool, uint32_t block_bytes = 16 * 1024) : pool_(pool), block_bytes_(block_bytes) {}

  // Writable room for at least `size` bytes (size <= block_bytes), or an empty span without memory. What was
  // written is then taken with take(); room() without take() reserves nothing.
  std::span<uint8_t> room(uint32_t size) {
    if (block_.room() < size) block_ = pool_.allocate(block_bytes_);
    return {block_.mutable_data(), block_.room()};
  }
  // The first `size` bytes of the last room().
  Slice take(uint32_t size) {
    block_.set_size(size);
    Slice taken = block_.share();
    block_.drop_front(size);
    return taken;
  }
  // A copy of `text`; empty without memory.
  Slice copy(std::string_view text) {
    const auto to = room(static_cast<uint32_t>(text.size()));
    if (to.size() < text.size()) return {};
    std::memcpy(to.data(), text.data(), text.size());
    return take(static_cast<uint32_t>(text.size()));
  }

 private:
  BufferPool& pool_;
  uint32_t block_bytes_;
  Slice block_;
};

}  // namespace weir::core
