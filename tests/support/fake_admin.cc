#include "tests/support/fake_admin.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <sstream>

namespace weir::testing {
namespace {

FakeAdmin::Request parse_head(const std::string& head) {
  FakeAdmin::Request request;
  std::istringstream lines(head);
  std::string line;
  std::getline(lines, line);
  std::istringstream(line) >> request.method >> request.target;
  while (std::getline(lines, line) && line != "\r") {
    size_t colon = line.find(": ");
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    request.headers[name] = line.substr(colon + 2, line.size() - colon - 3);
  }
  return request;
}

}  // namespace

FakeAdmin::FakeAdmin() : socket_path_(folder_.file("admin.sock")) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket_path_.c_str(), sizeof address.sun_path - 1);
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  stop_descriptor_ = eventfd(0, EFD_CLOEXEC);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener_, 8) != 0) {
    ADD_FAILURE() << "cannot listen on " << socket_path_ << ": " << std::strerror(errno);
  }
  thread_ = std::thread(&FakeAdmin::serve, this);
}

FakeAdmin::~FakeAdmin() {
  const uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(stop_descriptor_, &one, sizeof one);
  thread_.join();
  close(listener_);
  close(stop_descriptor_);
}

void FakeAdmin::answer(const std::string& method, const std::string& path, int status, std::string body) {
  std::lock_guard lock(mutex_);
  answers_[method + " " + path] = {status, std::move(body)};
}

std::vector<FakeAdmin::Request> FakeAdmin::requests() const {
  std::lock_guard lock(mutex_);
  return requests_;
}

bool FakeAdmin::wait_readable(int descriptor) const {
  std::array<pollfd, 2> waits{{{stop_descriptor_, POLLIN, 0}, {descriptor, POLLIN, 0}}};
  while (poll(waits.data(), waits.size(), -1) < 0) {
  }
  return waits[0].revents == 0;
}

void FakeAdmin::serve() {
  while (wait_readable(listener_)) {
    int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) continue;
    serve_connection(connection);
    close(connection);
  }
}

// Requests one after the other until the client leaves.
void FakeAdmin::serve_connection(int connection) {
  std::string received;
  std::array<char, 65536> buffer;
  while (true) {
    size_t head_end = received.find("\r\n\r\n");
    size_t body_bytes = 0;
    Request request;
    if (head_end != std::string::npos) {
      request = parse_head(received.substr(0, head_end + 2));
      auto length = request.headers.find("content-length");
      if (length != request.headers.end()) body_bytes = std::stoul(length->second);
    }
    if (head_end == std::string::npos || received.size() < head_end + 4 + body_bytes) {
      if (!wait_readable(connection)) return;
      ssize_t count = read(connection, buffer.data(), buffer.size());
      if (count <= 0) return;
      received.append(buffer.data(), static_cast<size_t>(count));
      continue;
    }
    request.body = received.substr(head_end + 4, body_bytes);
    received.erase(0, head_end + 4 + body_bytes);

    std::pair<int, std::string> reply{
        404,
        R"({"error":{"message":"There is no such path here.","type":"invalid_request_error","param":null,"code":null}})"};
    {
      std::lock_guard lock(mutex_);
      requests_.push_back(request);
      auto found = answers_.find(request.method + " " + request.target.substr(0, request.target.find('?')));
      if (found != answers_.end()) reply = found->second;
    }
    std::string text = "HTTP/1.1 " + std::to_string(reply.first) +
                       " Answer\r\ncontent-length: " + std::to_string(reply.second.size()) + "\r\n\r\n" +
                       reply.second;
    if (send(connection, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) return;
  }
}

}  // namespace weir::testing
