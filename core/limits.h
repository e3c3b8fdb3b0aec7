// Every static bound of weir, in one place. Reaching one is counted, tested (tests name the constant)
// and answered with the error named beside it.
#pragma once

#include <cstdint>

namespace weir::core::limits {

// ---- HTTP head, both legs -------------------------------------------------------------------------
inline constexpr uint32_t kMaxHeadBytes = 32 * 1024;       // head_too_large / upstream_head_too_large
inline constexpr uint32_t kMaxHeaders = 100;               // too_many_headers / upstream_head_too_large
inline constexpr uint32_t kMaxTargetBytes = 2048;          // target_too_long
inline constexpr uint32_t kMaxChunkLineBytes = 256;        // bad_chunk: size digits and extension
// ---- request body -----------------------------------------------------------------------------------
inline constexpr uint32_t kMaxBodyBytes = 32 * 1024 * 1024;  // body_too_large
inline constexpr uint32_t kMinBodyBytesPerSecond = 1024;     // body_timeout: on average, kBodyGraceMs apart
inline constexpr uint32_t kMaxJsonDepth = 128;               // body_too_deep
inline constexpr uint32_t kMaxJsonTokens = 4 * 1024 * 1024;  // body_too_complex: what one request may hold a shard up
inline constexpr uint32_t kMaxTopLevelFields = 256;          // body_not_json is not it: field_too_long
inline constexpr uint32_t kMaxRewrittenBytes = 48 * 1024 * 1024;  // rewrite_too_large
inline constexpr uint32_t kMaxKeyBytes = 256;                // field_too_long: a top-level key
inline constexpr uint32_t kMaxInspectScratchBytes = 16 * 1024;  // field_too_long: escaped names, unescaped
inline constexpr uint32_t kMaxModelBytes = 256;              // field_too_long, param "model"
inline constexpr uint32_t kMaxIdentifierBytes = 512;         // field_too_long: user, conversation, attributes
inline constexpr uint32_t kMaxTools = 128;                   // field_too_long, param "tools"
inline constexpr uint32_t kMaxCount = 2'147'483'647;         // bad_field_type: n, best_of, max_*tokens
inline constexpr uint32_t kMaxAttributes = 32;               // bad_control_header: x-weir-attr-* per request
// ---- flag evaluation (OFREP) ------------------------------------------------------------------------
inline constexpr uint32_t kMaxOfrepBodyBytes = 256 * 1024;       // body_too_large: an evaluation context
inline constexpr uint32_t kMaxOfrepAnswerBytes = 4 * 1024 * 1024;  // answer_too_large: all flags of a tenant
inline constexpr uint32_t kMaxEventStreamsPerShard = 1024;       // too_many_event_streams
// ---- provider answers ---------------------------------------------------------------------------------
inline constexpr uint32_t kMaxSseEventBytes = 1024 * 1024;   // upstream_frame_too_large
inline constexpr uint32_t kMaxUsageBytes = 8 * 1024;         // a usage object larger than this is not read
// ---- table: refused with the path at load ---------------------------------------------------------------
inline constexpr uint32_t kMaxNameBytes = 64;                // tenants, units, flags, scenarios, ...
inline constexpr uint32_t kMaxCredentialBytes = 2048;         // of a provider
inline constexpr uint32_t kMaxBasePathBytes = 256;            // of a provider's base_url
inline constexpr uint32_t kMaxUnitCombinations = 64;         // per scenario
inline constexpr uint32_t kMaxFallbackHops = 8;              // per scenario
inline constexpr uint32_t kMaxFlags = 65'536;                // of all scenarios together
inline constexpr uint32_t kMaxSegments = 4096;               // named conditions
inline constexpr uint32_t kMaxSegmentDepth = 16;             // nested conditions
inline constexpr uint32_t kMaxPendingConditions = 64;        // results a segment's evaluation may hold at once
inline constexpr uint32_t kMaxTableProblems = 1000;          // reported at once; the rest is counted
inline constexpr uint32_t kMaxTableBytes = 1024u * 1024 * 1024;
inline constexpr uint32_t kMaxYamlAliasBytes = 16 * 1024 * 1024;  // copied by YAML aliases, all together
inline constexpr uint32_t kMaxPromptBytes = 256 * 1024;      // of one prompt, before its variables are filled in
inline constexpr uint32_t kMaxTextBytes = 4096;              // static answers, reasons, display names, URLs, paths
inline constexpr uint32_t kMaxRetries = 5;                   // per unit, on the same hop
inline constexpr uint32_t kMaxBudgets = 8;                   // per list of budgets
inline constexpr uint32_t kMaxApprovals = 8;                 // one change may wait for, per flag or scenario
// ---- per shard ------------------------------------------------------------------------------------------
inline constexpr uint32_t kMaxShards = 128;
inline constexpr uint32_t kMaxConnectionsPerShard = 65536;   // too_many_connections
inline constexpr uint32_t kMaxExchangesPerShard = 32768;     // too_many_exchanges
inline constexpr uint32_t kMaxBufferBytesPerShard = 1024u * 1024 * 1024;  // out_of_buffers
inline constexpr uint32_t kMaxUpstreamConnectionsPerEndpoint = 4096;      // per shard; then requests queue
inline constexpr uint32_t kMaxUpstreamQueue = 4096;          // upstream_queue_full
inline constexpr uint32_t kMaxQueuedSendBytes = 256 * 1024;  // high-water mark: reading the other side stops
inline constexpr uint32_t kResumeQueuedSendBytes = 64 * 1024;  // low-water mark: reading goes on
inline constexpr uint32_t kRecordQueueLength = 8192;         // records; a full queue drops and counts
inline constexpr uint32_t kMaxMetricSeries = 1000;           // label sets per shard; the rest is "other"
// ---- control thread -------------------------------------------------------------------------------------
inline constexpr uint32_t kMaxAdminBodyBytes = 512 * 1024 * 1024 - kMaxHeadBytes;  // body_too_large: the largest buffer
inline constexpr uint32_t kMaxAdminConnections = 64;         // too_many_connections
inline constexpr uint32_t kMaxAdminTokens = 64;              // in admin.tcp.tokens
inline constexpr uint32_t kMaxQueuedChanges = 256;           // of the table, one behind the other: 503 overloaded
inline constexpr uint32_t kMaxListedObjects = 1000;          // of one answer: lists page, differences are counted
inline constexpr uint32_t kMaxEvidenceBytes = 64 * 1024;     // kept with a rollback: 400, param "evidence"
inline constexpr uint32_t kMaxAccessLogBytes = 4 * 1024 * 1024;  // kept for a slow reader; then lines are lost, counted
// ---- registry -------------------------------------------------------------------------------------------
inline constexpr uint32_t kMaxAuditRows = 1000;              // of one answer; the next page begins where it ends
inline constexpr uint32_t kMaxChangeObjects = 1000;          // shown of one change; it says how many there were
// ---- guards, for all shards -----------------------------------------------------------------------------
inline constexpr uint32_t kMaxModelHosts = 8;                 // providers of one model
inline constexpr uint32_t kMaxAlerts = 256;  // that wait, as many pages again; the rest is told later
inline constexpr uint32_t kMaxAlertThings = 16 * 1024;  // that are open or were told of lately; the same
inline constexpr uint32_t kMaxBudgetSeries = 1000;            // budgets with metrics; the rest is counted
inline constexpr uint32_t kMaxShadowCalls = 16;               // copies under way, per shard; then none is made
inline constexpr uint32_t kMaxShadowPairs = 32;               // with those not written down yet; a power of two
inline constexpr uint32_t kMaxShadowRequestBytes = 256 * 1024;  // a longer request is not copied
inline constexpr uint32_t kMaxShadowTextBytes = 64 * 1024;    // noted of each answer
inline constexpr uint32_t kMaxShadowAnswerBytes = 1024 * 1024;  // read of a copy's answer; then it is cancelled
inline constexpr uint32_t kMaxCheckedAnswerBytes = 1024 * 1024;  // a longer answer is not checked
inline constexpr uint32_t kMaxCacheEntryBytes = 256 * 1024;  // a longer answer is not cached
inline constexpr uint32_t kMaxCacheRequestBytes = 4 * 1024 * 1024;  // nor the answer to a longer request: it is hashed
inline constexpr uint32_t kMaxGuardLines = 4 * 1024 * 1024;  // limits, budgets, models: the table is refused
// ---- TLS ------------------------------------------------------------------------------------------------
inline constexpr uint32_t kMaxTlsCarryBytes = 256 * 1024;    // out_of_buffers: unread ciphertext of one session
inline constexpr uint32_t kMaxTlsClientPeers = 256;          // per shard; the least recently used is forgotten
inline constexpr uint32_t kMaxTlsSessionsPerPeer = 8;        // per shard; the oldest is forgotten
inline constexpr uint32_t kTlsTicketKeysKept = 3;            // the newest seals, all open; the oldest is forgotten
inline constexpr uint32_t kTlsTicketLifetimeS = 7200;        // a ticket older than this means a full handshake
inline constexpr uint32_t kTlsTicketRotationMs = 12 * 3600 * 1000;
// ---- operational log ----------------------------------------------------------------------------------------
inline constexpr uint32_t kMaxLogLineBytes = 4096;           // PIPE_BUF: lines of threads never mix; fields left out
inline constexpr uint32_t kMaxLogValueBytes = 1024;          // a longer value is cut, and ends in an ellipsis
// ---- clocks, milliseconds ---------------------------------------------------------------------------------
inline constexpr uint32_t kHeadTimeoutMs = 10'000;           // head_timeout
inline constexpr uint32_t kBodyStallTimeoutMs = 30'000;      // body_timeout
inline constexpr uint32_t kBodyGraceMs = 60'000;             // body_timeout: until kMinBodyBytesPerSecond must be met
inline constexpr uint32_t kIdleTimeoutMs = 300'000;          // the connection ends; nothing is owed
inline constexpr uint32_t kWriteStallTimeoutMs = 30'000;     // client_stalled
inline constexpr uint32_t kDrainIdleMs = 500;                // the same once its server ends: what was on its way has come
inline constexpr uint32_t kDrainTimeoutMs = 30'000;          // shutting_down: exchanges that a process which ends still had
inline constexpr uint32_t kEventKeepAliveMs = 15'000;        // a comment on each event stream; the connection stays open
inline constexpr uint32_t kUpstreamConnectMs = 10'000;       // connect_timeout: of a connection, TLS included, whoever waits
inline constexpr uint32_t kUpstreamIdleMs = 60'000;          // an idle pooled connection is closed

}  // namespace weir::core::limits
