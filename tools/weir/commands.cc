#include "tools/weir/commands.h"

#include <fmt/format.h>
#include <sys/random.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>

#include "core/file.h"
#include "net/tls/tls_server_context.h"
#include "routing/admin/table_loader.h"
#include "routing/decide/identify.h"
#include "routing/guard/guard_arena.h"
#include "routing/table/table_schema.h"
#include "tools/weir/config.h"
#include "tools/weir/credentials.h"

namespace weir::tools {
namespace {

constexpr size_t kKeyBytes = 24;  // 192 bits

int report(const std::string& file, const std::vector<routing::Problem>& problems) {
  if (problems.empty()) {
    fmt::print("{}: ok\n", file);
    return kExitOk;
  }
  print_problems(file, problems);
  return kExitBadInput;
}

// On a node the table must have all it refers to: credentials and trust anchors. Elsewhere only what it says.
std::vector<routing::Problem> table_problems(const std::string& file, Credentials credentials) {
  auto text = core::read_file(file, core::limits::kMaxTableBytes);
  if (!text) return {{.path = "", .message = std::move(text.error())}};
  const routing::TableFormat format = routing::detect_format(file, *text);
  const routing::CompileOptions options = compile_options(credentials, process_environment());
  if (credentials == Credentials::resolve) {
    auto arena = std::make_shared<routing::GuardArena>(core::limits::kMaxGuardLines);
    auto loaded = routing::TableLoader(options, nullptr, std::move(arena)).load(*std::move(text), format);
    return loaded ? std::vector<routing::Problem>() : std::move(loaded.error());
  }
  auto compiled = routing::compile_text(*std::move(text), format, options);
  return compiled ? std::vector<routing::Problem>() : std::move(compiled.error());
}

std::vector<routing::Problem> certificate_problems(const Config& config) {
  std::vector<routing::Problem> problems;
  const auto check = [&](const std::vector<net::TlsCertificateFiles>& certificates, const char* path) {
    if (certificates.empty()) return;
    auto context = net::TlsServerContext::load({.certificates = certificates});
    if (context) return;
    for (std::string& message : context.error())
      problems.push_back({.path = path, .message = std::move(message)});
  };
  check(config.certificates, "tls");
  check(config.admin_certificates, "admin.tcp");
  return problems;
}

// Asks on the terminal without showing what is typed; from a pipe it just reads.
std::string read_line() {
  termios shown{};
  const bool terminal = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &shown) == 0;
  if (terminal) {
    fmt::print(stderr, "API key (not shown): ");
    termios hidden = shown;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
  }
  std::string line;
  std::getline(std::cin, line);
  if (terminal) {
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    fmt::print(stderr, "\n");
  }
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

// Empty when the system has no randomness to give.
std::string generate_key() {
  std::array<uint8_t, kKeyBytes> random;
  if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) return {};
  std::string key = "weir-";
  for (const uint8_t byte : random) key += fmt::format("{:02x}", byte);
  return key;
}

// What is wrong with a key; empty when an Authorization field can carry it.
std::string key_problem(const std::string& key) {
  if (key.empty())
    return "no key on stdin; give it one line, for example: weir hash-key --config weir.yaml < key.txt";
  if (key.size() > core::limits::kMaxIdentifierBytes) {
    return fmt::format("the key is longer than {} bytes", core::limits::kMaxIdentifierBytes);
  }
  for (const char c : key) {
    if (c <= 0x20 || c > 0x7e)
      return "the key holds a blank or a byte outside ASCII, which no Authorization header can carry";
  }
  return {};
}

}  // namespace

void print_problems(const std::string& file, const std::vector<routing::Problem>& problems) {
  fmt::print(stderr, "{}: {} problem{}\n", file, problems.size(), problems.size() == 1 ? "" : "s");
  for (const routing::Problem& problem : problems) fmt::print(stderr, "{}\n", to_string(problem));
}

int check_config(const std::string& config_file) {
  auto config = load_config(config_file);
  if (!config) return report(config_file, config.error());
  const int config_code = report(config_file, certificate_problems(*config));
  const int table_code = report(config->table_path, table_problems(config->table_path, Credentials::resolve));
  return config_code != kExitOk ? config_code : table_code;
}

int check_table(const std::string& table_file) {
  return report(table_file, table_problems(table_file, Credentials::ignore));
}

int print_schema() {
  fmt::print("{}\n", routing::table_schema());
  return kExitOk;
}

int print_key_hash(const std::string& config_file, KeySource source) {
  auto config = load_config(config_file);
  if (!config) {
    print_problems(config_file, config.error());
    return kExitBadInput;
  }
  if (source == KeySource::generate) {
    const std::string key = generate_key();
    if (key.empty()) {
      fmt::print(stderr, "no randomness: {}\n", std::strerror(errno));
      return kExitFailure;
    }
    fmt::print("key:  {}\nhash: {}\n", key, routing::hash_key(config->key_hash_secret, key));
    return kExitOk;
  }
  const std::string key = read_line();
  if (const std::string problem = key_problem(key); !problem.empty()) {
    fmt::print(stderr, "{}\n", problem);
    return kExitBadInput;
  }
  fmt::print("{}\n", routing::hash_key(config->key_hash_secret, key));
  return kExitOk;
}

}  // namespace weir::tools
