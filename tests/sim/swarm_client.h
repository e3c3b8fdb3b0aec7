// An application of the swarm: sends its requests over one connection after the other, some of them
// pipelined, dribbled, abandoned or hostile, and looks hard at what comes back.
#pragma once

#include <string>
#include <vector>

#include "net/connection.h"
#include "tests/sim/swarm_answer.h"
#include "tests/sim/swarm_config.h"
#include "tests/sim/swarm_journal.h"

namespace weir::sim {

class SwarmClient final : public net::ConnectionHandler {
 public:
  SwarmClient(core::Loop& loop, const SwarmConfig& config, uint32_t number,
              std::vector<core::SocketAddress> gateways, Journal& journal);

  void step();                                                   // once per round, before the loops turn
  void stop() { most_ = static_cast<uint32_t>(asked_.size()); }  // asks nothing more
  void close() { connection_.close(); }
  bool closed() const { return connection_.state() == net::Connection::State::closed; }
  bool finished() const { return open_ == asked_.size() && asked_.size() >= most_; }
  const std::vector<Asked>& asked() const { return asked_; }

 private:
  void on_open() override {}
  void on_received(core::Slice data) override;
  void on_end() override;
  void on_failed(core::Error error) override;
  void on_closed() override {}

  void ask();
  std::string compose(Asked& asked);
  std::string compose_probe(Asked& asked);
  std::string body_of(const Asked& asked, const std::string& more);
  std::string compose_hostile(const Asked& asked, std::string head, const std::string& body);
  void take_answer();
  void lose_open_ones();

  core::Loop& loop_;
  const SwarmConfig& config_;
  const uint32_t number_;
  const std::vector<core::SocketAddress> gateways_;
  Journal& journal_;
  Dice dice_;
  uint32_t most_;
  uint32_t tenant_;
  std::vector<Asked> asked_;
  size_t open_ = 0;  // asked_[open_] is the first that has not ended
  std::string out_;  // to be sent
  bool dribbling_ = false;
  uint32_t leave_in_ = 0;  // rounds; 0: does not
  bool half_close_ = false;
  uint32_t read_again_in_ = 0;
  uint32_t conversation_ = 0;
  AnswerReader reader_;
  net::Connection connection_;
};

}  // namespace weir::sim
