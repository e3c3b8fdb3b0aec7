// The splicing rewrite: for every body that inspection accepts, the result is valid JSON, says each thing
// once, and is what a rewrite of parsed values gives.
#include <nlohmann/json.hpp>

#include "routing/inspect/inspect.h"
#include "routing/inspect/rewrite.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/routing/inspect/json_reference.h"
#include "tests/routing/inspect/slow_rewrite.h"

namespace weir::fuzz {
namespace {

routing::OwnedUnit choose_unit(Choices& choices) {
  routing::OwnedUnit unit;
  const uint8_t bits = choices.byte();
  if (bits & 1) unit.set("temperature", "\"temperature\"", "0.7");
  if (bits & 2) unit.set("max_tokens", "\"max_tokens\"", "123");
  if (bits & 4) unit.set("top_k", "\"top_k\"", "[1]");
  if (bits & 8) unit.set("tool_choice", "\"tool_choice\"", "\"none\"");
  if (bits & 16) unit.set("frequency_penalty", "\"frequency_penalty\"", "2");
  if (bits & 32) unit.say(static_cast<routing::PromptMode>(choices.below(3)), "Our \\\"own\\\" text\\n");
  if (bits & 64)
    unit.allow(bits & 128 ? std::vector<std::string_view>{"a", "web"} : std::vector<std::string_view>{});
  return unit;
}

// The slow rewrite takes members at their word; where they are of a type that no client sends it is not
// asked.
bool is_plain(const nlohmann::json& body) {
  const auto all_objects = [&](const char* key) {
    if (!body.contains(key) || body[key].is_null()) return true;
    if (!body[key].is_array()) return false;
    return std::all_of(body[key].begin(), body[key].end(), [](const nlohmann::json& item) {
      if (!item.is_object()) return false;
      for (const char* member : {"role", "type", "name"}) {
        if (item.contains(member) && !item[member].is_string()) return false;
      }
      if (!item.contains("function")) return true;
      const auto& function = item["function"];
      return function.is_object() && (!function.contains("name") || function["name"].is_string());
    });
  };
  for (const auto& [key, value] : body.items()) {
    if (std::any_of(key.begin(), key.end(), [](char c) { return c >= 'A' && c <= 'Z'; })) return false;
  }
  if (body.contains("stream_options") && !body["stream_options"].is_object() &&
      !body["stream_options"].is_null()) {
    return false;
  }
  return all_objects("messages") && all_objects("tools") && body.contains("messages");
}

}  // namespace
}  // namespace weir::fuzz

WEIR_FUZZ_TARGET(rewrite) {
  using namespace weir;
  using routing::SlowJson;
  fuzz::Choices choices(input);
  const auto endpoint = static_cast<routing::Endpoint>(choices.below(4));
  const routing::OwnedUnit unit = fuzz::choose_unit(choices);
  const routing::PaddedDocument document(fuzz::text_of(choices.rest()));
  static routing::Inspector inspector;
  static std::vector<uint8_t> room(64 * 1024);
  static routing::PieceList pieces;
  const auto inspection = inspector.inspect(endpoint, document.bytes());
  if (!inspection) return;
  routing::ScratchWriter scratch(room);
  const auto planned =
      routing::plan_rewrite(**inspection, document.bytes(), unit.view(), {}, scratch, pieces);
  if (!planned) return;
  std::string result;
  for (const routing::Piece& piece : pieces.pieces()) {
    result += piece.from_body ? document.text(piece.offset, piece.offset + piece.size)
                              : scratch.text(piece.offset, piece.offset + piece.size);
  }
  EXPECT_EQ(planned->content_length, result.size());
  ASSERT_TRUE(SlowJson::valid(result, core::limits::kMaxJsonDepth)) << document.text() << "\n" << result;
  const auto before = nlohmann::json::parse(document.text(), nullptr, false);
  const auto after = nlohmann::json::parse(result, nullptr, false);
  if (before.is_discarded()) return;   // a number beyond a double: valid, and not this oracle's
  ASSERT_TRUE(before.is_object() && after.is_object());
  EXPECT_EQ(after["model"], "real");
  if (endpoint == routing::Endpoint::chat_completions && fuzz::is_plain(before)) {
    EXPECT_EQ(after, routing::slow_rewrite(before, unit, endpoint)) << document.text() << "\n" << result;
  }
  const routing::PaddedDocument again(result);  // no member twice, which the parsed form would hide
  EXPECT_TRUE(inspector.inspect(endpoint, again.bytes()).has_value()) << document.text() << "\n" << result;
}
