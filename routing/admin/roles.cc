#include "routing/admin/roles.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

namespace weir::routing {
namespace {

constexpr auto kRoles = std::to_array<std::string_view>({"viewer", "operator", "approver", "admin"});
constexpr auto kScopes = std::to_array<std::string_view>({
#define X(enumerator, what) #enumerator,
    WEIR_ADMIN_SCOPES(X)
#undef X
});
static_assert(kScopes.size() <= 8, "a scope is a bit of a byte");

template <typename Enum, size_t size>
std::optional<Enum> parse(const std::array<std::string_view, size>& names, std::string_view text) {
  const auto found = std::ranges::find(names, text);
  if (found == names.end()) return std::nullopt;
  return static_cast<Enum>(found - names.begin());
}

Role least_role(Allowed allowed) {
  switch (allowed) {
    case Allowed::operators:
      return Role::operator_role;
    case Allowed::admins:
      return Role::admin;
    default:
      return Role::viewer;
  }
}

}  // namespace

std::string_view to_string(Role role) {
  return kRoles[static_cast<size_t>(role)];
}

std::optional<Role> parse_role(std::string_view text) {
  return parse<Role>(kRoles, text);
}

std::string_view to_string(Scope scope) {
  return kScopes[static_cast<size_t>(scope)];
}

std::optional<Scope> parse_scope(std::string_view text) {
  return parse<Scope>(kScopes, text);
}

Permission permission_to_change(ObjectKind kind) {
  switch (kind) {
#define X(object_kind, allowed, scope) \
  case ObjectKind::object_kind:        \
    return {Allowed::allowed, Scope::scope};
    WEIR_ADMIN_KINDS(X)
#undef X
  }
  return {Allowed::admins, Scope::deploy};
}

std::optional<std::string> refusal_of(const Caller& caller, Permission needed) {
  const Role least = least_role(needed.allowed);
  if (caller.role < least) {
    return fmt::format("{} has the role {}; this takes {}{}.", caller.name, to_string(caller.role),
                       to_string(least), least == Role::admin ? "" : " or more");
  }
  if ((caller.scopes & bit(needed.scope)) == 0) {
    return fmt::format("{} does not have the scope {}.", caller.name, to_string(needed.scope));
  }
  return std::nullopt;
}

}  // namespace weir::routing
