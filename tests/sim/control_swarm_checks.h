// What must hold in every run of the control plane's swarm, whatever the seed:
//
//   answers    every ask is answered once, as long as its process lives
//   made       an acknowledged change is in the log of the registry with its revision and mark, does what was asked
//              (check_effect()), is live on every shard when it is answered, and stays through every power cut
//   not made   a refused change, a dry run, a loser of If-Match is not in the log, and never comes back; one that was
//              not answered is there whole or not at all
//   If-Match   a winner changes the table that it named; a loser's had changed
//   tables     what a shard sees as revision R is what the registry's document of R compiles to; revisions only grow
//   kills      an acknowledged kill holds on every shard, and through restarts where durable, until somebody asks to
//              lift it; a lifted one is gone
//   hosts      the address book knows every host of every table that is in use
//   log        sequences and revisions without gaps; each `before` is the `after` before it; all of them together are
//              the objects and the kills of now; verify() finds no fault
//   memory     one table is left once every shard has taken it and no exchange is on an earlier one
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/control_swarm_journal.h"
#include "tests/sim/control_swarm_process.h"

namespace weir::sim {

// What is known of each name's kill from what was asked and answered.
class KillHistory {
 public:
  using Key = std::pair<routing::KillScope, std::string>;
  enum class Standing : uint8_t { killed, free, unknown };

  void began(const Ask& ask);
  void answered(const Ask& ask);
  // The process has ended. What the registry refused may be there all the same, where it could not be undone.
  void forget(bool ghosts, bool all_unknown);
  // What the registry holds, for names that are unknown after a restart.
  void adopt(const std::vector<routing::Kill>& kills);
  Standing of(const Key& key) const;
  // Killed, and a restart must not forget it.
  bool durable(const Key& key) const;
  std::vector<Key> keys() const;

 private:
  struct Flip {
    uint64_t id;
    bool kill;
    enum class State : uint8_t { asked, done, done_in_memory, refused, lost } state = State::asked;
  };
  std::map<Key, std::vector<Flip>> flips_;  // in the order in which they were asked for
};

class ControlChecks {
 public:
  explicit ControlChecks(ControlJournal& journal) : journal_(journal) {}

  void began(const Ask& ask);
  void answered(ControlProcess& process, const Ask& ask);
  void refreshed(ControlProcess& process, const SwarmShard& shard);
  void while_running(ControlProcess& process);
  // The process, whatever ended it.
  void ended(bool ghosts);
  // What the process began with is durable; not known while the disk has refused to make it so (registry.h).
  void durable() { sure_ = true; }
  void started(ControlProcess& process, bool durable);
  void at_the_end(ControlProcess& process);

 private:
  struct Rows;  // the log
  void check_kills(const routing::Table& table, const char* when);
  void check_effect(const routing::Registry& registry, const Ask& ask, const routing::ChangeOutcome& outcome);
  void check_rollback(const routing::Registry& registry, const Ask& ask,
                      const routing::ChangeOutcome& outcome);
  void check_log(const routing::Registry& registry);
  void check_ask(const Rows& rows, const Ask& ask);
  void check_proposal(const routing::Registry& registry, const routing::Change& row);
  void check_tables(ControlProcess& process);
  void find(const std::string& what) { journal_.findings.add(what); }

  ControlJournal& journal_;
  KillHistory kills_;
  bool sure_ = true;
  std::map<uint64_t, std::string> tables_;  // by revision, as shards saw them
  uint64_t revision_ = 0;                   // the highest that anybody was told of
};

}  // namespace weir::sim
