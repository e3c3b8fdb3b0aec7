// Whether a request is copied to a candidate that does not answer it: shadow mode. Pure.
//
//   flags of the scenario with `shadow` that have no part in the answer, in declared order
//   ─ not killed, the request not excluded from it ─ its share of requests ─▶ the first one is copied
//
// What the copy is sent to is the combination that would answer if the flag applied too. A request is copied
// to one candidate at most. Shares are of requests, or with `sticky` of the scenario's sticky keys, so that
// whole conversations can be compared; a request without such a key is then never copied. Who is copied is
// independent of who is in the flag's split.
#pragma once

#include <cstdint>
#include <optional>

#include "routing/decide/decide.h"

namespace weir::routing {

struct ShadowChoice {
  FlagIndex flag{};
  UnitIndex unit{};
};

// `decision` comes from decide() with the same table and input. `dice`: 32 random bits.
std::optional<ShadowChoice> choose_shadow(const Table& table, const DecideInput& input,
                                          const Decision& decision, uint32_t dice);

}  // namespace weir::routing
