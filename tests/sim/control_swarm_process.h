// One life of the process in the control plane's swarm: its parts, in the order in which a process makes them.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "routing/admin/control.h"
#include "tests/sim/control_swarm_config.h"
#include "tests/support/simulated_disk.h"

namespace weir::sim {

inline constexpr const char* kSwarmRegistry = "registry.db";

// What of a shard the control thread sees.
struct SwarmShard {
  SwarmShard(core::SnapshotPublisher<routing::Table>& tables, size_t index) : reader(tables, index) {}
  core::SnapshotReader<routing::Table> reader;
  std::vector<core::SnapshotRef<routing::Table>> pins;  // exchanges
  uint64_t sleeps_until_ns = 0;
};

class ControlProcess {
 public:
  ControlProcess(const ControlConfig& config, const testing::SimulatedDisk& disk);

  // False: the registry cannot be opened or the table not be read, which is no fault of the table's. `problem`: it is.
  bool start(const std::string& table, std::string& problem);

  routing::ControlThread& control() { return *control_; }
  routing::RegistryThreads& threads() { return *registry_; }
  // To look at; between jobs.
  const routing::Registry& registry() const { return registry_->reader(); }
  core::Loop& loop() { return *loop_; }
  net::AddressBook& addresses() { return addresses_; }
  std::vector<std::unique_ptr<SwarmShard>>& shards() { return shards_; }
  const std::vector<std::unique_ptr<SwarmShard>>& shards() const { return shards_; }

 private:
  const ControlConfig& config_;
  const std::string vfs_;
  std::unique_ptr<core::Loop> loop_ = *core::Loop::create();
  routing::Worker worker_;
  net::AddressBook addresses_;
  routing::AccessLog log_{nullptr};
  std::unique_ptr<routing::RegistryThreads> registry_;
  std::unique_ptr<routing::Gateway> gateway_;
  std::unique_ptr<routing::ControlThread> control_;
  std::vector<std::unique_ptr<SwarmShard>> shards_;
};

}  // namespace weir::sim
