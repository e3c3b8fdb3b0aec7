// Bytes waiting to be sent on one connection, in order: a short ring of slices.
//
// Pieces stay where they were received or rendered. When the ring is full, or when a piece would wait behind
// a send the kernel has not finished (a slow reader), the waiting bytes are copied together instead, so that
// a slow reader holds general blocks of its own and never the receive blocks everyone shares.
//
// Invariant: the first `locked()` slices are being sent; they are neither moved nor joined.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/buffer.h"

namespace weir::net {

class SliceQueue {
 public:
  static constexpr uint32_t kCapacity = 16;

  bool empty() const { return count_ == 0; }
  uint64_t bytes() const { return bytes_; }

  enum class Keep : uint8_t { reference, copy };
  // Appends. False: out of buffer memory, nothing was appended.
  bool push(core::Slice slice, Keep keep, core::BufferPool& buffers);
  // Gathers up to kCapacity slices for a send and locks them; returns how many.
  uint32_t lock(std::span<iovec, kCapacity> pieces);
  // The send is over: `sent` bytes of the locked slices have left.
  void unlock(uint64_t sent);
  // Copies what still lies in receive blocks together into a block of our own. Nothing may be locked.
  bool copy_out(core::BufferPool& buffers) { return empty() || collapse(0, buffers); }
  // Drops everything (it was consumed otherwise).
  void drop_all();
  uint32_t locked() const { return locked_; }

 private:
  core::Slice& at(uint32_t index) { return slices_[(first_ + index) % kCapacity]; }
  core::Slice* open_tail(uint32_t size);
  bool collapse(uint32_t room, core::BufferPool& buffers);

  std::array<core::Slice, kCapacity> slices_;
  uint64_t bytes_ = 0;
  uint32_t first_ = 0;
  uint32_t count_ = 0;
  uint32_t locked_ = 0;
  bool tail_is_ours_ = false;   // the last slice is a general block we may write behind
};

}  // namespace weir::net
