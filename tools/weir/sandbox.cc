#include "tools/weir/sandbox.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "core/log.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

namespace weir::tools {
namespace {

#ifdef WEIR_SANITIZED
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

std::string because(const char* what, int error) {
  return std::string(what) + ": " + std::strerror(error);
}

// ---- Landlock (Documentation/userspace-api/landlock.rst) --------------------------------------------------

// Newer than the packaged headers.
constexpr uint64_t kTruncate = 1u << 14;       // version 3, kernel 6.2
constexpr uint64_t kDeviceControl = 1u << 15;  // version 5, kernel 6.10
constexpr uint64_t kReadFile = LANDLOCK_ACCESS_FS_READ_FILE;
constexpr uint64_t kReadFolder = kReadFile | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr uint64_t kWriteFile = LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate;
constexpr uint64_t kWriteFolder = kReadFolder | kWriteFile | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                                  LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                                  LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REFER;

uint64_t rights_of_version(long version) {
  uint64_t rights = (1u << 13) - 1;
  if (version >= 2) rights |= LANDLOCK_ACCESS_FS_REFER;
  if (version >= 3) rights |= kTruncate;
  if (version >= 5) rights |= kDeviceControl;
  return rights;
}

// What libraries read: time zones, certificates, the resolver's files and modules, the kernel's idea of the
// machine. Of /etc all: whoever changes resolv.conf or hosts puts a new file in its place, which a rule for the old
// one would not allow. What is secret there is kept from this user by its mode (weir.service says so of env).
constexpr std::array<const char*, 10> kSystemFolders = {"/etc",       "/usr",
                                                        "/lib",       "/lib64",
                                                        "/proc/self", "/proc/stat",
                                                        "/proc/sys",  "/sys/devices/system",
                                                        "/run/nscd",  "/run/systemd/resolve"};
constexpr std::array<const char*, 3> kDevices = {"/dev/null", "/dev/random", "/dev/urandom"};

bool allow(int rules, const std::string& path, uint64_t rights) {
  const int descriptor = ::open(path.c_str(), O_PATH | O_CLOEXEC);
  if (descriptor < 0)
    return errno == ENOENT || errno == ENOTDIR || errno == EACCES;  // nothing there to be reached
  struct stat status{};
  ::fstat(descriptor, &status);
  if (!S_ISDIR(status.st_mode)) rights &= kReadFile | kWriteFile;
  landlock_path_beneath_attr rule{};
  rule.allowed_access = rights;
  rule.parent_fd = descriptor;
  const bool added = ::syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
  ::close(descriptor);
  return added;
}

// ---- seccomp (Documentation/userspace-api/seccomp_filter.rst) ---------------------------------------------

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "which AUDIT_ARCH_* is this?"
#endif

// By use, from the kinds of a request to those of a bad day. x86-64 has older forms of many that ARM64 has
// not.
constexpr auto kAllowed = std::to_array<uint32_t>({
    // the loop, the log, locks
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_futex,
    SYS_write,
    SYS_writev,
    SYS_read,
    SYS_close,
    SYS_shutdown,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_sched_yield,
    SYS_getrandom,
    SYS_ppoll,
    // connections to providers, name lookups, the service manager, handing sockets over
    SYS_connect,
    SYS_bind,
    SYS_getsockname,
    SYS_getpeername,
    SYS_setsockopt,
    SYS_getsockopt,
    SYS_sendto,
    SYS_sendmsg,
    SYS_sendmmsg,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_recvmmsg,
    SYS_socketpair,
    SYS_pipe2,
    SYS_fcntl,
    SYS_dup,
    SYS_eventfd2,
    // memory
    SYS_mmap,
    SYS_munmap,
    SYS_mremap,
    SYS_mprotect,
    SYS_madvise,
    SYS_brk,
    // threads, signals, the end
    SYS_exit,
    SYS_exit_group,
    SYS_set_robust_list,
    SYS_rseq,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigtimedwait,
    SYS_sigaltstack,
    SYS_restart_syscall,
    SYS_gettid,
    SYS_getpid,
    SYS_membarrier,
    SYS_sched_getaffinity,
    SYS_getcpu,
    SYS_getrusage,
    SYS_times,
    SYS_sysinfo,
    SYS_uname,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_getppid,
    // files: tables, certificates, logs, the registry
    SYS_openat,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    SYS_statfs,
    SYS_fstatfs,
    SYS_lseek,
    SYS_pread64,
    SYS_pwrite64,
    SYS_readv,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_fadvise64,
    SYS_fsync,
    SYS_fdatasync,
    SYS_flock,
    SYS_getdents64,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_readlinkat,
    SYS_renameat,
    SYS_renameat2,
    SYS_unlinkat,
    SYS_mkdirat,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchown,
    SYS_getcwd,
    SYS_utimensat,
    SYS_umask,
#ifdef __x86_64__
    SYS_poll,
    SYS_open,
    SYS_stat,
    SYS_lstat,
    SYS_access,
    SYS_readlink,
    SYS_rename,
    SYS_unlink,
    SYS_rmdir,
    SYS_mkdir,
    SYS_getdents,
    SYS_chmod,
    SYS_time,
    SYS_gettimeofday,
    SYS_arch_prctl,
#endif
});

using Program = std::vector<sock_filter>;

constexpr uint32_t argument_at(uint32_t number) {  // its lower half: both machines are little-endian
  return static_cast<uint32_t>(offsetof(seccomp_data, args)) +
         number * static_cast<uint32_t>(sizeof(uint64_t));
}
void load(Program& program, uint32_t offset) {
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
}
void answer(Program& program, uint32_t what) {
  program.push_back(BPF_STMT(BPF_RET | BPF_K, what));
}
// If the loaded word is `value`, the next `count` instructions are run, else left out.
void if_equal(Program& program, uint32_t value, uint8_t count) {
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, count));
}

// `call` is allowed if its argument is one of `values`.
void allow_with(Program& program, uint32_t call, uint32_t number, std::initializer_list<uint32_t> values) {
  if_equal(program, call, static_cast<uint8_t>(2 + 2 * values.size()));
  load(program, argument_at(number));
  for (const uint32_t value : values) {
    if_equal(program, value, 1);
    answer(program, SECCOMP_RET_ALLOW);
  }
  answer(program, SECCOMP_RET_TRAP);
}

Program allow_list() {
  Program program;
  load(program, offsetof(seccomp_data, arch));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0));
  answer(program, SECCOMP_RET_KILL_PROCESS);  // its numbers mean other calls
  load(program, offsetof(seccomp_data, nr));
  for (const uint32_t call : kAllowed) {
    if_equal(program, call, 1);
    answer(program, SECCOMP_RET_ALLOW);
  }
  allow_with(program, SYS_socket, 0, {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK});
  // Nothing that types into a terminal (TIOCSTI) or changes a device: is it a terminal, what waits in a socket, an
  // interface's number (a name server's fe80::1%eth0).
  allow_with(program, SYS_ioctl, 1, {TCGETS, FIONREAD, SIOCGIFINDEX});
  const auto own = static_cast<uint32_t>(::getpid());
  allow_with(program, SYS_tgkill, 0, {own});  // our threads; not kill(2), not other processes
  allow_with(program, SYS_prlimit64, 0, {0, own});
  allow_with(program, SYS_prctl, 0, {PR_SET_NAME, PR_SET_VMA, PR_GET_DUMPABLE});
  // The flags of clone3 lie in memory, where a filter cannot look: without it the C library uses clone.
  if_equal(program, SYS_clone3, 1);
  answer(program, SECCOMP_RET_ERRNO | ENOSYS);
  if_equal(program, SYS_clone, 4);
  load(program, argument_at(0));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1));  // threads, no processes
  answer(program, SECCOMP_RET_ALLOW);
  answer(program, SECCOMP_RET_TRAP);
  answer(program, SECCOMP_RET_TRAP);
  return program;
}

std::array<std::atomic<uint64_t>, 8> refused_calls;  // a bit for each that has been logged

// Where a call that was not allowed ends: it fails with EPERM, and the log says which it was. Only what
// signal handlers may do.
void on_refused_call(int, siginfo_t* info, void* context) {
  auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  machine.gregs[REG_RAX] = -EPERM;
#else
  machine.regs[0] = static_cast<uint64_t>(-EPERM);
#endif
  const auto number = static_cast<uint32_t>(info->si_syscall);
  auto& word = refused_calls[number / 64 % refused_calls.size()];
  const uint64_t bit = uint64_t{1} << number % 64;
  if ((word.fetch_or(bit, std::memory_order_relaxed) & bit) != 0) return;
  constexpr std::string_view kBegin = R"({"level":"error","event":"system_call_refused","number":)";
  constexpr std::string_view kEnd = R"(,"hint":"seccomp; please report it. sandbox: off allows it"})"
                                    "\n";
  std::array<char, kBegin.size() + kEnd.size() + 16> line;
  char* end = line.data() + kBegin.copy(line.data(), kBegin.size());
  end = std::to_chars(end, end + 16, number).ptr;
  end += kEnd.copy(end, kEnd.size());
  [[maybe_unused]] const ssize_t written =
      ::write(STDERR_FILENO, line.data(), static_cast<size_t>(end - line.data()));
}

}  // namespace

FileAccess files_of(const Config& config) {
  const auto folder_of = [](const std::string& path) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? std::string(".")
           : slash == 0               ? std::string("/")
                                      : path.substr(0, slash);
  };
  FileAccess access;
  access.read = config.readable;
  for (const std::string* path : {&config.file, &config.table_path}) access.read.push_back(folder_of(*path));
  for (const auto* certificates : {&config.certificates, &config.admin_certificates}) {
    for (const net::TlsCertificateFiles& files : *certificates) {
      access.read.push_back(folder_of(files.certificate_chain_path));
      access.read.push_back(folder_of(files.private_key_path));
    }
  }
  for (const char* variable : {"SSL_CERT_FILE", "SSL_CERT_DIR"}) {  // as OpenSSL reads them
    if (const char* path = std::getenv(variable); path != nullptr) access.read.emplace_back(path);
  }
  access.write.push_back(folder_of(config.admin_socket));
  if (config.registry_path != ":memory:") access.write.push_back(folder_of(config.registry_path));
  for (const std::string* path : {&config.guard_state_path, &config.shadow_log_path}) {
    if (!path->empty()) access.write.push_back(folder_of(*path));
  }
  if (config.access_log == AccessLog::file) access.write.push_back(folder_of(config.access_log_path));
  return access;
}

std::string give_up_privileges() {
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  // Also what keeps other processes of this user from looking into our memory (ptrace, /proc/PID/mem).
  if (::prctl(PR_SET_DUMPABLE, 0) != 0) return because("core dumps are not off", errno);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return because("no_new_privs", errno);
  return {};
}

std::string restrict_files(const FileAccess& access) {
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return because("files are not restricted, the kernel has no Landlock", errno);
  const uint64_t handled = rights_of_version(version);
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = handled;
  const auto rules =
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0));
  if (rules < 0) return because("files are not restricted", errno);
  bool added = true;
  for (const char* path : kSystemFolders) added = allow(rules, path, kReadFolder) && added;
  for (const char* path : kDevices) added = allow(rules, path, (kReadFile | kWriteFile) & handled) && added;
  for (const std::string& path : access.read) added = allow(rules, path, kReadFolder) && added;
  for (const std::string& path : access.write) added = allow(rules, path, kWriteFolder & handled) && added;
  const bool restricted = added && ::syscall(SYS_landlock_restrict_self, rules, 0) == 0;
  const int error = errno;
  ::close(rules);
  return restricted ? std::string() : because("files are not restricted", error);
}

std::string restrict_system_calls() {
  if (kSanitized) {
    core::log_warning("system_calls_unrestricted", {{"reason", "sanitizers need others"}});
    return {};
  }
  struct sigaction action{};
  action.sa_sigaction = on_refused_call;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  if (::sigaction(SIGSYS, &action, nullptr) != 0) return because("system calls are not restricted", errno);
  Program program = allow_list();
  const sock_fprog filter{static_cast<uint16_t>(program.size()), program.data()};
  const long result = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
  if (result == 0) return {};
  return because("system calls are not restricted", result > 0 ? ESRCH : errno);
}

}  // namespace weir::tools
