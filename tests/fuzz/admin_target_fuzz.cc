// Targets of admin requests: decoding never fails hard, a parameter has one value, and a path names one call.
#include <algorithm>
#include <set>

#include "routing/admin/calls.h"
#include "routing/admin/query.h"
#include "tests/fuzz/fuzz_target.h"

WEIR_FUZZ_TARGET(admin_target) {
  using namespace weir;
  const std::string_view text = fuzz::text_of(input);
  // The head parser lets nothing else through.
  if (std::any_of(text.begin(), text.end(), [](char c) { return c <= ' ' || c >= 0x7f; })) return;
  if (const auto decoded = routing::percent_decode(text)) {
    EXPECT_LE(decoded->size(), text.size());
    for (const char byte : *decoded) EXPECT_FALSE(static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f);
  }
  const auto target = routing::Target::parse(text);
  if (!target) return;
  std::set<std::string> names;
  for (const auto& [name, value] : target->parameters()) {
    EXPECT_TRUE(names.insert(name).second) << "a parameter twice";
    EXPECT_EQ((*target)[name], value);
  }
  const std::string_view path = text.substr(0, text.find('?'));
  for (const net::Method method :
       {net::Method::get, net::Method::put, net::Method::post, net::Method::patch}) {
    const auto match = routing::match_call(path, method);
    if (!match) continue;
    ASSERT_LT(match->row, routing::call_rows().size());
    EXPECT_EQ(routing::call_rows()[match->row].method, method);
    for (const std::string& name : match->names) EXPECT_LE(name.size(), path.size());
  }
}
