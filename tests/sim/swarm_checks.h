// What must hold of every run, whatever happened in it.
//
//   while it runs   what shards count under limits and hard budgets is within them
//   at its end      each request ended once, each record is of one request; nothing is reserved or held; money
//                   adds up; answers belong to their requests and are whole if they say so; what was refused
//                   reached nobody, and had to be refused; limits were kept; each decision is the reference
//                   evaluator's
//   swarm_limits.cc   whom limits let in and whom they refused, against a reference of GCRA from the records
//   swarm_cache.cc    whose answers were given again, when, and to whom
//   swarm_shadow.cc   copies and the pairs they make
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
inline std::string id_of(const routing::Record& record) {
  return {routing::to_hex(record.id).data(), 32};
}
// What stands between `mark` and a semicolon in a provider's text; UINT64_MAX: it is not there.
uint64_t number_behind(const std::string& text, std::string_view mark);

class SwarmChecks {
 public:
  SwarmChecks(const SwarmConfig& config, const TableMaker& tables, Journal& journal)
      : config_(config), tables_(tables), journal_(journal) {}

  // At the end of each round.
  void while_running(const routing::Table& newest, routing::UserGuards& users);
  // After all shards have closed, with every record drained.
  void at_the_end(const routing::Gateway& gateway, const std::vector<std::unique_ptr<SwarmClient>>& clients);

 private:
  void index_records(const std::vector<std::unique_ptr<SwarmClient>>& clients);
  void check_counts(const routing::Gateway& gateway,
                    const std::vector<std::unique_ptr<SwarmClient>>& clients);
  void check_guards(const routing::Table& newest);
  void check_limits();
  void note_token_words(const routing::Table& newest, routing::UserGuards& users);
  void check_token_words();
  void check_cache();
  void check_cached(const Asked& asked, const Settled& settled);
  void check_shadow(const routing::Gateway& gateway);
  void check_pair(const Paired& paired, const Settled& settled);
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
  const Asked* asked_of(const Settled& settled) const;
  std::vector<const Attempt*> reached_by(const Asked& asked) const;
  bool check(bool good, const Asked& asked, const std::string& what);

  const SwarmConfig& config_;
  const TableMaker& tables_;
  Journal& journal_;
  size_t records_seen_ = 0;                        // by note_token_words()
  std::map<std::string, const Settled*> records_;  // by request id, as all but the next
  std::map<uint32_t, std::vector<const Attempt*>> by_subject_;
  std::map<std::string, std::vector<const Attempt*>> attempts_;
  std::map<std::string, const Asked*> asked_;
  std::map<std::string, const Paired*> pairs_;
};

}  // namespace weir::sim
