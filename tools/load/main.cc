// weir-load: asks an OpenAI-compatible endpoint as fast, or at the rate, that is wanted, and tells how it
// went. Arguments, threads, progress, signals; the work is in load_worker.h.
#include <fmt/format.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <csignal>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

#include "core/file.h"
#include "core/resolver.h"
#include "core/socket.h"
#include "tools/exit_codes.h"
#include "tools/load/load_report.h"
#include "tools/load/load_worker.h"

namespace {

using namespace weir;
using namespace weir::tools;

constexpr const char* kFooter = R"(
Closed loop (no --rate): each connection asks again as soon as it is answered. It finds the most the other side
can do; its latencies say little, because a stall stops the asking too.
Open loop (--rate): requests begin when they are due, answered or not, and latency counts from then. Use it at
up to 70 percent of what the closed loop reached, and report these latencies.

Examples:
  weir-load http://127.0.0.1:8080/v1 --key sk-...                          # as fast as it goes
  weir-load http://127.0.0.1:8080/v1 --keys keys.txt --rate 20000 -c 256 -d 30 --json out.json
  weir-load http://127.0.0.1:8080/v1 --key sk-... --stream -c 64 --verify --expect-frames 200
  weir-load https://gw.example/v1 --ca root.pem --key sk-... --body 1k:8,32k:2 --users 100000
  weir-load http://127.0.0.1:8080/v1 --idle -c 10000 -d 30                  # connections, nothing else

A keys file has one key per line, and after a space its weight if it is not 1; # begins a comment. Prefer it to
--key, which every user of this machine can read.

Exit codes: 0 every request was answered as it should be; 1 some were not, or nothing answers; 2 bad arguments.)";

constexpr uint64_t kMaxFileBytes = 64 * 1024 * 1024;

int fail(const std::string& problem, int code) {
  fmt::print(stderr, "weir-load: {}\n", problem);
  return code;
}

// "1k", "1m", "1024"; empty = no size.
std::optional<uint64_t> parse_size(std::string_view text) {
  uint64_t unit = 1;
  if (text.ends_with('k')) unit = 1024;
  if (text.ends_with('m')) unit = 1024 * 1024;
  if (unit != 1) text.remove_suffix(1);
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number > kMaxFileBytes / unit)
    return std::nullopt;
  return number * unit;
}

std::optional<double> parse_weight(const std::string& text) {
  std::istringstream stream(text);
  double weight = 0;
  if (!(stream >> weight) || !stream.eof() || weight <= 0) return std::nullopt;
  return weight;
}

// "1k" or "1k:3"
std::optional<WeightedBody> parse_body(const std::string& text) {
  const size_t colon = text.find(':');
  const auto bytes = parse_size(text.substr(0, colon));
  const auto weight = colon == std::string::npos ? 1.0 : parse_weight(text.substr(colon + 1));
  if (!bytes || !weight) return std::nullopt;
  return WeightedBody{.bytes = *bytes, .weight = *weight};
}

// What the arguments say in words that have to be read further.
struct Arguments {
  std::vector<std::string> urls, keys, bodies = {"1k"};
  std::string keys_file, body_file, json_file, arrivals = "poisson";
  double think_ms = 0;
  uint64_t requests = 0;
  bool percentiles = false, quiet = false;
};

std::optional<std::string> read_keys(const std::string& file, LoadOptions& options) {
  const auto text = core::read_file(file, kMaxFileBytes);
  if (!text) return text.error();
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    line.resize(std::min(line.size(), line.find('#')));
    std::istringstream words(line);
    std::string key, weight_text, more;
    if (!(words >> key)) continue;
    double weight = 1;
    if (words >> weight_text) {
      const auto parsed = parse_weight(weight_text);
      if (!parsed || words >> more)
        return file + ": a line is a key and perhaps its weight, a number above 0";
      weight = *parsed;
    }
    options.keys.push_back({.text = key, .weight = weight});
  }
  if (options.keys.empty()) return file + " holds no key";
  return std::nullopt;
}

// Fills `options`; the problem otherwise.
std::optional<std::string> interpret(const Arguments& given, LoadOptions& options) {
  for (const std::string& text : given.urls) {
    auto url = routing::parse_base_url(text);
    if (!url) return text + ": " + url.error();
    options.urls.push_back(*std::move(url));
  }
  for (const std::string& key : given.keys) options.keys.push_back({.text = key});
  if (!given.keys_file.empty()) {
    if (auto problem = read_keys(given.keys_file, options)) return problem;
  }
  for (const WeightedKey& key : options.keys) {
    if (key.text.empty() || key.text.find_first_of(" \t\r\n") != std::string::npos)
      return "a key has no white space";
  }
  options.bodies.clear();
  for (const std::string& text : given.bodies) {
    const auto body = parse_body(text);
    if (!body) return "--body " + text + ": a size such as 1k, and perhaps its weight, 1k:3; at most 64m";
    options.bodies.push_back(*body);
  }
  if (!given.body_file.empty()) {
    auto text = core::read_file(given.body_file, kMaxFileBytes);
    if (!text) return text.error();
    if (text->empty()) return given.body_file + " is empty";
    options.body_file_text = *std::move(text);
  }
  for (const std::string& header : options.headers) {
    if (header.find(": ") == std::string::npos || header.find_first_of("\r\n") != std::string::npos) {
      return "--header " + header + ": it is 'name: value'";
    }
  }
  for (std::string& name : options.required_headers) {
    std::ranges::transform(name, name.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  }
  options.arrivals = given.arrivals == "fixed" ? Arrivals::fixed : Arrivals::poisson;
  options.think_ns = static_cast<uint64_t>(given.think_ms * 1e6);
  if (given.requests > 0) options.requests = given.requests;
  if (options.expected_frames > 0) options.verify = true;
  if (options.connections < options.threads) return "--connections: each thread needs at least one";
  if (!options.path.starts_with('/')) return "--path begins with a slash";
  return std::nullopt;
}

// One address per URL: the first of its name.
std::expected<std::vector<core::SocketAddress>, std::string> resolve(const LoadOptions& options) {
  std::vector<core::SocketAddress> addresses;
  for (const routing::BaseUrl& url : options.urls) {
    auto found = core::resolve_host(url.host, url.port);
    if (!found) return std::unexpected(found.error());
    addresses.push_back(found->front());
  }
  return addresses;
}

// Thousands of connections need as many descriptors.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void print_progress(const std::vector<std::unique_ptr<LoadWorker>>& workers, uint64_t second,
                    uint64_t& answers_before, uint64_t& frames_before) {
  uint64_t answers = 0, errors = 0, frames = 0;
  int64_t open = 0, in_flight = 0;
  for (const auto& worker : workers) {
    const LoadProgress& progress = worker->progress();
    answers += progress.answers.value();
    errors += progress.errors.value();
    frames += progress.frames.value();
    open += progress.open.value();
    in_flight += progress.in_flight.value();
  }
  std::string text = fmt::format("{:4} s  {:>9}/s", second, grouped(answers - answers_before));
  if (frames > 0) text += fmt::format("  {:>9} frames/s", grouped(frames - frames_before));
  fmt::print(stderr, "{}  {} open  {} under way  {} errors\n", text, open, in_flight, grouped(errors));
  answers_before = answers;
  frames_before = frames;
}

// Runs the workers; SIGINT and SIGTERM end them early, and what was measured is reported.
LoadResult run_workers(const LoadOptions& options, const std::vector<core::SocketAddress>& addresses,
                       const std::shared_ptr<net::TlsClientContext>& tls, bool quiet) {
  // Waited for below; no thread takes them. SIGUSR1: a worker has ended.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGUSR1}) sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  LoadWorker::Ready ready(options.threads);
  std::vector<std::unique_ptr<LoadWorker>> workers;
  for (uint32_t i = 0; i < options.threads; ++i) {
    workers.push_back(
        std::make_unique<LoadWorker>(options, i, addresses, tls ? tls->for_another_shard() : nullptr, ready));
  }
  std::atomic<uint32_t> running{options.threads};
  const pthread_t main_thread = pthread_self();
  std::vector<std::jthread> threads;
  for (auto& worker : workers) {
    threads.emplace_back([&] {
      ::prctl(PR_SET_TIMERSLACK, 1);  // nanosecond: starts are meant to be on time
      worker->run();
      running.fetch_sub(1);
      pthread_kill(main_thread, SIGUSR1);
    });
  }
  uint64_t second = 0, answers_before = 0, frames_before = 0;
  const timespec one_second{.tv_sec = 1, .tv_nsec = 0};
  while (running.load() > 0) {
    const int number = ::sigtimedwait(&signals, nullptr, &one_second);
    if (number == SIGINT || number == SIGTERM) {
      for (auto& worker : workers) worker->stop();
    } else if (number < 0 && errno == EAGAIN && !quiet) {
      print_progress(workers, ++second, answers_before, frames_before);
    }
  }
  threads.clear();
  LoadResult total;
  for (auto& worker : workers) total.merge(worker->result());
  return total;
}

int report(const Arguments& given, const LoadOptions& options, const LoadResult& result) {
  if (!result.problem.empty())
    return fail(options.urls.front().host_header + ": " + result.problem, kExitFailure);
  std::string text = summary(options, result);
  if (given.percentiles) text += "\n" + percentile_table(result.latency);
  if (given.json_file == "-") {
    fmt::print(stderr, "{}", text);
    fmt::print("{}\n", report_json(options, result).dump());
  } else {
    fmt::print("{}", text);
    if (!given.json_file.empty()) {
      std::ofstream file(given.json_file);
      file << report_json(options, result).dump(1) << '\n';
      if (!file.flush()) return fail(given.json_file + " cannot be written", kExitFailure);
    }
  }
  return result.error_count() == 0 ? kExitOk : kExitFailure;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments given;
  LoadOptions options;
  CLI::App app{"Puts load on an OpenAI-compatible endpoint, and measures.", "weir-load"};
  app.footer(kFooter);
  app.set_version_flag("--version", "weir-load " WEIR_VERSION);
  app.add_option("url", given.urls,
                 "base URL, as SDKs take it: http://127.0.0.1:8080/v1; several share the load")
      ->required();
  app.add_option("-c,--connections", options.connections, "kept open")
      ->check(CLI::Range(1u, 1'000'000u))
      ->capture_default_str();
  app.add_option("-t,--threads", options.threads, "of this program")
      ->check(CLI::Range(1u, 256u))
      ->capture_default_str();
  app.add_option("-d,--duration", options.duration_s, "seconds that are measured")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("-n,--requests", given.requests, "end after so many (after the warm-up)")
      ->check(CLI::PositiveNumber);
  app.add_option("-w,--warmup", options.warmup_s, "seconds before, not measured")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--grace", options.grace_s, "seconds that answers may take after the end")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  CLI::Option* rate =
      app.add_option("-r,--rate", options.rate, "requests per second: open loop")->check(CLI::PositiveNumber);
  app.add_option("--arrivals", given.arrivals, "poisson or fixed")
      ->needs(rate)
      ->check(CLI::IsMember({"poisson", "fixed"}))
      ->capture_default_str();
  app.add_option("--think-ms", given.think_ms, "closed loop: pause before a connection asks again")
      ->excludes(rate)
      ->check(CLI::NonNegativeNumber);
  app.add_option("--ramp", options.ramp_s, "closed loop: seconds over which connections begin")
      ->excludes(rate)
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--idle", options.idle, "open the connections, ask nothing")->excludes(rate);

  app.add_option("--key", given.keys, "API key; repeated: drawn evenly")->allow_extra_args(false);
  app.add_option("--keys", given.keys_file, "file of keys and weights");
  app.add_option("--users", options.users, "how many: x-weir-user: user-<number>");
  app.add_option("--tenants", options.tenants, "how many: x-weir-tenant: tenant-<number>");
  CLI::Option* body =
      app.add_option("-b,--body", given.bodies, "bytes of a body, or several with weights: 1k:8,32k:2")
          ->delimiter(',')
          ->capture_default_str();
  app.add_option("--body-file", given.body_file, "send this instead")->excludes(body);
  app.add_option("--model", options.model, "model, or scenario, to ask for")->capture_default_str();
  app.add_flag("-s,--stream", options.stream, "ask for streams");
  app.add_option("--path", options.path, "behind the base URL")->capture_default_str();
  app.add_option("--header", options.headers, "'name: value', may be repeated")->allow_extra_args(false);
  app.add_option("--ca", options.ca_path, "PEM file of the roots to trust (default: the system's)");
  app.add_option("--seed", options.seed, "of all that is drawn")->capture_default_str();

  app.add_flag("--verify", options.verify, "check every answer whole: JSON, every event, [DONE]");
  app.add_option("--expect-frames", options.expected_frames,
                 "content frames of every stream; implies --verify");
  app.add_option("--expect-header", options.required_headers, "that every answer must have; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--allow-status", options.allowed_statuses, "that is no error, beside 2xx; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--watch", options.watched_pids, "process id: tell its CPU time and memory; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--json", given.json_file, "write the result there; - = stdout");
  app.add_flag("--percentiles", given.percentiles, "print all percentiles, as HdrHistogram does");
  app.add_flag("-q,--quiet", given.quiet, "no progress on stderr");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitBadInput;
  }
  if (auto problem = interpret(given, options)) return fail(*problem, kExitBadInput);
  std::shared_ptr<net::TlsClientContext> tls;
  if (std::ranges::any_of(options.urls, &routing::BaseUrl::tls)) {
    auto context = net::TlsClientContext::load({.ca_path = options.ca_path});
    if (!context) return fail(context.error().front(), kExitBadInput);
    tls = *std::move(context);
  }
  const auto addresses = resolve(options);
  if (!addresses) return fail(addresses.error(), kExitFailure);
  raise_descriptor_limit();
  return report(given, options, run_workers(options, *addresses, tls, given.quiet));
}
