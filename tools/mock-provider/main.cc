// weir-mock-provider: a model provider for tests, demonstrations and benchmarks. Options, start, signals;
// what it answers is in provider.h and fixed_answers.h.
#include <fmt/format.h>
#include <sched.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>

#include "core/limits.h"
#include "core/socket.h"
#include "net/http_server.h"
#include "net/tls/tls_server_context.h"
#include "tools/exit_codes.h"
#include "tools/mock-provider/fixed_answers.h"
#include "tools/mock-provider/provider.h"

namespace {

using namespace weir;
using namespace weir::tools;

constexpr const char* kFooter = R"(
Prints one line when it is ready: {"event":"listening","address":"127.0.0.1:40123","port":40123}
Faults: POST /mock/faults (see tools/mock-provider/fault.h), DELETE /mock/faults.
What it was asked: GET /mock/journal, GET /mock/stats. Not with --fixed.)";

constexpr uint64_t kGraceMs = 1000;

struct Options {
  std::string listen = "127.0.0.1:0";
  ProviderOptions provider;
  FixedOptions fixed_options;
  bool fixed = false;
  int cpu = -1;
  std::string tls_certificate, tls_key;
};

std::atomic<bool> stopping{false};
std::atomic<core::Loop*> running_loop{nullptr};

// wake() is one write(2): allowed in a signal handler.
void on_signal(int) {
  stopping.store(true, std::memory_order_relaxed);
  if (core::Loop* loop = running_loop.load(std::memory_order_relaxed); loop != nullptr) loop->wake();
}

void watch_signals(core::Loop* loop) {
  running_loop.store(loop, std::memory_order_relaxed);
  struct sigaction action {};
  action.sa_handler = loop != nullptr ? on_signal : SIG_DFL;
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
}

int fail(const std::string& problem, int code = kExitFailure) {
  fmt::print(stderr, "weir-mock-provider: {}\n", problem);
  return code;
}

std::optional<std::string> pin_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (::sched_setaffinity(0, sizeof set, &set) == 0) return std::nullopt;
  return fmt::format("CPU {} cannot be used: this process may not run there", cpu);
}

// Runs one of the two kinds until a signal comes; `turn` is one turn of the loop.
template <typename Turn>
int serve(core::Loop& loop, net::HttpServer& server, int listener, const net::TlsServerContextHolder* tls,
          Turn turn) {
  const core::SocketAddress address = core::bound_address(listener);
  server.listen(listener, tls);
  watch_signals(&loop);
  loop.turn(0);  // accepting before it says so
  fmt::print("{{\"event\":\"listening\",\"address\":\"{}\",\"port\":{}}}\n", address.to_string(),
             address.port());
  std::fflush(stdout);
  while (!stopping.load(std::memory_order_relaxed)) turn();
  watch_signals(nullptr);  // a second signal ends it at once
  server.begin_drain();
  const uint64_t deadline_ns = loop.now_ns() + core::milliseconds(kGraceMs);
  while (!server.closed() && loop.now_ns() < deadline_ns) loop.turn(core::milliseconds(1));
  server.close_all();
  while (!server.closed()) loop.turn(core::milliseconds(1));
  return kExitOk;
}

int run(const Options& options) {
  const auto address = core::SocketAddress::parse(options.listen);
  if (!address) return fail(address.error(), kExitBadInput);
  if (options.cpu >= 0) {
    if (const auto problem = pin_to(options.cpu)) return fail(*problem, kExitBadInput);
  }
  std::unique_ptr<net::TlsServerContextHolder> tls;
  if (!options.tls_certificate.empty()) {
    auto context =
        net::TlsServerContext::load({.certificates = {{options.tls_certificate, options.tls_key}}});
    if (!context) return fail(context.error().front(), kExitBadInput);
    tls = std::make_unique<net::TlsServerContextHolder>(std::move(*context));
  }
  const auto loop = core::Loop::create();
  if (!loop) return fail(loop.error());
  const auto listener = core::listen_tcp(*address);
  if (!listener) return fail(listener.error());
  core::Loop& turned = **loop;
  if (options.fixed) {
    FixedAnswers answers(turned, options.fixed_options);
    net::HttpServer server(turned, answers, core::limits::kMaxConnectionsPerShard);
    return serve(turned, server, *listener, tls.get(), [&] { turned.turn(answers.wait_ns()); });
  }
  Provider provider(turned, options.provider);
  net::HttpServer server(turned, provider, core::limits::kMaxConnectionsPerShard);
  provider.watch(server);
  return serve(turned, server, *listener, tls.get(), [&] { turned.turn(); });
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"A model provider for tests, demonstrations and benchmarks of weir.", "weir-mock-provider"};
  app.footer(kFooter);
  app.set_version_flag("--version", "weir-mock-provider " WEIR_VERSION);
  app.add_option("--listen", options.listen, "address and port; port 0 = any free one")
      ->capture_default_str();
  app.add_option("--name", options.provider.name, "said in every answer and as system_fingerprint")
      ->capture_default_str();
  app.add_option("--tokens", options.provider.tokens, "words of an answer (default: one sentence)");
  app.add_option("--token-delay-ms", options.provider.token_delay_ms, "between the tokens of a stream");
  app.add_option("--models", options.provider.models, "what GET /v1/models lists; others are answered too")
      ->delimiter(',');
  app.add_option("--cpu", options.cpu, "run on this CPU only")->check(CLI::Range(0, CPU_SETSIZE - 1));
  CLI::Option* key =
      app.add_option("--tls-key", options.tls_key, "PEM file: speak TLS")->check(CLI::ExistingFile);
  CLI::Option* certificate =
      app.add_option("--tls-cert", options.tls_certificate, "PEM file: certificate and intermediates")
          ->check(CLI::ExistingFile);
  key->needs(certificate);
  certificate->needs(key);
  CLI::Option* fixed =
      app.add_flag("--fixed", options.fixed, "benchmarks: one fixed answer of 600 bytes, no journal");
  app.add_option("--frames", options.fixed_options.frames, "of a stream, 200 bytes each")
      ->capture_default_str()
      ->needs(fixed);
  app.add_option("--frame-interval-us", options.fixed_options.frame_interval_us,
                 "between frames; 0 = as fast as they go")
      ->capture_default_str()
      ->needs(fixed);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitBadInput;
  }
  options.fixed_options.name = options.provider.name;
  return run(options);
}
