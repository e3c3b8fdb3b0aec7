// Why a change was not made, one row each. Every refusal says what would be right, and for a conflict which
// revision is the newest.
//
//   X(enumerator, status, "code", "sentence")     the sentence stands when the refusal brings none of its own
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "routing/registry/registry.h"
#include "routing/table/problem.h"

// clang-format off
#define WEIR_REFUSALS(X)                                                                                          \
  X(bad_value,            400, "",                     "A value is not accepted.")                                \
  X(problems,             422, "invalid_table",        "The table would have problems; nothing has changed.")     \
  X(lost_update,          409, "lost_update",          "The table has changed since that revision; look at it before you change it.") \
  X(unknown_name,         404, "unknown_name",         "The table holds nothing of that kind and name.")          \
  X(unknown_revision,     404, "unknown_revision",     "There is no such revision.")                              \
  X(unknown_label,        404, "unknown_label",        "No revision has that label.")                             \
  X(unknown_proposal,     404, "unknown_proposal",     "There is no such proposal.")                              \
  X(not_killed,           404, "not_killed",           "Nothing of that scope and name is killed.")               \
  X(nothing_to_roll_back, 404, "nothing_to_roll_back", "It stands as it did then; there is nothing to take back.") \
  X(conflict_immutable,   409, "conflict_immutable",   "Units and prompts never change; use another name.")       \
  X(prompt_source_git,    409, "prompt_source_git",    "prompt_source is git: prompts are changed with the whole table only.") \
  X(frozen,               409, "frozen",               "The row has expired and is frozen: switch it off, or renew expires.") \
  X(proposal_not_open,    409, "proposal_not_open",    "The proposal is not open any more.")                      \
  X(stale_proposal,       409, "stale_proposal",       "What the proposal changes has changed since; it is void, propose anew.") \
  X(approved_already,     409, "approved_already",     "Nobody approves twice; the next approval is somebody else's.") \
  X(self_approval,        403, "self_approval",        "Nobody approves their own proposal.")                     \
  X(wrong_role,           403, "forbidden",            "The proposal waits for another role.")                    \
  X(not_author,           403, "forbidden",            "Only its author may do that to a proposal.")              \
  X(queue_full,           503, "overloaded",           "Too many changes wait; try again.")                       \
  X(slow_shards,          504, "not_everywhere",       "The change is made and published, but not every shard has taken it up in time.") \
  X(registry_full,        507, "registry_full",        "The registry's disk is full; the change is not made.")    \
  X(registry_unavailable, 503, "registry_unavailable", "The registry cannot be written; the change is not made.") \
  X(not_durable_full,     507, "not_durable",          "It is in effect now, but the registry's disk is full: a restart forgets it. Make room and repeat it.") \
  X(not_durable,          503, "not_durable",          "It is in effect now, but the registry cannot be written: a restart forgets it. Mend that and repeat it.")
// clang-format on

namespace weir::routing {

struct Refusal {
  enum class Kind : uint8_t {
#define X(enumerator, ...) enumerator,
    WEIR_REFUSALS(X)
#undef X
  };
  Kind kind;
  std::string message = {};  // instead of the row's sentence
  std::string param = {};
  uint64_t revision = 0;  // the newest; 0 = does not matter
  std::vector<Problem> problems = {};
};

struct RefusalRow {
  int status;
  std::string_view code;
  std::string_view sentence;
};
const RefusalRow& describe(Refusal::Kind kind);

// A failure of the registry as a refusal of the change that met it.
Refusal refusal_of(const RegistryError& error);

// What a function that may refuse returns.
std::unexpected<Refusal> refuse(Refusal::Kind kind, std::string message = {}, std::string param = {});
std::unexpected<Refusal> refuse(std::vector<Problem> problems);
std::unexpected<Refusal> refuse(const RegistryError& error);

}  // namespace weir::routing
