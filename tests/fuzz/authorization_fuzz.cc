// The Authorization header: only the exact key is let in, whatever surrounds it.
#include <strings.h>

#include "routing/decide/identify.h"
#include "routing/table/compile.h"
#include "tests/fuzz/fuzz_target.h"

namespace weir::fuzz {
namespace {

constexpr std::string_view kSecret = "a secret for tests";
constexpr std::string_view kToken = "sk-fuzz";

struct Door {
  Door() : hasher(kSecret), identifier(hasher, {1, 2}) {
    auto body = routing::compile_text(R"({"tenants":{"t":{}},"keys":[{"id":"k","tenant":"t","hash":")" +
                                          routing::hash_key(kSecret, kToken) + R"("}]})",
                                      routing::TableFormat::json, {});
    EXPECT_TRUE(body.has_value());
    table.body = std::move(body->body);
    table.tenants = std::move(body->tenants);
  }
  routing::KeyHasher hasher;
  routing::Identifier identifier;
  routing::Table table;
};

}  // namespace
}  // namespace weir::fuzz

WEIR_FUZZ_TARGET(authorization) {
  using namespace weir;
  static fuzz::Door door;
  const std::string_view value = fuzz::text_of(input);
  const auto key = door.identifier.identify(door.table, value);
  const bool scheme = value.size() == 7 + fuzz::kToken.size() && value.substr(7) == fuzz::kToken &&
                      value[6] == ' ' && strncasecmp(value.data(), "bearer", 6) == 0;
  EXPECT_EQ(key.has_value(), scheme) << value;
  if (!key) {
    using enum core::ErrorCode;
    const core::ErrorCode code = key.error().code;
    EXPECT_TRUE(code == missing_key || code == malformed_authorization || code == unknown_key);
  }
}
