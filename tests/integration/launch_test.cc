// A launch as its owner sees it: shares, ramps, stickiness; and tables that change under load.
#include <algorithm>
#include <cmath>
#include <future>
#include <map>
#include <set>

#include "tests/integration/gateway_fixture.h"
#include "tools/weirctl/admin_client.h"

namespace weir::tests::launch_test {
namespace {

constexpr int kRequests = 100'000;
constexpr int kBatch = 100;

std::string launch_table(uint16_t provider, const std::string& percent) {
  return R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" + std::to_string(provider) + R"(/v1"}},
    "models":{"m-old":{"provider":"p","tier":"economy","price":{"input":1,"output":2}},
              "m-new":{"provider":"p","tier":"standard","price":{"input":3,"output":6}}},
    "units":{"old":{"model":"m-old"},"new":{"model":"m-new"}},
    "scenarios":{"chat":{"stable":"old","sticky_by":["user"]}},
    "flags":{"launch":{"scenario":"chat","candidate":{"unit":"new"}}},
    "tenants":{"t-1":{"flags":{"launch":{"state":"pilot","percent":)" + percent + R"(,"owner":"u","reason":"r",
                       "review":"2030-01-01","previous":"old"}}},
               "t-2":{"flags":{"launch":{"state":"pilot","percent":)" + percent + R"(,"owner":"u","reason":"r",
                       "review":"2030-01-01","previous":"old"}}}},
    "keys":[{"id":"k","tenant":"t-1","act_as":["t-2"],"scenario":"chat","hash":")" + key_hash() + R"("}]})";
}

void put_table(const Gateway& gateway, const std::string& table) {
  tools::AdminClient client(gateway.admin_socket());
  const auto answer = client.call({.method = "PUT", .path = "/v1/table", .query = {{"reason", "test"}}, .body = table});
  ASSERT_TRUE(answer.has_value()) << answer.error();
  ASSERT_EQ(answer->status, 200) << answer->body;
}

// The users (of both tenants) that the candidate answered; every user asks once.
std::set<int> candidates(uint16_t port, int requests) {
  BlockingClient client(port);
  std::set<int> found;
  for (int first = 0; first < requests; first += kBatch) {
    std::string batch;
    for (int user = first; user < first + kBatch; ++user) {
      batch += chat_request("x-weir-user: user-" + std::to_string(user) + "\r\nx-weir-tenant: t-" +
                            std::to_string(1 + user % 2) + "\r\n");
    }
    EXPECT_TRUE(client.send(batch));
    for (int user = first; user < first + kBatch; ++user) {
      const Answer answer = client.receive();
      if (answer.status != 200) {
        ADD_FAILURE() << "user " << user << ": " << answer.head << answer.body;
        return found;
      }
      const std::string_view unit = answer.header("x-weir-unit");
      EXPECT_EQ(between(answer.body, "\"model\":\"", "\""), unit == "new" ? "m-new" : "m-old");
      if (unit == "new") found.insert(user);
    }
  }
  return found;
}

TEST(Launch, SharesAreExactAndRampsMoveNobodyBack) {
  EchoProvider provider;
  Gateway gateway(launch_table(provider.port(), "5"));
  ASSERT_NE(gateway.port(), 0);

  const std::set<int> at_5 = candidates(gateway.port(), kRequests);
  const double share = 100.0 * static_cast<double>(at_5.size()) / kRequests;
  RecordProperty("share_percent", std::to_string(share));
  EXPECT_NEAR(share, 5.0, 0.3);

  put_table(gateway, launch_table(provider.port(), "25"));
  const std::set<int> at_25 = candidates(gateway.port(), kRequests / 5);
  put_table(gateway, launch_table(provider.port(), "50"));
  const std::set<int> at_50 = candidates(gateway.port(), kRequests / 5);
  const std::set<int> again = candidates(gateway.port(), kRequests / 5);
  EXPECT_EQ(at_50, again) << "the same user landed on another unit";
  EXPECT_TRUE(std::includes(at_50.begin(), at_50.end(), at_25.begin(), at_25.end()));
  const std::set<int> early(at_5.begin(), at_5.lower_bound(kRequests / 5));
  EXPECT_TRUE(std::includes(at_25.begin(), at_25.end(), early.begin(), early.end()));
  EXPECT_NEAR(100.0 * static_cast<double>(at_25.size()) / (kRequests / 5), 25.0, 1.0);
  EXPECT_NEAR(100.0 * static_cast<double>(at_50.size()) / (kRequests / 5), 50.0, 1.1);
}

// A table whose every part carries its number, so that a request that saw two tables at once would show it.
std::string numbered_table(uint16_t provider, int number) {
  const std::string n = std::to_string(number);
  return R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" + std::to_string(provider) + R"(/v1"}},
    "models":{"m-)" + n + R"(":{"provider":"p","tier":"economy","price":{"input":1,"output":2}}},
    "units":{"u-)" + n + R"(":{"model":"m-)" + n + R"(","params":{"seed":)" + n + R"(}}},
    "scenarios":{"chat":{"stable":"u-)" + n + R"("}},
    "tenants":{"t-1":{}},
    "keys":[{"id":"k","tenant":"t-1","scenario":"chat","hash":")" + key_hash() + R"("}]})";
}

// Swaps follow each other as fast as they are acknowledged, which is some hundreds a second.
TEST(Launch, SwapsUnderLoadFailNoRequestAndTearNoTable) {
  constexpr int kSwaps = 600;
  EchoProvider provider;
  Gateway gateway(numbered_table(provider.port(), 1));
  ASSERT_NE(gateway.port(), 0);

  std::atomic<bool> stop{false};
  std::atomic<uint64_t> answered{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      BlockingClient client(gateway.port());
      const std::string request = chat_request();
      while (!stop) {
        if (!client.send(request)) return (void)(ADD_FAILURE() << "the connection was closed");
        const Answer answer = client.receive();
        if (answer.status != 200) return (void)(ADD_FAILURE() << answer.head << answer.body);
        // Table n was published as revision n.
        const std::string revision(answer.header("x-weir-revision"));
        EXPECT_EQ(answer.header("x-weir-unit"), "u-" + revision);
        EXPECT_EQ(between(answer.body, "\"model\":\"", "\""), "m-" + revision);
        EXPECT_EQ(between(answer.body, "\"seen_seed\":", ","), revision);
        ++answered;
      }
    });
  }
  const auto begin = std::chrono::steady_clock::now();
  for (int number = 2; number <= kSwaps + 1 && !::testing::Test::HasFailure(); ++number) {
    put_table(gateway, numbered_table(provider.port(), number));
  }
  const auto took = std::chrono::steady_clock::now() - begin;
  stop = true;
  for (auto& client : clients) client.join();
  RecordProperty("answered", std::to_string(answered));
  RecordProperty("swaps_per_second",
                 std::to_string(kSwaps / std::chrono::duration<double>(took).count()));
  EXPECT_GT(answered, 1000u);
  std::printf("swaps %d in %.2f s, %llu requests answered\n", kSwaps, std::chrono::duration<double>(took).count(),
              static_cast<unsigned long long>(answered.load()));
}

}  // namespace
}  // namespace weir::tests::launch_test
