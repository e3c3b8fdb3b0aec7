// The one place that knows simdjson: validates UTF-8 and finds where every JSON token of a document
// begins ("stage 1"), with the widest vectors that are fast on this machine. json_walk.h does the rest.
//
// Why not simdjson's own second half: its On-Demand front checks only what is touched and gives no exact
// ends, its DOM copies every string. A walk over the token positions checks the whole grammar, yields
// exact spans and copies nothing (figures in bench/inspect_bench.cc).
//
// One per shard; not shared between threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "core/error.h"

namespace weir::routing {

// Name of the vector kernel to use on this processor: simdjson's own choice, but AVX2 ("haswell") in place
// of AVX-512 ("icelake") on AMD Zen 4, where the compress-store that the AVX-512 kernel of simdjson before
// 3.12 leans on is microcoded. Reads the processor's identity; no side effect.
std::string_view choose_json_kernel();

// Makes every JsonIndex created from now on use the named kernel. False if simdjson does not have it or
// this processor cannot run it. Called once at start-up, before the shards.
bool use_json_kernel(std::string_view name);

// Invariants
//  1. positions() ends with a sentinel equal to the document's size.
//  2. After a successful read(): the document is UTF-8, every string is closed and holds no control
//     character, and every byte that is neither inside a string, a number, a literal nor white space
//     is listed in positions() together with each first byte of a string, number or literal.
//  3. Memory follows the largest documents of late: it grows to what is asked for, and a capacity above
//     kKeptBytes is given back once kShrinkAfter documents in a row have not needed it.
class JsonIndex {
 public:
  static constexpr uint32_t kPadding = 64;             // readable bytes that must follow a document
  static constexpr uint32_t kFirstBytes = 64 * 1024;   // document size provided for at start
  static constexpr uint32_t kKeptBytes = 1024 * 1024;  // capacity that is never given back
  static constexpr uint32_t kShrinkAfter = 64;

  JsonIndex();
  ~JsonIndex();
  JsonIndex(const JsonIndex&) = delete;
  JsonIndex& operator=(const JsonIndex&) = delete;

  // Indexes `document`, after which kPadding bytes must be readable (whatever they hold).
  // body_has_bom, body_not_utf8, body_not_json (no token, open string, control character in a string);
  // out_of_buffers if memory for a large document cannot be had.
  core::Result<void> read(std::span<const uint8_t> document);

  // Byte offsets of the tokens, in order, followed by the sentinel of invariant 1.
  const uint32_t* positions() const { return positions_; }
  uint32_t count() const { return count_; }

  uint32_t capacity() const { return capacity_; }

 private:
  struct Kernel;
  core::Result<void> resize(uint32_t bytes);

  std::unique_ptr<Kernel> kernel_;
  const uint32_t* positions_ = nullptr;
  uint32_t count_ = 0;
  uint32_t capacity_ = 0;
  uint32_t small_in_a_row_ = 0;
};

}  // namespace weir::routing
