#include "routing/admin/access.h"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <algorithm>

#include "core/log.h"
#include "net/http/head_rules.h"
#include "routing/decide/identify.h"

namespace weir::routing {
namespace {

using core::ErrorCode;
using net::HeaderId;

constexpr std::string_view kScheme = "bearer ";

constinit core::RateLimitedLog refused_log(1);

bool same_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  return result;
}

// "weir.internal:8443" and "[::1]:8443" without the port.
std::string_view without_port(std::string_view host) {
  const size_t colon = host.rfind(':');
  const bool has_port = colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos;
  return has_port ? host.substr(0, colon) : host;
}

}  // namespace

core::Result<Caller> Access::identify(int socket, const net::RequestHead& head, const uint8_t* base,
                                      uint64_t now_ns) const {
  if (const auto peer = core::peer_credentials(socket)) return of_peer(*peer);
  const std::string host = lower(without_port(head.fields.value(HeaderId::host, base)));
  if (std::ranges::find(rules_.hosts, host) == rules_.hosts.end())
    return core::fail(ErrorCode::bad_host, "host");
  for (const net::Field& field : head.fields) {
    if (!net::equals_ignoring_case(field.name(base), "origin")) continue;
    if (std::ranges::find(rules_.origins, lower(field.value(base))) == rules_.origins.end()) {
      return core::fail(ErrorCode::forbidden, "origin");
    }
  }
  if (head.fields.count(HeaderId::authorization) > 1) return core::fail(ErrorCode::duplicate_authorization);
  return of_token(head.fields.value(HeaderId::authorization, base), now_ns);
}

core::Result<Caller> Access::of_peer(const core::PeerCredentials& peer) const {
  std::optional<Role> role;
  for (const AccessRules::Peer& rule : rules_.peers) {
    const bool is_theirs =
        rule.who == AccessRules::Who::everybody ||
        (rule.who == AccessRules::Who::user && rule.id == peer.uid) ||
        (rule.who == AccessRules::Who::group &&
         (rule.id == peer.gid || std::ranges::find(peer.groups, rule.id) != peer.groups.end()));
    if (is_theirs && (!role || rule.role > *role)) role = rule.role;
  }
  if (!role) return core::fail(ErrorCode::forbidden);
  const auto named = std::ranges::find(rules_.user_names, peer.uid, &std::pair<uint32_t, std::string>::first);
  return Caller{.name = named != rules_.user_names.end() ? named->second : fmt::format("uid {}", peer.uid),
                .role = *role};
}

core::Result<Caller> Access::of_token(std::string_view authorization, uint64_t now_ns) const {
  if (authorization.empty()) return core::fail(ErrorCode::missing_key);
  if (!net::equals_ignoring_case(authorization.substr(0, kScheme.size()), kScheme)) {
    return core::fail(ErrorCode::malformed_authorization);
  }
  const std::string hash = hash_key(rules_.token_secret, authorization.substr(kScheme.size()));
  const AccessRules::Token* found = nullptr;
  for (const AccessRules::Token& token : rules_.tokens) {
    if (same_secret(token.hash, hash)) found = &token;  // no early exit
  }
  if (found == nullptr) {
    refused_log.log(now_ns, core::LogLevel::warning, "admin_token_refused",
                    {{"tokens", rules_.tokens.size()}});
    return core::fail(ErrorCode::unknown_key);
  }
  return Caller{.name = "token " + found->id, .role = found->role, .scopes = found->scopes};
}

}  // namespace weir::routing
