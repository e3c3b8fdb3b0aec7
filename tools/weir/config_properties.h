// Every key weir.yaml may have, one row each, read with the same machinery as the flag table's
// (routing/table/properties.h). Included by config.cc only.
//
//   X(enumerator, "key", required | optional)
#pragma once

#include "routing/table/properties.h"

#define WEIR_CONFIG_PROPERTIES(X)                 \
  X(access_log, "access_log", optional)           \
  X(admin, "admin", optional)                     \
  X(alerts, "alerts", optional)                   \
  X(busy_poll_us, "busy_poll_us", optional)       \
  X(guard_state, "guard_state", optional)         \
  X(key_hash_secret, "key_hash_secret", required) \
  X(limits, "limits", optional)                   \
  X(listen, "listen", optional)                   \
  X(readable, "readable", optional)               \
  X(registry, "registry", optional)               \
  X(sandbox, "sandbox", optional)                 \
  X(shadow, "shadow", optional)                   \
  X(shards, "shards", optional)                   \
  X(table, "table", required)                     \
  X(tls, "tls", optional)

#define WEIR_CONFIG_TLS_PROPERTIES(X)       \
  X(certificates, "certificates", required) \
  X(listen, "listen", required)

#define WEIR_CONFIG_CERTIFICATE_PROPERTIES(X) \
  X(cert, "cert", required)                   \
  X(key, "key", required)

#define WEIR_CONFIG_ADMIN_PROPERTIES(X) \
  X(mode, "mode", optional)             \
  X(roles, "roles", optional)           \
  X(socket, "socket", optional)         \
  X(tcp, "tcp", optional)

#define WEIR_CONFIG_ROLES_PROPERTIES(X)  \
  X(admin, "admin", optional)            \
  X(approver, "approver", optional)      \
  X(operator_role, "operator", optional) \
  X(viewer, "viewer", optional)

#define WEIR_CONFIG_TCP_PROPERTIES(X)       \
  X(certificates, "certificates", required) \
  X(hosts, "hosts", required)               \
  X(listen, "listen", required)             \
  X(origins, "origins", optional)           \
  X(tokens, "tokens", required)

#define WEIR_CONFIG_TOKEN_PROPERTIES(X) \
  X(hash, "hash", required)             \
  X(id, "id", required)                 \
  X(role, "role", required)             \
  X(scopes, "scopes", optional)

#define WEIR_CONFIG_ALERTS_PROPERTIES(X) \
  X(secret, "secret", required)          \
  X(url, "url", required)

#define WEIR_CONFIG_SHADOW_PROPERTIES(X) \
  X(log, "log", required)                \
  X(mask, "mask", optional)              \
  X(tenants, "tenants", optional)        \
  X(text, "text", optional)

#define WEIR_CONFIG_SHADOW_TENANT_PROPERTIES(X) \
  X(mask, "mask", optional)                     \
  X(text, "text", optional)

#define WEIR_CONFIG_LIMITS_PROPERTIES(X)                              \
  X(body_stall_timeout, "body_stall_timeout", optional)               \
  X(cache_memory, "cache_memory", optional)                           \
  X(drain_timeout, "drain_timeout", optional)                         \
  X(head_timeout, "head_timeout", optional)                           \
  X(idle_timeout, "idle_timeout", optional)                           \
  X(max_body_bytes, "max_body_bytes", optional)                       \
  X(max_connections_per_shard, "max_connections_per_shard", optional) \
  X(max_exchanges_per_shard, "max_exchanges_per_shard", optional)     \
  X(upstream_idle, "upstream_idle", optional)                         \
  X(user_memory, "user_memory", optional)                             \
  X(write_stall_timeout, "write_stall_timeout", optional)

#define WEIR_CONFIG_OBJECT_KINDS(Y)                                               \
  Y(ConfigProperty, "config", WEIR_CONFIG_PROPERTIES)                             \
  Y(ConfigTlsProperty, "tls", WEIR_CONFIG_TLS_PROPERTIES)                         \
  Y(ConfigCertificateProperty, "certificate", WEIR_CONFIG_CERTIFICATE_PROPERTIES) \
  Y(ConfigAdminProperty, "admin", WEIR_CONFIG_ADMIN_PROPERTIES)                   \
  Y(ConfigAlertsProperty, "alerts", WEIR_CONFIG_ALERTS_PROPERTIES)                \
  Y(ConfigShadowProperty, "shadow", WEIR_CONFIG_SHADOW_PROPERTIES)                \
  Y(ConfigShadowTenantProperty, "tenant", WEIR_CONFIG_SHADOW_TENANT_PROPERTIES)   \
  Y(ConfigRolesProperty, "roles", WEIR_CONFIG_ROLES_PROPERTIES)                   \
  Y(ConfigTcpProperty, "tcp", WEIR_CONFIG_TCP_PROPERTIES)                         \
  Y(ConfigTokenProperty, "token", WEIR_CONFIG_TOKEN_PROPERTIES)                   \
  Y(ConfigLimitsProperty, "limits", WEIR_CONFIG_LIMITS_PROPERTIES)

namespace weir::tools {
#define X(enumerator, ...) enumerator,
#define Y(Enum, shape, TABLE) enum class Enum : uint8_t { TABLE(X) };
WEIR_CONFIG_OBJECT_KINDS(Y)
#undef Y
#undef X
}  // namespace weir::tools

namespace weir::routing {
#define X(enumerator, property, presence) PropertyRow{property, Presence::presence},
#define Y(Enum, shape, TABLE)                                             \
  template <>                                                             \
  struct PropertyTable<tools::Enum> {                                     \
    static constexpr auto kRows = std::to_array<PropertyRow>({TABLE(X)}); \
    static constexpr ObjectShape kShape{shape, kRows};                    \
  };
WEIR_CONFIG_OBJECT_KINDS(Y)
#undef Y
#undef X
}  // namespace weir::routing
