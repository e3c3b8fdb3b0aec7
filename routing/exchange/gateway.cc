#include "routing/exchange/gateway.h"

#include <openssl/crypto.h>

#include <cstring>
#include <string_view>
#include <utility>

#include "core/clock.h"
#include "core/siphash.h"

namespace weir::routing {
namespace {

// A key of its own for each use of the seed: SipHash of the use's name.
core::SipKey derive_key(uint64_t seed, std::string_view use) {
  const core::Hash128 hash = core::siphash128({seed, ~seed}, use);
  return {hash.low, hash.high};
}

// Users' hashes outlive the process in the guards' state, so their key must: it is made of the secret. Client keys are
// hashed with that as well, and hold no line feed.
core::SipKey users_key(std::string_view key_hash_secret) {
  Digest digest = KeyHasher(key_hash_secret).hash("users\n");
  core::SipKey key;
  std::memcpy(&key.low, digest.data(), sizeof key.low);
  std::memcpy(&key.high, digest.data() + sizeof key.low, sizeof key.high);
  OPENSSL_cleanse(digest.data(), digest.size());
  return key;
}

}  // namespace

Gateway::Gateway(const GatewayOptions& gateway_options, net::AddressSource& address_source,
                 std::function<void()> wake_shards)
    : options(gateway_options),
      addresses(address_source),
      calendar(core::monotonic_now_ns(), core::wall_now_ns()),
      tables(gateway_options.shards, std::move(wake_shards)),
      pins({.memory_bytes = gateway_options.pin_memory_bytes,
            .ttl_ns = gateway_options.pin_ttl_ns,
            .secret = derive_key(gateway_options.process_seed, "pins")}),
      arena(std::make_shared<GuardArena>(gateway_options.max_guard_lines)),
      users(gateway_options.user_guard_memory_bytes, users_key(gateway_options.key_hash_secret)),
      cache(gateway_options.cache_memory_bytes),
      cache_key(derive_key(gateway_options.process_seed, "cache")),
      balance(gateway_options.shards) {
  for (uint32_t shard = 0; shard < options.shards; ++shard) {
    records.push_back(std::make_unique<core::SpscQueue<Record>>(core::limits::kRecordQueueLength));
    shadows.push_back(std::make_unique<ShadowPairs>());
    metrics.push_back(std::make_unique<ShardMetrics>());
  }
}

uint64_t Gateway::turned_away() const {
  uint64_t requests = 0;
  for (const auto& shard : metrics)
    requests += shard->errors[static_cast<size_t>(core::ErrorCode::overloaded)].value();
  return requests;
}

}  // namespace weir::routing
