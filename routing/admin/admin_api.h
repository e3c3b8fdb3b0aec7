// The admin API (DESIGN section 7): HTTP/1.1 and JSON, carried by the control loop, on the unix socket and,
// where it is configured, on TCP with TLS. Which calls there are and who may make them:
// routing/admin/calls.h. What they take and answer: tools/weirctl/admin_client.h.
//
//   head ─▶ call? ─▶ who? ─▶ may they? ─▶ body announced rightly? ─▶ body read ─▶ parameters known? ─▶
//   handler ─▶ answer
//          404, 405  401,   403          400, 411, 413, 415                      400
//                    400
//
// Handlers by theme: admin_tables.cc, admin_objects.cc, admin_operations.cc, admin_guards.cc, admin_audit.cc,
// admin_proposals.cc. What reads history does so on the registry's reading thread and answers later; nothing
// blocks the loop.
//
// Invariants
//   1. Nothing of a request is acted on before the caller is known to be allowed to make it, and no body is
//      read.
//   2. What is under way for a client that has gone still happens.
//   3. A text that comes back in an error is shown escaped.
//
// Limits: kMaxAdminBodyBytes (a larger table comes from the file at start), kMaxAdminConnections of each
// listener. Thread: the control loop's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "net/http_server.h"
#include "routing/admin/access.h"
#include "routing/admin/admin_views.h"
#include "routing/admin/bodies.h"
#include "routing/admin/calls.h"
#include "routing/admin/control.h"
#include "routing/admin/guard_views.h"
#include "routing/admin/query.h"
#include "routing/guard/guard_time.h"

namespace weir::routing {

class AdminApi final : private net::RequestHandler {
 public:
  struct About {
    std::string version;
    uint64_t started_ns = 0;  // monotonic
    // Begins to start a successor, and calls begin_drain(). What it returns says why it does not, or is
    // empty.
    std::function<std::string()> upgrade = {};
    std::string upgrade_failure = {};  // why the last attempt came to nothing; empty = there was none
    // Appends metrics of what the API does not know.
    std::function<void(std::string&)> append_metrics = {};
  };
  AdminApi(ControlThread& control, About about, AccessRules rules);
  ~AdminApi();
  AdminApi(const AdminApi&) = delete;
  AdminApi& operator=(const AdminApi&) = delete;

  // Takes over a listening descriptor: a unix socket's ...
  void listen(int listener) { local_.listen(listener); }
  // ... or a TCP port's, whose connections speak TLS.
  void listen_tcp(int listener, const net::TlsServerContextHolder* tls) { remote_.listen(listener, tls); }
  // Stops accepting; what is under way is answered. closed() becomes true when nothing is left.
  void begin_drain() {
    local_.begin_drain(0);
    remote_.begin_drain(0);
  }
  // Stops accepting and ends all connections; closed() becomes true within a few turns of the loop.
  void close();
  bool closed() const { return local_.closed() && remote_.closed(); }

 private:
  // A request whose answer is owed. The session is null once the client has gone; what is under way for it
  // still happens.
  struct Pending {
    net::ServerSession* session;
  };
  using Ticket = std::shared_ptr<Pending>;

  // What a request says, out of the session's memory.
  struct Call {
    Target target;
    std::vector<std::string> names;  // of the path's {braces}
    std::optional<ObjectKind> kind;
    Caller caller;
    std::string body;
    TableFormat format = TableFormat::json;
    std::optional<uint64_t> if_match = {};
    uint64_t began_ns = 0;
  };
  struct Answer {
    int status = 200;
    std::string body = {};
    std::string_view content_type = kJsonType;
    std::string etag = {};
    std::string_view allow = {};
  };

  core::Result<void> on_head(net::ServerSession& session, const net::RequestHead& head,
                             const uint8_t* base) override;
  void on_request(net::ServerSession& session, const net::Request& request) override;
  void on_refused(net::ServerSession& session, core::Error error) override;
  void on_client_gone(net::ServerSession& session, core::Error error) override;

  // One handler for each row of WEIR_ADMIN_CALLS.
#define X(handler, ...) void handler(const Ticket& ticket, const Call& call);
  WEIR_ADMIN_CALLS(X)
#undef X

  // ---- what handlers share ----
  void answer(const Ticket& ticket, const Answer& answer);
  void answer_json(const Ticket& ticket, const Json& json) { answer(ticket, {.body = to_text(json)}); }
  void refuse(const Ticket& ticket, const Refusal& refusal);
  void refuse(const Ticket& ticket, std::string_view param, std::string message);
  // 404 or 503.
  void refuse(const Ticket& ticket, const RegistryError& error) { refuse(ticket, refusal_of(error)); }
  // What was read; none = it has been refused.
  template <typename T>
  std::optional<T> told(const Ticket& ticket, BodyResult<T> read) {
    if (read) return *std::move(read);
    refuse(ticket, read.error());
    return std::nullopt;
  }
  // Answers the change when it is done.
  ChangeDone answer_change(const Ticket& ticket);
  // A change of the table that this call asks for; none = it has been refused.
  std::optional<ChangeRequest> change_request(const Ticket& ticket, const Call& call, std::string action,
                                              std::string target, std::string reason);
  // The reason of a call that gives it as a parameter, or of a body's member. None = it has been refused.
  std::optional<std::string> reason_of(const Ticket& ticket, std::string_view reason);
  // The body's members, all of them known; none = it has been refused.
  std::optional<Json> members_of(const Ticket& ticket, const Call& call,
                                 std::initializer_list<std::string_view> known);
  // A parameter that is a number. False: it has been refused.
  bool number_of(const Ticket& ticket, const Call& call, std::string_view parameter,
                 std::optional<uint64_t>* number);

  template <typename MakePlan>
  void change_object(const Ticket& ticket, const Call& call, const char* action, MakePlan plan);
  void flip(const Ticket& ticket, const Call& call, bool kills);
  void decide_proposal(const Ticket& ticket, const Call& call, bool approves);
  void list_problems(const Ticket& ticket, const Call& call);
  using GuardsView = Json(const Table& table, const GuardFilter& filter, const GuardTime& now);
  void show_guards(const Ticket& ticket, const Call& call, GuardsView* view);
  const GuardTime& guard_time();

  ControlThread& control_;
  const About about_;
  const Access access_;
  net::HttpServer local_, remote_;
  CalendarReader calendar_;
  std::unordered_map<net::ServerSession*, Ticket> pending_;
  std::unordered_map<net::ServerSession*, std::string> not_permitted_;  // why, until it is answered
  bool upgrading_ = false;
};

}  // namespace weir::routing
