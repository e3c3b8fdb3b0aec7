#include "tests/sim/swarm.h"

#include <fmt/format.h>

#include <atomic>
#include <ctime>
#include <memory>
#include <utility>
#include <vector>

#include "routing/exchange/exchange.h"
#include "routing/exchange/gateway.h"
#include "routing/exchange/shadow_call.h"
#include "routing/exchange/shard.h"
#include "routing/table/name_index.h"
#include "tests/sim/swarm_checks.h"
#include "tests/sim/swarm_client.h"
#include "tests/sim/swarm_config.h"
#include "tests/sim/swarm_provider.h"
#include "tests/sim/swarm_table.h"
#include "tests/sim/swarm_watch.h"
#include "tests/support/emulated.h"
#include "tests/support/sanitized.h"

namespace weir::sim {
namespace {

constexpr uint32_t kMaxRounds = 300'000;
constexpr uint64_t kRoundNs = 50'000;
constexpr uint64_t kMaxQuietNs = 2'000'000'000;
constexpr uint32_t kQuietRounds = 20;  // before time begins to run faster

constexpr uint64_t kLongestTurnNs = tests::kSanitized || tests::kEmulated ? 1'000'000'000 : 50'000'000;

uint64_t processor_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

class LiteralAddresses final : public net::AddressSource {
 public:
  size_t addresses(const std::string& host, uint16_t port, core::SocketAddress* out, size_t) override {
    *out = *core::SocketAddress::parse(host + ":" + std::to_string(port));
    return 1;
  }
};

routing::GatewayOptions gateway_options(const SwarmConfig& config) {
  routing::GatewayOptions options;
  options.shards = config.shards;
  options.key_hash_secret = kKeyHashSecret;
  options.process_seed = config.seed;
  options.pin_memory_bytes = 64 << 10;
  options.pin_ttl_ns = uint64_t{1000} * 3600 * 1'000'000'000;
  options.user_guard_memory_bytes = 64 << 10;
  options.cache_memory_bytes = config.small_cache ? 8 << 10 : 1 << 20;
  options.shadow = config.shadow;
  options.balance_connections = config.balance;
  if (config.small_gateway) {
    options.max_connections_per_shard = 3;
    options.max_exchanges_per_shard = 2;
    options.max_body_bytes = 64 << 10;
  }
  return options;
}

class Run {
 public:
  explicit Run(uint64_t seed);
  SwarmResult run();
  bool failed() const { return journal_.findings.any(); }

 private:
  core::SocketAddress listen() {
    return core::bound_address(listeners_.emplace_back(*core::listen_tcp(any_)));
  }
  void publish();
  void round();
  void operators_act();
  void purge();
  void let_time_pass();
  void turn_shard(size_t index);
  void take_records();
  void take_pairs();
  bool clients_finished() const;
  void drain();
  void end();
  SwarmResult result() const;

  const SwarmConfig config_;
  World world_;
  Dice dice_;
  Journal journal_;
  const core::SocketAddress any_ = *core::SocketAddress::parse("127.0.0.1:0");
  std::vector<int> listeners_;
  LiteralAddresses addresses_;
  std::unique_ptr<core::Loop> client_loop_ = *core::Loop::create();
  std::unique_ptr<core::Loop> provider_loop_ = *core::Loop::create();
  std::vector<std::unique_ptr<core::Loop>> shard_loops_;
  std::vector<std::unique_ptr<SwarmProvider>> providers_;
  std::unique_ptr<TableMaker> tables_;
  std::unique_ptr<SwarmChecks> checks_;
  std::unique_ptr<routing::Gateway> gateway_;
  std::vector<std::unique_ptr<routing::Shard>> shards_;
  std::vector<std::unique_ptr<SwarmClient>> clients_;
  uint32_t rounds_ = 0;
  uint32_t quiet_rounds_ = 0;
  uint64_t quiet_ns_ = kRoundNs;
  uint64_t begun_ns_ = 0;
  uint64_t longest_turn_ns_ = 0;
};

Run::Run(uint64_t seed)
    : config_(seed), world_(seed, config_.faults), dice_(seed, 2), begun_ns_(world_.monotonic_ns) {
  pool_max_connections =
      config_.small_gateway || dice_.one_in(3) ? static_cast<uint32_t>(dice_.between(1, 3)) : 4096;
  pool_max_waiting = dice_.one_in(4) ? static_cast<uint32_t>(dice_.between(1, 2)) : 4096;
  if (config_.tight_pools) pool_max_connections = pool_max_waiting = 1;
  std::vector<uint16_t> ports;
  for (uint32_t i = 0; i < config_.providers; ++i) {
    providers_.push_back(std::make_unique<SwarmProvider>(*provider_loop_, config_, i, journal_));
    ports.push_back(listen().port());
    providers_.back()->server.listen(listeners_.back());
  }
  tables_ = std::make_unique<TableMaker>(config_, std::move(ports));
  checks_ = std::make_unique<SwarmChecks>(config_, *tables_, journal_);
  gateway_ = std::make_unique<routing::Gateway>(gateway_options(config_), addresses_, [] {});
  if (!dice_.one_in(10)) publish();  // else requests come before the first table
  std::vector<core::SocketAddress> gateways;
  for (uint32_t i = 0; i < config_.shards; ++i) {
    shard_loops_.push_back(*core::Loop::create());
    shards_.push_back(std::make_unique<routing::Shard>(*shard_loops_.back(), *gateway_, i));
    gateways.push_back(listen());
    shards_.back()->listen(listeners_.back());
  }
  for (uint32_t i = 0; i < config_.clients; ++i) {
    clients_.push_back(std::make_unique<SwarmClient>(*client_loop_, config_, i, gateways, journal_));
  }
}

void Run::publish() {
  gateway_->tables.publish(tables_->make(*gateway_, world_.wall_ns));
}

void Run::turn_shard(size_t index) {
  const uint64_t before = processor_ns();
  shard_loops_[index]->turn(0);
  const uint64_t took = processor_ns() - before;
  longest_turn_ns_ = std::max(longest_turn_ns_, took);
  journal_.findings.check(took <= kLongestTurnNs, fmt::format("a turn of a shard took {} us", took / 1000));
}

void Run::round() {
  ++rounds_;
  gateway_->calendar.tick(world_.monotonic_ns, world_.wall_ns);
  for (auto& client : clients_) client->step();
  client_loop_->turn(0);
  for (size_t i = 0; i < shards_.size(); ++i) {
    // Shards run at their own pace.
    if (!dice_.one_in(8))
      turn_shard(config_.faults.reorder > 0.2 && rounds_ % 2 == 0 ? shards_.size() - 1 - i : i);
  }
  provider_loop_->turn(0);
  for (auto& provider : providers_) provider->step();
  take_records();
  if (tables_->revision() > 0) checks_->while_running(*gateway_->tables.newest(), gateway_->users);
}

void Run::operators_act() {
  if (tables_->revision() == 0) {
    if (rounds_ > 20) publish();
    return;
  }
  const bool another = dice_.chance(config_.publish), kill = dice_.chance(config_.kill);
  if (another) tables_->change();
  if (kill) tables_->change_kills();
  if (another || kill) publish();
  if (config_.purge > 0 && dice_.chance(config_.purge)) purge();
}

void Run::purge() {
  Purge order{.at_ns = world_.monotonic_ns, .scope = static_cast<Purge::Scope>(dice_.below(3)), .name = {}};
  std::atomic<uint64_t> routing::CacheLine::*label = &routing::CacheLine::tenant;
  switch (order.scope) {
    case Purge::Scope::tenant:
      order.name = fmt::format("t{}", dice_.below(config_.tenants));
      break;
    case Purge::Scope::unit:
      order.name = fmt::format("u{}", dice_.below(tables_->unit_count()));
      label = &routing::CacheLine::unit;
      break;
    case Purge::Scope::scenario:
      order.name = fmt::format("chat{}", dice_.below(config_.scenarios));
      label = &routing::CacheLine::scenario;
      break;
  }
  gateway_->cache.purge(label, routing::hash_name(order.name));
  journal_.purges.push_back(std::move(order));
}

void Run::let_time_pass() {
  uint64_t step = kRoundNs;
  if (dice_.chance(config_.pause)) step = dice_.below(dice_.one_in(4) ? 60'000'000'000 : 400'000'000);
  world_.advance(std::max(step, quiet_ns_));
  if (dice_.chance(config_.wall_jump)) {
    world_.wall_ns += static_cast<int64_t>(dice_.below(7'200'000'000'000)) - 3'600'000'000'000;
  }
}

// Each round, so that it is known when each exchange ended.
void Run::take_records() {
  take_pairs();
  for (auto& queue : gateway_->records) {
    queue->drain([&](routing::Record& record) {
      Settled settled{record, record.table == nullptr ? 0 : record.table->revision, world_.monotonic_ns};
      settled.record.table = nullptr;
      world_.note(record.id.high ^ static_cast<uint64_t>(record.cost_nano_usd) ^
                  uint64_t{record.status} << 32);
      world_.note(record.total_ns ^ record.response_bytes << 20 ^ settled.revision);
      journal_.records.push_back(settled);
    });
  }
  gateway_->tables.reclaim();
}

void Run::take_pairs() {
  for (auto& queue : gateway_->shadows) {
    queue->drain([&](const routing::ShadowPair& pair) {
      journal_.pairs.push_back({.pair = pair,
                                .revision = pair.table->revision,
                                .id = {routing::to_hex(pair.id).data(), 32},
                                .primary = std::string(pair.primary.body()),
                                .shadow = std::string(pair.shadow.body())});
      routing::ShadowPair& kept = journal_.pairs.back().pair;
      kept.table = nullptr;
      kept.primary.bytes = kept.shadow.bytes = nullptr;
      world_.note(pair.id.high ^ pair.shadow.status ^ static_cast<uint64_t>(pair.shadow.cost_nano_usd));
    });
  }
}

bool Run::clients_finished() const {
  for (const auto& client : clients_) {
    if (!client->finished()) return false;
  }
  return true;
}

void Run::drain() {
  journal_.draining = true;
  for (auto& client : clients_) client->stop();
  for (size_t i = 0; i < shards_.size(); ++i) {
    shard_loops_[i]->post([shard = shards_[i].get()] { shard->begin_drain(); });
  }
}

SwarmResult Run::run() {
  uint32_t drained_at = 0, close_at = 0, closed_at = 0;
  uint64_t events = 0;
  while (!failed()) {
    round();
    if (drained_at == 0) operators_act();
    quiet_rounds_ = world_.events() == events ? quiet_rounds_ + 1 : 0;
    events = world_.events();
    quiet_ns_ = quiet_rounds_ < kQuietRounds ? kRoundNs : std::min(quiet_ns_ + quiet_ns_ / 3, kMaxQuietNs);
    let_time_pass();
    if (drained_at == 0 && (clients_finished() || rounds_ == config_.drain_at_round)) {
      drained_at = rounds_;
      close_at = drained_at + static_cast<uint32_t>(dice_.between(1, 800));
      drain();
    }
    if (rounds_ == close_at) {
      for (size_t i = 0; i < shards_.size(); ++i) {
        shard_loops_[i]->post([shard = shards_[i].get()] { shard->close_all(); });
      }
    }
    if (drained_at != 0) {
      bool closed = true;
      for (auto& shard : shards_) closed = shard->closed() && closed;
      if (closed && closed_at == 0) {
        closed_at = rounds_;
        for (auto& client : clients_) client->close();
        for (auto& provider : providers_) {
          provider->server.begin_drain();
          provider->server.close_all();
        }
      }
      if (closed_at != 0) {
        for (auto& provider : providers_) closed = closed && provider->server.closed();
        for (auto& client : clients_) closed = closed && client->closed();
        if (closed && rounds_ > closed_at + 4) break;
      }
    }
    if (rounds_ > kMaxRounds) {
      journal_.findings.add(drained_at == 0  ? "a request was never answered"
                            : closed_at == 0 ? "a shard never closed"
                                             : "a provider or client never closed");
    }
  }
  if (!failed()) end();
  return result();
}

void Run::end() {
  for (auto& client : clients_) client->step();  // what was open is lost now
  take_records();
  checks_->at_the_end(*gateway_, clients_);
  Findings& findings = journal_.findings;
  for (const auto& shard : shards_) {
    findings.check(shard->exchanges().live() == 0, "an exchange is left");
    findings.check(shard->shadow_calls().live() == 0, "a copy is left");
  }
  if (failed()) return;
  shards_.clear();
  findings.check(gateway_->tables.live_versions() <= 1 ||
                     (gateway_->tables.reclaim(), gateway_->tables.live_versions() == 1),
                 "an exchange kept its table");
  for (const auto& loop : shard_loops_) {
    findings.check(loop->buffers().live_blocks() == 0, "a buffer is left");
    findings.check(loop->timers().next_deadline_ns() == core::kNoDeadline, "a timer is left");
  }
  findings.check(world_.open_descriptors() == 0, "a descriptor is left");
}

SwarmResult Run::result() const {
  SwarmResult result;
  result.finding = journal_.findings.first();
  if (!result.finding.empty())
    result.finding += fmt::format("\n  in round {}; {}", rounds_, config_.to_string());
  result.trace = world_.trace();
  result.events = world_.events();
  result.simulated_ns = world_.monotonic_ns - begun_ns_;
  result.longest_turn_ns = longest_turn_ns_;
  for (const auto& client : clients_) {
    for (const Asked& asked : client->asked()) {
      ++result.requests;
      if (asked.end == Asked::End::answered) ++(asked.answer.status < 400 ? result.whole : result.errors);
      if (asked.end == Asked::End::cut) ++result.cut;
      if (asked.end == Asked::End::lost) ++result.lost;
    }
  }
  result.tables = static_cast<uint32_t>(tables_->revision());
  result.attempts = static_cast<uint32_t>(journal_.attempts.size());
  result.copies = static_cast<uint32_t>(journal_.pairs.size());
  for (const Settled& settled : journal_.records)
    result.cached += settled.record.cache == routing::CacheUse::hit;
  return result;
}

}  // namespace

SwarmResult run_swarm(uint64_t seed) {
  auto run = std::make_unique<Run>(seed);
  SwarmResult result = run->run();
  // What is wrong may keep the parts from ending: their own assertions would hide what was found.
  if (run->failed()) static_cast<void>(run.release());
  return result;
}

}  // namespace weir::sim
