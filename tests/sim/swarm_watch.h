// Which transitions of the state machines a run has taken. The machines do not know of it: for the swarm,
// swarm.cmake makes copies of their drivers in which every change of state goes through here.
//
//   Exchange             (phase, the handler that was called, phase)
//   UpstreamPoolMachine  (which of idle, opening, busy, waiting are not 0; the event and what it led to; the
//   same)
#pragma once

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "net/upstream_pool_machine.h"

namespace weir::sim {

struct Transition {
  std::string machine, from, event, to;
  bool operator<(const Transition& other) const {
    return std::tie(machine, from, event, to) < std::tie(other.machine, other.from, other.event, other.to);
  }
};

// Counts by transition; plain memory, so that several processes may share it. All zero = nothing was seen.
struct TransitionCounts {
  static constexpr unsigned kPhases = 5, kHandlers = 16;
  static constexpr unsigned kPoolStates = 16, kPoolEvents = 16;
  uint64_t exchange[kPhases][kHandlers][kPhases];
  uint64_t pool[kPoolStates][kPoolEvents][kPoolStates];
};

// Where this process counts; null: nowhere.
extern TransitionCounts* transition_counts;
// Limits of the pools that the instrumented shard makes.
extern uint32_t pool_max_connections, pool_max_waiting;

// What can happen. The exchange's is written down by hand, the pool's found by walking its machine.
std::vector<Transition> legal_transitions();
std::vector<Transition> taken_transitions(const TransitionCounts& counts);

// ---- called by the instrumented sources ----

class ExchangeEvent {
 public:
  explicit ExchangeEvent(const char* handler);
  ~ExchangeEvent();
  ExchangeEvent(const ExchangeEvent&) = delete;
  ExchangeEvent& operator=(const ExchangeEvent&) = delete;

 private:
  unsigned before_;
};

uint8_t watch_phase(uint8_t from, uint8_t to);
template <typename Phase>
Phase watched_phase(Phase from, Phase to) {
  return static_cast<Phase>(watch_phase(static_cast<uint8_t>(from), static_cast<uint8_t>(to)));
}

enum class PoolEvent : uint8_t {
  use_idle,
  open_and_wait,
  wait,
  refuse,
  abandoned,
  opened_serve,
  opened_keep,
  open_failed_nothing,
  open_failed_waiter,
  open_failed_waiter_and_open,
  released_serve,
  released_keep,
  lost_idle,
  lost_idle_open,
  lost_busy,
  lost_busy_open
};

class WatchedPoolMachine {
 public:
  using Machine = net::UpstreamPoolMachine;
  explicit WatchedPoolMachine(Machine& machine) : machine_(machine), from_(state(machine)) {}

  Machine::Acquire on_acquire();
  void on_abandoned();
  Machine::Free on_opened();
  Machine::OpenFailed on_open_failed();
  Machine::Free on_released();
  Machine::Lost on_lost(Machine::Was was);

  static unsigned state(const Machine& machine);

 private:
  void note(PoolEvent event);
  Machine& machine_;
  unsigned from_;
};

inline net::UpstreamPoolMachine pool_machine() {
  return net::UpstreamPoolMachine(pool_max_connections, pool_max_waiting);
}

}  // namespace weir::sim
