// The tables that the control plane's swarm works on: whole documents and single objects drawn at random, and a table
// in words, to tell whether two are the same.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "routing/table/objects.h"
#include "routing/table/table.h"
#include "tests/sim/swarm_config.h"

namespace weir::sim {

using Json = nlohmann::json;

inline constexpr uint32_t kSwarmProviders = 2, kSwarmModels = 3, kSwarmScenarios = 2, kSwarmFlags = 4,
                          kSwarmTenants = 6;

// Bodies of single objects; `number` is a mark that makes each its own.
Json random_provider(Dice& dice);
Json random_unit(Dice& dice);
Json random_scenario(Dice& dice);
Json random_flag(Dice& dice, uint32_t flag, bool approvals);
Json random_row(Dice& dice, const std::string& reason);
Json random_tenant(Dice& dice, const std::string& mark);
Json key_body(const std::string& id, uint64_t number, const std::string& tenant);

// A whole table without problems.
Json random_table(Dice& dice, bool approvals, const std::string& mark);

// Everything that requests can tell, in words. Two tables of one document have one description, however they were
// made: compiled whole, around other tenants, from an image.
std::string describe(const routing::TableBody& body, const routing::TenantTable& tenants);

}  // namespace weir::sim
