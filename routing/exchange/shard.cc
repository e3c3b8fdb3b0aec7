#include "routing/exchange/shard.h"

#include <algorithm>
#include <ctime>

#include "routing/exchange/data_plane.h"
#include "routing/exchange/exchange.h"
#include "routing/exchange/shadow_call.h"

namespace weir::routing {
namespace {

// A generator whose stream is private to the shard; ids need to be unique, not secret (xoroshiro128+,
// Blackman and Vigna 2018).
uint64_t next_random(RequestId& state) {
  const uint64_t result = state.high + state.low;
  const uint64_t mixed = state.high ^ state.low;
  state.high = (state.high << 24 | state.high >> 40) ^ mixed ^ (mixed << 16);
  state.low = mixed << 37 | mixed >> 27;
  return result;
}

core::SipKey identifier_secret(uint64_t seed, uint32_t index) {
  RequestId state{seed ^ 0x9e3779b97f4a7c15u, seed + index + 1};
  for (int i = 0; i < 8; ++i) next_random(state);
  return {next_random(state), next_random(state)};
}

}  // namespace

Shard::Shard(core::Loop& loop, Gateway& gateway, uint32_t index)
    : loop_(loop),
      gateway_(gateway),
      metrics_(*gateway.metrics[index]),
      records_(*gateway.records[index]),
      reader_(gateway.tables, index),
      hasher_(gateway.options.key_hash_secret),
      identifier_(hasher_, identifier_secret(gateway.options.process_seed, index)),
      small_bytes_(loop.buffers()),
      exchanges_(gateway.options.max_exchanges_per_shard),
      shadow_calls_(core::limits::kMaxShadowCalls),
      data_plane_(std::make_unique<DataPlane>(*this)),
      server_(loop, *data_plane_, gateway.options.max_connections_per_shard),
      calm_timer_(on_calm, this),
      index_(index),
      next_id_{gateway.options.process_seed + 0x632be59bd9b4e019u * (index + 1),
               ~gateway.options.process_seed} {
  net::ServerSettings& settings = server_.settings();
  settings.max_body_bytes = gateway.options.max_body_bytes;
  settings.head_timeout_ms = gateway.options.head_timeout_ms;
  settings.body_stall_timeout_ms = gateway.options.body_stall_timeout_ms;
  settings.idle_timeout_ms = gateway.options.idle_timeout_ms;
  settings.write_stall_timeout_ms = gateway.options.write_stall_timeout_ms;
  if (gateway.options.balance_connections) server_.join(gateway.balance, index);
  for (int i = 0; i < 8; ++i) next_random(next_id_);
  loop.on_turn(on_turn, this);
  reader_.refresh();
}

Shard::~Shard() {
  WEIR_ASSERT(closed());
  calm_timer_.cancel();
  loop_.on_turn(nullptr, nullptr);
}

void Shard::listen(int listener, const net::TlsServerContextHolder* tls) {
  server_.listen(listener, tls);
}

void Shard::on_turn(void* self_pointer) {
  auto& self = *static_cast<Shard*>(self_pointer);
  if (self.reader_.refresh()) {
    for (auto& pools : self.pool_of_provider_) pools.clear();
    self.data_plane_->on_new_table();
    if (self.gateway_.control != nullptr) self.gateway_.control->wake();
  }
  self.observe_load();
  ShardMetrics& metrics = self.metrics_;
  metrics.turns.add();
  const core::IoStats& io = self.loop_.io().stats();
  metrics.kernel_enters.set(static_cast<int64_t>(io.enters));
  metrics.operations.set(static_cast<int64_t>(io.submitted));
  metrics.completions.set(static_cast<int64_t>(io.completed));
  metrics.no_buffers.set(static_cast<int64_t>(io.no_buffers));
  metrics.overflows.set(static_cast<int64_t>(io.overflows));
  metrics.receive_bytes.set(static_cast<int64_t>(io.receive_bytes + io.spare_bytes));
  metrics.buffer_bytes.set(static_cast<int64_t>(self.loop_.buffers().allocated_bytes()));
  metrics.connections.set(self.server_.connections());
  metrics.accepted.set(static_cast<int64_t>(self.server_.accepted()));
  metrics.connections_refused.set(static_cast<int64_t>(self.server_.refused()));
  metrics.connections_passed_on.set(static_cast<int64_t>(self.server_.passed_on()));
  metrics.exchanges.set(self.exchanges_.live());
}

net::UpstreamPool& Shard::pool_for(const Table& of, ProviderIndex provider, PoolUse use) {
  // An exchange that began on an earlier table has other indices; it looks its pool up by name.
  if (&of != &table()) return find_pool(of, provider, use);
  const auto at = static_cast<uint32_t>(provider);
  std::vector<net::UpstreamPool*>& pools = pool_of_provider_[static_cast<size_t>(use)];
  if (pools.empty()) pools.resize(of.body->providers.size(), nullptr);
  if (pools[at] == nullptr) pools[at] = &find_pool(of, provider, use);
  return *pools[at];
}

void Shard::on_calm(core::Timer&) {}  // a turn is all that is wanted

// How long the last turn took, and how much is in use: once per turn.
void Shard::observe_load() {
  // A bound set low on purpose is meant to be reached; it says nothing of load.
  constexpr uint32_t kFewExchanges = 64;
  const uint32_t most = gateway_.options.max_exchanges_per_shard;
  const uint64_t in_use = most > kFewExchanges ? uint64_t{exchanges_.live()} * 1000 / most : 0;
  const LoadFacts facts{
      .turn_ns = loop_.last_turn_ns(),
      .exchanges_permille = static_cast<uint32_t>(in_use),
      .memory_permille = static_cast<uint32_t>(
          std::max(loop_.io().stats().receive_bytes * 1000 / core::IoOptions{}.max_receive_bytes,
                   loop_.buffers().allocated_bytes() * 1000 / core::limits::kMaxBufferBytesPerShard))};
  metrics_.turn_ns.record(facts.turn_ns);
  const Rung rung = ladder_.observe(facts, loop_.now_ns());
  server_.settings().thinning = ladder_.ends_connections();
  // Nothing may happen any more, above all when nobody is let in: it comes down all the same.
  if (rung != Rung::normal) {
    loop_.timers().schedule(calm_timer_, loop_.now_ns() + OverloadLadder::kCalmNs / 4);
  }
  server_.pause_accepting(rung == Rung::no_accept);
  metrics_.overload_rung.set(static_cast<int64_t>(rung));
}

bool Shard::has_room_for_shadow() {
  return !draining_ && shadow_calls_.live() < core::limits::kMaxShadowCalls && shadow_pairs().any_free() &&
         shadow_gate_.admits(loop_.now_ns());
}

net::UpstreamPool& Shard::find_pool(const Table& of, ProviderIndex index, PoolUse use) {
  const Provider& provider = (*of.body)[index];
  std::string name = (provider.tls ? "https://" : "http://") + provider.host + ":" +
                     std::to_string(provider.port) + "|" + provider.ca_file;
  if (use == PoolUse::copies) name += "|shadow";
  Pool& entry = pools_[std::move(name)];
  const auto at = static_cast<uint32_t>(index);
  const bool has_trust = provider.tls && at < of.trust.size();
  auto& pool = entry.pool;
  if (pool != nullptr && has_trust && &of == &table() && entry.trust != of.trust[at]) {
    // The trust anchors were read again: connections that stand on the old ones are not used any more.
    entry.trust = of.trust[at];
    pool->replace_context(entry.trust->for_another_shard());
  }
  if (pool == nullptr) {
    net::UpstreamTarget target{.host = provider.host,
                               .port = provider.port,
                               .tls = provider.tls,
                               .context = nullptr,
                               .idle_timeout_ms = gateway_.options.upstream_idle_ms};
    if (has_trust && of.trust[at] != nullptr) {
      entry.trust = of.trust[at];
      target.context = entry.trust->for_another_shard();
    }
    pool =
        std::make_unique<net::UpstreamPool>(loop_, std::move(target), gateway_.addresses, response_parser_);
  }
  return *pool;
}

RequestId Shard::next_request_id() {
  const uint64_t high = next_random(next_id_);
  return {high, next_random(next_id_)};
}

std::string_view Shard::date() {
  constexpr int64_t kDayNs = 86'400'000'000'000;
  const int64_t day = loop_.wall_now_ns() / kDayNs;
  if (day != date_day_) {
    date_day_ = day;
    const time_t seconds = day * 86'400;
    tm parts{};
    gmtime_r(&seconds, &parts);
    strftime(date_, sizeof date_, "%Y-%m-%d", &parts);
  }
  return {date_, sizeof date_ - 1};
}

void Shard::settle(const Record& record) {
  metrics_.count(record);
  if (!records_.try_push(record)) metrics_.records_dropped.add();
}

void Shard::begin_drain(uint32_t idle_ms) {
  draining_ = true;
  shadow_calls_.for_each([](ShadowCall& call) { call.abandon(); });
  server_.begin_drain(idle_ms);
  data_plane_->begin_drain();
}

void Shard::close_all() {
  begin_drain();
  exchanges_.for_each([](Exchange& exchange) { exchange.abandon(); });
  server_.close_all();
}

bool Shard::closed() {
  if (server_.closed() && exchanges_.live() == 0 && shadow_calls_.live() == 0) {
    for (auto& [name, entry] : pools_) entry.pool->begin_close();
  }
  return server_.closed() && exchanges_.live() == 0 && shadow_calls_.live() == 0 &&
         std::all_of(pools_.begin(), pools_.end(),
                     [](const auto& entry) { return entry.second.pool->closed(); });
}

}  // namespace weir::routing
