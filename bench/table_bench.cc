// The table at scale: compiling a document, changing one tenant, and the image on disk, at 100, 10,000 and
// 1,000,000 tenants. A tenant of the document has a display name, rows on two flags with all that a launch
// demands, and a key.
//
//   build/release/bin/table_bench --benchmark_filter=... ; set WEIR_BENCH_FOLDER for the image's disk (else
//   /tmp)
//
// `bytes_per_tenant` is what the compiled tenants, keys and their indices take. Look-ups:
// bench/decide_bench.cc too.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cstdlib>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "routing/guard/guard_plan.h"
#include "routing/table/compile.h"
#include "routing/table/compile_change.h"
#include "routing/table/tenant_image.h"

namespace weir::routing {
namespace {

constexpr TenantImageOrigin kOrigin{.build = "bench", .registry = "bench"};

constexpr std::string_view kHead = R"({
"providers":{"p":{"base_url":"http://127.0.0.1:1/v1"}},
"models":{"m-1":{"provider":"p","price":{"input":1,"output":2}},"m-2":{"provider":"p","price":{"input":1,"output":2}}},
"units":{"small":{"model":"m-1"},"big":{"model":"m-2"}},
"scenarios":{"chat":{"stable":"small","sticky_by":["user"]}},
"flags":{"f-1":{"scenario":"chat","candidate":{"unit":"big"},"owner":"o"},
         "f-2":{"scenario":"chat","candidate":{"params":{"temperature":0.5}},"owner":"o"}})";

std::string tenant_body(size_t number, unsigned percent) {
  return fmt::format(
      R"({{"name":"Tenant Number {}","flags":{{)"
      R"("f-1":{{"state":"pilot","percent":{},"owner":"u-4021","reason":"review 1182 passed","review":"2026-12-08",)"
      R"("previous":"small","expires":"2027-01-15"}},)"
      R"("f-2":{{"state":"production","owner":"u-4021","reason":"review 1183 passed","review":"2026-12-08",)"
      R"("previous":"small"}}}}}})",
      number, percent);
}

std::string key_body(size_t number, size_t hash) {
  return fmt::format(
      R"({{"id":"tenant-{0}-app","tenant":"tenant-{0}","hash":"hmac-sha256:{1:064x}","scenario":"chat"}})",
      number, hash * 0x9e3779b97f4a7c15);
}

std::string document(size_t tenants) {
  std::string text(kHead);
  text.reserve(tenants * 480 + text.size() + 64);
  text += R"(,"tenants":{)";
  for (size_t i = 0; i < tenants; i++) {
    fmt::format_to(std::back_inserter(text), "{}\"tenant-{}\":{}", i == 0 ? "" : ",", i,
                   tenant_body(i, static_cast<unsigned>(i % 100)));
  }
  text += R"(},"keys":[)";
  for (size_t i = 0; i < tenants; i++) {
    if (i != 0) text += ',';
    text += key_body(i, i + 1);
  }
  return text + "]}";
}

CompiledTable compile_document(std::string text) {
  auto compiled =
      compile_text(std::move(text), TableFormat::json, {.resolve_secret = {}, .keep_source = false});
  if (!compiled) std::abort();
  return *std::move(compiled);
}

// The last one that was asked for: a table of a million tenants is large.
const CompiledTable& table_of(size_t tenants) {
  static CompiledTable table;
  static size_t made_for = 0;
  if (made_for != tenants) {
    table = {};
    table = compile_document(document(tenants));
    made_for = tenants;
  }
  return table;
}

size_t size_of(const benchmark::State& state) {
  return static_cast<size_t>(state.range(0));
}

void compile_whole(benchmark::State& state) {
  const std::string text = document(size_of(state));
  std::optional<CompiledTable> table;
  for (auto _ : state) {
    state.PauseTiming();
    table.reset();
    std::string copy;
    copy.reserve(text.size() + 128);  // as a file is read: with room for the parser's padding
    copy = text;
    state.ResumeTiming();
    table = compile_document(std::move(copy));
  }
  state.counters["json_bytes"] = static_cast<double>(text.size());
  state.counters["bytes_per_tenant"] =
      static_cast<double>(table->tenants->memory_bytes()) / static_cast<double>(size_of(state));
}

// Each change is made to the table that the last one made, as an operator's are.
void change_row(benchmark::State& state) {
  const CompiledTable& table = table_of(size_of(state));
  auto now = std::make_unique<TenantTable>(*table.tenants);
  uint64_t random = 1;
  for (auto _ : state) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    const size_t number = (random >> 33) % size_of(state);
    const ObjectChange change{.kind = ObjectKind::tenant,
                              .name = fmt::format("tenant-{}", number),
                              .before = std::nullopt,
                              .after = tenant_body(number, static_cast<unsigned>(random >> 60))};
    auto changed = change_tenants(*table.body, *now, std::span(&change, 1));
    if (!changed) std::abort();
    now = std::move(*changed);
  }
}

void change_key(benchmark::State& state) {
  const CompiledTable& table = table_of(size_of(state));
  auto now = std::make_unique<TenantTable>(*table.tenants);
  uint64_t random = 1;
  for (auto _ : state) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    const size_t number = (random >> 33) % size_of(state);
    const ObjectChange change{.kind = ObjectKind::key,
                              .name = fmt::format("tenant-{}-app", number),
                              .before = std::nullopt,
                              .after = key_body(number, random | uint64_t{1} << 63)};
    auto changed = change_tenants(*table.body, *now, std::span(&change, 1));
    if (!changed) std::abort();
    now = std::move(*changed);
  }
}

// The same for a publish: with the plan of the guards bound, in a table where every tenant has limits and a
// budget.
void change_guarded_row(benchmark::State& state) {
  const auto body_of = [](size_t number, uint64_t rpm) {
    return fmt::format(
        R"({{"name":"Tenant Number {}","limits":{{"rpm":{},"tpm":100000}},"budgets":[{{"window":"1h","usd":9}}]}})",
        number, 1 + rpm);
  };
  std::string text(kHead);
  text += R"(,"tenants":{)";
  for (size_t i = 0; i < size_of(state); i++) {
    text += fmt::format("{}\"tenant-{}\":{}", i == 0 ? "" : ",", i, body_of(i, i));
  }
  const CompiledTable table = compile_document(text + "}}");
  const auto arena = std::make_shared<GuardArena>(static_cast<uint32_t>(size_of(state)) * 2 + 100);
  auto now = std::make_unique<TenantTable>(*table.tenants);
  auto plan = GuardPlan::bind(*table.body, *now, arena);
  uint64_t random = 1;
  for (auto _ : state) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    const size_t number = (random >> 33) % size_of(state);
    const ObjectChange change{.kind = ObjectKind::tenant,
                              .name = fmt::format("tenant-{}", number),
                              .before = std::nullopt,
                              .after = body_of(number, random >> 50)};
    auto changed = change_tenants(*table.body, *now, std::span(&change, 1));
    if (!changed) std::abort();
    now = std::move(*changed);
    plan = GuardPlan::bind(*table.body, *now, arena, plan.get());
    if (plan == nullptr) std::abort();
  }
}

// What a start has to catch up with at most.
void change_many(benchmark::State& state) {
  const CompiledTable& table = table_of(size_of(state));
  std::vector<ObjectChange> changes;
  for (size_t i = 0; i < kChangesPerTenantImage; i++) {
    const size_t number = i * (size_of(state) / kChangesPerTenantImage);
    changes.push_back({.kind = ObjectKind::tenant,
                       .name = fmt::format("tenant-{}", number),
                       .before = std::nullopt,
                       .after = tenant_body(number, 1)});
  }
  for (auto _ : state) {
    auto changed = change_tenants(*table.body, *table.tenants, changes);
    if (!changed) std::abort();
    benchmark::DoNotOptimize(changed);
  }
}

std::string image_path() {
  const char* folder = std::getenv("WEIR_BENCH_FOLDER");
  return std::string(folder == nullptr ? "/tmp" : folder) + "/table_bench.image";
}

void image_write(benchmark::State& state) {
  const CompiledTable& table = table_of(size_of(state));
  for (auto _ : state) {
    if (!write_tenant_image(image_path(), kOrigin, *table.tenants, 1)) std::abort();
  }
  struct stat status{};
  if (::stat(image_path().c_str(), &status) == 0) {
    state.counters["file_bytes"] = static_cast<double>(status.st_size);
  }
}

// A start: the small part from JSON, the large one from the image (which is in the page cache here).
void image_start(benchmark::State& state) {
  if (!write_tenant_image(image_path(), kOrigin, *table_of(size_of(state)).tenants, 1)) std::abort();
  std::optional<CompiledTable> body;
  std::optional<TenantImage> image;
  for (auto _ : state) {
    state.PauseTiming();
    image.reset();
    state.ResumeTiming();
    body = compile_document(std::string(kHead) + "}");
    auto read = read_tenant_image(
        image_path(), kOrigin.build, [](uint64_t) { return std::string(kOrigin.registry); },
        body->body->basis);
    if (!read) std::abort();
    image = *std::move(read);
  }
}

// A key's hash to its tenant's id, of a random key: the part of identification that grows with the table.
void find_key_and_tenant(benchmark::State& state) {
  const TenantTable& tenants = *table_of(size_of(state)).tenants;
  constexpr size_t kAsked = 1 << 16;
  std::vector<Digest> hashes;
  uint64_t random = 1;
  for (size_t i = 0; i < kAsked; i++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    hashes.push_back(tenants[KeyIndex{static_cast<uint32_t>((random >> 33) % size_of(state))}].hash());
  }
  size_t at = 0;
  for (auto _ : state) {
    const auto key = tenants.find_key(hashes[at++ % kAsked]);
    char first = tenants[tenants[*key].tenant()].id()[0];
    benchmark::DoNotOptimize(first);
  }
}

BENCHMARK(compile_whole)->Arg(100)->Arg(10'000)->Unit(benchmark::kMillisecond);
BENCHMARK(compile_whole)->Arg(1'000'000)->Unit(benchmark::kMillisecond)->Iterations(3);
BENCHMARK(change_row)->Arg(100)->Arg(10'000)->Arg(1'000'000)->Unit(benchmark::kMicrosecond);
BENCHMARK(change_key)->Arg(100)->Arg(10'000)->Arg(1'000'000)->Unit(benchmark::kMicrosecond);
BENCHMARK(change_guarded_row)->Arg(100)->Arg(10'000)->Arg(1'000'000)->Unit(benchmark::kMicrosecond);
BENCHMARK(change_many)->Arg(10'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);
BENCHMARK(find_key_and_tenant)->Arg(100)->Arg(10'000)->Arg(1'000'000);
BENCHMARK(image_write)->Arg(1'000'000)->Unit(benchmark::kMillisecond)->Iterations(3);
BENCHMARK(image_start)->Arg(1'000'000)->Unit(benchmark::kMillisecond)->Iterations(3);

}  // namespace
}  // namespace weir::routing
