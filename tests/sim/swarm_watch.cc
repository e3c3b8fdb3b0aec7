#include "tests/sim/swarm_watch.h"

#include <array>
#include <set>
#include <string_view>
#include <utility>

namespace weir::sim {

TransitionCounts* transition_counts = nullptr;
uint32_t pool_max_connections = core::limits::kMaxUpstreamConnectionsPerEndpoint;
uint32_t pool_max_waiting = core::limits::kMaxUpstreamQueue;

namespace {

constexpr std::array<std::string_view, TransitionCounts::kPhases> kPhaseNames = {
    "acquiring", "waiting_head", "holding", "relaying", "ended"};
constexpr auto kHandlerNames = std::to_array<std::string_view>(
    {"none", "start", "on_upstream_ready", "on_upstream_refused", "on_response_head", "on_response_body",
     "on_response_end", "on_response_failed", "on_timer", "on_client_gone", "on_send_queue_low", "abandon"});
constexpr auto kPoolEventNames = std::to_array<std::string_view>(
    {"acquire: use_idle", "acquire: open_and_wait", "acquire: wait", "acquire: refuse", "abandoned",
     "opened: serve", "opened: keep", "open_failed: nothing", "open_failed: fail_waiter",
     "open_failed: fail_waiter_and_open", "released: serve", "released: keep", "lost idle: nothing",
     "lost idle: open", "lost busy: nothing", "lost busy: open"});

unsigned current_handler = 0;

std::string pool_state_name(unsigned state) {
  std::string name;
  for (unsigned bit = 0; bit < 4; ++bit) {
    static constexpr const char* kParts[] = {"idle", "opening", "busy", "waiting"};
    if ((state >> bit & 1) != 0) name += (name.empty() ? "" : "+") + std::string(kParts[bit]);
  }
  return name.empty() ? "empty" : name;
}

// Every state of a small machine, by walking it; small is enough, for only zero and the limits matter.
void walk_pool_machine(uint32_t connections, uint32_t waiting, TransitionCounts& counts) {
  using Machine = net::UpstreamPoolMachine;
  std::vector<Machine> to_visit = {Machine(connections, waiting)};
  std::set<std::array<uint32_t, 4>> seen;
  TransitionCounts* const before = std::exchange(transition_counts, &counts);
  while (!to_visit.empty()) {
    const Machine machine = to_visit.back();
    to_visit.pop_back();
    if (!seen.insert({machine.idle(), machine.opening(), machine.busy(), machine.waiting()}).second) continue;
    const auto after = [&](auto&& event) {
      Machine next = machine;
      WatchedPoolMachine watched(next);
      event(watched);
      to_visit.push_back(next);
    };
    after([](WatchedPoolMachine& next) { next.on_acquire(); });
    if (machine.waiting() > 0) after([](WatchedPoolMachine& next) { next.on_abandoned(); });
    if (machine.opening() > 0) after([](WatchedPoolMachine& next) { next.on_opened(); });
    if (machine.opening() > 0) after([](WatchedPoolMachine& next) { next.on_open_failed(); });
    if (machine.busy() > 0) after([](WatchedPoolMachine& next) { next.on_released(); });
    if (machine.busy() > 0) after([](WatchedPoolMachine& next) { next.on_lost(Machine::Was::busy); });
    if (machine.idle() > 0) after([](WatchedPoolMachine& next) { next.on_lost(Machine::Was::idle); });
  }
  transition_counts = before;
}

struct Legal {
  std::string_view from, event;
  std::string_view to;  // several, separated by blanks
};
// The picture in exchange.h, handler by handler. A phase that is entered again begins another attempt, or a
// pause before one; `relaying` on the way to `ended` is an answer of weir's own.
constexpr Legal kExchange[] = {
    {"acquiring", "start", "acquiring waiting_head relaying"},
    {"relaying", "start", "ended"},
    {"acquiring", "on_upstream_ready", "waiting_head"},
    {"acquiring", "on_upstream_refused", "acquiring waiting_head relaying"},
    {"relaying", "on_upstream_refused", "ended"},
    {"acquiring", "on_timer", "acquiring waiting_head relaying"},
    {"waiting_head", "on_timer", "acquiring relaying"},
    {"holding", "on_timer", "acquiring relaying"},
    {"relaying", "on_timer", "ended"},
    {"waiting_head", "on_response_head", "acquiring holding relaying"},
    {"acquiring", "on_response_head", "acquiring waiting_head relaying"},
    {"relaying", "on_response_head", "ended"},
    {"holding", "on_response_body", "relaying"},
    {"relaying", "on_response_body", "ended"},
    {"holding", "on_response_end", "acquiring relaying"},
    {"acquiring", "on_response_end", "acquiring waiting_head relaying"},
    {"relaying", "on_response_end", "ended"},
    {"waiting_head", "on_response_failed", "acquiring relaying"},
    {"holding", "on_response_failed", "acquiring relaying"},
    {"acquiring", "on_response_failed", "acquiring waiting_head relaying"},
    {"relaying", "on_response_failed", "ended"},
    {"acquiring", "on_client_gone", "ended"},
    {"waiting_head", "on_client_gone", "ended"},
    {"holding", "on_client_gone", "ended"},
    {"relaying", "on_client_gone", "ended"},
    {"acquiring", "abandon", "ended"},
    {"waiting_head", "abandon", "ended"},
    {"holding", "abandon", "ended"},
    {"relaying", "abandon", "ended"},
};

}  // namespace

ExchangeEvent::ExchangeEvent(const char* handler) : before_(current_handler) {
  for (unsigned i = 0; i < kHandlerNames.size(); ++i) {
    if (kHandlerNames[i] == handler) current_handler = i;
  }
}
ExchangeEvent::~ExchangeEvent() {
  current_handler = before_;
}

uint8_t watch_phase(uint8_t from, uint8_t to) {
  if (transition_counts != nullptr) ++transition_counts->exchange[from][current_handler][to];
  return to;
}

unsigned WatchedPoolMachine::state(const Machine& machine) {
  return (machine.idle() > 0) | (machine.opening() > 0) << 1 | (machine.busy() > 0) << 2 |
         (machine.waiting() > 0) << 3;
}
void WatchedPoolMachine::note(PoolEvent event) {
  if (transition_counts != nullptr)
    ++transition_counts->pool[from_][std::to_underlying(event)][state(machine_)];
}
WatchedPoolMachine::Machine::Acquire WatchedPoolMachine::on_acquire() {
  const Machine::Acquire led = machine_.on_acquire();
  note(static_cast<PoolEvent>(std::to_underlying(PoolEvent::use_idle) + std::to_underlying(led)));
  return led;
}
void WatchedPoolMachine::on_abandoned() {
  machine_.on_abandoned();
  note(PoolEvent::abandoned);
}
WatchedPoolMachine::Machine::Free WatchedPoolMachine::on_opened() {
  const Machine::Free led = machine_.on_opened();
  note(led == Machine::Free::serve_waiter ? PoolEvent::opened_serve : PoolEvent::opened_keep);
  return led;
}
WatchedPoolMachine::Machine::OpenFailed WatchedPoolMachine::on_open_failed() {
  const Machine::OpenFailed led = machine_.on_open_failed();
  note(static_cast<PoolEvent>(std::to_underlying(PoolEvent::open_failed_nothing) + std::to_underlying(led)));
  return led;
}
WatchedPoolMachine::Machine::Free WatchedPoolMachine::on_released() {
  const Machine::Free led = machine_.on_released();
  note(led == Machine::Free::serve_waiter ? PoolEvent::released_serve : PoolEvent::released_keep);
  return led;
}
WatchedPoolMachine::Machine::Lost WatchedPoolMachine::on_lost(Machine::Was was) {
  const Machine::Lost led = machine_.on_lost(was);
  const bool opens = led == Machine::Lost::open_for_waiter;
  note(was == Machine::Was::idle ? opens ? PoolEvent::lost_idle_open : PoolEvent::lost_idle
       : opens                   ? PoolEvent::lost_busy_open
                                 : PoolEvent::lost_busy);
  return led;
}

std::vector<Transition> taken_transitions(const TransitionCounts& counts) {
  std::vector<Transition> taken;
  for (unsigned from = 0; from < TransitionCounts::kPhases; ++from) {
    for (unsigned event = 0; event < kHandlerNames.size(); ++event) {
      for (unsigned to = 0; to < TransitionCounts::kPhases; ++to) {
        if (counts.exchange[from][event][to] == 0) continue;
        taken.push_back({"exchange", std::string(kPhaseNames[from]), std::string(kHandlerNames[event]),
                         std::string(kPhaseNames[to])});
      }
    }
  }
  for (unsigned from = 0; from < TransitionCounts::kPoolStates; ++from) {
    for (unsigned event = 0; event < kPoolEventNames.size(); ++event) {
      for (unsigned to = 0; to < TransitionCounts::kPoolStates; ++to) {
        if (counts.pool[from][event][to] == 0) continue;
        taken.push_back(
            {"pool", pool_state_name(from), std::string(kPoolEventNames[event]), pool_state_name(to)});
      }
    }
  }
  return taken;
}

std::vector<Transition> legal_transitions() {
  TransitionCounts walked{};
  for (uint32_t connections = 1; connections <= 4; ++connections) {
    for (uint32_t waiting = 1; waiting <= 4; ++waiting) walk_pool_machine(connections, waiting, walked);
  }
  std::vector<Transition> legal = taken_transitions(walked);
  for (const Legal& row : kExchange) {
    std::string_view left = row.to;
    while (!left.empty()) {
      const size_t end = std::min(left.find(' '), left.size());
      legal.push_back(
          {"exchange", std::string(row.from), std::string(row.event), std::string(left.substr(0, end))});
      left.remove_prefix(std::min(end + 1, left.size()));
    }
  }
  return legal;
}

}  // namespace weir::sim
