// Who is calling the admin API: from a connection, or from a token, to a Caller (routing/admin/roles.h).
//
//   unix socket ── SO_PEERCRED: uid, gid, groups ─▶ the highest role that lists one of them ─▶ Caller
//   TCP, TLS ───── Authorization: Bearer <token> ─▶ its keyed hash ─▶ the token's row ───────▶ Caller
//
// Over TCP the Host must be one that was configured (a name that an attacker made point here is none), and a
// request with an Origin comes from a web page: it is refused unless that origin was configured.
//
// Invariants
//   1. A token is never kept, logged or repeated; rows hold its keyed hash, and all of them are compared,
//      in constant time.
//   2. The kernel vouches for the peer of a unix socket; a token sent there is not looked at.
//
// Thread: the control loop's.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/socket.h"
#include "net/http/head.h"
#include "routing/admin/roles.h"

namespace weir::routing {

struct AccessRules {
  enum class Who : uint8_t { everybody, user, group };
  struct Peer {
    Role role;
    Who who;
    uint32_t id = 0;  // uid or gid
    friend bool operator==(const Peer&, const Peer&) = default;
  };
  struct Token {
    std::string id;
    std::string hash;  // as `weir hash-key` prints it
    Role role = Role::viewer;
    uint8_t scopes = kAllScopes;
  };
  std::vector<Peer> peers = {};
  std::vector<Token> tokens = {};
  std::vector<std::string> hosts = {};    // Host values in lower case, without a port
  std::vector<std::string> origins = {};  // Origin values in lower case
  std::vector<std::pair<uint32_t, std::string>> user_names =
      {};                         // uids that have a name; others are shown as numbers
  std::string token_secret = {};  // what tokens are hashed with: never print, log or serve it
};

class Access {
 public:
  explicit Access(AccessRules rules) : rules_(std::move(rules)) {}

  // Who a request comes from. Errors: missing_key, malformed_authorization, duplicate_authorization,
  // unknown_key; bad_host, forbidden (a web page's origin; a peer without any role).
  core::Result<Caller> identify(int socket, const net::RequestHead& head, const uint8_t* base,
                                uint64_t now_ns) const;

  core::Result<Caller> of_peer(const core::PeerCredentials& peer) const;
  core::Result<Caller> of_token(std::string_view authorization, uint64_t now_ns) const;

 private:
  const AccessRules rules_;
};

}  // namespace weir::routing
