// A request of the OpenFeature Remote Evaluation Protocol, from its target and body to the answer: what is
// read of the context is what nlohmann's parser reads, and every answer is valid JSON, the same when asked
// twice.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "routing/ofrep/etag.h"
#include "routing/ofrep/event_ticket.h"
#include "routing/ofrep/ofrep_error.h"
#include "routing/ofrep/ofrep_target.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/routing/inspect/json_reference.h"
#include "tests/routing/ofrep/ofrep_fixture.h"

namespace weir::fuzz {
namespace {

using nlohmann::json;
using routing::SlowJson;

class OfrepWorld final : public routing::Ofrep {
 public:
  void TestBody() override {}

  void ask(uint8_t choice, std::string_view target_text, std::string_view body_text) {
    static constexpr const char* kTenants[] = {"a", "b", "c"};
    const std::span bytes(reinterpret_cast<const uint8_t*>(target_text.data()), target_text.size());
    if (const auto refused = routing::parse_refused_ofrep_target(bytes)) error_of(refused->key);
    // The head parser lets nothing else through.
    if (std::any_of(target_text.begin(), target_text.end(), [](char c) { return c <= ' ' || c >= 0x7f; }))
      return;
    const auto target = routing::parse_ofrep_target(target_text);
    if (target) {
      EXPECT_FALSE(routing::is_event_ticket(hasher_, *table.tenants, target->ticket, kWallNs))
          << "a ticket was guessed";
      if (target->kind == routing::OfrepTarget::Kind::one_flag) error_of(target->key);
    }
    const routing::PaddedDocument document(body_text);
    const auto read = reader_.read(*table.body, document.bytes());
    if (!read) {
      EXPECT_LT(core::describe(read.error().code).status, 500);
      return;
    }
    ASSERT_TRUE(SlowJson::valid(body_text, core::limits::kMaxJsonDepth));
    compare(**read, body_text);
    context = **read;
    routing::EvaluationInput input = this->input(kTenants[choice % 3]);
    const std::string all = render([&](routing::ScratchWriter& out) {
      routing::render_all_evaluations(input, routing::kEventsPath, out);
      return true;
    });
    EXPECT_TRUE(json::parse(all)["flags"].is_array());
    EXPECT_TRUE(
        routing::EntityTag(document.bytes(), all).matches(routing::EntityTag(document.bytes(), all).text()));
    if (!target || !routing::is_flag_key(target->key)) return;
    const auto key = routing::find_flag_key(*table.body, target->key);
    if (!key) return;
    const std::string one = render([&](routing::ScratchWriter& out) {
      const bool rendered = routing::render_evaluation(input, *key, target->key, out).has_value();
      EXPECT_TRUE(rendered || out.size() == 0);
      return rendered;
    });
    if (!one.empty()) {
      EXPECT_EQ(json::parse(one)["key"], target->key);
    }
  }

 private:
  static constexpr int64_t kWallNs = 1'700'000'000'000'000'000;

  void error_of(std::string_view key) {
    render([&](routing::ScratchWriter& out) {
      routing::render_ofrep_error({.code = core::ErrorCode::flag_not_found, .key = key, .member = "context"},
                                  out);
      return true;
    });
  }

  template <typename Render>
  std::string render(const Render& render) {
    std::string texts[2];
    for (std::string& text : texts) {
      std::vector<uint8_t> room(256 * 1024);
      routing::ScratchWriter out(room);
      if (!render(out)) return {};
      EXPECT_FALSE(out.overflowed());
      text = out.text(0, out.size());
    }
    EXPECT_EQ(texts[0], texts[1]);
    EXPECT_TRUE(SlowJson::valid(texts[0], core::limits::kMaxJsonDepth)) << texts[0];
    return texts[0];
  }

  // Members of one name are refused where they steer, and their order does not matter elsewhere.
  void compare(const routing::EvaluationContext& actual, std::string_view text) {
    const json body = json::parse(text, nullptr, false);
    if (body.is_discarded()) return;  // a number beyond a double: valid, and not this oracle's
    ASSERT_TRUE(body.is_object());
    const json given =
        body.contains("context") && body["context"].is_object() ? body["context"] : json::object();
    const auto said = [&](const char* name) {
      return given.contains(name) && given[name].is_string() ? given[name].get<std::string>() : std::string();
    };
    EXPECT_EQ(actual.user, said("targetingKey"));
    EXPECT_EQ(actual.conversation, said("conversation"));
    for (const char* name : {"plan", "region"}) {
      const auto* value =
          actual.attributes.find(routing::AttributeIndex{*table.body->attribute_names.find(name)});
      EXPECT_EQ(value != nullptr, given.contains(name) && given[name].is_string()) << name;
      if (value != nullptr) {
        EXPECT_EQ(value->text(), said(name));
      }
    }
  }

  const routing::KeyHasher hasher_{"secret"};
  routing::EvaluationContextReader reader_;
};

}  // namespace
}  // namespace weir::fuzz

// target LF body, and the tenant from the end.
WEIR_FUZZ_TARGET(ofrep) {
  using namespace weir;
  static fuzz::OfrepWorld world;
  fuzz::Choices choices(input);
  const uint8_t choice = choices.byte();
  const std::string_view text = fuzz::text_of(choices.rest());
  const size_t line = std::min(text.find('\n'), text.size());
  world.ask(choice, text.substr(0, line), text.substr(std::min(line + 1, text.size())));
}
