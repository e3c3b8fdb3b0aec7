#include "routing/ofrep/ofrep_error.h"

#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

namespace weir::routing {
namespace {

using core::ErrorCode;

nlohmann::json rendered(const OfrepError& error) {
  std::array<uint8_t, 4096> room;
  ScratchWriter out(room);
  render_ofrep_error(error, out);
  EXPECT_FALSE(out.overflowed());
  return nlohmann::json::parse(out.text(0, out.size()));
}

TEST(OfrepError, NamesTheKeyTheCodeAndWhatIsWrong) {
  EXPECT_EQ(rendered({.code = ErrorCode::flag_not_found, .key = "a\"b", .member = {}}),
            nlohmann::json::parse(
                R"({"key":"a\"b","errorCode":"FLAG_NOT_FOUND","errorDetails":"There is no such flag."})"));
  const auto context = rendered({.code = ErrorCode::bad_context, .key = std::nullopt, .member = "plan"});
  EXPECT_FALSE(context.contains("key"));
  EXPECT_EQ(context["errorCode"], "INVALID_CONTEXT");
  EXPECT_TRUE(std::string(context["errorDetails"]).ends_with("(plan)"));
}

TEST(OfrepError, HasACodeOfOpenFeatureForEveryError) {
  const std::set<std::string> known = {"PARSE_ERROR", "INVALID_CONTEXT", "FLAG_NOT_FOUND", "GENERAL"};
  for (unsigned code = 0; code < core::kErrorCodeCount; code++) {
    const auto error = rendered({.code = static_cast<ErrorCode>(code), .key = "k", .member = {}});
    EXPECT_TRUE(known.contains(error["errorCode"]));
    EXPECT_EQ(error["key"], "k");
  }
  EXPECT_EQ(rendered({.code = ErrorCode::body_not_json, .key = {}, .member = {}})["errorCode"],
            "PARSE_ERROR");
}

TEST(OfrepError, AsksToWaitUnderOverloadAndOnlyThen) {
  EXPECT_EQ(ofrep_status(ErrorCode::too_many_event_streams), 429);
  EXPECT_EQ(ofrep_status(ErrorCode::out_of_buffers), 429);
  EXPECT_EQ(ofrep_status(ErrorCode::not_ready), 429);
  EXPECT_EQ(ofrep_status(ErrorCode::killed), 400);
  EXPECT_EQ(ofrep_status(ErrorCode::unknown_key), 401);
  EXPECT_EQ(ofrep_status(ErrorCode::flag_not_found), 404);
  EXPECT_EQ(ofrep_status(ErrorCode::body_too_large), 413);
}

}  // namespace
}  // namespace weir::routing
