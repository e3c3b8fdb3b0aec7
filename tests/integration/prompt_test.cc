// What the provider is asked: the unit's prompt with what the request says of its user.
#include <nlohmann/json.hpp>

#include "tests/integration/gateway_fixture.h"
#include "tests/integration/lying_provider.h"

namespace weir::tests::prompt_test {
namespace {

using Peer = LyingProvider::Peer;

std::string table(uint16_t provider) {
  return R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" + std::to_string(provider) +
         R"(/v1"}},
    "models":{"m":{"provider":"p","tier":"economy","price":{"input":1,"output":2}}},
    "prompts":{"first@1.0.0":{"system":"{{attributes.plan}} of {{attributes.region}} is {{tenant.name}}'s {{user}}."},
               "second@1.0.0":{"system":"Again: {{attributes.region}}, {{attributes.age}}."}},
    "attributes":{"plan":["free","pro"],"region":"string","age":"number"},
    "units":{"one":{"model":"m","prompt":"first@1.0.0","retries":0},"two":{"model":"m","prompt":"second@1.0.0"}},
    "scenarios":{"chat":{"stable":"one","fallback":[{"unit":"two","on":["5xx"]}]}},"tenants":{"t":{}},
    "keys":[{"id":"k","tenant":"t","hash":")" +
         key_hash() + R"("}]})";
}

TEST(Prompts, SayWhatTheRequestsAttributesAreInEveryAttempt) {
  std::vector<std::string> systems;
  LyingProvider provider([&](Peer& peer) {  // fails in every first attempt
    for (std::string request; !(request = peer.receive()).empty();) {
      const auto body = nlohmann::json::parse(request.substr(request.find("\r\n\r\n") + 4));
      systems.push_back(body["messages"][0]["content"]);
      EXPECT_EQ(body["messages"][1]["content"], "hello");
      EXPECT_EQ(request.find("x-weir-attr"), std::string::npos) << "what steers weir is not the provider's";
      const bool first = systems.size() % 2 == 1;
      const std::string answer = R"({"object":"chat.completion","choices":[]})";
      peer.send((first ? "HTTP/1.1 500 Oh\r\n" : "HTTP/1.1 200 OK\r\n") +
                ("content-type: application/json\r\ncontent-length: " + std::to_string(answer.size())) +
                "\r\n\r\n" + answer);
    }
  });
  Gateway gateway(table(provider.port()));
  ASSERT_NE(gateway.port(), 0);
  BlockingClient client(gateway.port());
  client.send(chat_request("x-weir-attr-Region: \"eu\\1\"\r\nx-weir-user: u-1\r\nx-weir-attr-plan: pro\r\n"));
  Answer answer = client.receive();
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.header("x-weir-unit"), "two");
  client.send(chat_request("x-weir-attr-age: 41\r\n"));
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(systems, (std::vector<std::string>{"pro of \"eu\\1\" is t's u-1.", "Again: \"eu\\1\", .",
                                               " of  is t's .", "Again: , 41."}));
}

}  // namespace
}  // namespace weir::tests::prompt_test
