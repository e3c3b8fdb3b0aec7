#include "tools/weir/serve.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/strong.h"
#include "net/address_book.h"
#include "net/tls/tls_server_context.h"
#include "routing/admin/admin_api.h"
#include "routing/admin/alert_sender.h"
#include "routing/admin/control.h"
#include "routing/admin/guard_keeper.h"
#include "routing/admin/shadow_log.h"
#include "tools/weir/commands.h"
#include "tools/weir/credentials.h"
#include "tools/weir/shard_thread.h"
#include "tools/weir/signal_thread.h"
#include "tools/weir/webhook.h"

namespace weir::tools {
namespace {

constexpr uint64_t kFirstLookupPatienceMs = 10'000;
constexpr uint64_t kDrainGraceMs = 30'000;
constexpr uint64_t kCloseGraceMs = 5'000;  // what close_now() may take before the process is given up
constexpr uint64_t kStartTurnMs = 5;
// The kernel takes a killed process' ring apart after the process is gone: until then its sockets are taken.
constexpr uint64_t kTakenPatienceMs = 500;

// The CPUs this process may use, in order.
std::vector<int> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<size_t>(cpu), &set)) cpus.push_back(cpu);
  }
  return cpus;
}

// Every connection is a descriptor; the soft limit of many systems is 1024.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// This thread, and those that it starts from now on, ask for short turns on the CPU (Linux 6.12; before, it
// has no effect): they work for microseconds and then wait, and under full load each wait would else last
// until a shard's turn is over. Their share of the CPU stays what it is.
void ask_for_short_turns() {
  struct {  // sched_attr, which glibc 2.36 does not declare
    uint32_t size = 48, policy = SCHED_OTHER;
    uint64_t flags = 0;
    int32_t nice = 0;
    uint32_t priority = 0;
    uint64_t runtime_ns = 100'000, deadline_ns = 0, period_ns = 0;
  } attributes;
  static_assert(sizeof attributes == 48);
  attributes.nice = getpriority(PRIO_PROCESS, 0);
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

uint64_t random_seed() {
  uint64_t seed = 0;
  WEIR_ASSERT(getrandom(&seed, sizeof seed, 0) == sizeof seed);  // does not fail once the system is up
  return seed;
}

// The ring and buffers of the control loop: a few admin connections.
core::IoOptions control_io() {
  return {.submission_entries = 64,
          .completion_entries = 1024,
          .incremental_block_bytes = 128 * 1024,
          .incremental_blocks = 2,
          .whole_block_bytes = 16 * 1024,
          .whole_blocks = 16};
}

class Server {
 public:
  explicit Server(const Config& config) : config_(config) {}
  ~Server();
  int run();

 private:
  using Descriptors = std::vector<ShardListener>;

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
  void begin_drain();
  void close_shards();
  void reload();
  void finish();
  static void on_grace_over(core::Timer& timer);
  static void on_rotate(core::Timer& timer);
  void fail(std::string problem) { failures_.push_back(std::move(problem)); }

  const Config& config_;
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
  bool serving_ = false;
  bool draining_ = false;
  bool closing_ = false;
};

Server::~Server() {
  shards_.clear();  // before what they use
  for (const Descriptors& descriptors : listeners_) {
    for (const ShardListener& listener : descriptors) core::close_socket(listener.descriptor);
  }
  for (const int listener : admin_tcp_listeners_) core::close_socket(listener);
  if (admin_listener_ >= 0) {
    core::close_socket(admin_listener_);
    core::remove_unix_socket(config_.admin_socket);
  }
  signals_.reset();  // posts to the loop
}

int Server::run() {
  raise_descriptor_limit();
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
  wait_until_ready();
  while (shards_ended_ < shards_.size()) loop_->turn();
  finish();
  return kExitOk;
}

// ---- start-up: every problem is collected -------------------------------------------------------------

void Server::start_loops() {
  // The main thread carries the control loop. Signals are blocked before any other thread starts.
  if (auto loop = core::Loop::create(control_io()); loop) {
    loop_ = std::move(*loop);
  } else {
    fail(std::move(loop.error()));
  }
  signals_ = std::make_unique<SignalThread>([this](int signal) {
    if (loop_ != nullptr) loop_->post([this, signal] { on_signal(signal); });
  });
  const std::vector<int> cpus = allowed_cpus();
  const auto automatic = static_cast<uint32_t>(std::clamp<size_t>(cpus.size(), 1, core::limits::kMaxShards));
  const uint32_t count = config_.shards.value_or(automatic);
  for (uint32_t index = 0; index < count; ++index) {
    std::optional<int> cpu;
    if (!cpus.empty()) cpu = cpus[index % cpus.size()];
    shards_.push_back(std::make_unique<ShardThread>(index, cpu));
  }
  listeners_.resize(count);
  ask_for_short_turns();  // the control loop and its workers; the shards have begun
}

void Server::load_certificates() {
  tls_ = load_certificates(config_.certificates, "tls");
  admin_tls_ = load_certificates(config_.admin_certificates, "admin.tcp");
}

std::unique_ptr<net::TlsServerContextHolder> Server::load_certificates(
    const std::vector<net::TlsCertificateFiles>& certificates, const char* path) {
  if (certificates.empty()) return nullptr;
  auto context = net::TlsServerContext::load({.certificates = certificates});
  if (context) return std::make_unique<net::TlsServerContextHolder>(std::move(*context));
  for (std::string& message : context.error()) {
    config_problems_.push_back({.path = path, .message = std::move(message)});
  }
  return nullptr;
}

void Server::open_access_log() {
  std::unique_ptr<core::AppendFile> file;
  if (config_.access_log == AccessLog::standard_output) file = core::AppendFile::standard_output();
  if (config_.access_log == AccessLog::file) {
    if (auto opened = core::AppendFile::open(config_.access_log_path); opened) {
      file = std::move(*opened);
    } else {
      fail(std::move(opened.error()));
    }
  }
  access_log_ = std::make_unique<routing::AccessLog>(std::move(file));
  if (config_.shadow_log_path.empty()) return;
  auto shadow = core::AppendFile::open(config_.shadow_log_path);
  if (!shadow) return fail(std::move(shadow.error()));
  shadow_log_ = std::make_unique<routing::ShadowLog>(
      std::move(*shadow), config_.shadow_text ? routing::ShadowText::masked : routing::ShadowText::digest,
      config_.shadow_mask);
}

void Server::make_gateway() {
  worker_ = std::make_unique<routing::Worker>();
  addresses_ = std::make_unique<net::AddressBook>();
  const LimitOverrides& limits = config_.limits;
  const routing::GatewayOptions options{.shards = static_cast<uint32_t>(shards_.size()),
                                        .key_hash_secret = config_.key_hash_secret,
                                        .max_body_bytes = limits.max_body_bytes,
                                        .max_connections_per_shard = limits.max_connections_per_shard,
                                        .max_exchanges_per_shard = limits.max_exchanges_per_shard,
                                        .head_timeout_ms = limits.head_timeout_ms,
                                        .body_stall_timeout_ms = limits.body_stall_timeout_ms,
                                        .idle_timeout_ms = limits.idle_timeout_ms,
                                        .write_stall_timeout_ms = limits.write_stall_timeout_ms,
                                        .upstream_idle_ms = limits.upstream_idle_ms,
                                        .shadow = !config_.shadow_log_path.empty(),
                                        .process_seed = random_seed()};
  gateway_ = std::make_unique<routing::Gateway>(options, *addresses_, [this] {
    if (!serving_) return;  // a shard begins with the newest table anyway
    for (const auto& shard : shards_) shard->wake();
  });
}

// A file that weir cannot make sense of stays so until somebody acts; a full or busy disk may mend itself.
void Server::open_registry() {
  auto opened = routing::RegistryThreads::open({.path = config_.registry_path});
  if (opened) {
    registry_ = std::move(*opened);
    if (registry_->path().empty()) core::log_warning("registry_in_memory");  // changes end with the process
    return;
  }
  using enum routing::RegistryError::Kind;
  routing::RegistryError& error = opened.error();
  if (error.kind == corrupt || error.kind == newer) {
    config_problems_.push_back({.path = "registry", .message = std::move(error.message)});
  } else {
    fail("registry: " + error.message);
  }
}

void Server::load_table() {
  control_ = std::make_unique<routing::ControlThread>(
      *loop_, routing::ControlParts{*gateway_, *addresses_, *access_log_, *worker_, *registry_},
      routing::ControlOptions{.compile = compile_options(Credentials::resolve, process_environment()),
                              .build = WEIR_VERSION});
  auto started = control_->start([this]() -> std::expected<routing::ControlThread::TableText, std::string> {
    auto text = core::read_file(config_.table_path, core::limits::kMaxTableBytes);
    if (!text) return std::unexpected(std::move(text.error()));
    const routing::TableFormat format = routing::detect_format(config_.table_path, *text);
    return routing::ControlThread::TableText{*std::move(text), format, config_.table_path};
  });
  if (started) {
    if (!config_.guard_state_path.empty()) restore_guards();
    return;
  }
  routing::StartFailure& failure = started.error();
  if (failure.registry) fail("registry: " + failure.registry->message);
  table_problems_ = std::move(failure.problems);
  table_origin_ = failure.revision == 0
                      ? config_.table_path
                      : fmt::format("{}, revision {}", config_.registry_path, failure.revision);
}

// Not being able to read what has been spent is no reason to think that nothing was.
void Server::restore_guards() {
  keeper_ = std::make_unique<routing::GuardKeeper>(*loop_, *gateway_, config_.guard_state_path);
  auto restored = keeper_->restore();
  if (!restored) {
    keeper_.reset();
    return fail("guard_state: " + restored.error());
  }
  core::log_info("guards_restored", {{"rules", *restored}});
}

void Server::open_ports() {
  for (const core::SocketAddress& address : config_.listen) open_port(address, nullptr, &bound_);
  for (const core::SocketAddress& address : config_.listen_tls) {
    // Without certificates there is nothing to speak TLS with; their problems have been noted.
    if (tls_ != nullptr) open_port(address, tls_.get(), &bound_tls_);
  }
}

template <typename Open>
auto Server::patiently(Open open) {
  const uint64_t deadline_ns =
      core::deadline_after(core::monotonic_now_ns(), core::milliseconds(kTakenPatienceMs));
  while (true) {
    auto opened = open();
    if (opened || loop_ == nullptr || core::monotonic_now_ns() >= deadline_ns) return opened;
    loop_->turn(core::milliseconds(kStartTurnMs));
  }
}

// One socket per shard; the first one settles which port it is.
void Server::open_port(const core::SocketAddress& address, const net::TlsServerContextHolder* tls,
                       std::vector<std::string>* bound) {
  if (auto is_free = patiently([&] { return core::check_free_tcp(address); }); !is_free) {
    return fail(std::move(is_free.error()));
  }
  core::SocketAddress resolved = address;
  for (Descriptors& descriptors : listeners_) {
    auto listener = core::listen_tcp(resolved);
    if (!listener) return fail(std::move(listener.error()));
    resolved = core::bound_address(*listener);
    descriptors.push_back({.descriptor = *listener, .tls = tls});
  }
  bound->push_back(resolved.to_string());
}

void Server::open_admin_socket() {
  auto listener =
      patiently([&] { return core::listen_unix(config_.admin_socket, config_.admin_socket_mode); });
  if (listener) {
    admin_listener_ = *listener;
  } else {
    fail("admin socket: " + listener.error());
  }
}

void Server::open_admin_ports() {
  if (admin_tls_ == nullptr) return;  // without certificates there is no TLS, and without TLS no token
  for (core::SocketAddress address : config_.admin_listen) {
    if (auto is_free = patiently([&] { return core::check_free_tcp(address); }); !is_free) {
      return fail(std::move(is_free.error()));
    }
    auto listener = core::listen_tcp(address);
    if (!listener) return fail(std::move(listener.error()));
    admin_tcp_listeners_.push_back(*listener);
    bound_admin_.push_back(core::bound_address(*listener).to_string());
  }
}

void Server::join_shard_loops() {
  for (const auto& shard : shards_) {
    auto opened = shard->opened();
    // What is missing is missing for all of them: said once.
    if (!opened && std::ranges::find(failures_, opened.error()) == failures_.end()) fail(opened.error());
  }
}

bool Server::report_problems() const {
  if (!config_problems_.empty()) print_problems(config_.file, config_problems_);
  if (!table_problems_.empty()) print_problems(table_origin_, table_problems_);
  for (const std::string& failure : failures_) fmt::print(stderr, "weir: {}\n", failure);
  return !config_problems_.empty() || !table_problems_.empty() || !failures_.empty();
}

// ---- serving --------------------------------------------------------------------------------------------

void Server::begin_serving() {
  api_ = std::make_unique<routing::AdminApi>(
      *control_, routing::AdminApi::About{.version = WEIR_VERSION, .started_ns = started_ns_},
      config_.access);
  api_->listen(std::exchange(admin_listener_, -1));
  for (const int listener : std::exchange(admin_tcp_listeners_, {}))
    api_->listen_tcp(listener, admin_tls_.get());
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
    alerts_ = std::make_unique<routing::AlertSender>(*loop_, config_.alert_secret, random_seed(),
                                                     webhook_post(config_.alert_url));
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
  while (!draining_ && !(gateway_->tables.everyone_uses(gateway_->tables.newest_version()) && looked_up())) {
    loop_->turn(core::milliseconds(kStartTurnMs));
  }
  if (draining_) return;
  gateway_->ready.store(true, std::memory_order_relaxed);
  print_ready_line();
  control_->compare_with_file(config_.table_path);
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
  if (draining_) return close_shards();
  core::log_info("stopping", {{"signal", signal}, {"grace_ms", kDrainGraceMs}});
  begin_drain();
}

void Server::begin_drain() {
  draining_ = true;
  gateway_->draining.store(true, std::memory_order_relaxed);
  gateway_->ready.store(false, std::memory_order_relaxed);
  for (const auto& shard : shards_) shard->drain();
  loop_->timers().schedule(*grace_, core::deadline_after(loop_->now_ns(), core::milliseconds(kDrainGraceMs)));
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
  core::remove_unix_socket(self.config_.admin_socket);
  std::_Exit(kExitFailure);
}

// Certificates and the log file are the two things that other programs replace under a running process.
void Server::reload() {
  core::log_info("reloading");
  control_->reopen_access_log();
  if (shadow_log_ != nullptr) {
    if (auto reopened = shadow_log_->reopen(loop_->now_ns()); !reopened) {
      core::log_error("shadow_log_not_reopened", {{"reason", reopened.error()}});
    }
  }
  control_->reload_trust();
  reload_certificates(config_.certificates, tls_.get());
  reload_certificates(config_.admin_certificates, admin_tls_.get());
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
  api_->close();
  while (!api_->closed()) loop_->turn();
  core::remove_unix_socket(config_.admin_socket);
  core::log_info("stopped");
}

}  // namespace

int serve(const Config& config) {
  return Server(config).run();
}

}  // namespace weir::tools
