#include "routing/ofrep/ofrep_target.h"

#include <gtest/gtest.h>

#include <string>

namespace weir::routing {
namespace {

using Kind = OfrepTarget::Kind;

TEST(OfrepTarget, KnowsThePaths) {
  EXPECT_EQ(parse_ofrep_target("/v1/chat/completions"), std::nullopt);
  EXPECT_EQ(parse_ofrep_target("/ofrep"), std::nullopt);
  const auto one = parse_ofrep_target("/ofrep/v1/evaluate/flags/support-v2.enabled");
  EXPECT_EQ(one->kind, Kind::one_flag);
  EXPECT_EQ(one->key, "support-v2.enabled");
  EXPECT_EQ(parse_ofrep_target("/ofrep/v1/evaluate/flags/a/b?c=d")->key, "a/b");
  EXPECT_EQ(parse_ofrep_target("/ofrep/v1/evaluate/flags/")->kind, Kind::one_flag);
  EXPECT_EQ(parse_ofrep_target("/ofrep/v1/evaluate/flags")->kind, Kind::all_flags);
  EXPECT_EQ(parse_ofrep_target("/ofrep/v1/evaluate/flags?flagConfigEtag=%227%22")->kind, Kind::all_flags);
  for (const char* target : {"/ofrep/", "/ofrep/v1/evaluate/flagsX", "/ofrep/v2/evaluate/flags",
                             "/ofrep/v1/events/", "/ofrep/v1/configuration", "/ofrep/v1/Events"}) {
    EXPECT_EQ(parse_ofrep_target(target)->kind, Kind::unknown) << target;
  }
}

TEST(OfrepTarget, FindsTheTicketOfAnEventStream) {
  const auto ticket = [](std::string_view target) {
    const auto parsed = parse_ofrep_target(target);
    EXPECT_EQ(parsed->kind, Kind::events);
    return std::string(parsed->ticket);
  };
  EXPECT_EQ(ticket("/ofrep/v1/events"), "");
  EXPECT_EQ(ticket("/ofrep/v1/events?"), "");
  EXPECT_EQ(ticket("/ofrep/v1/events?ticket=1.a.2"), "1.a.2");
  EXPECT_EQ(ticket("/ofrep/v1/events?x=ticket=9&ticket=1.a.2&y"), "1.a.2");
  EXPECT_EQ(ticket("/ofrep/v1/events?Ticket=1&xticket=2"), "");
}

TEST(OfrepTarget, IsReadFromWhatCameOfARefusedRequest) {
  const auto refused = [](std::string_view bytes) {
    return parse_refused_ofrep_target({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  };
  EXPECT_EQ(refused("POST /ofrep/v1/evaluate/flags/launch HTTP/1.1\r\nbad header\r\n\r\n")->key, "launch");
  EXPECT_EQ(refused("PATCH /ofrep/v1/evaluate/flags HTTP/1.1\r\n")->kind, Kind::all_flags);
  EXPECT_EQ(refused("POST /ofrep/v1/evaluate/flags/la")->key, "la");
  EXPECT_EQ(refused("POST /ofrep/v1/evaluate/flags/la\xff\xfe HTTP/1.1\r\n")->key, "la");
  EXPECT_EQ(refused("POST /ofrep/v1/evaluate/flags/" + std::string(5000, 'x'))->kind, Kind::one_flag);
  for (const std::string& other :
       {std::string(), std::string("POST"), std::string("POST "), std::string(" "),
        std::string("POST /v1/models HTTP/1.1\r\n"), std::string("\r\nPOST /ofrep/v1/events")}) {
    EXPECT_FALSE(refused(other) && refused(other)->kind == Kind::all_flags) << other;
  }
  EXPECT_EQ(refused("POST /v1/models?/ofrep/ HTTP/1.1\r\n"), std::nullopt);
}

}  // namespace
}  // namespace weir::routing
