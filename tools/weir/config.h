// weir.yaml: what one weir process needs to know before it starts. What it routes is the flag table
// (routing/table), a file of its own that can change while the process runs; this one is read once.
//
//   listen: ["127.0.0.1:8080", "[::1]:8080"]   # address:port; port 0 = any free one; one string will do
//   tls:                                        # optional: addresses that speak TLS
//     listen: ["0.0.0.0:8443"]
//     certificates:                             # chosen by SNI; the first one is the default
//       - { cert: tls/gw.pem, key: tls/gw.key }
//   shards: auto                                # or a number; auto = one per CPU this process may use
//   busy_poll_us: 50                            # optional: a shard looks so long for work before it sleeps
//   table: table.yaml                           # required; JSON or YAML; read when the registry is empty
//   registry: /var/lib/weir/registry.db         # all tables and the log; none = in memory only
//   key_hash_secret: "${WEIR_KEY_HASH_SECRET}"  # required; or file:/path, or env:NAME
//   admin:
//     socket: /run/weir/admin.sock
//     mode: "0660"
//     roles:                                    # who may what (routing/admin/roles.h); the highest counts
//       admin: ["user:root"]                    # user:NAME, uid:N, group:NAME, gid:N, or * for everybody
//       operator: ["group:oncall"]
//     tcp:                                      # optional: the admin API over TLS, with tokens
//       listen: "0.0.0.0:8444"
//       certificates: [ { cert: tls/admin.pem, key: tls/admin.key } ]
//       hosts: [weir.internal]                  # Host values that are answered
//       origins: ["https://console.internal"]   # web pages that may call; none when left out
//       tokens: [ { id: ci, hash: "hmac-sha256:…", role: admin, scopes: [read, deploy] } ]   # weir hash-key
//   access_log: stdout                          # or a path, or none
//   guard_state: guards.state                   # where spend outlives the process; default: beside the registry
//   alerts: { url: "https://ops.example/weir", secret: "${ALERT_SECRET}" }   # optional: a webhook, signed
//   shadow: { log: shadow.jsonl, text: masked, mask: [Falcon] }   # optional: pairs of shadow mode; of some tenants
//                                        # otherwise: tenants: { bank-17: { text: digest, mask: [Heron] } }
//   limits: { max_body_bytes: 1048576, head_timeout: 10s }
//   sandbox: on                                 # or off: see tools/weir/sandbox.h
//   readable: [/opt/pki]                        # what else a table may name files in
//
// Rules
//   1. Text and numbers may hold ${NAME} (durations may not); a variable that is not set is a problem.
//   2. Relative paths start at the folder of the configuration file.
//   3. Loading reports all problems at once, each with its path; a Config exists only without problems.
//   4. A secret in plain text is refused: only references to one are accepted.
//
// Cold path, any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/limits.h"
#include "core/socket.h"
#include "net/tls/tls_server_context.h"
#include "routing/admin/access.h"
#include "routing/admin/shadow_policy.h"
#include "routing/guard/guard_memory.h"
#include "routing/table/problem.h"

namespace weir::tools {

enum class AccessLog : uint8_t { none, standard_output, file };

// What may be tightened per process, and the memory of two tables, which may be more too; the defaults, and the most
// that is accepted, stand in core/limits.h and routing/guard/guard_memory.h.
struct LimitOverrides {
  uint64_t user_memory_bytes = routing::kUserMemoryBytes;
  uint64_t cache_memory_bytes = routing::kCacheMemoryBytes;
  uint32_t max_body_bytes = core::limits::kMaxBodyBytes;
  uint32_t max_connections_per_shard = core::limits::kMaxConnectionsPerShard;
  uint32_t max_exchanges_per_shard = core::limits::kMaxExchangesPerShard;
  uint32_t head_timeout_ms = core::limits::kHeadTimeoutMs;
  uint32_t body_stall_timeout_ms = core::limits::kBodyStallTimeoutMs;
  uint32_t idle_timeout_ms = core::limits::kIdleTimeoutMs;
  uint32_t write_stall_timeout_ms = core::limits::kWriteStallTimeoutMs;
  uint32_t upstream_idle_ms = core::limits::kUpstreamIdleMs;
  uint32_t drain_timeout_ms = core::limits::kDrainTimeoutMs;
};

struct Config {
  std::string file;                                    // where it was read from, as given
  std::vector<core::SocketAddress> listen;             // plain HTTP
  std::vector<core::SocketAddress> listen_tls;         // at least one address in both lists together
  std::vector<net::TlsCertificateFiles> certificates;  // empty = no address speaks TLS
  std::optional<uint32_t> shards;                      // none = auto
  uint32_t busy_poll_us = 0;                           // of each shard before it sleeps
  std::string table_path;
  std::string registry_path = "/var/lib/weir/registry.db";  // ":memory:" = lost with the process
  std::string key_hash_secret;                              // the secret itself: never print, log or serve it
  std::string admin_socket = "/run/weir/admin.sock";
  uint32_t admin_socket_mode = 0660;
  std::vector<core::SocketAddress> admin_listen;             // TCP, with TLS; empty = none
  std::vector<net::TlsCertificateFiles> admin_certificates;  // for it
  routing::AccessRules access;
  AccessLog access_log = AccessLog::standard_output;
  std::string access_log_path;  // AccessLog::file
  bool sandbox = true;
  std::vector<std::string> readable;  // files and folders, for the sandbox
  std::string guard_state_path;          // empty = what guards have counted is gone with the process
  std::string alert_url;                 // empty = nobody is told
  std::string alert_secret;              // the secret itself: as key_hash_secret
  std::string shadow_log_path;           // empty = flags' `shadow` has no effect
  routing::ShadowPolicies shadow_policies;
  LimitOverrides limits;
};

// Looks a variable up; nothing = it is not set.
using Environment = std::function<std::optional<std::string>(std::string_view name)>;

// The environment of this process.
Environment process_environment();

using ConfigResult = std::expected<Config, std::vector<routing::Problem>>;

// Reads a configuration from text. `file` names it in Config::file and gives the folder of relative paths.
// `file:` references are read; certificates and the table are not opened.
ConfigResult parse_config(std::string_view text, const std::string& file, const Environment& environment);

// The same from a file; a file that cannot be read is a problem with an empty path.
ConfigResult load_config(const std::string& file, const Environment& environment = process_environment());

}  // namespace weir::tools
