// A gateway shard between clients and a provider, all on one thread and real loopback sockets, each with a
// loop of its own: what exchanges cost can be counted where they are served, and nowhere else.
//
//   clients' loop ──▶ gateway's loop ──▶ provider's loop        one turn of each, over and over
//
// The gateway does what it does in production: key, decision on a flag, every kind of limit and
// budget, splice, relay, usage, record. Answers
// are fixed. The provider may send an answer in pieces, one per turn, as a stream comes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/loop.h"

namespace weir::tests {

struct LoopbackOptions {
  int connections = 64;
  std::string request_body;
  std::vector<std::string> answer_pieces;  // whole HTTP answer; each piece leaves in a turn of its own
};

// A chat request of about `bytes`, and answers to it.
std::string loopback_request(size_t bytes, bool stream);
std::vector<std::string> loopback_answer();
std::vector<std::string> loopback_stream(int frames);

class LoopbackGateway {
 public:
  // Ends the test program when the machine does not give what it needs.
  explicit LoopbackGateway(LoopbackOptions options);
  // Closes everything in order.
  ~LoopbackGateway();
  LoopbackGateway(const LoopbackGateway&) = delete;
  LoopbackGateway& operator=(const LoopbackGateway&) = delete;

  // Turns until `count` more exchanges are done; the gateway's turns go through `turn`. False: no progress.
  bool run(uint64_t count, const std::function<void(core::Loop&)>& turn);

  core::Loop& loop();          // the gateway's
  uint64_t exchanges() const;  // answered so far
  uint64_t records() const;    // settled so far
  bool failed() const;         // a client's connection broke

 private:
  struct World;
  std::unique_ptr<World> world_;
};

}  // namespace weir::tests
