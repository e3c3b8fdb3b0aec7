#include "tests/sim/control_swarm_process.h"

#include <utility>

namespace weir::sim {

using namespace routing;  // NOLINT: a test

namespace {

constexpr uint32_t kEveryTableGetsAnImage = 1, kNoTableDoes = 20'000;

GatewayOptions gateway_options(const ControlConfig& config) {
  GatewayOptions options;
  options.shards = config.shards;
  options.key_hash_secret = "secret";
  options.process_seed = config.seed;
  options.pin_memory_bytes = options.user_guard_memory_bytes = options.cache_memory_bytes = 64 << 10;
  options.max_guard_lines = 4096;
  return options;
}

}  // namespace

ControlProcess::ControlProcess(const ControlConfig& config, const testing::SimulatedDisk& disk)
    : config_(config), vfs_(disk.name()) {}

bool ControlProcess::start(const std::string& table, std::string& problem) {
  auto opened = RegistryThreads::open({.path = kSwarmRegistry, .vfs = vfs_});
  if (!opened) {
    if (opened.error().kind == RegistryError::Kind::corrupt ||
        opened.error().kind == RegistryError::Kind::newer) {
      problem = opened.error().message;
    }
    return false;
  }
  registry_ = std::move(*opened);
  gateway_ = std::make_unique<Gateway>(gateway_options(config_), addresses_, [] {});
  control_ = std::make_unique<ControlThread>(
      *loop_, ControlParts{*gateway_, addresses_, log_, worker_, *registry_},
      ControlOptions{.compile = {},
                     .build = "swarm",
                     .image_from_tenants = config_.images ? kEveryTableGetsAnImage : kNoTableDoes});
  const auto started = control_->start([&]() -> std::expected<ControlThread::TableText, std::string> {
    return ControlThread::TableText{table, TableFormat::json, "table.json"};
  });
  if (!started) {
    for (const Problem& each : started.error().problems) problem += routing::to_string(each) + "; ";
    return false;
  }
  for (uint32_t i = 0; i < config_.shards; ++i) {
    shards_.push_back(std::make_unique<SwarmShard>(gateway_->tables, i));
    shards_.back()->reader.refresh();
  }
  return true;
}

}  // namespace weir::sim
