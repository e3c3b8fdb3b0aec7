// Who may do what through the admin API (DESIGN section 7): roles, scopes of tokens, and which kinds of
// objects a role may change. The calls themselves, with who may make them, stand in routing/admin/calls.h.
//
//   viewer  ──▶ reads everything
//   operator ─▶ and runs launches: tenants' rows, flags, segments, kills, rollbacks
//   approver ─▶ and approves what waits for an approver (an operator approves what waits for an operator)
//   admin ────▶ and deploys: providers, models, prompts, units, scenarios, keys, the whole table
//
// The right to change a flag is not the right to deploy: a launch chooses among units that somebody deployed.
// A role may do what those before it may.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "routing/registry/registry.h"
#include "routing/table/objects.h"

namespace weir::routing {

enum class Role : uint8_t { viewer, operator_role, approver, admin };

std::string_view to_string(Role role);
std::optional<Role> parse_role(std::string_view text);

// What a token may be narrowed to, within its role.
//
//   X(enumerator, what it allows)
#define WEIR_ADMIN_SCOPES(X)                                             \
  X(metrics, "GET /metrics and /healthz, for Prometheus")                \
  X(read, "all other reading")                                           \
  X(change, "flags, segments, tenants and their rows; validate, labels") \
  X(kill, "kill and unkill")                                             \
  X(rollback, "rollback")                                                \
  X(approve, "approve and withdraw proposals")                           \
  X(deploy, "everything an admin alone may change")

enum class Scope : uint8_t {
#define X(enumerator, what) enumerator,
  WEIR_ADMIN_SCOPES(X)
#undef X
};
inline constexpr uint8_t kAllScopes = 0xff;
constexpr uint8_t bit(Scope scope) {
  return static_cast<uint8_t>(1u << static_cast<uint8_t>(scope));
}

std::string_view to_string(Scope scope);
std::optional<Scope> parse_scope(std::string_view text);

// Who may make a call.
enum class Allowed : uint8_t {
  everybody,  // from viewer on
  operators,  // from operator on
  admins,     // admin alone
  by_kind,    // as the kind of the object in the path says, below
};

// Who may change objects of a kind, one row each; a token needs the scope besides. Taking an object away for
// good is for admins, whatever its kind.
//
//   X(ObjectKind, Allowed, Scope)
#define WEIR_ADMIN_KINDS(X)     \
  X(settings, admins, deploy)   \
  X(provider, admins, deploy)   \
  X(model, admins, deploy)      \
  X(prompt, admins, deploy)     \
  X(unit, admins, deploy)       \
  X(attribute, admins, deploy)  \
  X(segment, operators, change) \
  X(scenario, admins, deploy)   \
  X(flag, operators, change)    \
  X(tenant, operators, change)  \
  X(key, admins, deploy)

struct Permission {
  Allowed allowed;
  Scope scope;
};
Permission permission_to_change(ObjectKind kind);

// Who is calling.
struct Caller {
  std::string name;  // "alice", "uid 1000", "token ci"
  Role role = Role::viewer;
  uint8_t scopes = kAllScopes;

  Actor actor() const { return {.name = name, .role = std::string(to_string(role))}; }
};

// Why `caller` may not, as the end of a sentence that a person can act on; none = they may.
std::optional<std::string> refusal_of(const Caller& caller, Permission needed);

}  // namespace weir::routing
