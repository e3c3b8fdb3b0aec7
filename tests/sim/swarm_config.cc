#include "tests/sim/swarm_config.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::sim {

SwarmConfig::SwarmConfig(uint64_t wanted) : seed(wanted) {
  Dice dice(seed, 0);
  faults.short_send = dice.strength(0.4, 0.6);
  faults.short_receive = dice.strength(0.4, 0.8);
  faults.no_buffers = dice.strength(0.3, 0.5);
  faults.lost_multishot = dice.strength(0.4, 0.6);
  faults.reorder = dice.strength(0.5, 1);
  faults.refuse_connect = dice.strength(0.3, 0.5);
  faults.slow_connect = dice.strength(0.3, 0.95);
  faults.reset = dice.strength(0.3, 0.03);
  faults.late_cancel = dice.strength(0.4, 0.9);
  faults.receive_pressure = dice.strength(0.3, 0.5);
  faults.stall = dice.strength(0.4, 0.9);
  if (dice.one_in(3)) faults.socket_buffer_bytes = static_cast<uint32_t>(dice.between(200, 8000));
  if (dice.one_in(3)) faults.max_receive_bytes = static_cast<uint32_t>(dice.between(20, 2000));

  shards = static_cast<uint32_t>(dice.between(1, 3));
  clients = static_cast<uint32_t>(dice.between(1, 6));
  requests_per_client = static_cast<uint32_t>(dice.between(1, 6));
  tenants = static_cast<uint32_t>(dice.between(1, 3));
  providers = static_cast<uint32_t>(dice.between(1, 3));
  scenarios = static_cast<uint32_t>(dice.between(1, 2));
  flags = static_cast<uint32_t>(dice.between(0, 4));

  client.stream = dice.strength(0.7, 1);
  client.large = dice.strength(0.2, 0.4);
  client.pipeline = dice.strength(0.4, 0.8);
  client.other_endpoint = dice.strength(0.3, 0.5);
  client.dribble = dice.strength(0.3, 0.5);
  client.leave = dice.strength(0.4, 0.4);
  client.half_close = dice.strength(0.2, 0.3);
  client.slow_reader = dice.strength(0.2, 0.3);
  client.hostile = dice.strength(0.3, 0.5);
  client.conversation = dice.strength(0.6, 1);
  client.user = dice.strength(0.6, 1);
  client.attributes = dice.strength(0.5, 1);
  client.direct_model = dice.strength(0.2, 0.5);
  client.probe = dice.strength(0.4, 0.5);

  provider.slow = dice.strength(0.5, 0.8);
  provider.silent = dice.strength(0.2, 0.3);
  provider.error = dice.strength(0.4, 0.6);
  provider.cut = dice.strength(0.3, 0.4);
  provider.garbage = dice.strength(0.2, 0.3);
  provider.odd_stream = dice.strength(0.3, 0.6);
  provider.large = dice.strength(0.15, 0.3);
  provider.idle_closing = dice.one_in(4) ? 1 : 0;

  rates = dice.one_in(3);
  concurrency = dice.one_in(3);
  budgets = dice.one_in(3);
  user_limits = dice.one_in(4);
  pilot_limits = dice.one_in(3);
  fallbacks = dice.one_in(2);
  retries = dice.one_in(2);
  prompts = dice.one_in(3);
  small_gateway = dice.one_in(8);
  publish = dice.strength(0.5, 0.05);
  kill = dice.strength(0.4, 0.02);
  wall_jump = dice.strength(0.15, 0.01);
  pause = dice.strength(0.4, 0.02);
  hosts = providers > 1 && dice.one_in(3);
  draw_more();
  if (dice.one_in(12)) crowd_one_pool(dice);
  if (dice.one_in(20)) break_streams();
  if (Dice more(seed, 5); more.one_in(20)) fail_in_streams(more);
  if (dice.one_in(25)) keep_quiet();
  if (dice.one_in(6)) drain_at_round = static_cast<uint32_t>(dice.between(1, 400));
}

// Dice of their own: what is drawn above stays what it is when something is added here.
void SwarmConfig::draw_more() {
  Dice dice(seed, 3);
  token_limits = dice.one_in(3);
  soft_limits = dice.one_in(3);
  limits_change = dice.one_in(2);
  cache = dice.one_in(3);
  small_cache = cache && dice.one_in(6);
  if (cache) client.repeat = dice.one_in(5) ? 0.2 : 0.8;
  if (cache && dice.one_in(2)) purge = 0.005 + dice.strength(1, 0.08);
  shadow = flags > 0 && dice.one_in(3);
  balance = dice.one_in(3);
  if (limits_change && (token_limits || rates || concurrency || user_limits) && dice.one_in(2))
    publish = std::max(publish, 0.02);
  // Enough of them to come to a limit of tokens, and to meet what was kept.
  if ((token_limits || cache) && dice.one_in(2)) requests_per_client = 6;
  cached_limits = cache && flags > 0 && dice.one_in(2);
}

// Many connections of one pool are opened, refused and given up at once.
void SwarmConfig::crowd_one_pool(Dice& dice) {
  shards = providers = 1;
  clients = static_cast<uint32_t>(dice.between(6, 12));
  requests_per_client = 6;
  faults.slow_connect = 0.9;
  faults.refuse_connect = 0.4;
  client.leave = 0.3;
  provider.idle_closing = 1;
}

// Streams end early again and again, with somebody else to ask.
void SwarmConfig::break_streams() {
  fallbacks = true;
  client.stream = 1;
  provider.cut = 0.7;
  provider.slow = 0.5;
}

// The same, while there is no place at whom is asked next; and streams that fail in the middle of an answer.
void SwarmConfig::fail_in_streams(Dice& dice) {
  break_streams();
  tight_pools = true;
  shards = 1;
  providers = scenarios = 2;
  clients = static_cast<uint32_t>(dice.between(6, 10));
  requests_per_client = 6;
  retries = dice.one_in(2);
  faults.socket_buffer_bytes = faults.max_receive_bytes = 64 * 1024;
  provider.too_large_event = 0.05;
}

// Nothing is wrong with anybody, and nothing is bounded: every request is to be answered.
void SwarmConfig::keep_quiet() {
  faults = {};
  provider = {};
  client.hostile = client.leave = client.half_close = client.slow_reader = client.dribble = 0;
  rates = concurrency = budgets = user_limits = pilot_limits = token_limits = cached_limits = small_gateway =
      false;
  kill = wall_jump = pause = 0;
  tight_pools = false;
}

std::string SwarmConfig::to_string() const {
  return fmt::format(
      "shards {} clients {}x{} tenants {} providers {} scenarios {} flags {}; limits{}{}{}{}{}{}{}{}{}; "
      "{}{}{}{}{}{}{}{}{}{}drain {}\n"
      "faults: send {:.2f} receive {:.2f} no_buffers {:.2f} multishot {:.2f} reorder {:.2f} refuse {:.2f} "
      "slow_connect "
      "{:.2f} reset {:.3f} late_cancel {:.2f} pressure {:.2f} stall {:.2f} buffer {} receive_bytes {}\n"
      "clients: stream {:.2f} large {:.2f} pipeline {:.2f} dribble {:.2f} leave {:.2f} half_close {:.2f} "
      "slow {:.2f} "
      "hostile {:.2f} probe {:.2f} repeat {:.2f}\n"
      "providers: slow {:.2f} silent {:.2f} error {:.2f} cut {:.2f} garbage {:.2f} odd {:.2f} large {:.2f} "
      "closing {}\n"
      "operators: publish {:.3f} kill {:.3f} wall_jump {:.3f} pause {:.3f} purge {:.3f}",
      shards, clients, requests_per_client, tenants, providers, scenarios, flags, rates ? " rates" : "",
      concurrency ? " concurrency" : "", budgets ? " budgets" : "", user_limits ? " users" : "",
      pilot_limits ? " pilots" : "", token_limits ? " tokens" : "", soft_limits ? " soft" : "",
      cached_limits ? " cached" : "", limits_change ? " changing" : "", fallbacks ? "fallbacks " : "",
      retries ? "retries " : "", prompts ? "prompts " : "", hosts ? "hosts " : "",
      small_gateway ? "small_gateway " : "", cache ? "cache " : "", small_cache ? "small_cache " : "",
      shadow ? "shadow " : "", balance ? "balance " : "", tight_pools ? "tight_pools " : "", drain_at_round,
      faults.short_send, faults.short_receive, faults.no_buffers, faults.lost_multishot, faults.reorder,
      faults.refuse_connect, faults.slow_connect, faults.reset, faults.late_cancel, faults.receive_pressure,
      faults.stall, faults.socket_buffer_bytes, faults.max_receive_bytes, client.stream, client.large,
      client.pipeline, client.dribble, client.leave, client.half_close, client.slow_reader, client.hostile,
      client.probe, client.repeat, provider.slow, provider.silent, provider.error, provider.cut,
      provider.garbage, provider.odd_stream, provider.large, provider.idle_closing, publish, kill, wall_jump,
      pause, purge);
}

}  // namespace weir::sim
