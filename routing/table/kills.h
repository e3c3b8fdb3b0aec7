// What operators have switched off, by name (DESIGN section 7: instant, no approval needed).
//
// The list outlives tables: a kill of a name that the current table does not hold is kept, and bites again
// when a later table brings the name back. Each publish resolves it to indices (Kills in table.h). Control
// thread only; resolve() is pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "routing/table/table.h"

namespace weir::routing {

enum class KillScope : uint8_t { global, provider, unit, scenario, flag, tenant };

std::string_view to_string(KillScope scope);
std::optional<KillScope> parse_kill_scope(std::string_view text);

struct Kill {
  KillScope scope = KillScope::global;
  std::string name;           // empty for global
  std::string reason;         // for people
  int64_t since_wall_ns = 0;  // ns since 1970
};

class KillList {
 public:
  // False, and nothing changes, when this scope and name is killed already, or when the name does not fit the
  // scope: none for global, a name for all others.
  bool add(Kill kill);

  // False when it was not killed.
  bool remove(KillScope scope, std::string_view name);

  // In the order they were added.
  const std::vector<Kill>& kills() const { return kills_; }

  // The kills as indices of `body` and `tenants`. Killing a unit kills what is layered over it.
  Kills resolve(const TableBody& body, const TenantTable& tenants) const;

 private:
  std::vector<Kill> kills_;
};

}  // namespace weir::routing
