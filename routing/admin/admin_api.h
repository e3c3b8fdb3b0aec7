// The admin API (DESIGN section 7): HTTP/1.1 and JSON on the unix socket, carried by the control loop.
//
//   GET  /v1/status                    what runs now, since when
//   GET  /v1/table                     the table that serves, as canonical JSON; etag: "<revision>"
//   PUT  /v1/table?reason=             replaces it whole, or says every reason why not      application/json
//                                      or application/yaml
//   POST /v1/table:validate            says every reason, changes nothing
//   POST /v1/kill, /v1/unkill          { scope, name, reason }; /v1/kill:unkill is another name of the latter
//   GET  /v1/explain                   rule by rule:
//                                      ?tenant=&scenario=&user=&conversation=&model=&key=&attr.<name>=
//   GET  /v1/limits, /v1/budgets       ?tenant= what they have counted (routing/admin/guard_views.h)
//   GET  /v1/breakers                  how each model is doing
//   POST /v1/cache:purge               { scope: tenant | unit | scenario, name }: not given again
//   GET  /metrics                      Prometheus text format 0.0.4
//   GET  /healthz                      the control thread answers
//
// Answers (tools/weirctl/admin_client.h has the shapes): 200; 400 with `param`; 404; 405 with allow; 409
// `lost_update` when If-Match names another revision than the one that serves; 411, 413, 415; 422
// `invalid_table` with all problems; 504 `not_everywhere` when a change was made but a shard has not taken it
// up. Errors are
// {"error":{message,type,param,code}}.
//
// Limits: kMaxAdminBodyBytes (a larger table comes from the file at start), kMaxAdminConnections.
// Thread: the control loop's.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "net/http_server.h"
#include "routing/admin/control.h"
#include "routing/guard/guard_time.h"

namespace weir::routing {

class AdminApi final : private net::RequestHandler {
 public:
  struct About {
    std::string version;
    uint64_t started_ns = 0;  // monotonic
  };
  AdminApi(ControlThread& control, About about);
  ~AdminApi();
  AdminApi(const AdminApi&) = delete;
  AdminApi& operator=(const AdminApi&) = delete;

  // Takes over a listening descriptor.
  void listen(int listener) { server_.listen(listener); }
  // Stops accepting and ends all connections; closed() becomes true within a few turns of the loop.
  void close();
  bool closed() const { return server_.closed(); }

 private:
  // A request whose answer is owed. The session is null once the client has gone; what is under way for it
  // still happens.
  struct Pending {
    net::ServerSession* session;
  };
  using Ticket = std::shared_ptr<Pending>;

  struct Call;
  using Run = void (AdminApi::*)(const Ticket&, const Call&);
  struct Route;
  static const Route* find_route(std::string_view path, net::Method method);

  core::Result<void> on_head(net::ServerSession& session, const net::RequestHead& head,
                             const uint8_t* base) override;
  void on_request(net::ServerSession& session, const net::Request& request) override;
  void on_refused(net::ServerSession& session, core::Error error) override;
  void on_client_gone(net::ServerSession& session, core::Error error) override;

  void get_status(const Ticket& ticket, const Call& call);
  void get_table(const Ticket& ticket, const Call& call);
  void put_table(const Ticket& ticket, const Call& call);
  void validate_table(const Ticket& ticket, const Call& call);
  void kill(const Ticket& ticket, const Call& call);
  void unkill(const Ticket& ticket, const Call& call);
  void switch_kill(const Ticket& ticket, const Call& call, bool kills);
  void get_explain(const Ticket& ticket, const Call& call);
  void get_metrics(const Ticket& ticket, const Call& call);
  void get_health(const Ticket& ticket, const Call& call);
  void get_limits(const Ticket& ticket, const Call& call);
  void get_budgets(const Ticket& ticket, const Call& call);
  void get_breakers(const Ticket& ticket, const Call& call);
  void purge_cache(const Ticket& ticket, const Call& call);
  const GuardTime& guard_time();

  struct Answer;
  void answer(const Ticket& ticket, const Answer& answer);

  ControlThread& control_;
  const About about_;
  CalendarClock calendar_;
  net::HttpServer server_;
  std::unordered_map<net::ServerSession*, Ticket> pending_;
};

}  // namespace weir::routing
