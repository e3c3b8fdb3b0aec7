#include "net/upstream_pool_machine.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace weir::net {
namespace {

using Machine = UpstreamPoolMachine;

// One event by name; empty when it cannot happen in this state.
struct Event {
  const char* name;
  std::string (*apply)(Machine&);
};

const char* name_of(Machine::Acquire action) {
  constexpr const char* kNames[] = {"use_idle", "open_and_wait", "wait", "refuse"};
  return kNames[static_cast<int>(action)];
}
const char* name_of(Machine::Free action) {
  return action == Machine::Free::serve_waiter ? "serve_waiter" : "keep_idle";
}
const char* name_of(Machine::Lost action) {
  return action == Machine::Lost::open_for_waiter ? "open_for_waiter" : "nothing";
}
const char* name_of(Machine::OpenFailed action) {
  constexpr const char* kNames[] = {"nothing", "fail_waiter", "fail_waiter_and_open"};
  return kNames[static_cast<int>(action)];
}

const Event kEvents[] = {
    {"acquire", [](Machine& m) { return std::string(name_of(m.on_acquire())); }},
    {"abandoned",
     [](Machine& m) {
       if (m.waiting() == 0) return std::string();
       m.on_abandoned();
       return std::string("-");
     }},
    {"opened",
     [](Machine& m) { return m.opening() == 0 ? std::string() : std::string(name_of(m.on_opened())); }},
    {"open_failed",
     [](Machine& m) { return m.opening() == 0 ? std::string() : std::string(name_of(m.on_open_failed())); }},
    {"released",
     [](Machine& m) { return m.busy() == 0 ? std::string() : std::string(name_of(m.on_released())); }},
    {"lost_busy",
     [](Machine& m) {
       return m.busy() == 0 ? std::string() : std::string(name_of(m.on_lost(Machine::Was::busy)));
     }},
    {"lost_idle",
     [](Machine& m) {
       return m.idle() == 0 ? std::string() : std::string(name_of(m.on_lost(Machine::Was::idle)));
     }},
};

std::string state_of(const Machine& m) {
  return "i" + std::to_string(m.idle()) + "o" + std::to_string(m.opening()) + "b" + std::to_string(m.busy()) +
         "w" + std::to_string(m.waiting());
}

// Every state that can be reached with two connections and two places to wait, with every event that can
// happen there. i = idle, o = opening, b = busy, w = waiting. A reviewer reads changes of it as a diff.
const char kGolden[] = R"(
i0o0b0w0  acquire     open_and_wait         i0o1b0w1
i0o0b1w0  acquire     open_and_wait         i0o1b1w1
i0o0b1w0  released    keep_idle             i1o0b0w0
i0o0b1w0  lost_busy   nothing               i0o0b0w0
i0o0b2w0  acquire     wait                  i0o0b2w1
i0o0b2w0  released    keep_idle             i1o0b1w0
i0o0b2w0  lost_busy   nothing               i0o0b1w0
i0o0b2w1  acquire     wait                  i0o0b2w2
i0o0b2w1  abandoned   -                     i0o0b2w0
i0o0b2w1  released    serve_waiter          i0o0b2w0
i0o0b2w1  lost_busy   open_for_waiter       i0o1b1w1
i0o0b2w2  acquire     refuse                i0o0b2w2
i0o0b2w2  abandoned   -                     i0o0b2w1
i0o0b2w2  released    serve_waiter          i0o0b2w1
i0o0b2w2  lost_busy   open_for_waiter       i0o1b1w2
i0o1b0w0  acquire     wait                  i0o1b0w1
i0o1b0w0  opened      keep_idle             i1o0b0w0
i0o1b0w0  open_failed nothing               i0o0b0w0
i0o1b0w1  acquire     open_and_wait         i0o2b0w2
i0o1b0w1  abandoned   -                     i0o1b0w0
i0o1b0w1  opened      serve_waiter          i0o0b1w0
i0o1b0w1  open_failed fail_waiter           i0o0b0w0
i0o1b1w0  acquire     wait                  i0o1b1w1
i0o1b1w0  opened      keep_idle             i1o0b1w0
i0o1b1w0  open_failed nothing               i0o0b1w0
i0o1b1w0  released    keep_idle             i1o1b0w0
i0o1b1w0  lost_busy   nothing               i0o1b0w0
i0o1b1w1  acquire     wait                  i0o1b1w2
i0o1b1w1  abandoned   -                     i0o1b1w0
i0o1b1w1  opened      serve_waiter          i0o0b2w0
i0o1b1w1  open_failed fail_waiter           i0o0b1w0
i0o1b1w1  released    serve_waiter          i0o1b1w0
i0o1b1w1  lost_busy   nothing               i0o1b0w1
i0o1b1w2  acquire     refuse                i0o1b1w2
i0o1b1w2  abandoned   -                     i0o1b1w1
i0o1b1w2  opened      serve_waiter          i0o0b2w1
i0o1b1w2  open_failed fail_waiter_and_open  i0o1b1w1
i0o1b1w2  released    serve_waiter          i0o1b1w1
i0o1b1w2  lost_busy   open_for_waiter       i0o2b0w2
i0o2b0w0  acquire     wait                  i0o2b0w1
i0o2b0w0  opened      keep_idle             i1o1b0w0
i0o2b0w0  open_failed nothing               i0o1b0w0
i0o2b0w1  acquire     wait                  i0o2b0w2
i0o2b0w1  abandoned   -                     i0o2b0w0
i0o2b0w1  opened      serve_waiter          i0o1b1w0
i0o2b0w1  open_failed fail_waiter           i0o1b0w0
i0o2b0w2  acquire     refuse                i0o2b0w2
i0o2b0w2  abandoned   -                     i0o2b0w1
i0o2b0w2  opened      serve_waiter          i0o1b1w1
i0o2b0w2  open_failed fail_waiter           i0o1b0w1
i1o0b0w0  acquire     use_idle              i0o0b1w0
i1o0b0w0  lost_idle   nothing               i0o0b0w0
i1o0b1w0  acquire     use_idle              i0o0b2w0
i1o0b1w0  released    keep_idle             i2o0b0w0
i1o0b1w0  lost_busy   nothing               i1o0b0w0
i1o0b1w0  lost_idle   nothing               i0o0b1w0
i1o1b0w0  acquire     use_idle              i0o1b1w0
i1o1b0w0  opened      keep_idle             i2o0b0w0
i1o1b0w0  open_failed nothing               i1o0b0w0
i1o1b0w0  lost_idle   nothing               i0o1b0w0
i2o0b0w0  acquire     use_idle              i1o0b1w0
i2o0b0w0  lost_idle   nothing               i1o0b0w0
)";

TEST(UpstreamPoolMachine, FollowsItsTable) {
  std::map<std::string, Machine> seen;
  std::vector<std::string> open{state_of(Machine(2, 2))};
  seen.emplace(open.front(), Machine(2, 2));
  std::map<std::string, std::string> rows;
  while (!open.empty()) {
    const std::string from = open.back();
    open.pop_back();
    std::string& row = rows[from];
    for (const Event& event : kEvents) {
      Machine machine = seen.at(from);
      const std::string action = event.apply(machine);
      if (action.empty()) continue;
      const std::string to = state_of(machine);
      row += from + "  " + event.name + std::string(12 - std::string(event.name).size(), ' ') + action +
             std::string(22 - action.size(), ' ') + to + "\n";
      if (seen.emplace(to, machine).second) open.push_back(to);
    }
  }
  std::string table = "\n";
  for (const auto& [from, row] : rows) table += row;
  EXPECT_EQ(table, kGolden) << table;
}

TEST(UpstreamPoolMachine, KeepsItsInvariants) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const uint32_t max_connections = 1 + random() % 8, max_waiting = 1 + random() % 8;
    Machine machine(max_connections, max_waiting);
    for (int step = 0; step < 1000; ++step) {
      kEvents[random() % std::size(kEvents)].apply(machine);
      ASSERT_LE(machine.connections(), max_connections);
      ASSERT_LE(machine.waiting(), max_waiting);
      ASSERT_TRUE(machine.waiting() == 0 || machine.idle() == 0);
      // Nobody waits while a connection could be opened for them.
      ASSERT_TRUE(machine.opening() >= machine.waiting() || machine.connections() == max_connections)
          << state_of(machine);
    }
  }
}

TEST(UpstreamPoolMachine, IsBoundedByKMaxUpstreamConnectionsPerEndpointAndKMaxUpstreamQueue) {
  Machine machine;
  for (uint32_t i = 0; i < core::limits::kMaxUpstreamConnectionsPerEndpoint; ++i) {
    ASSERT_EQ(machine.on_acquire(), Machine::Acquire::open_and_wait);
    ASSERT_EQ(machine.on_opened(), Machine::Free::serve_waiter);
  }
  for (uint32_t i = 0; i < core::limits::kMaxUpstreamQueue; ++i)
    ASSERT_EQ(machine.on_acquire(), Machine::Acquire::wait);
  EXPECT_EQ(machine.on_acquire(), Machine::Acquire::refuse);
  EXPECT_EQ(machine.connections(), core::limits::kMaxUpstreamConnectionsPerEndpoint);
  EXPECT_EQ(machine.waiting(), core::limits::kMaxUpstreamQueue);
}

}  // namespace
}  // namespace weir::net
