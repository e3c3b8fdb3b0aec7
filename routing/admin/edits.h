// Changes of single objects, worked out against the newest ones. Bodies that come out are canonical.
//
// Pure but for reading the registry; compile worker.
#pragma once

#include <expected>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "routing/admin/change.h"

namespace weir::routing {

// `body` as it is, the object's; for a key also with its id.
std::expected<Plan, Refusal> plan_put(const Newest& newest, ObjectKind kind, const std::string& name,
                                      const std::string& body);
// `patch` over what is there: RFC 7396.
std::expected<Plan, Refusal> plan_patch(const Newest& newest, ObjectKind kind, const std::string& name,
                                        const std::string& patch);
std::expected<Plan, Refusal> plan_delete(const Newest& newest, ObjectKind kind, const std::string& name);

// The everyday change (edit_row()): members of the tenant's row on the flag, which is begun when there is
// none.
std::expected<Plan, Refusal> plan_row(const Newest& newest, const std::string& flag,
                                      const std::string& tenant, const std::string& change);

// A discarded value when it is no JSON.
nlohmann::json parse_json(std::string_view text);

// JSON in its canonical form; none when it is no JSON, or an object in it has a member twice.
std::optional<std::string> canonical_text(std::string_view json);

// The tenant's body with the rows on `flags` as they are in `then` (none = without those rows).
std::string with_rows_of(const std::string& now, const std::optional<std::string>& then,
                         const std::function<bool(std::string_view flag)>& is_meant);

}  // namespace weir::routing
