#include "routing/exchange/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/routing/exchange/record_fixture.h"

namespace weir::routing {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

std::string line_of(const Record& record) {
  std::string line;
  append_json(record, line);
  return line;
}

TEST(RequestId, IsWrittenAs32HexDigits) {
  const auto text = to_hex({0x0123456789abcdef, 0x00000000000000ff});
  EXPECT_EQ(std::string(text.data(), text.size()), "0123456789abcdef00000000000000ff");
}

TEST(Record, IsOneJsonLineWithEverythingThatIsKnown) {
  const auto table = small_table();
  EXPECT_EQ(
      line_of(whole_record(*table)),
      R"({"time":"2026-12-01T09:00:01.234Z","request_id":"0123456789abcdeffedcba9876543210",)"
      R"("endpoint":"chat_completions","tenant":"bank-17","key":"bank-17-app","scenario":"support-chat",)"
      R"("flag":"support-v2","state":"pilot","arm":"candidate","reason":"split_in",)"
      R"("decided_unit":"support-41","unit":"support-41",)"
      R"("unit_hash":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",)"
      R"("provider":"openai","model":"gpt-4.1","revision":42,"revision_time":"2026-12-01T09:00:00.000Z",)"
      R"("status":200,"error":null,"attempts":1,"upstream_status":200,"streamed":true,)"
      R"("usage":"reported","input_tokens":100,"cached_input_tokens":40,"output_tokens":50,)"
      R"("reasoning_tokens":10,"cost_usd":0.001234567,"upstream_ready_us":1,"first_token_us":210999,)"
      R"("total_us":812345,"request_bytes":1200,"response_bytes":3400,"client_retry":2})"
      "\n");
}

TEST(Record, OfARefusalHasNullsForWhatIsNotKnown) {
  Record record;
  record.wall_ns = 1'796'115'601'000'000'000;
  record.status = 400;
  record.error = core::ErrorCode::bad_request_line;
  record.total_ns = 1'000;
  EXPECT_EQ(line_of(record),
            R"({"time":"2026-12-01T09:00:01.000Z","request_id":"00000000000000000000000000000000",)"
            R"("endpoint":null,"tenant":null,"key":null,"scenario":null,"flag":null,"unit":null,)"
            R"("provider":null,"model":null,"status":400,"error":"bad_request_line","attempts":0,)"
            R"("streamed":false,"total_us":1,"request_bytes":0,"response_bytes":0,"client_retry":0})"
            "\n");
}

TEST(Record, NamesTheUnitThatAnsweredBesideTheOneDecided) {
  const auto table = small_table();
  Record record = whole_record(*table);
  record.arm = Arm::fallback;
  record.reason = Reason::fallback;
  record.unit = 1;
  const auto json = nlohmann::json::parse(line_of(record));
  EXPECT_EQ(json["decided_unit"], "support-41");
  EXPECT_EQ(json["unit"], "support-mini");
  EXPECT_EQ(json["unit_hash"], std::string(64, 'b'));
  EXPECT_EQ(json["arm"], "fallback");
}

TEST(Record, LeavesOutAStateWithoutAFlag) {
  const auto table = small_table();
  Record record = whole_record(*table);
  record.flag = Record::kNone;
  const auto json = nlohmann::json::parse(line_of(record));
  EXPECT_TRUE(json["flag"].is_null());
  EXPECT_FALSE(json.contains("state"));
}

TEST(Record, SaysWhenUsageIsAnEstimateAndWhenThereIsNone) {
  const auto table = small_table();
  Record record = whole_record(*table);
  record.usage_estimated = true;
  record.usage_reported = false;
  EXPECT_THAT(line_of(record), HasSubstr(R"("usage":"estimated")"));
  record.usage_estimated = false;
  EXPECT_THAT(line_of(record), Not(HasSubstr("usage")));
  EXPECT_THAT(line_of(record), HasSubstr("cost_usd")) << "of attempts whose answer nobody got";
  record.cost_nano_usd = 0;
  EXPECT_THAT(line_of(record), Not(HasSubstr("cost_usd")));
}

TEST(Record, SaysThatTheClientHasGone) {
  Record record;
  record.client_gone = true;
  record.error = core::ErrorCode::client_closed;
  EXPECT_THAT(line_of(record), EndsWith(",\"client_gone\":true}\n"));
}

TEST(Record, WritesLargeAmountsExactly) {
  const auto table = small_table();
  Record record = whole_record(*table);
  record.cost_nano_usd = 9'223'372'036'854'775'807;
  EXPECT_THAT(line_of(record), HasSubstr(R"("cost_usd":9223372036.854775807,)"));
  record.cost_nano_usd = 1;
  EXPECT_THAT(line_of(record), HasSubstr(R"("cost_usd":0.000000001,)"));
}

// The provider says what model it used: nothing it says may break the line.
TEST(Record, EscapesWhatAProviderSent) {
  const auto table = small_table();
  Record record = whole_record(*table);
  std::fill(record.model.begin(), record.model.end(), '\n');
  record.model_size = static_cast<uint8_t>(record.model.size());
  const std::string line = line_of(record);
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_EQ(nlohmann::json::parse(line)["model"], std::string(record.model.size(), '\n'));
}

TEST(Record, FitsItsLineWithNamesOfMaximumLength) {
  const std::string longest(core::limits::kMaxNameBytes, '\x01');  // the longest escape
  const auto table = small_table(longest, longest, longest);
  auto* body = const_cast<TableBody*>(table->body.get());
  body->scenarios[0].name = body->flags[0].name = body->providers[0].name = longest;
  EXPECT_EQ(nlohmann::json::parse(line_of(whole_record(*table)))["tenant"], longest);
}

TEST(Record, AppendsToWhatIsThere) {
  std::string lines = "before\n";
  append_json(Record{}, lines);
  append_json(Record{}, lines);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 3);
}

}  // namespace
}  // namespace weir::routing
