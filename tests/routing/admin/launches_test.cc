// GET /v1/flags/{flag}/tenants: who has a flag.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/routing/admin/admin_fixture.h"

namespace weir::routing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST(FlagTenants, SaysWhoHasTheFlagAndWithWhatRow) {
  AdminHost weir;
  const Reply reply = weir.get("/v1/flags/v2/tenants");
  ASSERT_EQ(reply.status, 200) << reply.body;
  const json view = reply.json();
  EXPECT_EQ(view["flag"], "v2");
  EXPECT_EQ(view["revision"], 1);
  EXPECT_EQ(view["counts"], (json{{"off", 0}, {"pilot", 1}, {"production", 0}}));
  ASSERT_EQ(view["rows"].size(), 1u) << "solo has no row";
  EXPECT_EQ(view["rows"][0]["tenant"], "acme");
  EXPECT_EQ(view["rows"][0]["body"]["percent"], 50);
  EXPECT_EQ(view["rows"][0]["body"]["reason"], "try it");
  EXPECT_EQ(view["next"], nullptr);
}

TEST(FlagTenants, TellsTheRowAsItIsAfterAChange) {
  AdminHost weir;
  ASSERT_EQ(weir.call("POST", "/v1/flags/v2/tenants/solo",
                      R"({"state":"production","owner":"u-1","review":"2200-01-01","reason":"all of it"})",
                      "content-type: application/json\r\n")
                .status,
            200);
  const json view = weir.get("/v1/flags/v2/tenants?state=production").json();
  EXPECT_EQ(view["counts"], (json{{"off", 0}, {"pilot", 1}, {"production", 1}})) << "of all states";
  ASSERT_EQ(view["rows"].size(), 1u);
  EXPECT_EQ(view["rows"][0]["tenant"], "solo");
  EXPECT_EQ(view["rows"][0]["body"]["reason"], "all of it");
  EXPECT_EQ(weir.get("/v1/flags/v2/tenants?limit=1").json()["next"], "acme");
  EXPECT_EQ(weir.get("/v1/flags/v2/tenants?limit=1&after=acme").json()["rows"][0]["tenant"], "solo");
}

TEST(FlagTenants, RefusesWhatItDoesNotKnow) {
  AdminHost weir;
  EXPECT_EQ(weir.get("/v1/flags/none/tenants").status, 404);
  const Reply state = weir.get("/v1/flags/v2/tenants?state=pilto");
  EXPECT_EQ(state.status, 400);
  EXPECT_THAT(state.json()["error"]["message"].get<std::string>(), HasSubstr("did you mean \"pilot\"?"));
  EXPECT_EQ(weir.get("/v1/flags/v2/tenants?limit=x").status, 400);
  EXPECT_EQ(weir.get("/v1/flags/v2/tenants?owner=u").status, 400);
}

}  // namespace
}  // namespace weir::routing
