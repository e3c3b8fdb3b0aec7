// How loaded a shard is, as a rung of a ladder; each rung gives up what is missed least:
//
//   normal ─▶ no_keep_alive: some connections end with their answer, so that clients spread anew
//          ─▶ no_shadow:     copies for candidates are not made
//          ─▶ shed:          requests of scenarios with `priority: low` are answered 503 with retry-after
//          ─▶ no_accept:     no connection is accepted, and every new request on those there are is answered
//          so
//
// Measured: the time a turn of the loop takes (all connections wait that long), the share of exchanges in
// use, the share of memory in use. The worst of the three decides. How full it is counts as it is at this
// moment: a place that is free is given away at once, or goodput would swing between full and empty. How slow
// it is is an average over turns; that rung is climbed at once, and left one at a time after kCalmNs below
// it.
//
// Connections end in every kTurnsPerClosing-th turn only: opening one costs more than a request, and all of
// them at once would be a second load on top of the first.
//
// Pure. One per shard, its thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace weir::routing {

enum class Rung : uint8_t { normal, no_keep_alive, no_shadow, shed, no_accept };

struct LoadFacts {
  uint64_t turn_ns = 0;             // what the last turn took, waiting not counted
  uint32_t exchanges_permille = 0;  // in use, of the most
  uint32_t memory_permille = 0;
};

class OverloadLadder {
 public:
  static constexpr uint64_t kCalmNs = 200'000'000;
  static constexpr uint64_t kTurnsPerClosing = 17;  // prime: no rhythm of requests fits it
  // From which value on a rung is climbed; the first is Rung::no_keep_alive's.
  static constexpr std::array<uint64_t, 4> kTurnNs = {50'000'000, 100'000'000, 250'000'000, 1'000'000'000};
  static constexpr std::array<uint32_t, 4> kExchangesPermille = {600, 650, 850, 970};
  static constexpr std::array<uint32_t, 4> kMemoryPermille = {600, 700, 850, 950};

  Rung observe(const LoadFacts& facts, uint64_t now_ns) {
    // A single slow turn is a hiccup: a moving average over about eight.
    average_turn_ns_ += (static_cast<int64_t>(facts.turn_ns) - average_turn_ns_) / 8;
    const Rung wanted = rung_of(kTurnNs, static_cast<uint64_t>(std::max<int64_t>(average_turn_ns_, 0)));
    if (wanted >= slow_) {
      slow_ = wanted;
      since_ns_ = now_ns;
    } else if (now_ns - since_ns_ >= kCalmNs) {
      slow_ = static_cast<Rung>(static_cast<uint8_t>(slow_) - 1);
      since_ns_ = now_ns;
    }
    rung_ = std::max({slow_, rung_of(kExchangesPermille, facts.exchanges_permille),
                      rung_of(kMemoryPermille, facts.memory_permille)});
    ++turns_;
    return rung_;
  }
  // Whether connections that are answered in this turn end.
  bool ends_connections() const { return rung_ != Rung::normal && turns_ % kTurnsPerClosing == 0; }
  Rung rung() const { return rung_; }

 private:
  template <typename Value, size_t count>
  static Rung rung_of(const std::array<Value, count>& from, Value value) {
    uint8_t rung = 0;
    for (uint8_t i = 0; i < count; ++i) {
      if (value >= from[i]) rung = static_cast<uint8_t>(i + 1);
    }
    return static_cast<Rung>(rung);
  }

  Rung rung_ = Rung::normal;
  Rung slow_ = Rung::normal;  // by the time of turns alone
  int64_t average_turn_ns_ = 0;
  uint64_t since_ns_ = 0;  // when slow_ was last called for
  uint64_t turns_ = 0;
};

}  // namespace weir::routing
