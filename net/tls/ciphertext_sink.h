// Where a TLS session leaves the bytes it wants on the wire. The connection implements it over its pooled
// send buffers, so that a record is written once, in the memory the ring sends from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace weir::net {

// Called only from inside a TlsSession call, on that session's shard, never re-entered.
//   1. reserve() is followed by exactly one commit() of at most the reserved size before the next reserve().
//   2. Committed bytes are in wire order and leave in that order. A record may straddle two reservations.
class CiphertextSink {
 public:
  // Free space of at least `minimum` bytes (1 to 16 KiB: the record, or its rest), or an empty span if there
  // is no memory: the session then fails for good with out_of_buffers, because a record cannot be half sent.
  // Back pressure belongs before the session: stop writing at the high-water mark.
  virtual std::span<uint8_t> reserve(size_t minimum) = 0;

  // The first `bytes` of the last reservation now hold ciphertext.
  virtual void commit(size_t bytes) = 0;

 protected:
  ~CiphertextSink() = default;
};

}  // namespace weir::net
