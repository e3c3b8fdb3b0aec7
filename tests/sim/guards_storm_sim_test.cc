// What must hold however many come, leave or are cut off: whole exchanges by the thousand on the simulated
// kernel.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "tests/sim/guards_fixture.h"

namespace weir::sim {
namespace {

// How many exchanges the random mix has. For a long run: WEIR_STORM_EXCHANGES=1000000.
int mixed_exchanges() {
  const char* asked = std::getenv("WEIR_STORM_EXCHANGES");
  return asked != nullptr ? std::max(std::atoi(asked), 1) : 4'500;
}

class Storm : public GuardsInAnExchange {
 protected:
  Storm() { input_price_ = "1000"; }  // as much for a token of input as for one of output on `dear`
  // A client that has asked and is not waited for.
  GuardClient& begin(std::string_view members = "") {
    clients_.push_back(std::make_unique<GuardClient>(*loop_));
    GuardClient& client = *clients_.back();
    client.connection.connect(address_);
    turns(2);
    send_request(client, "", members);
    return client;
  }
  void turns(int count) {
    for (int i = 0; i < count; ++i) {
      loop_->turn(0);
      world_.advance(1000);
    }
  }
  void leave_all() {
    for (auto& client : clients_) client->connection.close();
    settle();
    clients_.clear();
  }
  int64_t spent() { return tenant_budget().spent; }
  int64_t reserved() { return tenant_budget().reserved; }
};

constexpr int64_t kMilliUsd = kUsd / 1000;

std::string event(std::string_view data) {
  return "data: " + std::string(data) + "\n\n";
}
std::string chunk(const std::string& text) {
  char size[16];
  std::snprintf(size, sizeof size, "%zx\r\n", text.size());
  return size + text + "\r\n";
}

const std::string kStreamHead =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const std::string kUsage =
    event(R"({"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":3,"total_tokens":4}})");

// Recorded: a role, three tokens, usage, the end.
std::string recorded_stream() {
  std::string text =
      kStreamHead + chunk(event(R"({"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]})"));
  for (const char* token : {"One", " two", " three"}) {
    text += chunk(event(R"({"choices":[{"index":0,"delta":{"content":")" + std::string(token) + R"("}}]})"));
  }
  return text + chunk(kUsage) + chunk("data: [DONE]\n\n") + "0\r\n\r\n";
}

TEST_F(Storm, OfAThousandRequestsAtOnceTenFitIntoABudgetForTenWorstCases) {
  constexpr int64_t kWorst = kUsd + kMostInput * kMilliUsd;
  static_assert(kMostInput == 31);
  publish("", "budgets: [ { window: 1h, usd: 10.31 } ]");
  provider_.answer_with = [] { return std::string(); };
  for (int i = 0; i < 1000; ++i) begin();
  settle();
  EXPECT_EQ(provider_.requests, 10);
  EXPECT_EQ(reserved(), 10 * kWorst);
  int refused = 0;
  for (const auto& client : clients_) refused += client->heard.starts_with("HTTP/1.1 429") ? 1 : 0;
  EXPECT_EQ(refused, 990);
  leave_all();
  EXPECT_EQ(reserved(), 0);
  EXPECT_EQ(spent(), 10 * kExpectedInput * kMilliUsd) << "the provider has read those";
}

TEST_F(Storm, OfAThousandRequestsAtOnceALimitAdmitsExactlyItsNumber) {
  publish("", "limits: { rpd: 137 }");
  for (int i = 0; i < 1000; ++i) begin();
  settle();
  int admitted = 0, refused = 0;
  for (const auto& client : clients_) {
    admitted += client->heard.starts_with("HTTP/1.1 200") ? 1 : 0;
    refused += client->heard.starts_with("HTTP/1.1 429") ? 1 : 0;
  }
  EXPECT_EQ(admitted, 137);
  EXPECT_EQ(refused, 863);
  EXPECT_EQ(provider_.requests, 137);
}

// Wherever the provider is cut off, the client sees it, nothing is made up, and what was used is settled.
TEST_F(Storm, AStreamThatIsCutAtAnyByteIsNeverGivenAnEnd) {
  publish("", "budgets: [ { window: 1d, usd: 100000 } ]");
  const std::string whole = recorded_stream();
  std::vector<size_t> token_ends;
  for (const char* token : {"One", " two", " three"}) {
    token_ends.push_back(whole.find("\n\n", whole.find(token)) + 2);
  }
  const size_t usage_known = whole.find(kUsage) + kUsage.size();
  const size_t end_mark = whole.find("[DONE]");
  provider_.answer_with = [&] { return whole; };
  for (size_t cut = 0; cut <= whole.size(); ++cut) {
    provider_.cut_at = cut == whole.size() ? SIZE_MAX : cut;
    const int64_t before = spent();
    GuardClient& client = begin(R"(,"stream":true)");
    settle();
    const std::string& heard = client.heard;
    const bool clean = heard.ends_with("0\r\n\r\n");
    if (cut == whole.size()) {
      EXPECT_TRUE(clean);
    }
    if (cut < end_mark + 6) {
      EXPECT_FALSE(clean) << cut;
      EXPECT_EQ(heard.find("[DONE]"), std::string::npos) << cut;
      const bool told = heard.find("\"error\"") != std::string::npos;
      EXPECT_TRUE(told) << cut << " of " << whole.size() << ":\n" << heard;
    } else if (clean) {
      EXPECT_NE(heard.find("data: [DONE]\n\n"), std::string::npos) << cut;
    }
    EXPECT_EQ(reserved(), 0) << cut;
    // 4 tokens at 0.001 USD each once the provider has said so; before that an estimate of what was sent and of
    // what has come.
    const int64_t tokens = (spent() - before) / kMilliUsd;
    const int64_t input = kExpectedInput;
    if (cut >= usage_known) {
      EXPECT_EQ(tokens, 1 + 3) << cut;
    } else {
      const auto come =
          static_cast<int64_t>(std::ranges::count_if(token_ends, [&](size_t end) { return cut >= end; }));
      EXPECT_EQ(tokens, input + come) << cut;
    }
    leave_all();
    pass(61'000);  // a breaker that has opened meanwhile lets the next one through
  }
}

// The same of answers that are no streams: who gets less than all of it can see that.
TEST_F(Storm, APlainAnswerThatIsCutAtAnyByteIsNeverTakenForAWholeOne) {
  publish("", "budgets: [ { window: 1d, usd: 100000 } ]");
  const std::string plain = answer(100);
  const std::string body = plain.substr(plain.find("\r\n\r\n") + 4);
  const std::string chunked =
      "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n" +
      chunk(body.substr(0, 40)) + chunk(body.substr(40)) + "0\r\n\r\n";
  for (const std::string& whole : {plain, chunked}) {
    provider_.answer_with = [&] { return whole; };
    for (size_t cut = 0; cut < whole.size(); ++cut) {
      provider_.cut_at = cut;
      GuardClient& client = begin();
      settle();
      const std::string& heard = client.heard;
      if (heard.starts_with("HTTP/1.1 200")) {
        const std::string got = heard.substr(heard.find("\r\n\r\n") + 4);
        const bool says_length =
            heard.find("content-length: " + std::to_string(body.size())) != std::string::npos;
        EXPECT_TRUE(says_length ? got.size() < body.size() : !heard.ends_with("0\r\n\r\n")) << cut << heard;
      } else {
        EXPECT_TRUE(heard.starts_with("HTTP/1.1 50")) << cut << heard;
      }
      EXPECT_EQ(reserved(), 0) << cut;
      leave_all();
      pass(61'000);
    }
  }
}

TEST_F(Storm, TenThousandClientsThatLeaveInTheMiddleOfAStreamLeaveNothingBehind) {
  publish("", "limits: { concurrency: 100 }, budgets: [ { window: 1d, usd: 1000000 } ]");
  provider_.answer_with = [&] {
    return kStreamHead + chunk(event(R"({"choices":[{"delta":{"content":"One"}}]})"));
  };
  provider_.stays_open = true;
  constexpr int kRounds = 200, kAtOnce = 50;
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < kAtOnce; ++i) begin(R"(,"stream":true)");
    turns(20);
    if (round == 0) {
      EXPECT_EQ(reserved(), kAtOnce * (kUsd + kMostInput * kMilliUsd));
      for (const auto& client : clients_) EXPECT_NE(client->heard.find("One"), std::string::npos);
    }
    for (auto& client : clients_) client->connection.close();
    turns(20);
    clients_.clear();
  }
  settle();
  EXPECT_EQ(provider_.requests, kRounds * kAtOnce);
  EXPECT_EQ(provider_.left, kRounds * kAtOnce) << "each attempt was cancelled at the provider";
  EXPECT_EQ(reserved(), 0);
  EXPECT_EQ(spent(), int64_t{kRounds} * kAtOnce * (kExpectedInput + 1) * kMilliUsd) << "a token each";
  EXPECT_EQ(shard_->exchanges().live(), 0u);
}

// Success, streams whole and cut, error, retry, fallback, refusals by limits and by a budget that is used up,
// usage that is missing or absurd, clients that leave: whatever the mix, nothing stays reserved and the budget
// has spent what the records say.
TEST_F(Storm, SpendIsTheSumOfTheRecordsWhateverHappens) {
  unit_ = ", retries: 1, answer: nonempty";
  publish(
      ", fallback: [ { unit: mini, on: [5xx, 429, timeout, connect, invalid, refusal] }, { static: "
      "\"Later.\" } ]",
      "limits: { concurrency: 40 }, budgets: [ { window: month, usd: 1000000 }, { window: 1m, usd: 100 } ]");
  const std::string stream = recorded_stream();
  provider_.answer_with = [&]() -> std::string {
    provider_.cut_at = SIZE_MAX;
    if (provider_.last_body.find("\"stream\":true") != std::string::npos && world_.below(4) != 0) {
      if (world_.below(3) == 0) provider_.cut_at = world_.below(stream.size());
      return stream;
    }
    switch (world_.below(9)) {
      case 0:
        return response("500 Oops", "{}");
      case 1:
        return response("200 OK", R"({"choices":[{"message":{"content":null,"refusal":"no"}}],"usage":)"
                                  R"({"prompt_tokens":1,"completion_tokens":17,"total_tokens":18}})");
      case 2:
        return response("200 OK", R"({"choices":[{"message":{"content":""}}]})");
      case 3:
        return "";
      case 4:
        return response("200 OK", R"({"choices":[{"message":{"content":"not counted"}}]})");
      default:
        return answer(static_cast<int>(world_.below(300)));
    }
  };
  const int wanted = mixed_exchanges();
  constexpr int kAtOnce = 30;
  int64_t recorded = 0;
  int records = 0;
  int streams = 0, estimates = 0, over_budget = 0, gone = 0, fallbacks = 0;
  const auto drain = [&] {
    gateway_->records[0]->drain([&](const routing::Record& record) {
      recorded += record.cost_nano_usd;
      ++records;
      streams += record.streamed && record.status == 200 && !record.error ? 1 : 0;
      estimates += record.usage_estimated ? 1 : 0;
      over_budget += record.error == ErrorCode::budget_exceeded ? 1 : 0;
      gone += record.client_gone ? 1 : 0;
      fallbacks += record.first_failure ? 1 : 0;
    });
  };
  int asked = 0;
  while (asked < wanted) {
    for (int i = 0; i < kAtOnce && asked < wanted; ++i, ++asked) {
      begin(world_.below(2) == 0 ? R"(,"stream":true)" : "");
    }
    turns(static_cast<int>(world_.below(60)));
    pass(1000);  // pauses of retries
    leave_all();
    drain();
  }
  drain();
  EXPECT_EQ(records, wanted);
  EXPECT_EQ(reserved(), 0);
  EXPECT_EQ(spent(), recorded);
  for (const int happened : {streams, estimates, over_budget, gone, fallbacks}) {
    EXPECT_GT(happened, wanted / 200);
  }
}

}  // namespace
}  // namespace weir::sim
