// Those who ask the control thread for something: one ask at a time, drawn from the seed.
#pragma once

#include <functional>

#include "tests/sim/control_swarm_journal.h"
#include "tests/sim/control_swarm_process.h"

namespace weir::sim {

class ControlWriters {
 public:
  // `began` hears of an ask before it is made, `answered` of each answer.
  using Hear = std::function<void(Ask&)>;
  ControlWriters(const ControlConfig& config, ControlJournal& journal, Hear began, Hear answered)
      : config_(config),
        journal_(journal),
        dice_(config.seed, 3),
        began_(std::move(began)),
        answered_(std::move(answered)) {}

  void ask(ControlProcess& process);

 private:
  What draw_what();
  void draw(Ask& asked, const routing::ControlThread& control);
  void draw_object(Ask& asked);
  void draw_patch(Ask& asked);
  void draw_flip(Ask& asked, const routing::ControlThread& control);
  void draw_rollback(Ask& asked, const routing::ControlThread& control);
  void draw_match(Ask& asked, const routing::ControlThread& control);
  void send(Ask& asked, ControlProcess& process);
  void send_change(Ask& asked, routing::ControlThread& control);
  void send_other(Ask& asked, routing::ControlThread& control);
  routing::ChangeDone hear(Ask& asked);

  const ControlConfig& config_;
  ControlJournal& journal_;
  Dice dice_;
  const Hear began_, answered_;
};

}  // namespace weir::sim
