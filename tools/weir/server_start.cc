// Start-up: every problem is collected, and reported with all others.
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/file.h"
#include "core/log.h"
#include "core/strong.h"
#include "core/zeroed_memory.h"
#include "tools/weir/commands.h"
#include "tools/weir/credentials.h"
#include "tools/weir/environment.h"
#include "tools/weir/sandbox.h"
#include "tools/weir/server.h"
#include "tools/weir/webhook.h"

namespace weir::tools {
namespace {

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

// The ring and buffers of the control loop: a few admin connections.
core::IoOptions control_io() {
  return {.submission_entries = 64,
          .completion_entries = 1024,
          .incremental_block_bytes = 128 * 1024,
          .incremental_blocks = 2,
          .whole_block_bytes = 16 * 1024,
          .whole_blocks = 16};
}

}  // namespace

uint64_t Server::random_seed() {
  uint64_t seed = 0;
  WEIR_ASSERT(getrandom(&seed, sizeof seed, 0) == sizeof seed);  // does not fail once the system is up
  return seed;
}

void Server::take_sockets() {
  if (auto taken = InheritedSockets::take(); taken) {
    inherited_ = std::move(*taken);
  } else {
    fail(std::move(taken.error()));
  }
}

void Server::load_webhook() {
  if (config_.alert_url.empty()) return;
  if (auto post = webhook_post(config_.alert_url); post) {
    webhook_ = std::move(*post);
  } else {
    fail(std::move(post.error()));
  }
}

// Before any thread: all that follow inherit it. Without it weir serves as well; the operator should know.
void Server::enter_sandbox() {
  if (!config_.sandbox) return core::log_warning("sandbox_off");
  const FileAccess files = files_of(config_);
  // Those that weir makes itself have to be there before; whoever needs one that cannot be made says so.
  for (const std::string& folder : files.write) static_cast<void>(core::make_folder(folder));
  const std::string privileges = give_up_privileges();
  wipe_environment();
  for (const std::string& problem : {privileges, restrict_files(files)}) {
    if (!problem.empty()) core::log_warning("sandbox_incomplete", {{"reason", problem}});
  }
}

// All that start-up alone needs has been done.
void Server::drop_system_calls() {
  if (!config_.sandbox) return;
  if (const std::string problem = restrict_system_calls(); !problem.empty())
    core::log_warning("sandbox_incomplete", {{"reason", problem}});
}

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
  core::IoOptions options;
  options.busy_poll_ns = uint64_t{config_.busy_poll_us} * 1000;
  for (uint32_t index = 0; index < count; ++index) {
    std::optional<int> cpu;
    if (!cpus.empty()) cpu = cpus[index % cpus.size()];
    shards_.push_back(std::make_unique<ShardThread>(index, cpu, options));
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
      std::move(*shadow), config_.shadow_policies, config_.key_hash_secret);
}

void Server::make_gateway() {
  worker_ = std::make_unique<routing::Worker>();
  addresses_ = std::make_unique<net::AddressBook>();
  LimitOverrides limits = config_.limits;
  // Memory that the system refuses is no fault of ours, as it would be later. What else is wrong is found all the same.
  {
    const core::ZeroedMemory users(limits.user_memory_bytes);
    const core::ZeroedMemory cache(limits.cache_memory_bytes / 4 * 5);  // with its index
    const auto need = [this](const core::ZeroedMemory& memory, const char* name, uint64_t& bytes) {
      if (memory.data() != nullptr) return;
      fail(fmt::format("limits.{}: the system does not give {} bytes", name,
                       std::exchange(bytes, routing::kMinTableMemoryBytes)));
    };
    need(users, "user_memory", limits.user_memory_bytes);
    need(cache, "cache_memory", limits.cache_memory_bytes);
  }
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
                                        .cache_memory_bytes = limits.cache_memory_bytes,
                                        .user_guard_memory_bytes = limits.user_memory_bytes,
                                        .balance_connections = true,
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
    // Not a turn of the loop: a signal that comes now is for when there is something to end.
    ::poll(nullptr, 0, static_cast<int>(kStartTurnMs));
  }
}

// One socket per shard.
void Server::open_port(const core::SocketAddress& address, const net::TlsServerContextHolder* tls,
                       std::vector<std::string>* bound) {
  const std::string_view name = tls == nullptr ? kPlainSocket : kTlsSocket;
  auto sockets = listening_sockets(inherited_, address, name, listeners_.size());
  if (!sockets) return fail(std::move(sockets.error()));
  for (size_t i = 0; i < sockets->size(); ++i) {
    const int socket = (*sockets)[i];
    listeners_[i % listeners_.size()].push_back({.descriptor = socket, .tls = tls});
    if (!passed_.add(name, socket)) return fail(kNoDescriptor);
  }
  bound->push_back(core::bound_address(sockets->front()).to_string());
}

void Server::open_admin_socket() {
  if (auto given = inherited_.take_unix(config_.admin_socket); given) {
    admin_listener_ = given->descriptor;
    owns_admin_path_ = given->name == kOwnAdminSocket;
  } else if (auto listener = patiently(
                 [&] { return core::listen_unix(config_.admin_socket, config_.admin_socket_mode); });
             listener) {
    admin_listener_ = *listener;
  } else {
    return fail("admin socket: " + listener.error());
  }
  if (!passed_.add(owns_admin_path_ ? kOwnAdminSocket : kAdminSocket, admin_listener_)) fail(kNoDescriptor);
}

void Server::open_admin_ports() {
  if (admin_tls_ == nullptr) return;  // without certificates there is no TLS, and without TLS no token
  for (const core::SocketAddress& address : config_.admin_listen) {
    auto sockets = listening_sockets(inherited_, address, kAdminTcpSocket, 1);
    if (!sockets) return fail(std::move(sockets.error()));
    for (const int socket : *sockets) {
      admin_tcp_listeners_.push_back(socket);
      if (!passed_.add(kAdminTcpSocket, socket)) return fail(kNoDescriptor);
    }
    bound_admin_.push_back(core::bound_address(sockets->front()).to_string());
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

}  // namespace weir::tools
