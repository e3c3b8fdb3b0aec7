// What a decision costs with 10,000 tenants x 100 flags (DESIGN section 3: 150 ns), identification, and pins.
// Run with --benchmark_repetitions=10 --benchmark_report_aggregates_only=true and read the median.
//
// Requests come from random tenants, users and scenarios, so the rows of one request are not in cache, while
// its texts are, as after parsing. `chained` makes each request wait for the decision before it, which shows
// the time until the outcome is there; `overlapped` does not, and the processor overlaps neighbours as it
// overlaps a decision with the rest of an exchange. `make_request` is what drawing a request costs, included
// in both.
#include <benchmark/benchmark.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "routing/decide/decide.h"
#include "routing/decide/identify.h"
#include "routing/decide/row_index.h"
#include "routing/guard/pin_table.h"
#include "routing/table/tenant_builder.h"

namespace weir::routing {
namespace {

constexpr size_t kUsers = 256;
constexpr size_t kConversations = 65'536;

struct Shape {
  uint32_t tenants;
  uint32_t flags;
  uint32_t flags_per_scenario;
  bool operator==(const Shape&) const = default;
  uint32_t flags_per_row = 1;  // 1: a row on every flag; 50: on every fiftieth
};

// Every tenant has a row on every flag, or on few: half pilots with a percentage, the rest off or in
// production.
class World {
 public:
  explicit World(const Shape& shape) : random_(1) {
    auto body = std::make_shared<TableBody>();
    body->providers.emplace_back().name = "provider";
    body->models.emplace_back().name = "model";
    for (uint32_t s = 0; s < shape.flags / shape.flags_per_scenario; s++) add_scenario(*body, s, shape);
    for (uint32_t s = 0; s < body->scenarios.size(); s++)
      body->scenario_names.insert(body->scenarios[s].name, s);
    rank_flags(*body);
    index_flags(*body);
    TenantTableBuilder tenants(*body);
    for (uint32_t t = 0; t < shape.tenants; t++) tenants.add(make_tenant(*body, t, shape));
    tenants.end_tenants();
    for (uint32_t t = 0; t < shape.tenants; t++) tenants.add(make_key(t));
    tenants.end_keys();
    table.revision = 1;
    table.tenants = tenants.take();
    table.body = body;
    for (size_t i = 0; i < kUsers; i++) users.push_back("user-" + std::to_string(random_() % 1'000'000));
  }

  static std::string token(uint32_t tenant) {
    return "Bearer sk-weir-0123456789abcdefghijklmnopqrstuv-" + std::to_string(tenant);
  }

  KeyHasher hasher{"secret"};
  Table table;
  std::vector<std::string> users;

 private:
  void add_scenario(TableBody& body, uint32_t number, const Shape& shape) {
    Scenario& scenario = body.scenarios.emplace_back();
    scenario.name = "scenario-" + std::to_string(number);
    scenario.sticky_by = {StickyKey::conversation, StickyKey::user};
    for (uint32_t f = 0; f < shape.flags_per_scenario; f++) {
      scenario.flags.push_back(FlagIndex{static_cast<uint32_t>(body.flags.size())});
      Flag& flag = body.flags.emplace_back();
      flag.name = flag.salt = scenario.name + "-flag-" + std::to_string(f);
      flag.scenario = ScenarioIndex{number};
      flag.bit = static_cast<uint8_t>(f);
    }
    for (uint32_t mask = 0; mask < 1u << shape.flags_per_scenario; mask++) {
      scenario.combinations.push_back(UnitIndex{static_cast<uint32_t>(body.units.size())});
      Unit& unit = body.units.emplace_back();
      unit.name = scenario.name + "-unit-" + std::to_string(mask);
      unit.short_hash = random_();
    }
    scenario.stable = scenario.combinations[0];
  }

  TenantSpec make_tenant(const TableBody& body, uint32_t number, const Shape& shape) {
    TenantSpec tenant;
    tenant.id = "tenant-" + std::to_string(number);
    for (uint32_t f = 0; f < body.flags.size(); f += shape.flags_per_row) {
      TenantFlag& row = tenant.flags.emplace_back();
      row.flag = FlagIndex{f};
      row.previous = body[body[row.flag].scenario].stable;
      const uint64_t draw = random_() % 4;
      row.state = draw < 2 ? FlagState::pilot : draw == 2 ? FlagState::off : FlagState::production;
      row.milli_percent = static_cast<uint32_t>(random_() % 100'000);
    }
    return tenant;
  }

  KeySpec make_key(uint32_t number) {
    KeySpec key;
    key.id = "key-" + std::to_string(number);
    key.tenant = TenantIndex{number};
    key.hash = hasher.hash(token(number).substr(7));
    return key;
  }

  std::mt19937_64 random_;
};

const World& world(const Shape& shape) {
  static std::unique_ptr<World> made;  // the last one: a world of a million tenants is large
  static Shape made_for{};
  if (made == nullptr || made_for != shape) {
    made = nullptr;
    made = std::make_unique<World>(shape);
    made_for = shape;
  }
  return *made;
}

// A request of a random tenant, user and scenario.
class Requests {
 public:
  explicit Requests(const World& world)
      : body_(*world.table.body), tenants_(world.table.tenants->tenant_count()), users_(world.users) {
    input.wall_now_ns = 1;
  }

  const DecideInput& draw() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    const uint64_t random = state_ >> 16;
    const auto tenant = static_cast<uint32_t>((random & 0xffffffff) * tenants_ >> 32);
    input.key = KeyIndex{tenant};
    input.tenant = TenantIndex{tenant};
    input.model = body_.scenarios[(random >> 32) * body_.scenarios.size() >> 16].name;
    input.user = users_[(random >> 24) % kUsers];
    return input;
  }

  DecideInput input;

 private:
  const TableBody& body_;
  const uint64_t tenants_;
  const std::vector<std::string>& users_;
  uint64_t state_ = 1;
};

enum class Chained : bool { no, yes };

// Keeps the processor from starting on the next request before this one is decided.
inline void wait_for_all() {
#if defined(__x86_64__)
  asm volatile("lfence" ::: "memory");
#elif defined(__aarch64__)
  asm volatile("dsb sy\n\tisb" ::: "memory");
#endif
}

void run(benchmark::State& state, Chained chained) {
  const World& here = world({.tenants = static_cast<uint32_t>(state.range(0)),
                             .flags = 100,
                             .flags_per_scenario = static_cast<uint32_t>(state.range(1)),
                             .flags_per_row = static_cast<uint32_t>(state.range(2))});
  Requests requests(here);
  for (auto _ : state) {
    const DecideInput& input = requests.draw();
    const auto choice = choose_scenario(here.table, input);
    const auto decision = decide(here.table, *choice, input);
    uint32_t unit = static_cast<uint32_t>(decision->unit);
    benchmark::DoNotOptimize(unit);
    if (chained == Chained::yes) wait_for_all();
  }
}
void make_request(benchmark::State& state) {
  Requests requests(world({.tenants = 10'000, .flags = 100, .flags_per_scenario = 5}));
  for (auto _ : state) benchmark::DoNotOptimize(&requests.draw());
}
BENCHMARK(make_request);
void decide_overlapped(benchmark::State& state) {
  run(state, Chained::no);
}
void decide_chained(benchmark::State& state) {
  run(state, Chained::yes);
}
BENCHMARK(decide_overlapped)
    ->ArgNames({"tenants", "per_scenario", "flags_per_row"})
    ->Args({10'000, 1, 1})
    ->Args({10'000, 5, 1})
    ->Args({100, 5, 1})
    ->Args({100, 5, 50})
    ->Args({10'000, 5, 50})
    ->Args({1'000'000, 5, 50});
BENCHMARK(decide_chained)
    ->ArgNames({"tenants", "per_scenario", "flags_per_row"})
    ->Args({10'000, 1, 1})
    ->Args({10'000, 5, 1})
    ->Args({100, 5, 1})
    ->Args({100, 5, 50})
    ->Args({10'000, 5, 50})
    ->Args({1'000'000, 5, 50});

// Keys that fit the cache: the steady state of a shard.
void identify_cached(benchmark::State& state) {
  const World& here = world({.tenants = 10'000, .flags = 100, .flags_per_scenario = 5});
  Identifier identifier(here.hasher, {.low = 1, .high = 2});
  const auto keys = static_cast<size_t>(state.range(0));
  std::vector<std::string> authorizations;
  for (uint32_t i = 0; i < keys; i++) authorizations.push_back(World::token(i * 39));
  size_t at = 0;
  for (auto _ : state) {
    auto key = identifier.identify(here.table, authorizations[at++ % keys]);
    benchmark::DoNotOptimize(key);
  }
  state.counters["misses"] = static_cast<double>(identifier.cache_misses());
}
BENCHMARK(identify_cached)->ArgName("keys")->Arg(1)->Arg(256);

void identify_uncached(benchmark::State& state) {
  const World& here = world({.tenants = 10'000, .flags = 100, .flags_per_scenario = 5});
  Identifier identifier(here.hasher, {.low = 1, .high = 2});
  const std::string unknown = World::token(UINT32_MAX);
  for (auto _ : state) {
    auto key = identifier.identify(here.table, unknown);
    benchmark::DoNotOptimize(key);
  }
}
BENCHMARK(identify_uncached);

// 64 MiB of pins, half full: key() and lookup() of a random conversation.
void pin_lookup(benchmark::State& state) {
  PinTable pins({.memory_bytes = 64 << 20, .ttl_ns = 1'000'000'000, .secret = {.low = 1, .high = 2}});
  std::vector<std::string> conversations;
  for (size_t i = 0; i < pins.capacity() / 2; i++) {
    const std::string conversation = "conversation-" + std::to_string(i);
    pins.store(pins.key("tenant-17", "scenario-4", conversation), i + 1, 1);
    if (i < kConversations) conversations.push_back(conversation);
  }
  size_t at = 0;
  for (auto _ : state) {
    auto unit = pins.lookup(pins.key("tenant-17", "scenario-4", conversations[at++ % kConversations]), 2);
    benchmark::DoNotOptimize(unit);
  }
}
BENCHMARK(pin_lookup);

}  // namespace
}  // namespace weir::routing
