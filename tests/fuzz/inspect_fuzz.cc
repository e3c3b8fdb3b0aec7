// Inspection of a request body: what it accepts is valid JSON by two other parsers, and every control field
// means to it what it means to a server that reads the document with the last member winning.
#include <nlohmann/json.hpp>

#include "routing/inspect/inspect.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/routing/inspect/json_reference.h"

namespace weir::fuzz {
namespace {

using nlohmann::json;

std::string text_or_empty(const json& document, const char* key) {
  const auto found = document.find(key);
  return found != document.end() && found->is_string() ? found->get<std::string>() : "";
}
bool is_true(const json& value) {
  return value.is_boolean() && value.get<bool>();
}

void expect_same_meaning(const routing::Inspection& in, const json& document) {
  EXPECT_EQ(in.model, text_or_empty(document, "model"));
  EXPECT_EQ(in.user, text_or_empty(document, "user"));
  EXPECT_EQ(in.safety_identifier, text_or_empty(document, "safety_identifier"));
  EXPECT_EQ(in.stream, document.contains("stream") && is_true(document["stream"]));
  const bool asked = document.contains("stream_options") && document["stream_options"].is_object() &&
                     document["stream_options"].contains("include_usage") &&
                     is_true(document["stream_options"]["include_usage"]);
  EXPECT_EQ(in.include_usage_requested, asked);
  const auto count = [&](const char* key) {
    return document.contains(key) && document[key].is_number_unsigned() ? document[key].get<uint64_t>() : 0;
  };
  EXPECT_EQ(in.n, count("n"));
  EXPECT_EQ(in.max_tokens, count("max_tokens"));
  EXPECT_EQ(in.max_completion_tokens, count("max_completion_tokens"));
  EXPECT_EQ(in.field_count, document.size()) << "a member twice";
}

}  // namespace
}  // namespace weir::fuzz

WEIR_FUZZ_TARGET(inspect) {
  using namespace weir;
  fuzz::Choices choices(input);
  const auto endpoint = static_cast<routing::Endpoint>(choices.below(4));
  const routing::PaddedDocument document(fuzz::text_of(choices.rest()));
  static routing::Inspector inspector;
  const auto outcome = inspector.inspect(endpoint, document.bytes());
  const bool valid = routing::SlowJson::valid(document.text(), core::limits::kMaxJsonDepth);
  if (!outcome) {
    using enum core::ErrorCode;
    const core::ErrorCode code = outcome.error().code;
    if (code == body_not_json || code == body_not_utf8) {
      EXPECT_FALSE(valid) << document.text();
    }
    return;
  }
  ASSERT_TRUE(valid) << document.text();
  const fuzz::json parsed = fuzz::json::parse(document.text(), nullptr, false);
  if (parsed.is_discarded()) return;  // a number beyond a double: valid, and not this oracle's
  fuzz::expect_same_meaning(**outcome, parsed);
}
