// Two answers that on-call needs within a minute: who has this flag and what turns it off; what does this
// tenant have and how does it go back. Both are put together from several answers of the admin API, then
// shown or printed as JSON.
//
//   flag    { revision, flag, body, stable, counts: { off, pilot, production }, rows: [ { tenant, body } ],
//             next: tenant | null, kills: [ kill ], changes: [ change ], turns_off: [ { does, command } ] }
//   tenant  { revision, tenant, body, kills: [ kill ], killed_flags: [ name ], changes: [ change ],
//             turns_off: [ { does, command } ] }
//
// Pure. Times are judged by the clock that the caller gives: a row that has expired is shown as such.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace weir::tools {

// "everybody", "5 % + internal, staff", "nobody": whom a row admits.
std::string share_of(const nlohmann::json& row);

// What a row does now: "on", "off", "KILLED", "starts 2026-12-01 09:00Z", "expired" (and so off),
// "on (frozen)", "over" (the pilot's time), ...
std::string standing_of(const nlohmann::json& row, bool killed, int64_t wall_now_ns);

// The kills that concern a flag: of everything, of itself, its scenario, candidate unit, that unit's
// provider, and of tenants that have a row.
nlohmann::json kills_of_flag(const nlohmann::json& kills, const nlohmann::json& flag,
                             const std::string& provider);
// ... a tenant: of everything and of itself.
nlohmann::json kills_of_tenant(const nlohmann::json& kills, const nlohmann::json& tenant);

// Fills in `turns_off`.
void add_ways_off_flag(nlohmann::json& flag);
void add_ways_off_tenant(nlohmann::json& tenant);

std::string render_flag(const nlohmann::json& flag, int64_t wall_now_ns, size_t width);
std::string render_tenant(const nlohmann::json& tenant, int64_t wall_now_ns, size_t width);

// Every flag, one line each. `flags` is the answer of GET /v1/flags, `kills` of the status.
std::string render_flags(const nlohmann::json& flags, const nlohmann::json& kills, size_t width);

}  // namespace weir::tools
