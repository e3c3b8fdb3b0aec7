// What people and programs send that must not become a table: refused with its place and what would be right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "tests/routing/admin/admin_fixture.h"

namespace weir::routing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

struct Bad {
  std::string_view method, target, body;
  int status;
  std::string_view where;   // problems[0].path, or error.param
  std::string_view remedy;  // part of what is said
};

constexpr auto kBad = std::to_array<Bad>({
    // no reason
    {"PUT", "/v1/tenants/new", "{}", 400, "reason", "reason"},
    {"POST", "/v1/flags/v2/tenants/acme", R"({"percent":60})", 400, "reason", "reason"},
    {"POST", "/v1/kill", R"({"scope":"global"})", 400, "reason", "reason"},
    {"POST", "/v1/rollback", R"({"scope":"all","to":"previous"})", 400, "reason", "reason"},
    // a field that is not known
    {"PUT", "/v1/tenants/new?reason=r", R"({"nmae":"New"})", 422, "tenants.new.nmae", "name"},
    {"PUT", "/v1/flags/v3?reason=r", R"({"scenario":"chat","candidate":{"unit":"big"},"percent":5})", 422,
     "flags.v3.percent", "unknown field"},
    {"POST", "/v1/flags/v2/tenants/acme", R"({"percnet":60,"reason":"r"})", 422, "percnet", "percent"},
    {"POST", "/v1/kill", R"({"scope":"global","reason":"r","until":"tomorrow"})", 400, "until", "not known"},
    // a name that is not there
    {"PUT", "/v1/scenarios/mail?reason=r", R"({"stable":"maxi"})", 422, "scenarios.mail.stable", "maxi"},
    {"PUT", "/v1/flags/v3?reason=r", R"({"scenario":"mail","candidate":{"unit":"big"}})", 422,
     "flags.v3.scenario", "mail"},
    {"PUT", "/v1/keys/new?reason=r",
     R"({"tenant":"nobody","hash":"hmac-sha256:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"})",
     422, "keys.new.tenant", "nobody"},
    {"POST", "/v1/flags/v9/tenants/acme", R"({"percent":60,"reason":"r"})", 404, "flag", "v9"},
    {"POST", "/v1/flags/v2/tenants/nobody", R"({"percent":60,"reason":"r"})", 404, "tenant", "nobody"},
    // a chain that leads in a circle
    {"PUT", "/v1/scenarios/mail?reason=r", R"({"stable":"mini","fallback":[{"unit":"big"},{"unit":"big"}]})",
     422, "scenarios.mail.fallback[1]", "circle"},
    // shares that are none
    {"POST", "/v1/flags/v2/tenants/acme", R"({"percent":101,"reason":"r"})", 422,
     "tenants.acme.flags.v2.percent", "from 0 to 100"},
    {"POST", "/v1/flags/v2/tenants/acme", R"({"percent":"60","reason":"r"})", 422,
     "tenants.acme.flags.v2.percent", "number"},
    {"PUT", "/v1/flags/v3?reason=r",
     R"({"scenario":"chat","candidate":{"unit":"big"},"shadow":{"percent":120,"budget_usd":1}})", 422,
     "flags.v3.shadow.percent", "from 0 to 100"},
    // what says who somebody is
    {"PUT", "/v1/segments/jo?reason=r", R"({"email":"jo@example.com"})", 422, "segments.jo.email", "declare"},
    {"PUT", "/v1/attributes/mail?reason=r", R"(["jo@example.com"])", 422, "attributes.mail[0]",
     "e-mail address"},
    {"PUT", "/v1/attributes/phone?reason=r", R"(["+49 151 1234567"])", 422, "attributes.phone[0]",
     "phone number"},
    // where a provider must not be
    {"PUT", "/v1/providers/p?reason=r", R"({"base_url":"http://169.254.169.254/v1"})", 422,
     "providers.p.base_url", "allow_link_local"},
    {"PUT", "/v1/providers/p?reason=r", R"({"base_url":"http://[fe80::1]/v1"})", 422, "providers.p.base_url",
     "link-local"},
    {"PUT", "/v1/providers/p?reason=r", R"({"base_url":"http://metadata.google.internal/v1"})", 422,
     "providers.p.base_url", "metadata"},
    {"PUT", "/v1/providers/p?reason=r", R"({"base_url":"file:///etc/passwd"})", 422, "providers.p.base_url",
     "http"},
    {"PUT", "/v1/providers/p?reason=r", R"({"base_url":"gopher://x/"})", 422, "providers.p.base_url", "http"},
    // names with markup, control or bidi characters
    {"PUT", "/v1/tenants/%3Cscript%3E?reason=r", "{}", 400, "name", ""},
    {"PUT", "/v1/tenants/a%0Ab?reason=r", "{}", 404, "", "no such path"},
    {"PUT", "/v1/tenants/a%E2%80%AEb?reason=r", "{}", 400, "name", ""},
    {"PUT", "/v1/tenants/new?reason=a%E2%80%AEb", "{}", 400, "reason", ""},
    {"PUT", "/v1/tenants/new?reason=r", R"({"name":"a\u202eb"})", 422, "tenants.new.name", ""},
    {"PUT", "/v1/tenants/new?reason=r", R"({"name":"a\u0007b"})", 422, "tenants.new.name", ""},
    {"POST", "/v1/labels/%3Cb%3E", R"({"reason":"r"})", 400, "name", ""},
    // what is no JSON, or says a thing twice
    {"PUT", "/v1/tenants/new?reason=r", R"({"name":)", 400, "", "JSON"},
    {"PUT", "/v1/tenants/new?reason=r", R"({"name":"a","name":"b"})", 400, "", "twice"},
    {"PUT", "/v1/tenants/new?reason=r", "[]", 422, "tenants.new", "mapping"},
});

TEST(AdminBadInput, IsRefusedWithItsPlaceAndWhatWouldBeRight) {
  AdminHost weir;
  for (const Bad& bad : kBad) {
    const Reply reply = weir.call(bad.method, bad.target, bad.body, "content-type: application/json\r\n");
    const std::string what = std::string(bad.target) + " " + std::string(bad.body) + "\n" + reply.body;
    EXPECT_EQ(reply.status, bad.status) << what;
    const json body = reply.json();
    ASSERT_TRUE(body.is_object() && body["error"]["message"].is_string()) << what;
    if (bad.status == 422) {
      ASSERT_TRUE(body["problems"].is_array() && !body["problems"].empty()) << what;
      EXPECT_EQ(body["problems"][0]["path"], bad.where) << what;
      EXPECT_THAT(body["problems"][0]["message"].get<std::string>(), HasSubstr(std::string(bad.remedy)))
          << what;
    } else {
      const json param = body["error"]["param"];
      EXPECT_EQ(param.is_string() ? param.get<std::string>() : "", bad.where) << what;
      EXPECT_THAT(body["error"]["message"].get<std::string>(), HasSubstr(std::string(bad.remedy))) << what;
    }
  }
  EXPECT_EQ(weir.status()["revision"], 1) << "nothing of it changed anything";
  EXPECT_EQ(weir.get("/v1/audit").json()["changes"].size(), 1u) << "nor is there a row of it in the log";
}

// Addresses that could hand out this machine's credentials are for those who say so.
TEST(AdminBadInput, ALinkLocalProviderTakesAnExplicitAllow) {
  AdminHost weir;
  const json provider{{"base_url", "http://169.254.10.1/v1"}, {"allow_link_local", true}};
  EXPECT_EQ(weir.put("/v1/providers/local2?reason=r", provider).status, 200);
}

// Texts may hold markup; whoever shows them must not run it, and JSON says what they are.
TEST(AdminBadInput, MarkupInTextsComesBackAsText) {
  AdminHost weir;
  ASSERT_EQ(weir.put("/v1/tenants/new?reason=%3Cb%3Ebold%3C/b%3E", {{"name", "<script>x</script>"}}).status,
            200);
  EXPECT_EQ(weir.get("/v1/tenants/new").json()["name"], "<script>x</script>");
  const Reply audit = weir.get("/v1/audit");
  EXPECT_EQ(audit.json()["changes"][0]["reason"], "<b>bold</b>");
  EXPECT_EQ(audit.header("content-type"), "application/json");
}

}  // namespace
}  // namespace weir::routing
