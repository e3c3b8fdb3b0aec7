// Escaping for logs and records: whatever the text, what comes out is one line of JSON that means it.
#include <nlohmann/json.hpp>

#include "core/json_text.h"
#include "routing/inspect/json_text.h"
#include "routing/table/canonical_json.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/routing/inspect/json_reference.h"

WEIR_FUZZ_TARGET(json_text) {
  using namespace weir;
  const std::string_view text = fuzz::text_of(input);
  const bool utf8 = routing::SlowJson::utf8(text);

  std::vector<char> room(text.size() * 6 + 16);
  core::JsonText out(room);
  out.string(text);
  ASSERT_FALSE(out.overflowed());
  for (const char byte : out.view())
    EXPECT_GE(static_cast<unsigned char>(byte), 0x20) << "a line break in a line";
  const auto parsed = nlohmann::json::parse(out.view(), nullptr, false);
  ASSERT_TRUE(parsed.is_string()) << out.view();
  if (utf8) {
    EXPECT_EQ(parsed.get<std::string>(), text);
  }
  if (!utf8) return;  // the others take valid UTF-8 only

  std::vector<uint8_t> scratch(text.size() * 6 + 16);
  routing::ScratchWriter writer(scratch);
  routing::render_json_string(text, writer);
  ASSERT_FALSE(writer.overflowed());
  const auto rendered = nlohmann::json::parse(writer.text(0, writer.size()), nullptr, false);
  ASSERT_TRUE(rendered.is_string());
  EXPECT_EQ(rendered.get<std::string>(), text);

  std::string canonical;
  routing::append_json_string(canonical, text);
  const auto again = nlohmann::json::parse(canonical, nullptr, false);
  ASSERT_TRUE(again.is_string());
  EXPECT_EQ(again.get<std::string>(), text);
}
