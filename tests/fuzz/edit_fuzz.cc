// Bodies of the admin API that change one object: a merge patch against a slow RFC 7396, and the everyday
// change of a tenant's row, which touches that row alone. What comes out is canonical, and itself a body
// again.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "routing/admin/edits.h"
#include "routing/table/edit.h"
#include "tests/fuzz/fuzz_target.h"

namespace weir::fuzz {
namespace {

using nlohmann::json;

// RFC 7396 section 2, as it is written there.
json slow_merge(json target, const json& patch) {
  if (!patch.is_object()) return patch;
  if (!target.is_object()) target = json::object();
  for (const auto& [name, value] : patch.items()) {
    if (value.is_null()) {
      target.erase(name);
    } else {
      target[name] = slow_merge(target.contains(name) ? target[name] : json(), value);
    }
  }
  return target;
}

json without_row(json tenant, const std::string& flag) {
  if (tenant.contains("flags") && tenant["flags"].is_object()) {
    tenant["flags"].erase(flag);
  } else {
    tenant["flags"] = json::object();  // what was there is no row of anybody
  }
  return tenant;
}

void expect_canonical(const std::string& text) {
  EXPECT_EQ(routing::canonical_text(text), text);
}

}  // namespace
}  // namespace weir::fuzz

// body LF patch
WEIR_FUZZ_TARGET(edit) {
  using namespace weir;
  using fuzz::json;
  const std::string text(fuzz::text_of(input));
  const size_t line = std::min(text.find('\n'), text.size());
  const auto body = routing::canonical_text(text.substr(0, line));
  const std::string patch = text.substr(std::min(line + 1, text.size()));
  if (!body) return;  // the registry holds nothing else
  fuzz::expect_canonical(*body);
  const json before = json::parse(*body, nullptr, false);
  const json wanted = json::parse(patch, nullptr, false);
  ASSERT_FALSE(before.is_discarded());

  if (const auto merged = routing::merge_patch(*body, patch)) {
    fuzz::expect_canonical(*merged);
    ASSERT_FALSE(wanted.is_discarded()) << patch;
    EXPECT_EQ(json::parse(*merged), fuzz::slow_merge(before, wanted)) << *body << "\n" << patch;
  } else {
    EXPECT_FALSE(merged.error().empty());
  }

  const std::string flag = "launch";
  const auto edited = routing::edit_row(*body, {.flag = flag, .change = patch, .stable = "old"});
  if (!edited) {
    EXPECT_FALSE(edited.error().empty());
    return;
  }
  fuzz::expect_canonical(*edited);
  const json after = json::parse(*edited);
  const json& row = after["flags"][flag];
  EXPECT_EQ(fuzz::without_row(before, flag), fuzz::without_row(after, flag)) << *body << "\n" << patch;
  EXPECT_TRUE(row["reason"].is_string() && row["reason"] != "");
  for (const auto& [name, value] : wanted.items()) {
    if (!value.is_structured() && !value.is_null()) {
      EXPECT_EQ(row[name], value);
    }
  }
}
