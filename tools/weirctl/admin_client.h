// clang-format off
// Speaks to a running weir through its admin socket (DESIGN section 7): HTTP/1.1 and JSON over a unix
// socket. This is also where the shapes on that wire are written down, as weirctl relies on them; the calls
// with the roles that may make them stand in routing/admin/calls.h.
//
// Every call
//   error     { error: { message, type, param, code }, ... }       any status from 400
//   problems  422 { error: {code "invalid_table"}, problems: [ { path, message, line?, column? } ], problem_count }
//             problem_count >= the listed
//   401, 403  who calls may not do this: code invalid_api_key, or forbidden with a sentence that says which role may
//
// Every change
//   reason    mandatory: why. A POST has it as a member of its body; PUT, PATCH and DELETE, whose body is the object
//             itself, as a query parameter. 400 with param "reason" when it is missing
//   if-match  "<revision>", optional: 409 { error: {code "lost_update"}, revision } when the table has changed since that
//             revision; `revision` is the newest. Kills do not count as a change of the table
//   done      200 { revision, changed: objects that changed (0 = it was so already),
//                   durable_in_ms, live_in_ms: since the request came, until the disk had it and until every shard used
//                   it; commit_ms: of that, writing to the disk }                     etag: "<revision>"
//             504 { error: {code "not_everywhere"}, revision }: made, but a shard has not taken it up in time
//   507, 503  code registry_full, registry_unavailable: the change is not made, what serves goes on serving.
//             A kill has taken effect all the same: code not_durable
//   409       code conflict_immutable: a unit or prompt of that name exists with another body;
//             code prompt_source_git: prompts are changed with PUT /v1/table only; code frozen: the row has expired
//
// Every change of the table (not kills, labels, proposals) also takes, in the query:
//   dry_run=true    200 { dry_run: true, revision, changes: [ object change ], count, approvals: [ role ] }; changes nothing
//   proposal=<id>   puts the change in the place of what an open proposal of the same author proposes, and voids its
//                   approvals
// and when somebody has to approve it:
//             202 { proposal: id, waits_for: role, approvals: [ role ] }; `approvals` are all that are needed, in order
//
//   object change   { kind, name, before: body | null, after: body | null }         kind: tenant, flag, unit, ...
//   {kind}          providers, models, prompts, units, attributes, segments, scenarios, flags, tenants, keys,
//                   settings (whose one name is "table")
//   actor           { name, role }
//   change          { revision, sequence, at (RFC 3339), actor, action, target, reason, based_on | null,
//                     approved_by: [ actor ], objects: [ object change ], killed: [ kill ], unkilled: [ kill ],
//                     detail: object | null, hash }
//   kill            { scope, name | null, reason, since }
//
//   GET  /v1/status            200 { version, pid, uptime_s, ready, revision, table_revision, published (RFC 3339),
//                                    shards, table: { tenants, scenarios, flags, units, keys },
//                                    kills: [ kill ], unresolved: [ { host, reason } ],
//                                    connections, exchanges (both: open now), live_tables,
//                                    registry: path | null, caller: { name, role },
//                                    upgrading, upgrade_failure: text | null }
//   GET  /v1/table[?revision=] 200 the document as canonical JSON; etag: "<revision>"
//   PUT  /v1/table?reason=     replaces it whole                   body: application/json or application/yaml
//   POST /v1/table:validate    200 { valid: true } | 422 problems  body: the same; takes no reason
//   GET  /v1/diff?from=[&to=]  200 { from, to, changes: [ object change ], count }      count >= the listed
//   GET  /v1/{kind}[?after=&limit=]
//                              200 { revision, kind, objects: [ { name, body } ], next: name | null }
//   GET  /v1/{kind}/{name}[?revision=]
//                              200 the body; etag: "<revision>"
//   PUT, PATCH, DELETE /v1/{kind}/{name}?reason=     PATCH: body is a JSON merge patch (RFC 7396)
//   GET  /v1/flags/{flag}/tenants[?state=a,b&after=&limit=]      who has the flag
//                              200 { revision, flag, counts: { off, pilot, production }, rows: [ { tenant, body } ],
//                                    next: tenant | null }
//   POST /v1/flags/{flag}/tenants/{tenant}           the everyday change. Body: members of the tenant's row, merged
//                                                    over what it has: { state, percent, segments, start, review,
//                                                    expires, on_expiry, owner, approver, reason, previous, limits,
//                                                    on_rollback }; null takes a member away. `reason` is the
//                                                    change's and becomes the row's
//   POST /v1/kill, /v1/unkill  body: { scope, name, reason }; scope is global (without name), provider, unit,
//                              scenario, flag or tenant
//   POST /v1/rollback          body: { scope: tenant | flag | scenario | all, name (not for all), flag (tenant only:
//                              that row alone), to: "previous" | "known_good" (any label) | revision | RFC 3339 time,
//                              reason, note?, evidence?: object }
//                              200 done, with restored_revision; 404 code nothing_to_roll_back
//   GET  /v1/explain?tenant=&scenario=&user=&conversation=&model=&key=&attr.<name>=
//                              200 { tenant, scenario, unit, unit_hash, arm, flag, state, reason, because, error,
//                                    revision, steps: [ { rule, matched, detail } ],
//                                    set_by: { revision, at, actor, action, reason, approved_by } | null: who set the
//                                    row (or else the flag) that decided,
//                                    turns_off: [ { does, call, body } ] }
//   GET  /v1/limits?tenant=&user=&sort=used
//                              200 { limits: [ { scope, name, flag, limit, rate, remaining, reset_ms, in_flight,
//                                              used, refused, on_exceed } ], more }
//   GET  /v1/budgets?tenant=&user=&sort=used
//                              200 { budgets: [ { scope, name, window, usd, spent_usd, reserved_usd, on_exceed, open,
//                                               trips, refused, ends_in_s } ], more }
//   GET  /v1/breakers          200 { breakers: [ { model, provider, state, open_ms, limited, consecutive_failures,
//                                                opened, kept_away } ] }
//   POST /v1/cache:purge       body: { scope: tenant | unit | scenario, name, reason }
//                              200 { purged, logged: false when the log could not be written }
//   GET  /v1/audit?tenant=&flag=&kind=&name=&since=&before=&limit=&bodies=false
//                              200 { changes: [ change ], next: sequence | null }      newest first; next page:
//                              before=<next>
//   GET  /v1/audit:verify      200 { ok, changes, objects, faults: [ text ] }
//   GET  /v1/changes/{revision}          200 change
//   GET  /v1/flags?problem=a,b | all     200 { problems: [ { problem, kind, name, tenant | null, owner | null,
//                                              since | null, detail } ], count }
//   GET  /v1/export?format=csv[&what=rows | objects][&revision=]    200 text/csv, a line for each row (tenant × flag)
//   POST /v1/labels/{name}     body: { revision (default: the newest), reason }   200 { label, revision }
//   GET  /v1/labels/{name}     200 { label, revision }
//   GET  /v1/proposals[?all=true]        200 { proposals: [ proposal ] }
//   GET  /v1/proposals/{id}              200 proposal: { id, author, at, based_on, action, target, reason,
//                                        objects: [ object change ], required: [ role ], approvals: [ actor ], state,
//                                        waits_for: role | null }
//   POST /v1/proposals/{id}:approve      body: { reason }; 200 proposal, or done after the last approval;
//                                        409 code stale_proposal: one of its objects has changed; it is void now
//   POST /v1/proposals/{id}:withdraw     body: { reason }; 200 proposal
//   POST /v1/upgrade           200 { upgrading: true } | 409 code upgrade_refused        the process is replaced: once it
//                              is, the status names another pid; else why not
//   GET  /metrics              200 Prometheus text; tools/weirctl/watch.h names what it reads
//
// One call at a time, one thread. libcurl keeps the connection open between calls.
// clang-format on
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::tools {

struct AdminRequest {
  std::string method = "GET";
  std::string path;                                             // begins with '/'
  std::vector<std::pair<std::string, std::string>> query = {};  // encoded here; empty values are left out
  std::string body = {};
  std::string content_type = "application/json";  // sent only with POST and PUT
  std::string if_match = {};                      // revision; empty = not sent
};

struct AdminReply {
  long status = 0;
  std::string body;
  bool ok() const { return status >= 200 && status < 300; }
};

class AdminClient {
 public:
  explicit AdminClient(std::string socket_path);
  ~AdminClient();
  AdminClient(const AdminClient&) = delete;
  AdminClient& operator=(const AdminClient&) = delete;

  // Sends one request and waits for the whole answer, at most 60 s. The error is one line for people that
  // says what to do; it means that nobody answered, not that the answer was a refusal.
  std::expected<AdminReply, std::string> call(const AdminRequest& request);

 private:
  struct Handle;
  std::string socket_path_;
  std::unique_ptr<Handle> handle_;
};

}  // namespace weir::tools
