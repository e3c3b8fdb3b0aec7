#include "tools/weir/serve.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "core/log.h"
#include "core/socket.h"
#include "core/strong.h"
#include "routing/admin/guard_metrics.h"
#include "tools/weir/program_pages.h"
#include "tools/weir/server.h"

namespace weir::tools {
namespace {

constexpr uint64_t kFirstLookupPatienceMs = 10'000;
// After a successor has taken over, waiting costs nothing: clients that think this long lose no request
// either.
constexpr uint32_t kHandoverIdleMs = 10'000;
constexpr uint64_t kControlReleaseMs = 5'000;  // what calls of the admin API under way may take
constexpr uint64_t kTakeBackRetryMs = 500;
constexpr uint64_t kCloseGraceMs = 5'000;  // what close_now() may take before the process is given up

// Every connection is a descriptor; the soft limit of many systems is 1024.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

Server::~Server() {
  shards_.clear();  // before what they use
  for (const Descriptors& descriptors : listeners_) {
    for (const ShardListener& listener : descriptors) core::close_socket(listener.descriptor);
  }
  for (const int listener : admin_tcp_listeners_) core::close_socket(listener);
  if (admin_listener_ >= 0) {
    core::close_socket(admin_listener_);
    remove_admin_path();
  }
  signals_.reset();  // posts to the loop
}

int Server::run() {
  raise_descriptor_limit();
  take_sockets();
  load_webhook();
  ProgramPages pages;
  enter_sandbox();
  start_loops();
  load_certificates();
  open_access_log();
  if (loop_ != nullptr) {
    make_gateway();
    open_registry();
    if (registry_ != nullptr) load_table();
  }
  open_ports();
  open_admin_socket();
  open_admin_ports();
  join_shard_loops();
  if (report_problems()) {
    return config_problems_.empty() && table_problems_.empty() ? kExitFailure : kExitBadInput;
  }
  begin_serving();
  drop_system_calls();
  wait_until_ready();
  pages.release();
  while (shards_ended_ < shards_.size() || handover_ == Handover::starting) {
    const bool watching = handover_ == Handover::releasing || handover_ == Handover::taking_back;
    loop_->turn(watching ? core::milliseconds(kStartTurnMs) : UINT64_MAX);
    continue_handover();
    take_back();
  }
  finish();
  return kExitOk;
}

// ---- serving --------------------------------------------------------------------------------------------

void Server::open_api() {
  api_ = std::make_unique<routing::AdminApi>(
      *control_,
      routing::AdminApi::About{.version = WEIR_VERSION,
                               .started_ns = started_ns_,
                               .upgrade = [this] { return begin_handover(); },
                               .upgrade_failure = handover_failure_,
                               .append_metrics =
                                   [this](std::string& text) {
                                     if (alerts_ != nullptr) routing::append_alert_metrics(*alerts_, text);
                                   }},
      config_.access);
  api_->listen(std::exchange(admin_listener_, -1));
  for (const int listener : std::exchange(admin_tcp_listeners_, {}))
    api_->listen_tcp(listener, admin_tls_.get());
}

void Server::begin_serving() {
  inherited_.close_rest();
  // What a successor is asked to change would be answered as live while its predecessor still serves: not before that
  // has been told. Until then the question waits in the socket's queue.
  if (!predecessor_.waits()) open_api();
  for (size_t i = 0; i < shards_.size(); ++i) {
    shards_[i]->serve(*gateway_, std::exchange(listeners_[i], {}),
                      [this] { loop_->post([this] { ++shards_ended_; }); });
  }
  serving_ = true;
  if (keeper_ != nullptr) keeper_->start();
  if (shadow_log_ != nullptr) {
    control_->watch_shadows([this](const routing::ShadowPair& pair) {
      shadow_log_->add(pair);
      shadow_log_->flush(loop_->now_ns());
    });
  }
  if (!config_.alert_url.empty()) {
    alerts_ = std::make_unique<routing::AlertSender>(
        *loop_,
        routing::AlertSources{.calendar = gateway_->calendar,
                              .users = gateway_->users,
                              .table = [this]() -> const routing::Table& { return control_->table(); },
                              .turned_away = [this] { return gateway_->turned_away(); }},
        config_.alert_secret, random_seed(), std::move(webhook_));
    control_->watch_records([this](const routing::Record& record) { alerts_->see(record); });
  }
  grace_ = std::make_unique<core::Timer>(on_grace_over, this);
  rotate_ = std::make_unique<core::Timer>(on_rotate, this);
  if (tls_ != nullptr || admin_tls_ != nullptr) on_rotate(*rotate_);
}

// Ready: every shard uses the table, and each provider's name has been looked up once. A name server that
// does not answer delays this only so long: its provider may be one that nobody needs.
void Server::wait_until_ready() {
  const uint64_t deadline_ns =
      core::deadline_after(loop_->now_ns(), core::milliseconds(kFirstLookupPatienceMs));
  const auto looked_up = [&] {
    return loop_->now_ns() >= deadline_ns ||
           addresses_->wait_for_first_attempts(std::chrono::milliseconds(0));
  };
  loop_->turn(0);  // whoever told us to end while we started is heard before anybody is told that we serve
  while (!draining_ && !(gateway_->tables.everyone_uses(gateway_->tables.newest_version()) && looked_up())) {
    loop_->turn(core::milliseconds(kStartTurnMs));
  }
  if (draining_) return;
  gateway_->ready.store(true, std::memory_order_relaxed);
  print_ready_line();
  manager_.ready();
  control_->compare_with_file(config_.table_path);
  if (api_ == nullptr) {
    // It drains from now on. One that is gone has said so to its clients; there is nothing to wait for.
    if (!predecessor_.tell_ready()) core::log_warning("predecessor_gone");
    open_api();
  }
  if (keeper_ != nullptr) keeper_->take_late();
}

void Server::print_ready_line() const {
  const nlohmann::ordered_json line{{"event", "ready"},          {"listen", bound_},
                                    {"listen_tls", bound_tls_},  {"admin", config_.admin_socket},
                                    {"admin_tcp", bound_admin_}, {"revision", control_->table().revision},
                                    {"shards", shards_.size()},  {"pid", getpid()}};
  fmt::print("{}\n", line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  std::fflush(stdout);  // before the access log writes to the same descriptor
}

void Server::on_signal(int signal) {
  if (signal == SIGHUP) return reload();
  if (signal == SIGUSR2) {
    begin_handover();
    return;
  }
  if (std::exchange(told_to_end_, true)) {
    // A service manager tells a starting successor, and so does its predecessor, which has been told as well.
    if (!predecessor_.waits()) close_shards();
    return;
  }
  core::log_info("stopping", {{"signal", signal}, {"grace_ms", config_.limits.drain_timeout_ms}});
  if (draining_) return;  // since a successor serves; told with the whole unit, as a rule: no reason to hurry
  manager_.stopping();
  begin_drain(core::limits::kDrainIdleMs);
}

void Server::begin_drain(uint32_t idle_ms) {
  draining_ = true;
  if (handover_ == Handover::starting) {
    launcher_->cancel();  // end_handover() closes what it is given
  } else {
    passed_.close();
  }
  gateway_->draining.store(true, std::memory_order_relaxed);
  gateway_->ready.store(false, std::memory_order_relaxed);
  for (const auto& shard : shards_) shard->drain(idle_ms);
  loop_->timers().schedule(
      *grace_, core::deadline_after(loop_->now_ns(), core::milliseconds(config_.limits.drain_timeout_ms)));
}

// ---- a successor (successor.h has the order) ------------------------------------------------------------

// Why not, or nothing.
std::string Server::begin_handover() {
  const std::string refused = launcher_ == nullptr          ? "there is no launcher"
                              : ::getpid() == 1             ? "process 1 of a container cannot be replaced"
                              : draining_                   ? "this process is ending"
                              : handover_ != Handover::none ? "a successor is starting already"
                              : !gateway_->ready.load(std::memory_order_relaxed)
                                  ? "this process is not ready itself"
                                  : "";
  if (!refused.empty()) {
    core::log_warning("handover_refused", {{"reason", refused}});
    return refused;
  }
  core::log_info("handover");
  manager_.reloading();
  handover_ = Handover::releasing;
  release_deadline_ns_ = core::deadline_after(loop_->now_ns(), core::milliseconds(kControlReleaseMs));
  api_->begin_drain();
  return {};
}

// The one writer at a time: nobody answers the admin API any more, so nothing can be changed here.
void Server::continue_handover() {
  if (handover_ != Handover::releasing || draining_) return;
  if (api_ != nullptr && !api_->closed()) {
    if (loop_->now_ns() >= release_deadline_ns_) api_->close();
    return;
  }
  api_.reset();
  if (!control_->idle()) return;
  registry_->release();
  // The successor goes on from what has been counted by now; it is told the rest when we end.
  if (keeper_ != nullptr && !keeper_->hand_over())
    return end_handover(std::unexpected("the guard state cannot be written"));
  handover_ = Handover::starting;
  launcher_->start(passed_, [this](Launcher::Started successor) {
    loop_->post([this, successor = std::move(successor)] { end_handover(successor); });
  });
}

void Server::end_handover(Launcher::Started successor) {
  handover_ = successor ? Handover::done : Handover::taking_back;
  if (draining_) return passed_.close();
  if (successor) {
    core::log_info("handed_over", {{"successor", *successor}, {"grace_ms", config_.limits.drain_timeout_ms}});
    return begin_drain(kHandoverIdleMs);
  }
  core::log_error("handover_failed",
                  {{"reason", successor.error()},
                   {"hint", "the messages above say why; this process goes on as before"}});
  handover_failure_ = successor.error();
  retry_at_ns_ = 0;
}

// The successor may be a while in ending, and has the registry until then.
void Server::take_back() {
  if (handover_ != Handover::taking_back || draining_ || loop_->now_ns() < retry_at_ns_) return;
  const auto later = [this](const char* event, const std::string& reason) {
    core::log_error(event, {{"reason", reason}});
    retry_at_ns_ = core::deadline_after(loop_->now_ns(), core::milliseconds(kTakeBackRetryMs));
  };
  if (!take_back_admin_sockets()) return later("admin_sockets_not_reopened", kNoDescriptor);
  if (auto reopened = registry_->reopen(); !reopened)
    return later("registry_not_reopened", reopened.error().message);
  if (keeper_ != nullptr) keeper_->take_back();
  handover_ = Handover::none;
  open_api();
  manager_.ready();
}

// All or none; those that an earlier try has got are kept.
bool Server::take_back_admin_sockets() {
  if (admin_listener_ >= 0) return true;
  for (const SocketsToPass::Socket& socket : passed_.list()) {
    const bool tcp = socket.name == kAdminTcpSocket;
    if (!tcp && socket.name != kOwnAdminSocket && socket.name != kAdminSocket) continue;
    const int copy = SocketsToPass::copy(socket);
    if (copy < 0) {
      for (const int listener : std::exchange(admin_tcp_listeners_, {})) core::close_socket(listener);
      if (admin_listener_ >= 0) core::close_socket(std::exchange(admin_listener_, -1));
      return false;
    }
    if (tcp) {
      admin_tcp_listeners_.push_back(copy);
    } else {
      admin_listener_ = copy;
    }
  }
  return true;
}

void Server::close_shards() {
  if (std::exchange(closing_, true)) return;
  core::log_warning("closing_open_exchanges");
  for (const auto& shard : shards_) shard->close_now();
  loop_->timers().schedule(*grace_, core::deadline_after(loop_->now_ns(), core::milliseconds(kCloseGraceMs)));
}

void Server::on_grace_over(core::Timer& timer) {
  auto& self = timer.owner<Server>();
  if (!self.closing_) return self.close_shards();
  core::log_error("shards_did_not_end", {{"ended", self.shards_ended_}, {"shards", self.shards_.size()}});
  self.control_->flush();
  self.keeper_.reset();
  self.remove_admin_path();
  std::_Exit(kExitFailure);
}

// Certificates and the log file are the two things that other programs replace under a running process.
void Server::reload() {
  core::log_info("reloading");
  manager_.reloading();
  control_->reopen_access_log();
  if (shadow_log_ != nullptr) {
    if (auto reopened = shadow_log_->reopen(loop_->now_ns()); !reopened) {
      core::log_error("shadow_log_not_reopened", {{"reason", reopened.error()}});
    }
  }
  control_->reload_trust();
  reload_certificates(config_.certificates, tls_.get());
  reload_certificates(config_.admin_certificates, admin_tls_.get());
  if (gateway_->ready.load(std::memory_order_relaxed)) manager_.ready();
}

void Server::reload_certificates(const std::vector<net::TlsCertificateFiles>& certificates,
                                 net::TlsServerContextHolder* holder) {
  if (holder == nullptr) return;
  auto context = net::TlsServerContext::load(
      {.certificates = certificates, .ticket_keys = holder->get()->ticket_keys()});
  if (context) {
    holder->replace(std::move(*context));
    core::log_info("certificates_reloaded", {{"certificates", certificates.size()}});
    return;
  }
  for (const std::string& problem : context.error()) {
    core::log_error("certificates_not_reloaded", {{"problem", problem}});
  }
}

void Server::on_rotate(core::Timer& timer) {
  auto& self = timer.owner<Server>();
  const uint64_t now_ns = self.loop_->now_ns();
  for (const net::TlsServerContextHolder* holder : {self.tls_.get(), self.admin_tls_.get()}) {
    // The first call only starts the clock: the keys are fresh.
    if (holder == nullptr || !self.gateway_->ready.load(std::memory_order_relaxed)) continue;
    if (!holder->get()->ticket_keys()->rotate()) core::log_error("ticket_keys_not_rotated");
  }
  const uint64_t timeout_ns = core::milliseconds(core::limits::kTlsTicketRotationMs);
  self.loop_->timers().schedule(timer, core::deadline_after(now_ns, timeout_ns));
}

void Server::finish() {
  grace_.reset();
  rotate_.reset();
  shards_.clear();
  keeper_.reset();  // writes what the last exchanges have cost
  control_->flush();
  control_->watch_records({});
  control_->watch_shadows({});
  alerts_.reset();
  if (api_ != nullptr) {
    api_->close();
    while (!api_->closed()) loop_->turn();
  }
  remove_admin_path();
  core::log_info("stopped");
}

// With a successor it is his; with a predecessor that still waits it is, or will be again, the predecessor's.
void Server::remove_admin_path() const {
  if (owns_admin_path_ && handover_ != Handover::done && !predecessor_.waits())
    core::remove_unix_socket(config_.admin_socket);
}

int serve(const Config& config, Launcher* launcher) {
  return Server(config, launcher).run();
}

}  // namespace weir::tools
