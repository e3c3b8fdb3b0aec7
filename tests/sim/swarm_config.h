// What one seed of the swarm means: which faults are on and how strong, how large the world is, and how its
// people behave. Most features are off in most seeds, so that the others are met undisturbed (swarm testing:
// Groce et al., ISSTA 2012).
#pragma once

#include <cstdint>
#include <iterator>
#include <string>

#include "tests/sim/sim_world.h"

namespace weir::sim {

// Random choices of one actor, from one seed; actors do not disturb each other's (SplitMix64, Steele et al.
// 2014).
class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}
  Dice(uint64_t seed, uint64_t actor)
      : state_(seed * 0x9e3779b97f4a7c15u ^ (actor + 1) * 0xd1342543de82ef95u) {}

  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }
  uint64_t below(uint64_t bound) { return next() % bound; }
  uint64_t between(uint64_t least, uint64_t most) { return least + below(most - least + 1); }
  bool chance(double probability) { return static_cast<double>(next() >> 11) * 0x1p-53 < probability; }
  bool one_in(uint64_t n) { return below(n) == 0; }
  // 0 with probability 1 - on, else up to `most`, small values more often.
  double strength(double on, double most) {
    if (!chance(on)) return 0;
    const double x = static_cast<double>(next() >> 11) * 0x1p-53;
    return most * x * x;
  }
  template <typename List>
  const auto& pick(const List& list) {
    return list[below(std::size(list))];
  }

 private:
  uint64_t state_;
};

// Who does what, as probabilities per request unless it says otherwise.
struct ClientHabits {
  double stream = 0, large = 0, pipeline = 0, other_endpoint = 0;
  double dribble = 0;      // sends its request in pieces, over many rounds
  double leave = 0;        // closes somewhere in the middle
  double half_close = 0;   // ends its sending side behind the request
  double slow_reader = 0;  // stops reading for a while
  double hostile = 0;      // sends what must be refused
  double conversation = 0, user = 0, attributes = 0, direct_model = 0;
  double probe = 0;  // asks for something else than a completion
  double repeat = 0;  // asks what others ask too, word for word
};

struct ProviderHabits {
  double slow = 0;        // thinks, and sends in pieces
  double silent = 0;      // never answers
  double error = 0;       // 429, 5xx, 401, 302, ...
  double cut = 0;         // ends or resets in the middle
  double garbage = 0;     // not HTTP, lying lengths, bytes nobody asked for
  double odd_stream = 0;  // no end mark, no usage, CR LF, large events, an error in the stream
  double large = 0;
  double too_large_event = 0;
  double idle_closing = 0;  // closes idle connections soon
};

struct SwarmConfig {
  explicit SwarmConfig(uint64_t seed);
  std::string to_string() const;

  uint64_t seed;
  Faults faults;
  uint32_t shards = 1, clients = 1, requests_per_client = 1, tenants = 1, providers = 1, scenarios = 1,
           flags = 0;
  ClientHabits client;
  ProviderHabits provider;
  bool rates = false, concurrency = false, budgets = false, user_limits = false, pilot_limits = false;
  bool token_limits = false;   // of tenants, keys, users; of pilots they are among the others
  bool soft_limits = false;    // some tenants' limits lead elsewhere instead of refusing
  bool cached_limits = false;  // some leave nothing but the cache
  bool limits_change = false;  // from table to table
  bool fallbacks = false, retries = false, prompts = false;
  bool cache = false;           // units keep their answers
  bool small_cache = false;     // few of them fit
  bool shadow = false;          // flags have copies made
  bool balance = false;         // shards pass connections on
  bool tight_pools = false;     // one connection to each provider, and one in its queue
  bool hosts = false;           // models are served by several providers
  bool small_gateway = false;   // few connections and exchanges fit
  double publish = 0;           // per round: another table
  double kill = 0;              // per round: a kill or unkill
  double purge = 0;             // per round: cached answers are to be forgotten
  double wall_jump = 0;         // per round: the calendar is set
  double pause = 0;             // per round: time passes, up to minutes
  uint32_t drain_at_round = 0;  // 0: when all is done

 private:
  void draw_more();
  void crowd_one_pool(Dice& dice);
  void break_streams();
  void fail_in_streams(Dice& dice);
  void keep_quiet();
};

}  // namespace weir::sim
