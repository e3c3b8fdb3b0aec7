// What guards cost an exchange: admit and settle under five limits and three budgets (to beat: 200 ns), with
// and without users' lines, alone and with another shard on the same tenant. Run with
// --benchmark_repetitions=10 --benchmark_report_aggregates_only=true and read the median.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "routing/guard/admission.h"
#include "routing/guard/guard_state.h"
#include "routing/guard/pii_mask.h"
#include "routing/table/compile.h"

namespace weir::routing {
namespace {

struct World {
  static CompiledTable compile_table() {
    auto body = compile_text(R"(
providers: { p: { dialect: openai, base_url: "http://127.0.0.1:1/v1" } }
models: { m: { provider: p, price: { input: 1, output: 1 } }, n: { provider: p, tier: economy, price: { input: 1, output: 1 } } }
units: { u: { model: m }, v: { model: n } }
scenarios: { chat: { stable: u, fallback: [ { unit: v } ] } }
limits: { rps: 1000000000000 }
budgets: [ { window: month, usd: 1000000000, on_exceed: kill } ]
tenants:
  t1: { limits: { rpm: 1000000000000, tpm: 1000000000000, concurrency: 1000 },
        budgets: [ { window: 1h, usd: 1000000000, on_exceed: economy } ] }
  t2: { limits: { rpm: 1000000000000, tpm: 1000000000000, concurrency: 1000 },
        budgets: [ { window: 1h, usd: 1000000000, on_exceed: economy } ],
        user_limits: { rpm: 1000000000000 }, user_budgets: [ { window: 1d, usd: 1000000000 } ] }
keys:
  - { id: k1, tenant: t1, hash: "hmac-sha256:)" +
                                 std::string(64, 'a') + R"(", limits: { rpm: 1000000000000 },
      budgets: [ { window: 1d, usd: 1000000000 } ] }
  - { id: k2, tenant: t2, hash: "hmac-sha256:)" +
                                 std::string(64, 'b') + R"(" }
)",
                             TableFormat::yaml, {});
    WEIR_ASSERT(body.has_value());
    return std::move(*body);
  }

  std::shared_ptr<GuardArena> arena = std::make_shared<GuardArena>(64);
  UserGuards users{64 << 20, core::SipKey{.low = 1, .high = 2}};
  CompiledTable table = compile_table();
  std::shared_ptr<const GuardPlan> plan = GuardPlan::bind(*table.body, *table.tenants, arena);
};

// A walk over the lines of all users, as about once a second on a thread of its own; so many thousand users.
void save_users(benchmark::State& state) {
  const Table none;
  UserGuards users{64 << 20, core::SipKey{.low = 1, .high = 2}};
  const GuardTime now =
      CalendarReader().at(1'000'000'000'000, {.offset_ns = 1'790'000'000'000'000'000, .epoch = 1});
  const BudgetSpec spec{.window_ns = 86'400'000'000'000, .limit = 1'000'000'000};
  for (uint64_t i = 1; i <= static_cast<uint64_t>(state.range(0)) * 1000; ++i) {
    const uint64_t tag = i * 0x9e3779b97f4a7c15u;
    const auto idle = [](const auto&) { return uint64_t{0}; };
    BudgetLine* money = users.budgets.acquire(tag, idle);
    reserve(*money, spec, 20'000'000, now);
    users.budgets.release(*money);
    LimitLine* limits = users.limits.acquire(tag, idle);
    take(limits->rates[static_cast<size_t>(RateKind::day)], rate_spec(1000, 86'400'000'000'000), 10,
         now.now_ns);
    users.limits.release(*limits);
  }
  size_t bytes = 0;
  for (auto _ : state) bytes = save_guards(none, users, now).size();
  state.counters["bytes"] = static_cast<double>(bytes);
}
BENCHMARK(save_users)->Arg(0)->Arg(1)->Arg(200)->Unit(benchmark::kMicrosecond);

World& world() {
  static World made;
  return made;
}

// Shards read the clock again for the tokens that they give back.
void admit_and_settle(benchmark::State& state, uint32_t tenant, bool users) {
  World& w = world();
  const Calendar calendar(0, 1'790'000'000'000'000'000);
  CalendarReader reader(core::monotonic_now_ns);
  uint64_t now_ns = core::monotonic_now_ns() + 1'000'000'000'000;
  uint64_t i = 0;
  std::string user = "user-0000";
  for (auto _ : state) {
    now_ns += 7'000;
    const GuardTime& now = reader.at(now_ns, calendar.point());
    if (users) user[8] = static_cast<char>('0' + i++ % 64);
    GuardHold hold;
    const Verdict verdict = hold.admit({.plan = w.plan.get(),
                                        .tenant = TenantIndex{tenant},
                                        .key = KeyIndex{tenant},
                                        .scenario = ScenarioIndex{0},
                                        .user_tag = users ? w.users.tag_of("t1", user, {}) : 0,
                                        .tokens = 700,
                                        .worst_nano_usd = 40'000},
                                       w.users, now);
    benchmark::DoNotOptimize(verdict);
    hold.settle(300, 20'000, w.users, now);
  }
}

void BM_FiveLimitsThreeBudgets(benchmark::State& state) {
  admit_and_settle(state, 0, false);
}
void BM_UsersToo(benchmark::State& state) {
  admit_and_settle(state, 1, true);
}
BENCHMARK(BM_FiveLimitsThreeBudgets)->Threads(1)->Threads(2)->UseRealTime();
BENCHMARK(BM_UsersToo)->Threads(1)->Threads(2)->UseRealTime();

void BM_TakeOneRate(benchmark::State& state) {
  std::atomic<uint64_t> word{0};
  const RateSpec spec = rate_spec(1'000'000'000'000, 60'000'000'000);
  uint64_t now_ns = 1'000'000'000'000;
  for (auto _ : state) benchmark::DoNotOptimize(take(word, spec, 1, now_ns += 7'000));
}
BENCHMARK(BM_TakeOneRate);

// Of an answer's text, of the worst the masker can be given (endless rows of short numbers), and of words
// that all look like something at first: bytes per second must not depend on how much there is.
void BM_MaskText(benchmark::State& state, std::string_view piece) {
  std::string text;
  while (text.size() < static_cast<size_t>(state.range(0))) text += piece;
  std::string out;
  out.reserve(2 * text.size());
  for (auto _ : state) {
    out.clear();
    PiiMask mask;
    mask.feed(text, out);
    mask.finish(out);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * static_cast<int64_t>(text.size()));
}
BENCHMARK_CAPTURE(BM_MaskText, prose, "The quick brown fox jumps over the lazy dog, 17 times a day. ")
    ->Arg(4 << 10)
    ->Arg(256 << 10);
BENCHMARK_CAPTURE(BM_MaskText, numbers, "4111 1111 1111 1112 ")->Arg(4 << 10)->Arg(256 << 10);
BENCHMARK_CAPTURE(BM_MaskText, digits, "7 ")->Arg(4 << 10)->Arg(256 << 10);
BENCHMARK_CAPTURE(BM_MaskText, nearly, "sk-a=b@c:eyJ&AKIA/hf_?xox@ya29. ")->Arg(4 << 10)->Arg(256 << 10);

}  // namespace
}  // namespace weir::routing
