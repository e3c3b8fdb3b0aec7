// Who has a flag: the tenants with a row on it, among a million.
//
// Pure: a pass over all tenants, tens of milliseconds for a million. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "routing/table/table.h"

namespace weir::routing {

// "pilot,production" as a set of bits 1 << FlagState; else a sentence that names the unknown word.
std::expected<uint32_t, std::string> parse_flag_states(std::string_view list);

struct FlagRowsQuery {
  FlagIndex flag{};
  uint32_t states = UINT32_MAX;  // bits 1 << FlagState
  std::string after = {};        // ids up to this one are left out
  size_t limit = 1000;
};

struct FlagRows {
  std::array<size_t, 3> counts{};    // of all tenants, by FlagState
  std::vector<std::string> tenants;  // of the wanted states, by id
  bool more = false;                 // the next page begins after the last one listed
};

FlagRows list_flag_rows(const Table& table, const FlagRowsQuery& query);

}  // namespace weir::routing
