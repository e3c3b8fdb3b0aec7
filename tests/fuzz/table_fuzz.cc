// Loading a flag table from hostile text: problems or a body, never a crash; and what is accepted means the
// same in its canonical form.
#include "routing/table/canonical_json.h"
#include "routing/table/compile.h"
#include "tests/fuzz/fuzz_target.h"

WEIR_FUZZ_TARGET(table) {
  using namespace weir;
  using routing::TableFormat;
  fuzz::Choices choices(input);
  const TableFormat format = choices.below(2) == 0 ? TableFormat::json : TableFormat::yaml;
  const std::string text(fuzz::text_of(choices.rest()));
  const auto table = routing::compile_text(text, format, {});
  if (!table) {
    EXPECT_FALSE(table.error().empty());
    return;
  }
  auto document = routing::Document::parse(text, format);
  ASSERT_TRUE(document.has_value());
  const auto again = routing::compile_text(routing::canonical_json(document->root()), TableFormat::json, {});
  ASSERT_TRUE(again.has_value());
  ASSERT_EQ(again->body->units.size(), table->body->units.size());
  for (const routing::Unit& unit : table->body->units) {
    const auto index = again->body->unit_names.find(unit.name);
    ASSERT_TRUE(index.has_value());
    EXPECT_EQ(again->body->units[*index].hash_hex, unit.hash_hex);
  }
}
