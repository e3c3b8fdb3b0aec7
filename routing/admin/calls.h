// Every call of the admin API, one row each: what it is called, what it takes, who may make it. The router,
// the role checks, the Allow header and the test of the whole role × call matrix come from here. The shapes
// of bodies and answers are in tools/weirctl/admin_client.h.
//
//   X(handler, method, path, body, query, allowed, scope)
//
//   handler  the member of AdminApi that answers; a new call is a row and that member
//   path     literal, but for {braces}: one segment, given to the handler decoded, in order. {kind} is
//            the plural of a kind of objects. The first row that fits rules
//   body     none, json, or table: JSON or YAML
//   query    the parameters it takes, separated by blanks, a * standing for the rest of a name; any
//            other is refused, so that a misspelt dry_run does not become a change
//   allowed  the least role: everybody, operators, admins; by_kind = as WEIR_ADMIN_KINDS says
//   scope    what a token needs besides
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/http/head.h"
#include "routing/admin/roles.h"

// clang-format off
#define WEIR_ADMIN_CALLS(X)                                                                                                                            \
  X(get_health,        get,     "/healthz",                          none,  "",                                                   everybody, metrics)  \
  X(get_metrics,       get,     "/metrics",                          none,  "",                                                   everybody, metrics)  \
  X(get_status,        get,     "/v1/status",                        none,  "",                                                   everybody, read)     \
  X(get_table,         get,     "/v1/table",                         none,  "revision",                                           everybody, read)     \
  X(put_table,         put,     "/v1/table",                         table, "reason dry_run proposal",                            admins,    deploy)   \
  X(validate_table,    post,    "/v1/table:validate",                table, "",                                                   operators, change)   \
  X(get_diff,          get,     "/v1/diff",                          none,  "from to",                                            everybody, read)     \
  X(get_explain,       get,     "/v1/explain",                       none,  "tenant scenario user conversation model key attr.*", everybody, read)     \
  X(kill,              post,    "/v1/kill",                          json,  "",                                                   operators, kill)     \
  X(unkill,            post,    "/v1/unkill",                        json,  "",                                                   operators, kill)     \
  X(kill_unkill,       post,    "/v1/kill:unkill",                   json,  "",                                                   operators, kill)     \
  X(upgrade,           post,    "/v1/upgrade",                       none,  "",                                                   admins,    deploy)   \
  X(rollback,          post,    "/v1/rollback",                      json,  "dry_run",                                            operators, rollback) \
  X(get_limits,        get,     "/v1/limits",                        none,  "tenant user sort",                                   everybody, read)     \
  X(get_budgets,       get,     "/v1/budgets",                       none,  "tenant user sort",                                   everybody, read)     \
  X(get_breakers,      get,     "/v1/breakers",                      none,  "",                                                   everybody, read)     \
  X(purge_cache,       post,    "/v1/cache:purge",                   json,  "",                                                   operators, change)   \
  X(get_audit,         get,     "/v1/audit",                         none,  "tenant flag kind name since before limit bodies",    everybody, read)     \
  X(verify_audit,      get,     "/v1/audit:verify",                  none,  "",                                                   everybody, read)     \
  X(get_change,        get,     "/v1/changes/{revision}",            none,  "",                                                   everybody, read)     \
  X(get_export,        get,     "/v1/export",                        none,  "format what revision",                                    everybody, read)     \
  X(get_label,         get,     "/v1/labels/{name}",                 none,  "",                                                   everybody, read)     \
  X(set_label,         post,    "/v1/labels/{name}",                 json,  "",                                                   operators, change)   \
  X(get_proposals,     get,     "/v1/proposals",                     none,  "all",                                                everybody, read)     \
  X(get_proposal,      get,     "/v1/proposals/{id}",                none,  "",                                                   everybody, read)     \
  X(approve_proposal,  post,    "/v1/proposals/{id}:approve",        json,  "",                                                   operators, approve)  \
  X(withdraw_proposal, post,    "/v1/proposals/{id}:withdraw",       json,  "",                                                   operators, approve)  \
  X(get_rows,          get,     "/v1/flags/{flag}/tenants",          none,  "state after limit",                                  everybody, read)     \
  X(set_row,           post,    "/v1/flags/{flag}/tenants/{tenant}", json,  "dry_run proposal",                                   operators, change)   \
  X(list_objects,      get,     "/v1/{kind}",                        none,  "after limit problem",                                everybody, read)     \
  X(get_object,        get,     "/v1/{kind}/{name}",                 none,  "revision",                                           everybody, read)     \
  X(put_object,        put,     "/v1/{kind}/{name}",                 json,  "reason dry_run proposal",                            by_kind,   change)   \
  X(patch_object,      patch,   "/v1/{kind}/{name}",                 json,  "reason dry_run proposal",                            by_kind,   change)   \
  X(delete_object,     delete_, "/v1/{kind}/{name}",                 none,  "reason dry_run proposal",                            admins,    deploy)
// clang-format on

namespace weir::routing {

enum class CallBody : uint8_t { none, json, table };

struct CallRow {
  std::string_view handler;
  net::Method method;
  std::string_view path;
  CallBody body;
  std::string_view query;
  Permission permission;
};

// Whether the call takes a parameter of that name.
bool takes_parameter(const CallRow& row, std::string_view name);

// In the order of WEIR_ADMIN_CALLS.
std::span<const CallRow> call_rows();

// Which call a request line names.
struct CallMatch {
  size_t row;                      // into call_rows()
  std::vector<std::string> names;  // what the path's {braces} stand for
  std::optional<ObjectKind> kind;  // of {kind}
  Permission permission;           // of the row, or of the kind
};
struct CallMismatch {
  const char* allow;  // methods that the path has, static; null = there is no such path
};
// `path` is what stands before '?', still encoded.
std::expected<CallMatch, CallMismatch> match_call(std::string_view path, net::Method method);

}  // namespace weir::routing
