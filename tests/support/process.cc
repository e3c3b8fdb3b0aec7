#include "tests/support/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>

namespace weir::testing {
namespace {

void close_if_open(int* descriptor) {
  if (*descriptor >= 0) close(*descriptor);
  *descriptor = -1;
}

struct Pipe {
  int read_end = -1, write_end = -1;
  bool open() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return false;
    read_end = ends[0];
    write_end = ends[1];
    return true;
  }
};

// What execve wants: pointers into strings that live as long as `strings`.
std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& text : strings) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> child_environment(const ProcessOptions& options) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view text(*entry);
    std::string_view name = text.substr(0, text.find('='));
    bool replaced = false;
    for (const auto& [key, value] : options.environment) replaced = replaced || key == name;
    if (!replaced) result.emplace_back(text);
  }
  for (const auto& [key, value] : options.environment) result.push_back(key + "=" + value);
  return result;
}

std::optional<nlohmann::json> find_json_line(std::string_view text, const std::string& key, int number) {
  const std::string member = "\"" + key + "\"";  // few lines are worth being parsed
  while (true) {
    size_t end = text.find('\n');
    if (end == std::string_view::npos) return std::nullopt;
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (!line.starts_with('{') || line.find(member) == std::string_view::npos) continue;
    auto parsed = nlohmann::json::parse(line, nullptr, false);
    if (parsed.is_object() && parsed.contains(key) && --number == 0) return parsed;
  }
}

}  // namespace

std::unique_ptr<Process> Process::start(const std::string& program, ProcessOptions options) {
  Pipe input, output, errors;
  if (!input.open() || !output.open() || !errors.open()) {
    ADD_FAILURE() << "no pipe: " << std::strerror(errno);
    return nullptr;
  }
  std::vector<std::string> argument_texts{program};
  argument_texts.insert(argument_texts.end(), options.arguments.begin(), options.arguments.end());
  std::vector<std::string> environment_texts = child_environment(options);
  std::vector<char*> arguments = pointers(argument_texts);
  std::vector<char*> environment = pointers(environment_texts);
  const pid_t parent = getpid();

  // Between fork and execve only async-signal-safe calls: other threads of this process may hold locks.
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    dup2(input.read_end, STDIN_FILENO);
    dup2(output.write_end, STDOUT_FILENO);
    dup2(errors.write_end, STDERR_FILENO);
    if (!options.directory.empty() && chdir(options.directory.c_str()) != 0) _exit(127);
    execve(program.c_str(), arguments.data(), environment.data());
    _exit(127);
  }
  close(input.read_end);
  close(output.write_end);
  close(errors.write_end);
  if (pid < 0) {
    ADD_FAILURE() << "cannot start " << program << ": " << std::strerror(errno);
    close(input.write_end);
    close(output.read_end);
    close(errors.read_end);
    return nullptr;
  }
  std::unique_ptr<Process> process(new Process);
  process->pid_ = pid;
  process->pid_descriptor_ = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  process->stop_descriptor_ = eventfd(0, EFD_CLOEXEC);
  process->input_ = input.write_end;
  process->output_ = output.read_end;
  process->errors_ = errors.read_end;
  fcntl(process->input_, F_SETFL, O_NONBLOCK);
  process->drain_thread_ = std::thread(&Process::drain, process.get(), std::move(options.input));
  return process;
}

Process::~Process() {
  if (!exit_code_) stop();
  const uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(stop_descriptor_, &one, sizeof one);
  drain_thread_.join();
  close_if_open(&input_);
  close_if_open(&output_);
  close_if_open(&errors_);
  close_if_open(&pid_descriptor_);
  close_if_open(&stop_descriptor_);
}

// Runs on its own thread until both pipes are at their end or the owner goes.
void Process::drain(std::string input) {
  // A child that ends without reading its input must not end this process.
  sigset_t broken_pipe;
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
  if (input.empty()) close_if_open(&input_);

  std::array<char, 16384> buffer;
  size_t sent = 0;
  bool output_open = true, errors_open = true;
  while (output_open || errors_open) {
    std::array<pollfd, 4> waits{{{stop_descriptor_, POLLIN, 0},
                                 {output_open ? output_ : -1, POLLIN, 0},
                                 {errors_open ? errors_ : -1, POLLIN, 0},
                                 {input_, POLLOUT, 0}}};
    if (poll(waits.data(), waits.size(), -1) < 0) continue;
    if (waits[0].revents != 0) break;
    auto collect = [&](const pollfd& wait, int descriptor, bool* open, std::string* text) {
      if (wait.revents == 0) return;
      ssize_t count = read(descriptor, buffer.data(), buffer.size());
      std::lock_guard lock(mutex_);
      if (count > 0) text->append(buffer.data(), static_cast<size_t>(count));
      if (count <= 0) *open = false;
    };
    collect(waits[1], output_, &output_open, &output_text_);
    collect(waits[2], errors_, &errors_open, &errors_text_);
    if (waits[3].revents != 0) {
      ssize_t count = write(input_, input.data() + sent, input.size() - sent);
      if (count > 0) sent += static_cast<size_t>(count);
      if (count < 0 || sent == input.size()) close_if_open(&input_);
    }
    changed_.notify_all();
  }
  {
    std::lock_guard lock(mutex_);
    drained_ = true;
  }
  changed_.notify_all();
}

std::string Process::output() const {
  std::lock_guard lock(mutex_);
  return output_text_;
}

std::string Process::errors() const {
  std::lock_guard lock(mutex_);
  return errors_text_;
}

// `condition` runs under the lock; gives up early when nothing more can come.
bool Process::wait_until(Milliseconds patience, const std::function<bool()>& condition) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, patience, [&] { return condition() || drained_; });
  return condition();
}

std::optional<nlohmann::json> Process::wait_for_json(const std::string& key, Milliseconds patience,
                                                     int number) {
  std::optional<nlohmann::json> found;
  wait_until(patience, [&] {
    found = find_json_line(output_text_, key, number);
    return found.has_value();
  });
  return found;
}

bool Process::wait_for_output(const std::string& text, Milliseconds patience) {
  return wait_until(patience, [&] { return output_text_.find(text) != std::string::npos; });
}

bool Process::wait_for_errors(const std::string& text, Milliseconds patience) {
  return wait_until(patience, [&] { return errors_text_.find(text) != std::string::npos; });
}

std::optional<int> Process::wait(Milliseconds patience) {
  if (exit_code_) return exit_code_;
  pollfd wait{pid_descriptor_, POLLIN, 0};
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    auto left = std::chrono::duration_cast<Milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    int ready = poll(&wait, 1, static_cast<int>(std::max<int64_t>(left, 0)));
    if (ready == 0) return std::nullopt;
    if (ready > 0) break;
  }
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  wait_until(kGrace, [] { return false; });  // what it printed last is still on its way
  return exit_code_;
}

void Process::signal(int number) {
  if (!exit_code_) kill(pid_, number);
}

int Process::stop(Milliseconds patience) {
  signal(SIGTERM);
  if (!wait(patience)) {
    signal(SIGKILL);
    wait(kPatience);
  }
  return exit_code_.value_or(-1);
}

RunResult run(const std::string& program, ProcessOptions options, Process::Milliseconds patience) {
  RunResult result;
  auto process = Process::start(program, std::move(options));
  if (process == nullptr) return result;
  result.exit_code = process->wait(patience).value_or(-1);
  result.output = process->output();
  result.errors = process->errors();
  return result;
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "weir-test-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) ADD_FAILURE() << "no temporary folder: " << std::strerror(errno);
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryFolder::write(const std::string& name, std::string_view text) const {
  std::ofstream(file(name), std::ios::binary) << text;
  return file(name);
}

}  // namespace weir::testing
