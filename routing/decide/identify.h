// From the Authorization header to the key: whose traffic is this (DESIGN section 3, step 2).
//
//   "Bearer sk-..." ─▶ SipHash under the process's secret ─▶ cache ──hit──▶ digest, index ─▶ KeyIndex
//                                                             │miss                            ▲
//                                                             └▶ HMAC-SHA-256 ─▶ find_key() ───┘
//
// Invariants
//   1. No token is kept: the cache holds its SipHash under a secret of this process and its HMAC, no more.
//   2. What the cache says is confirmed against the table of this request: the key found must hold exactly
//      the digest of the cached entry. Hence a revoked key is refused on the first request that sees the new
//      table, and a table swap costs no HMAC: the digest depends on the token alone.
//   3. Only keys that exist are cached, so that nobody without a key can push one out.
//   4. Time depends on the token's length and on keyed hashes of it, never on how much of it is right.
#pragma once

#include <openssl/sha.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/siphash.h"
#include "routing/table/table.h"

namespace weir::routing {

// HMAC-SHA-256 (RFC 2104) with one secret, whose two padded blocks are hashed once. Any thread; no
// allocation.
class KeyHasher {
 public:
  explicit KeyHasher(std::string_view secret);
  KeyHasher(const KeyHasher&) = delete;
  KeyHasher& operator=(const KeyHasher&) = delete;
  ~KeyHasher();

  Digest hash(std::string_view token) const;

 private:
  SHA256_CTX inner_;
  SHA256_CTX outer_;
};

// What a table says of a key: "hmac-sha256:" and 64 lower-case hex digits.
std::string hash_key(std::string_view secret, std::string_view token);

// One per shard.
class Identifier {
 public:
  static constexpr uint32_t kCacheEntries = 4096;  // a power of two; 64 bytes each

  // `hasher` is shared and must outlive this; `secret` is random, drawn at start-up.
  Identifier(const KeyHasher& hasher, core::SipKey secret);

  // The key that an Authorization field value names: the scheme `Bearer` in any case, one space, 1 to
  // limits::kMaxIdentifierBytes visible ASCII characters (RFC 6750 section 2.1, with more characters than its
  // token68). Errors: missing_key (empty value), malformed_authorization, unknown_key.
  core::Result<KeyIndex> identify(const Table& table, std::string_view authorization);
  // The same of a bare token. Errors: malformed_authorization, unknown_key, with the field at fault.
  core::Result<KeyIndex> identify_token(const Table& table, std::string_view token, const char* field);

  // HMACs computed so far.
  uint64_t cache_misses() const { return cache_misses_; }

 private:
  struct alignas(64) Entry {
    core::Hash128 tag;  // of the token
    Digest digest{};
    uint32_t key = 0;  // where the key with that digest was last
  };
  static_assert(sizeof(Entry) == 64);

  core::Result<KeyIndex> find(const Table& table, std::string_view token, const char* field);

  const KeyHasher& hasher_;
  const core::SipKey secret_;
  std::vector<Entry> cache_;  // direct-mapped by the tag's low bits
  uint64_t cache_misses_ = 0;
};

// The tenant a request is for: the key's own, or the one it names and may act for (x-weir-tenant; empty = names
// none). Errors: tenant_not_allowed.
core::Result<TenantIndex> acting_tenant(const Table& table, KeyIndex key, std::string_view named);

}  // namespace weir::routing
