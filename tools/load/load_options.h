// What a run is to do, as main() read it from the arguments. Plain values, the same for every worker.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "routing/table/base_url.h"

namespace weir::tools {

struct WeightedKey {
  std::string text;
  double weight = 1;
};

struct WeightedBody {
  uint64_t bytes = 0;
  double weight = 1;
};

enum class Arrivals : uint8_t { poisson, fixed };

struct LoadOptions {
  std::vector<routing::BaseUrl> urls;  // connections go to them in turn
  std::string path = "/chat/completions";
  std::string ca_path;  // roots to trust; empty = the system's

  uint32_t connections = 64;
  uint32_t threads = 1;
  double rate = 0;  // requests per second of all threads; 0 = closed loop
  Arrivals arrivals = Arrivals::poisson;
  double duration_s = 10;
  double warmup_s = 1;
  double grace_s = 10;               // for answers that are still under way at the end
  std::optional<uint64_t> requests;  // after the warm-up; ends the run before its duration is over
  uint64_t think_ns = 0;             // closed loop: between an answer and the next request
  double ramp_s = 0;                 // closed loop: over which the connections' first requests are spread
  bool idle = false;                 // connections only

  std::vector<WeightedKey> keys;  // empty = no authorization header
  uint64_t users = 0;             // x-weir-user: user-0 ... ; 0 = none
  uint64_t tenants = 0;           // x-weir-tenant: tenant-0 ... ; 0 = none
  std::vector<WeightedBody> bodies = {{.bytes = 1024}};
  std::string body_file_text;  // this body instead
  std::string model = "chat";
  bool stream = false;
  std::vector<std::string> headers;  // "name: value"
  uint64_t seed = 1;

  std::vector<int> watched_pids;  // whose CPU time and memory are told

  bool verify = false;
  uint64_t expected_frames = 0;               // content frames of every stream; 0 = any number
  std::vector<std::string> required_headers;  // lower case
  std::vector<int> allowed_statuses;          // beside 2xx
};

}  // namespace weir::tools
