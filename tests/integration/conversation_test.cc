// Open conversations as a launch goes up, down, back and is killed: none changes its unit but as its row's
// on_rollback says, and a kill always switches.
#include <array>
#include <string>
#include <vector>

#include "tests/integration/gateway_fixture.h"
#include "tools/weirctl/admin_client.h"

namespace weir::tests::conversation_test {
namespace {

constexpr int kConversations = 10'000;
constexpr int kTurns = 10;      // of each conversation
constexpr int kFirstTurns = 5;  // steps in which conversations begin: one fifth in each
constexpr int kSteps = kFirstTurns - 1 + kTurns;
constexpr int kRollback = 5;  // the steps from which on the flag is off,
constexpr int kKill = 8;      // is killed,
constexpr int kReturn = 10;   // and is there for everybody
constexpr int kBatch = 50;

// The tenants, one for each way; conversations take turns.
constexpr std::array<std::string_view, 3> kOnRollback = {"switch_next_turn", "finish", "restart"};

std::string table(uint16_t provider, const std::string& standing) {
  std::string tenants;
  for (const std::string_view way : kOnRollback) {
    if (!tenants.empty()) tenants += ",";
    tenants += "\"" + std::string(way) + "\":{\"flags\":{\"launch\":{" + standing + R"(,"on_rollback":")" +
               std::string(way) + R"(","owner":"u","reason":"r","review":"2030-01-01","previous":"old"}}})";
  }
  return R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" + std::to_string(provider) +
         R"(/v1"}},
    "models":{"m-old":{"provider":"p","tier":"economy","price":{"input":1,"output":2}},
              "m-new":{"provider":"p","tier":"standard","price":{"input":3,"output":6}}},
    "units":{"old":{"model":"m-old"},"new":{"model":"m-new"}},
    "scenarios":{"chat":{"stable":"old","sticky_by":["conversation"]}},
    "flags":{"launch":{"scenario":"chat","candidate":{"unit":"new"}}},
    "tenants":{)" +
         tenants + R"(},
    "keys":[{"id":"k","tenant":"switch_next_turn","act_as":["finish","restart"],"scenario":"chat","hash":")" +
         key_hash() + R"("}]})";
}

struct Conversation {
  std::string first, unit;  // the unit of the first turn, and of the last
  int turns = 0;
  int changes = 0;
  int restarts = 0;
};

class Conversations : public ::testing::Test {
 protected:
  void put(const std::string& standing) { call("PUT", "/v1/table?reason=test", table(provider_.port(), standing)); }
  void call(const std::string& method, const std::string& path, const std::string& body) {
    tools::AdminClient client(gateway_.admin_socket());
    const auto answer = client.call({.method = method, .path = path, .body = body});
    ASSERT_TRUE(answer.has_value()) << answer.error();
    ASSERT_EQ(answer->status, 200) << answer->body;
  }

  // What an operator does before the step.
  void prepare(int step) {
    const auto pilot = [&](const char* percent) {
      put(R"("state":"pilot","percent":)" + std::string(percent));
    };
    if (step == 1) pilot("25");
    if (step == 2) pilot("60");
    if (step == 3) pilot("10");
    if (step == 4) pilot("80");
    if (step == kRollback) put(R"("state":"off")");
    if (step == kKill) call("POST", "/v1/kill", R"({"scope":"flag","name":"launch","reason":"test"})");
    if (step == kReturn) {
      call("POST", "/v1/unkill", R"({"scope":"flag","name":"launch","reason":"test"})");
      put(R"("state":"production")");
    }
  }

  // One turn of every conversation that is open in the step. Two connections: the shards share what they
  // know.
  void take_turns(int step) {
    for (int first = 0; first < kConversations; first += kBatch) {
      BlockingClient& client = clients_[static_cast<size_t>(step + first / kBatch) % clients_.size()];
      std::vector<int> asked;
      std::string batch;
      for (int number = first; number < first + kBatch; ++number) {
        const int begins = number % kFirstTurns;
        if (step < begins || step >= begins + kTurns) continue;
        asked.push_back(number);
        batch += request(number);
      }
      ASSERT_TRUE(client.send(batch));
      for (const int number : asked) {
        ASSERT_NO_FATAL_FAILURE(take(number, step, client.receive()));
      }
    }
  }
  static size_t way_of(int number) { return static_cast<size_t>(number / kFirstTurns) % kOnRollback.size(); }
  static std::string request(int number) {
    return chat_request("x-weir-conversation: c-" + std::to_string(number) +
                        "\r\nx-weir-tenant: " + std::string(kOnRollback[way_of(number)]) + "\r\n");
  }

  void take(int number, int step, const Answer& answer) {
    Conversation& conversation = conversations_[static_cast<size_t>(number)];
    conversation.turns++;
    if (answer.status == core::describe(core::ErrorCode::conversation_restarted).status) {
      EXPECT_NE(answer.body.find("\"code\":\"conversation_restarted\""), std::string::npos) << answer.body;
      EXPECT_EQ(answer.header("x-should-retry"), "false");
      EXPECT_EQ(step, kRollback) << "conversation " << number;
      conversation.restarts++;
      return;
    }
    ASSERT_EQ(answer.status, 200) << answer.head << answer.body;
    const std::string unit(answer.header("x-weir-unit"));
    EXPECT_EQ(between(answer.body, "\"model\":\"", "\""), unit == "new" ? "m-new" : "m-old");
    if (conversation.first.empty()) conversation.first = conversation.unit = unit;
    if (unit == conversation.unit) return;
    conversation.changes++;
    // Only a conversation that began on the candidate may change, and only there: after the rollback at its
    // next turn, told to begin anew first if its row says so; or when it was let finish, by the kill.
    const std::string_view way = kOnRollback[way_of(number)];
    const int expected = way == "switch_next_turn" ? kRollback : way == "restart" ? kRollback + 1 : kKill;
    EXPECT_EQ(step, expected) << way << ", conversation " << number << " went from " << conversation.unit
                              << " to " << unit;
    EXPECT_EQ(unit, "old");
    conversation.unit = unit;
  }

  EchoProvider provider_;
  Gateway gateway_{table(provider_.port(), R"("state":"pilot","percent":5)")};
  std::array<BlockingClient, 2> clients_{BlockingClient(gateway_.port()), BlockingClient(gateway_.port())};
  std::vector<Conversation> conversations_{kConversations};
};

TEST_F(Conversations, NeverChangeTheirUnitButAsOnRollbackSays) {
  for (int step = 0; step < kSteps; ++step) {
    ASSERT_NO_FATAL_FAILURE(prepare(step));
    ASSERT_NO_FATAL_FAILURE(take_turns(step));
    if (HasFailure()) return;
  }
  std::array<int, kOnRollback.size()> begun{}, changed{}, told{};
  std::array<int, kFirstTurns> candidates{};
  for (int number = 0; number < kConversations; ++number) {
    const Conversation& conversation = conversations_[static_cast<size_t>(number)];
    const bool candidate = conversation.first == "new";
    EXPECT_EQ(conversation.turns, kTurns);
    EXPECT_EQ(conversation.changes, candidate ? 1 : 0) << "conversation " << number;
    EXPECT_EQ(conversation.unit, "old");
    begun[way_of(number)] += candidate ? 1 : 0;
    changed[way_of(number)] += conversation.changes;
    told[way_of(number)] += conversation.restarts;
    candidates[static_cast<size_t>(number % kFirstTurns)] += candidate ? 1 : 0;
  }
  // They began at 5, 25, 60, 10 and 80 percent, and were many enough in every way to say so.
  constexpr std::array<double, kFirstTurns> kPercents = {5, 25, 60, 10, 80};
  for (size_t step = 0; step < kPercents.size(); ++step) {
    EXPECT_NEAR(100.0 * candidates[step] * kFirstTurns / kConversations, kPercents[step], 5.0);
  }
  for (size_t way = 0; way < kOnRollback.size(); ++way) {
    EXPECT_GT(begun[way], 1000);
    EXPECT_EQ(changed[way], begun[way]) << kOnRollback[way];
    EXPECT_EQ(told[way], kOnRollback[way] == "restart" ? begun[way] : 0) << kOnRollback[way];
  }
}

}  // namespace
}  // namespace weir::tests::conversation_test
