// What the shadow log may say of a tenant's answers. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace weir::routing {

// The text, masked, and its digest; its digest; neither.
enum class ShadowText : uint8_t { masked, digest, none };

struct ShadowPolicy {
  ShadowText text = ShadowText::masked;
  std::vector<std::string> mask = {};  // patterns that are masked beside what always is (pii_mask.h)
};

struct ShadowPolicies {
  ShadowPolicy standard;
  std::map<std::string, ShadowPolicy, std::less<>> tenants;  // by id; whole: the standard's mask is in theirs

  const ShadowPolicy& of(std::string_view tenant) const {
    const auto own = tenants.find(tenant);
    return own == tenants.end() ? standard : own->second;
  }
};

}  // namespace weir::routing
