// OpenSSL 3 deprecates the SHA256_* functions in favour of EVP, whose contexts allocate on every copy
// (EVP_MD_CTX_copy_ex duplicates the provider's state). A SHA256_CTX is a plain value.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "routing/decide/identify.h"


#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <optional>

#include "core/limits.h"
#include "net/http/scan.h"

namespace weir::routing {

namespace {

using core::ErrorCode;

constexpr std::string_view kScheme = "bearer";
constexpr const char* kField = "authorization";

bool is_bearer(std::string_view scheme) {
  if (scheme.size() != kScheme.size()) return false;
  for (size_t i = 0; i < scheme.size(); i++) {
    if ((scheme[i] | 0x20) != kScheme[i]) return false;
  }
  return true;
}

// All characters are 0x21 to 0x7e.
bool is_visible_ascii(std::string_view text) {
  return !net::holds_any<net::NotVisible>(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

bool is_token(std::string_view text) {
  return !text.empty() && text.size() <= core::limits::kMaxIdentifierBytes && is_visible_ascii(text);
}

// The token in "Bearer <token>"; none if the value has another form.
std::optional<std::string_view> parse_bearer(std::string_view value) {
  if (value.size() < kScheme.size() + 2 || value[kScheme.size()] != ' ') return std::nullopt;
  if (!is_bearer(value.substr(0, kScheme.size()))) return std::nullopt;
  const std::string_view token = value.substr(kScheme.size() + 1);
  return is_token(token) ? std::optional(token) : std::nullopt;
}

bool same_tag(const core::Hash128& a, const core::Hash128& b) {
  return ((a.low ^ b.low) | (a.high ^ b.high)) == 0;
}

void start(SHA256_CTX& state, const std::array<uint8_t, SHA256_CBLOCK>& key, uint8_t pad) {
  std::array<uint8_t, SHA256_CBLOCK> block;
  for (size_t i = 0; i < block.size(); i++) block[i] = key[i] ^ pad;
  SHA256_Init(&state);
  SHA256_Update(&state, block.data(), block.size());
  OPENSSL_cleanse(block.data(), block.size());
}

}  // namespace

KeyHasher::KeyHasher(std::string_view secret) {
  std::array<uint8_t, SHA256_CBLOCK> key{};
  if (secret.size() > key.size()) {
    SHA256(reinterpret_cast<const uint8_t*>(secret.data()), secret.size(), key.data());
  } else if (!secret.empty()) {
    std::memcpy(key.data(), secret.data(), secret.size());
  }
  start(inner_, key, 0x36);
  start(outer_, key, 0x5c);
  OPENSSL_cleanse(key.data(), key.size());
}

KeyHasher::~KeyHasher() {
  OPENSSL_cleanse(&inner_, sizeof(inner_));
  OPENSSL_cleanse(&outer_, sizeof(outer_));
}

Digest KeyHasher::hash(std::string_view token) const {
  Digest digest;
  SHA256_CTX state = inner_;
  SHA256_Update(&state, token.data(), token.size());
  SHA256_Final(digest.data(), &state);
  OPENSSL_cleanse(&state, sizeof(state));  // it may hold the token's end
  state = outer_;
  SHA256_Update(&state, digest.data(), digest.size());
  SHA256_Final(digest.data(), &state);
  return digest;
}

std::string hash_key(std::string_view secret, std::string_view token) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text = "hmac-sha256:";
  for (const uint8_t byte : KeyHasher(secret).hash(token)) {
    text += kHex[byte >> 4];
    text += kHex[byte & 15];
  }
  return text;
}

Identifier::Identifier(const KeyHasher& hasher, core::SipKey secret)
    : hasher_(hasher), secret_(secret), cache_(kCacheEntries) {}

core::Result<KeyIndex> Identifier::identify(const Table& table, std::string_view authorization) {
  if (authorization.empty()) return core::fail(ErrorCode::missing_key, kField);
  const std::optional<std::string_view> token = parse_bearer(authorization);
  if (!token) return core::fail(ErrorCode::malformed_authorization, kField);
  return find(table, *token, kField);
}

core::Result<KeyIndex> Identifier::identify_token(const Table& table, std::string_view token,
                                                  const char* field) {
  if (!is_token(token)) return core::fail(ErrorCode::malformed_authorization, field);
  return find(table, token, field);
}

core::Result<KeyIndex> Identifier::find(const Table& table, std::string_view token, const char* field) {
  const TenantTable& tenants = *table.tenants;
  const core::Hash128 tag = core::siphash128(secret_, token);
  Entry& entry = cache_[tag.low & (kCacheEntries - 1)];
  const bool cached = same_tag(entry.tag, tag);
  // Both sides are hashes under the table's secret, which nobody outside can steer: no need of constant time.
  if (cached && entry.key < tenants.key_end() && tenants[KeyIndex{entry.key}].hash() == entry.digest) {
    return KeyIndex{entry.key};
  }

  Digest digest;
  if (cached) {
    digest = entry.digest;  // the table has changed: look the key up again
  } else {
    digest = hasher_.hash(token);
    cache_misses_++;
  }
  const std::optional<KeyIndex> key = tenants.find_key(digest);
  if (!key) {
    if (cached) entry = Entry{};
    return core::fail(ErrorCode::unknown_key, field);
  }
  entry = Entry{.tag = tag, .digest = digest, .key = static_cast<uint32_t>(*key)};
  return *key;
}

core::Result<TenantIndex> acting_tenant(const Table& table, KeyIndex key, std::string_view named) {
  const Key row = table[key];
  if (named.empty()) return row.tenant();
  const std::optional<TenantIndex> tenant = table.tenants->find(named);
  if (!tenant || !row.may_act_for(*tenant)) return core::fail(ErrorCode::tenant_not_allowed, "x-weir-tenant");
  return *tenant;
}

}  // namespace weir::routing
