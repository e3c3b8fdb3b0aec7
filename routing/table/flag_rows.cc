#include "routing/table/flag_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "routing/decide/row_index.h"
#include "routing/table/problem.h"

namespace weir::routing {
namespace {

constexpr std::string_view kStates[] = {"off", "pilot", "production"};  // by FlagState

}  // namespace

std::expected<uint32_t, std::string> parse_flag_states(std::string_view list) {
  uint32_t states = 0;
  while (true) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view word = list.substr(0, comma);
    const auto found = std::ranges::find(kStates, word);
    if (found == std::end(kStates)) {
      return std::unexpected(fmt::format("{} is no state; some of {}{}", quote(word), list_names(kStates),
                                         did_you_mean(word, kStates)));
    }
    states |= 1u << (found - std::begin(kStates));
    if (comma == list.size()) return states;
    list.remove_prefix(comma + 1);
  }
}

FlagRows list_flag_rows(const Table& table, const FlagRowsQuery& query) {
  FlagRows rows;
  std::vector<std::string_view> ids;
  for (uint32_t i = 0; i < table.tenants->tenant_end(); i++) {
    const Tenant tenant = table[TenantIndex{i}];
    if (!tenant.exists()) continue;
    const auto row = find_row(*table.body, tenant, query.flag);
    if (!row) continue;
    rows.counts[std::to_underlying(row->state)]++;
    const bool wanted = (query.states >> std::to_underlying(row->state) & 1) != 0;
    if (wanted && tenant.id() > query.after) ids.push_back(tenant.id());
  }
  const size_t listed = std::min(query.limit, ids.size());
  std::ranges::partial_sort(ids, ids.begin() + static_cast<ptrdiff_t>(listed));
  rows.tenants.assign(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(listed));
  rows.more = listed < ids.size();
  return rows;
}

}  // namespace weir::routing
