// Which request comes next: key, tenant, user and body, drawn from one seed. The same seed, options and
// worker give the same sequence.
//
// Bodies are rendered once; a head is rendered per request, some 200 bytes.
//
// Thread: one worker's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/buffer.h"
#include "tools/load/load_options.h"

namespace weir::tools {

// splitmix64 (Steele, Lea, Flood 2014): small, seeded, good enough to draw from.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // [0, 1)
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  uint64_t below(uint64_t bound) { return static_cast<uint64_t>(static_cast<double>(bound) * unit()); }

 private:
  uint64_t state_;
};

// Chooses an index by weight.
class WeightedChoice {
 public:
  explicit WeightedChoice(const std::vector<double>& weights);
  size_t draw(Random& random) const;

 private:
  std::vector<double> cumulative_;  // the last is the sum
};

// The JSON body of a chat request of exactly `bytes` bytes (or the shortest possible).
std::string chat_body(uint64_t bytes, std::string_view model, bool stream);

struct RenderedRequest {
  core::Slice first;  // the head, and a small body behind it
  core::Slice body;   // a large body
};

class LoadMix {
 public:
  // `options` must outlive it.
  LoadMix(const LoadOptions& options, uint32_t worker);
  // Small bodies are copied behind the head: one piece to send instead of two.
  RenderedRequest next(size_t url, core::BufferPool& buffers);

 private:
  const LoadOptions& options_;
  Random random_;
  WeightedChoice keys_;
  WeightedChoice bodies_;
  std::vector<std::string> prefixes_;  // per URL: up to the key
  std::vector<std::string> body_texts_;
  std::vector<std::string> suffixes_;  // per body: the rest of the head
  size_t longest_key_ = 0;
};

}  // namespace weir::tools
