// Which of a model's providers a request goes to: the less loaded of two that are drawn by weight. One that
// is drawn at random is often a busy one, the least loaded of all is everybody's choice at once; of two the
// worse is avoided, without a herd (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing",
// 2001).
//
// Load is what a shard itself has under way, by weight; a provider in its slow start has a share of its
// weight. One whose breaker is open, or that is killed, is not drawn; one that has just failed this request
// only if there is no other.
//
// Pure, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace weir::routing {

struct HostLoad {
  uint32_t weight = 1;
  uint32_t in_flight = 0;
  bool usable = true;
};

// An index into `hosts`, which are not empty; none: no one is usable. `dice`: 32 random bits.
inline std::optional<uint32_t> choose_host(std::span<const HostLoad> hosts, uint32_t dice,
                                           std::optional<uint32_t> failed = std::nullopt) {
  const auto draw = [&](std::optional<uint32_t> except, bool with_failed) -> std::optional<uint32_t> {
    const auto takes_part = [&](uint32_t i) {
      return hosts[i].usable && i != except && (with_failed || i != failed);
    };
    uint64_t total = 0;
    for (uint32_t i = 0; i < hosts.size(); ++i) total += takes_part(i) ? hosts[i].weight : 0;
    if (total == 0) return std::nullopt;
    uint64_t left = uint64_t{dice} * total >> 32;
    dice = dice * 2'654'435'769u + 0x9e3779b9u;
    for (uint32_t i = 0; i < hosts.size(); ++i) {
      if (!takes_part(i)) continue;
      if (left < hosts[i].weight) return i;
      left -= hosts[i].weight;
    }
    return std::nullopt;
  };
  const auto first = draw(std::nullopt, false);
  if (!first) return draw(std::nullopt, true);
  const auto second = draw(first, false);
  if (!second) return first;
  const HostLoad &a = hosts[*first], &b = hosts[*second];
  // As loaded as each other, idle ones above all: the first, so that shares follow the weights.
  return uint64_t{b.in_flight} * a.weight < uint64_t{a.in_flight} * b.weight ? second : first;
}

}  // namespace weir::routing
