// What the registry costs: a commit beside the disk's own sync, a million tenants in and out, opening.
//
// The disk is that of TMPDIR (/tmp when it is not set): a tmpfs measures SQLite alone.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "routing/registry/registry.h"

namespace weir::routing {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kTenants = 1'000'000;

struct Folder {
  Folder() {
    const char* parent = std::getenv("TMPDIR");
    std::string name = std::string(parent != nullptr ? parent : "/tmp") + "/registry_bench.XXXXXX";
    path = mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

void report(benchmark::State& state, std::vector<double>& microseconds) {
  std::ranges::sort(microseconds);
  const auto at = [&](double share) {
    return microseconds[static_cast<size_t>(share * static_cast<double>(microseconds.size() - 1))];
  };
  state.counters["p50_us"] = at(0.5);
  state.counters["p99_us"] = at(0.99);
  state.counters["max_us"] = at(1);
}

// What the disk takes for the smallest durable thing: a page appended to a file, and synced.
void disk_sync(benchmark::State& state) {
  const Folder folder;
  const int file = open((folder.path + "/file").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  const std::string page(4096, 'x');
  std::vector<double> times;
  for (auto _ : state) {
    const auto start = Clock::now();
    if (write(file, page.data(), page.size()) < 0 || fdatasync(file) != 0) state.SkipWithError("the disk");
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  close(file);
  report(state, times);
}
BENCHMARK(disk_sync)->Iterations(5000)->Unit(benchmark::kMicrosecond);

std::string body(size_t tenant, int percent) {
  return fmt::format(
      R"({{"flags":{{"support-v2":{{"expires":"2027-01-15","owner":"u-4021","percent":{},"previous":"support-mini",)"
      R"("reason":"security review passed","review":"2026-12-08","state":"pilot"}}}},)"
      R"("limits":{{"concurrency":200,"rpm":6000,"tpm":2000000}},"name":"Tenant {}"}})",
      percent, tenant);
}

Commit change_of(size_t tenant, int percent) {
  return {.actor = {.name = "alice", .role = "operator"},
          .action = "row",
          .target = "tenant t" + std::to_string(tenant),
          .reason = "a wider pilot",
          .objects = {{.kind = ObjectKind::tenant,
                       .name = "t" + std::to_string(tenant),
                       .after = body(tenant, percent)}},
          .wall_ns = 1};
}

const Commit& import() {
  static const Commit commit = [] {
    Commit all{
        .actor = {.name = "weir", .role = "weir"}, .action = "import", .target = "", .reason = "bench"};
    for (size_t i = 0; i < kTenants; i++) {
      all.objects.push_back(
          {.kind = ObjectKind::tenant, .name = "t" + std::to_string(i), .after = body(i, 5)});
    }
    return all;
  }();
  return commit;
}

// A registry of a million tenants, made once.
struct Million {
  Million() {
    registry = std::move(Registry::open({.path = path}).value());
    const auto start = Clock::now();
    if (!registry->commit(import())) std::abort();
    import_s = std::chrono::duration<double>(Clock::now() - start).count();
  }
  static Million& get() {
    static Million million;
    return million;
  }
  Folder folder;
  std::string path = folder.path + "/registry.db";
  std::unique_ptr<Registry> registry;
  double import_s = 0;
};

void import_a_million(benchmark::State& state) {
  for (auto _ : state) state.SetIterationTime(Million::get().import_s);
  state.counters["file_mb"] = static_cast<double>(std::filesystem::file_size(Million::get().path)) / 1e6;
}
BENCHMARK(import_a_million)->Iterations(1)->UseManualTime()->Unit(benchmark::kMillisecond);

void commits(benchmark::State& state, Registry& registry, size_t tenants) {
  std::vector<double> times;
  int percent = 5;
  size_t at = 0;
  for (auto _ : state) {
    at = (at + 7919) % tenants;
    const Commit commit = change_of(at, ++percent);
    const auto start = Clock::now();
    if (!registry.commit(commit)) state.SkipWithError("the disk");
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  report(state, times);
}

void commit_of_a_thousand(benchmark::State& state) {
  const Folder folder;
  auto registry = std::move(Registry::open({.path = folder.path + "/registry.db"}).value());
  for (size_t i = 0; i < 1000; i++) (void)registry->commit(change_of(i, 5));
  commits(state, *registry, 1000);
}
BENCHMARK(commit_of_a_thousand)->Iterations(5000)->Unit(benchmark::kMicrosecond);

void commit_of_a_million(benchmark::State& state) {
  commits(state, *Million::get().registry, kTenants);
}
BENCHMARK(commit_of_a_million)->Iterations(5000)->Unit(benchmark::kMicrosecond);

void open_a_million(benchmark::State& state) {
  Million& million = Million::get();
  for (auto _ : state) {
    state.PauseTiming();
    million.registry.reset();
    state.ResumeTiming();
    million.registry = std::move(Registry::open({.path = million.path}).value());
  }
}
BENCHMARK(open_a_million)->Iterations(20)->Unit(benchmark::kMillisecond);

void read_a_million(benchmark::State& state) {
  for (auto _ : state) {
    size_t bytes = 0;
    (void)Million::get().registry->read_objects(
        0, [&](const ObjectView& object) { bytes += object.body.size(); });
    benchmark::DoNotOptimize(bytes);
  }
}
BENCHMARK(read_a_million)->Iterations(3)->Unit(benchmark::kMillisecond);

void verify_a_million(benchmark::State& state) {
  for (auto _ : state) {
    if (!Million::get().registry->verify({}).value().faults.empty()) state.SkipWithError("faults");
  }
}
BENCHMARK(verify_a_million)->Iterations(1)->Unit(benchmark::kMillisecond);

void audit_a_tenant_of_a_million(benchmark::State& state) {
  for (auto _ : state)
    benchmark::DoNotOptimize(Million::get().registry->audit({.tenant = "t7919", .limit = 10}));
}
BENCHMARK(audit_a_tenant_of_a_million)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace weir::routing
