// Reads the Prometheus text format, as far as weir's own /metrics uses it: name{label="value",...} number.
// Comment lines, timestamps and lines it does not understand are passed over. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace weir::tools {

struct Sample {
  std::string name;
  std::map<std::string, std::string> labels;
  double value = 0;

  // The label's value; empty when the sample does not have it.
  std::string label(const std::string& key) const {
    auto found = labels.find(key);
    return found == labels.end() ? std::string() : found->second;
  }
};

std::vector<Sample> parse_prometheus(std::string_view text);

}  // namespace weir::tools
