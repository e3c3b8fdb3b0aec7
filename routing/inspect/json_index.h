// Finds the tokens of a JSON document with vectors, a batch at a time, checking strings on the way. Prompts
// are long strings: this is where the bytes of a request body go by.
//
// A token position is the offset of one of these, outside strings: { } [ ] : , the first byte of a run of
// other bytes (a number, a literal, or rubbish); and each quote that opens or closes a string.
//
//   {"model":"gpt", "n": 1}
//   ▲▲     ▲▲▲   ▲▲ ▲ ▲▲ ▲▲
//
// Like simdjson's stage 1 (Langdale and Lemire, arXiv 1902.08318) it turns 64 bytes into bit masks and finds
// quotes, strings and starts of tokens without a branch per byte. Unlike it, it lists closing quotes too
// (exact ends without a search), checks escapes, passes a block inside a string that holds nothing special
// after one test (a 32 KB prompt takes 0.7 µs instead of 2.2), and works in batches, so that it needs no
// memory that grows with the document. UTF-8 is checked by simdjson, and only if a byte above 0x7f was seen.
//
// One document at a time; no thread rules beyond that.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace weir::routing {

// Invariants
//  1. Batches list the tokens of the document in order, each once.
//  2. While no batch has failed: each string listed closed holds no control character and only well-formed
//     escapes (lone surrogates are not).
//  3. Bytes from the end of the document on are read (up to kPadding of them) but change nothing.
class TokenIndex {
 public:
  static constexpr uint32_t kPadding = 64;
  static constexpr uint32_t kBatch = 1024;
  static constexpr uint32_t kLookAhead = 8;

  explicit TokenIndex(std::span<const uint8_t> document)
      : document_(document.data()), size_(static_cast<uint32_t>(document.size())) {}
  TokenIndex(const TokenIndex&) = delete;
  TokenIndex& operator=(const TokenIndex&) = delete;

  // Moves the last `keep` positions of the batch (at most kLookAhead) to its front and lists more behind
  // them. After the last one of the document kLookAhead positions hold its size. False if there are no more
  // tokens or the document is faulty: a string is not closed or not valid.
  bool next_batch(uint32_t keep = 0);

  // The current batch; at least kLookAhead positions unless at_end().
  const uint32_t* positions() const { return positions_.data(); }
  uint32_t count() const { return count_; }

  // Does the current batch hold the last token of the document?
  bool at_end() const { return at_ >= size_; }
  bool faulty() const { return fault_; }
  // Has a backslash been seen, up to the end of the current batch?
  bool saw_backslash() const { return backslashes_ != 0; }
  // Is the whole document UTF-8 (RFC 3629: shortest forms, no surrogates)? After the last batch.
  bool is_utf8() const;

 private:
  friend struct IndexKernels;

  const uint8_t* document_;
  uint32_t size_;
  uint32_t at_ = 0;  // next block of 64
  uint32_t count_ = 0;
  uint64_t in_string_ = 0;    // all ones if the byte before the next block is inside a string, else 0
  uint64_t escape_ = 0;       // 1 if the next block begins with an escaped byte
  uint64_t in_scalar_ = 0;    // 1 if the byte before the next block belongs to a number or literal
  uint64_t backslashes_ = 0;  // non-zero once one was seen
  uint32_t paired_low_ = 0;   // offset of the 'u' of the low surrogate that the last high one goes with
  bool not_ascii_ = false;
  bool fault_ = false;
  std::array<uint32_t, kBatch + 64 + kLookAhead> positions_;
};

// Name of the vector kernel in use: "avx512", "avx2" or "portable".
std::string_view json_kernel();
// Uses another one, for tests and benchmarks; not while other threads read JSON. False if this processor
// cannot.
bool use_json_kernel(std::string_view name);

}  // namespace weir::routing
