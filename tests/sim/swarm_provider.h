// A provider of the swarm: answers with what names the request and the provider, whole or not, as HTTP or
// not, now or later. It notes what reached it and what it said.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "net/http_server.h"
#include "tests/sim/swarm_config.h"
#include "tests/sim/swarm_journal.h"

namespace weir::sim {

class SwarmProvider final : public net::RequestHandler {
 public:
  SwarmProvider(core::Loop& loop, const SwarmConfig& config, uint32_t number, Journal& journal);

  void step();  // once per round, after the loops turned
  bool idle() const { return scripts_.empty(); }

  core::Result<void> on_head(net::ServerSession& session, const net::RequestHead& head,
                             const uint8_t* base) override;
  void on_request(net::ServerSession& session, const net::Request& request) override;
  void on_refused(net::ServerSession& session, core::Error error) override;
  void on_client_gone(net::ServerSession& session, core::Error error) override;

 private:
  enum class End : uint8_t { none, clean, close, abort, reset };
  struct Step {
    uint32_t wait = 0;  // rounds before it
    std::string bytes;
    End end = End::none;
    bool whole = false;  // with this, the answer has been said
  };
  struct Script {
    net::ServerSession* session;
    size_t attempt;
    std::deque<Step> steps;
    bool until_close = false;  // its end is the connection's
    bool chunked_stream = false;
  };

  Script script_for(net::ServerSession& session, Attempt& attempt, bool stream, bool chat);
  void answer_plain(Script& script, const Attempt& attempt, bool chat);
  void answer_stream(Script& script, const Attempt& attempt, bool chat);
  void answer_error(Script& script, const Attempt& attempt);
  void answer_garbage(Script& script, const Attempt& attempt);
  void in_pieces(Script& script, const std::string& bytes, End end);
  std::string usage(const Attempt& attempt);
  bool run(Script& script);

  core::Loop& loop_;
  const SwarmConfig& config_;
  const uint32_t number_;
  Journal& journal_;
  Dice dice_;
  std::vector<Script> scripts_;

 public:
  net::HttpServer server;
};

}  // namespace weir::sim
