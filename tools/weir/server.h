// The running gateway of `weir serve`: what there is while it starts, serves, is replaced and ends.
//
//   take_sockets, load_webhook ─▶ sandbox ─▶ loops, certificates, log, registry, table, ports   server_start.cc
//   ─▶ serve ─▶ ready; signals and the admin API: reload, hand over, drain ─▶ finish   serve.cc
//
// Thread: the main one, which carries the control loop.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/loop.h"
#include "net/address_book.h"
#include "net/tls/tls_server_context.h"
#include "routing/admin/admin_api.h"
#include "routing/admin/alert_sender.h"
#include "routing/admin/control.h"
#include "routing/admin/guard_keeper.h"
#include "routing/admin/shadow_log.h"
#include "tools/weir/config.h"
#include "tools/weir/inherited_sockets.h"
#include "tools/weir/service_manager.h"
#include "tools/weir/shard_thread.h"
#include "tools/weir/signal_thread.h"
#include "tools/weir/successor.h"

namespace weir::tools {

class Server {
 public:
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  Server(const Config& config, Launcher* launcher) : config_(config), launcher_(launcher) {}
  ~Server();
  // Serves until it is told to end; the exit code.
  int run();

 private:
  static constexpr uint64_t kStartTurnMs = 5;
  static constexpr const char* kNoDescriptor = "no descriptor left: raise the limit on open files";

  static uint64_t random_seed();

  using Descriptors = std::vector<ShardListener>;

  void take_sockets();
  void load_webhook();
  void enter_sandbox();
  void drop_system_calls();
  void start_loops();
  void load_certificates();
  std::unique_ptr<net::TlsServerContextHolder> load_certificates(
      const std::vector<net::TlsCertificateFiles>& certificates, const char* path);
  void reload_certificates(const std::vector<net::TlsCertificateFiles>& certificates,
                           net::TlsServerContextHolder* holder);
  void open_access_log();
  void make_gateway();
  void open_registry();
  void load_table();
  void restore_guards();
  void open_ports();
  void open_port(const core::SocketAddress& address, const net::TlsServerContextHolder* tls,
                 std::vector<std::string>* bound);
  void open_admin_socket();
  void open_admin_ports();
  template <typename Open>
  auto patiently(Open open);
  void join_shard_loops();
  bool report_problems() const;

  void begin_serving();
  void wait_until_ready();
  void print_ready_line() const;
  void on_signal(int signal);
  void begin_drain(uint32_t idle_ms);
  void close_shards();
  void open_api();
  std::string begin_handover();
  void continue_handover();
  void take_back();
  bool take_back_admin_sockets();
  void end_handover(Launcher::Started successor);
  void reload();
  void reload_certificates();
  void remove_admin_path() const;
  void finish();
  static void on_grace_over(core::Timer& timer);
  static void on_rotate(core::Timer& timer);
  void fail(std::string problem) { failures_.push_back(std::move(problem)); }

  const Config& config_;
  Launcher* const launcher_;
  Predecessor predecessor_;
  const ServiceManager manager_;
  InheritedSockets inherited_;
  SocketsToPass passed_;  // copies of all listeners, until nobody can follow us any more
  const uint64_t started_ns_ = core::monotonic_now_ns();
  std::vector<std::string> failures_;              // of the system
  std::vector<routing::Problem> config_problems_;  // of what was given
  std::vector<routing::Problem> table_problems_;
  std::string table_origin_;  // what they are in

  std::unique_ptr<core::Loop> loop_;
  std::unique_ptr<SignalThread> signals_;
  std::unique_ptr<core::Timer> grace_, rotate_;
  std::unique_ptr<routing::Worker> worker_;
  std::unique_ptr<net::AddressBook> addresses_;
  std::unique_ptr<routing::AccessLog> access_log_;
  std::unique_ptr<routing::RegistryThreads> registry_;
  std::unique_ptr<net::TlsServerContextHolder> tls_, admin_tls_;
  std::unique_ptr<routing::Gateway> gateway_;
  std::unique_ptr<routing::ControlThread> control_;
  routing::AlertSender::Post webhook_;
  std::unique_ptr<routing::AlertSender> alerts_;
  std::unique_ptr<routing::ShadowLog> shadow_log_;
  std::unique_ptr<routing::GuardKeeper> keeper_;
  std::unique_ptr<routing::AdminApi> api_;
  std::vector<std::unique_ptr<ShardThread>> shards_;
  std::vector<Descriptors> listeners_;  // by shard
  std::vector<std::string> bound_, bound_tls_, bound_admin_;
  int admin_listener_ = -1;
  std::vector<int> admin_tcp_listeners_;
  uint32_t shards_ended_ = 0;
  bool owns_admin_path_ = true;
  enum class Handover : uint8_t { none, releasing, starting, taking_back, done } handover_ = Handover::none;
  uint64_t release_deadline_ns_ = 0, retry_at_ns_ = 0;
  std::string handover_failure_;  // of the last attempt; empty = none
  bool serving_ = false;
  bool draining_ = false;     // by a signal, or since a successor serves
  bool told_to_end_ = false;  // by a signal: another one does not wait
  bool closing_ = false;
};

}  // namespace weir::tools
