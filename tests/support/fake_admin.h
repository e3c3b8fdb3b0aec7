// A stand-in for weir's admin socket: answers what the test prepared and keeps what it was asked.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/process.h"

namespace weir::testing {

class FakeAdmin {
 public:
  struct Request {
    std::string method, target, body;
    std::map<std::string, std::string> headers;  // names in lower case
  };

  FakeAdmin();
  ~FakeAdmin();
  FakeAdmin(const FakeAdmin&) = delete;
  FakeAdmin& operator=(const FakeAdmin&) = delete;

  const std::string& socket_path() const { return socket_path_; }
  // Answers `method` on `path` (the target before '?') so from now on; without it: 404.
  void answer(const std::string& method, const std::string& path, int status, std::string body);
  std::vector<Request> requests() const;

 private:
  void serve();
  void serve_connection(int connection);
  bool wait_readable(int descriptor) const;  // false = the test is over

  TemporaryFolder folder_;
  std::string socket_path_;
  int listener_ = -1, stop_descriptor_ = -1;
  mutable std::mutex mutex_;
  std::map<std::string, std::pair<int, std::string>> answers_;
  std::vector<Request> requests_;
  std::thread thread_;
};

}  // namespace weir::testing
