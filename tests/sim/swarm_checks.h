// What must hold of every run, whatever happened in it.
//
//   while it runs   what shards count under limits and hard budgets is within them
//   at its end      each request ended once, each record is of one request; nothing is reserved or held; money
//                   adds up; answers belong to their requests and are whole if they say so; what was refused
//                   reached nobody, and had to be refused; limits were kept; each decision is the reference
//                   evaluator's
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "routing/exchange/gateway.h"
#include "tests/sim/swarm_client.h"
#include "tests/sim/swarm_journal.h"
#include "tests/sim/swarm_table.h"

namespace weir::sim {

// A limit or budget refused it or let another unit answer; those of pilots do not refuse.
inline bool is_limited(const routing::Record& record) {
  return record.limit != nullptr && !std::string_view(record.limit).starts_with("pilot.");
}

class SwarmChecks {
 public:
  SwarmChecks(const SwarmConfig& config, const TableMaker& tables, Journal& journal)
      : config_(config), tables_(tables), journal_(journal) {}

  void while_running(const routing::Table& newest);
  // After all shards have closed, with every record drained.
  void at_the_end(const routing::Gateway& gateway, const std::vector<std::unique_ptr<SwarmClient>>& clients);

 private:
  void index_records();
  void check_counts(const routing::Gateway& gateway,
                    const std::vector<std::unique_ptr<SwarmClient>>& clients);
  void check_guards(const routing::Table& newest);
  void check_rates(const std::vector<std::unique_ptr<SwarmClient>>& clients);
  void check_rate(const char* what, std::vector<uint64_t> times, uint32_t per_minute);
  void check_overlap(const char* what, std::vector<std::pair<int64_t, int64_t>> spans, uint32_t most);
  void check_attempt(const Attempt& attempt, const Settled& settled);
  void check_pilots();
  // Guards let the decided unit answer: only then a conversation has begun on it, and a pilot's place is taken.
  bool has_begun(const Settled& settled) const;
  void check_answer(const Asked& asked);
  void check_refusal(const Asked& asked);
  bool is_explained(const Asked& asked, const Settled& settled) const;
  void check_body(const Asked& asked, const Settled* settled);
  void check_decisions(const SwarmClient& client);
  const Settled* record_of(const Asked& asked) const;
  bool check(bool good, const Asked& asked, const std::string& what);

  const SwarmConfig& config_;
  const TableMaker& tables_;
  Journal& journal_;
  std::map<std::string, const Settled*> records_;             // by request id
  std::map<uint32_t, std::vector<const Attempt*>> attempts_;  // by number of what was asked
};

}  // namespace weir::sim
