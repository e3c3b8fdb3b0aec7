// What a webhook would be told.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "routing/admin/alert_queue.h"

namespace weir::tests {

inline std::vector<nlohmann::json> take_all(routing::AlertQueue& queue) {
  std::vector<nlohmann::json> told;
  while (const auto delivery = queue.next(UINT64_MAX - 1)) {
    told.push_back(nlohmann::json::parse(delivery->body));
    queue.delivered();
  }
  return told;
}

// "open closed": their states, in order.
inline std::string states_of(const std::vector<nlohmann::json>& told) {
  std::string states;
  for (const nlohmann::json& alert : told)
    states += (states.empty() ? "" : " ") + alert.value("state", std::string("-"));
  return states;
}

}  // namespace weir::tests
