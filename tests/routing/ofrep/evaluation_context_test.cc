#include "routing/ofrep/evaluation_context.h"

#include "tests/routing/ofrep/ofrep_fixture.h"

namespace weir::routing {
namespace {

using core::ErrorCode;

class EvaluationContexts : public Ofrep {
 protected:
  // Null when it is refused: see `fault`.
  const EvaluationContext* read(std::string_view text) {
    document = PaddedText(text);
    auto result = reader.read(body(), document.bytes());
    if (result) return *result;
    fault = result.error();
    return nullptr;
  }
  std::string refused(std::string_view text) {
    if (read(text) != nullptr) return "accepted";
    return std::string(core::describe(fault.code).token) + " " + std::string(fault.member);
  }
  std::string attribute(const EvaluationContext& read_context, std::string_view name) {
    const auto* value = read_context.attributes.find(AttributeIndex{*body().attribute_names.find(name)});
    return value == nullptr ? "absent" : std::string(value->text());
  }

  PaddedText document{""};
  EvaluationContextReader reader;
  ContextFault fault;
};

TEST_F(EvaluationContexts, HoldTheUserTheConversationAndDeclaredAttributes) {
  const auto* read_context =
      read(R"( {"x":1, "context": {"targetingKey":"u-7","conversation":"c-1","plan":"pro",
    "region":"eu-1","staff":true,"age":41.5,"email":"a@b.c","cart":{"items":[1,{"plan":"free"}]}}, "y":[]} )");
  ASSERT_NE(read_context, nullptr);
  EXPECT_EQ(read_context->user, "u-7");
  EXPECT_EQ(read_context->conversation, "c-1");
  EXPECT_EQ(attribute(*read_context, "plan"), "pro");
  EXPECT_EQ(attribute(*read_context, "region"), "eu-1");
  EXPECT_EQ(attribute(*read_context, "conversation"), "c-1");
  EXPECT_TRUE(read_context->attributes.find(AttributeIndex{*body().attribute_names.find("staff")})->boolean);
  EXPECT_EQ(read_context->attributes.find(AttributeIndex{*body().attribute_names.find("age")})->number, 41.5);
}

TEST_F(EvaluationContexts, MayBeLeftOutNullOrEmptyInAnyPart) {
  for (const char* text : {"{}", R"({"context":null})", R"({"context":{}})",
                           R"({"context":{"targetingKey":null,"plan":null,"conversation":null}})"}) {
    const auto* read_context = read(text);
    ASSERT_NE(read_context, nullptr) << text;
    EXPECT_TRUE(read_context->user.empty() && read_context->conversation.empty() &&
                read_context->attributes.empty());
  }
}

TEST_F(EvaluationContexts, RememberNothingOfTheOneBefore) {
  ASSERT_NE(read(R"({"context":{"targetingKey":"u","conversation":"c","plan":"pro"}})"), nullptr);
  const auto* read_context = read("{}");
  EXPECT_TRUE(read_context->user.empty() && read_context->conversation.empty() &&
              read_context->attributes.empty());
}

TEST_F(EvaluationContexts, AreReadUnescaped) {
  const auto* read_context =
      read(R"({"conte\u0078t":{"targeting\u004bey":"u\n\u00e4\ud83d\ude00","pl\u0061n":"pr\u006f"}})");
  ASSERT_NE(read_context, nullptr);
  EXPECT_EQ(read_context->user, "u\nä😀");
  EXPECT_EQ(attribute(*read_context, "plan"), "pro");
}

TEST_F(EvaluationContexts, NamesOfAttributesAreExact) {
  const auto* read_context = read(R"({"context":{"Plan":"platinum","PLAN":7}})");
  ASSERT_NE(read_context, nullptr);
  EXPECT_TRUE(read_context->attributes.empty());
}

TEST_F(EvaluationContexts, OfTheWrongTypeOrValueAreRefusedByName) {
  EXPECT_EQ(refused(R"({"context":"u-1"})"), "bad_context context");
  EXPECT_EQ(refused(R"({"context":[]})"), "bad_context context");
  EXPECT_EQ(refused(R"({"context":{"targetingKey":7}})"), "bad_context targetingKey");
  EXPECT_EQ(refused(R"({"context":{"targetingKey":{"id":"u"}}})"), "bad_context targetingKey");
  EXPECT_EQ(refused(R"({"context":{"plan":"platinum"}})"), "bad_context plan");
  EXPECT_EQ(refused(R"({"context":{"plan":["pro"]}})"), "bad_context plan");
  EXPECT_EQ(refused(R"({"context":{"region":{"name":"eu"}}})"), "bad_context region");
  EXPECT_EQ(refused(R"({"context":{"staff":"true"}})"), "bad_context staff");
  EXPECT_EQ(refused(R"({"context":{"age":"41"}})"), "bad_context age");
  EXPECT_EQ(refused(R"({"context":{"age":1e999}})"), "bad_context age");
  EXPECT_EQ(refused(R"({"context":{"conversation":7}})"), "bad_context conversation");
  EXPECT_EQ(fault.code, ErrorCode::bad_context);
}

TEST_F(EvaluationContexts, WhatSteersMayAppearOnce) {
  EXPECT_EQ(refused(R"({"context":{},"context":{}})"), "duplicate_field context");
  EXPECT_EQ(refused(R"({"context":{"targetingKey":"u","targetingKey":"v"}})"),
            "duplicate_field targetingKey");
  EXPECT_EQ(refused(R"({"context":{"targetingKey":"u","targeting\u004bey":null}})"),
            "duplicate_field targetingKey");
  EXPECT_EQ(refused(R"({"context":{"plan":"pro","plan":"pro"}})"), "duplicate_field plan");
  EXPECT_NE(read(R"({"context":{"mail":"a","mail":"b"},"z":1,"z":2})"), nullptr);
}

TEST_F(EvaluationContexts, AreBounded) {
  const std::string longest(core::limits::kMaxIdentifierBytes, 'u');
  EXPECT_NE(read(R"({"context":{"targetingKey":")" + longest + "\"}}"), nullptr);
  EXPECT_EQ(refused(R"({"context":{"targetingKey":")" + longest + "u\"}}"), "field_too_long targetingKey");
  EXPECT_EQ(refused(R"({"context":{"region":")" + longest + "u\"}}"), "field_too_long region");
  std::string escaped;
  for (size_t i = 0; i < longest.size(); i++) escaped += "\\u0075";
  const auto* read_context = read(R"({"context":{"targetingKey":")" + escaped + R"(","conversation":")" +
                                  escaped + R"(","region":")" + escaped + "\"}}");
  ASSERT_NE(read_context, nullptr);
  EXPECT_EQ(read_context->user, longest);
  EXPECT_EQ(refused(R"({"context":{"targetingKey":")" + escaped + "\\u0075\"}}"),
            "field_too_long targetingKey");
  // Names and values that nobody declared may be of any length.
  EXPECT_NE(read(R"({"context":{")" + std::string(5000, 'n') + R"(":")" + std::string(5000, 'v') + "\"}}"),
            nullptr);
}

TEST_F(EvaluationContexts, AreJsonOrRefused) {
  EXPECT_EQ(refused("[]"), "body_not_object ");
  EXPECT_EQ(refused("7"), "body_not_object ");
  EXPECT_EQ(refused(R"({"context":{"plan":"pro"})"), "body_not_json ");
  EXPECT_EQ(refused(R"({"context":{"plan":"pro"}}})"), "body_not_json ");
  EXPECT_EQ(refused(R"({"context":{"plan":pro}})"), "body_not_json ");
  EXPECT_EQ(refused("{\"context\":{\"mail\":\"\xff\"}}"), "body_not_utf8 ");
  EXPECT_EQ(refused("\xef\xbb\xbf{}"), "body_has_bom ");
  EXPECT_EQ(refused(R"({"context":{"deep":)" + std::string(200, '[') + std::string(200, ']') + "}}"),
            "body_too_deep ");
}

TEST_F(EvaluationContexts, AreNeverReadBeyondTheirEnd) {
  const std::string text = R"({"context":{"targetingKey":"u","plan":"pro","age":12,"staff":true,"x":null}})";
  for (size_t size = 0; size < text.size(); size++) EXPECT_EQ(read(text.substr(0, size)), nullptr) << size;
  EXPECT_NE(read(text), nullptr);
}

}  // namespace
}  // namespace weir::routing
