// Speaks to a running weir through its admin socket (DESIGN section 7): HTTP/1.1 and JSON over a unix
// socket. This is also where the shapes on that wire are written down, as weirctl relies on them.
//
//   GET  /v1/status            200 { version, pid, uptime_s, ready, revision, published (RFC 3339), shards,
//                                    table: { tenants, scenarios, flags, units, keys },
//                                    kills: [ { scope, name, reason, since } ],
//                                    connections, exchanges (both: open now), live_tables,
//                                    upgrading, upgrade_failure }
//   GET  /v1/table             200 the document as canonical JSON; etag: "<revision>"
//   PUT  /v1/table?reason=     200 { revision, applied_in_ms }     body: application/json or
//   application/yaml;
//                              422 problems (below)                if-match: "<revision>" is optional
//                              409 error (below) when if-match is not the revision that serves
//   POST /v1/table:validate    200 { valid: true } | 422 problems
//   POST /v1/kill, /v1/unkill  200 { revision }                    body: { scope, name, reason }; scope is
//                                                                  global (without name), provider, unit,
//                                                                  scenario, flag or tenant
//   GET  /v1/explain?tenant=&scenario=&user=&conversation=&model=&attr.<name>=
//                              200 { tenant, scenario, unit, arm, flag, state, reason, revision,
//                                    steps: [ { rule, matched, detail } ] }
//   POST /v1/upgrade           200 { upgrading: true } | 409       the process is replaced: once it is, the
//                                                                  status names another pid; else why not
//   GET  /metrics              200 Prometheus text; tools/weirctl/top.h names what it reads
//
//   error     { error: { message, type, param, code } }            any other status
//   problems  { error: {...}, problems: [ { path, message } ], problem_count }   problem_count >= the listed
//
// One call at a time, one thread. libcurl keeps the connection open between calls.
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
