// A kernel that fits in one thread: sockets, clock and completion queues driven by one seed. It stands in for
// core/system at link time, so what runs on it is the production code from the ring wrapper's interface up.
//
//   Loop A ─┐                    ┌─ listeners ─ accept queues
//   Loop B ─┼─ core::Io ─ world ─┼─ sockets ─── byte queues, ends, resets
//   Loop C ─┘                    └─ clock ───── moves only when a test says so
//
// Faults, each with its own probability: short sends, short receives, receives without a buffer (-ENOBUFS),
// multishot operations that end although they succeeded, completions in another order, refused connects,
// resets, cancellations that come too late.
//
// The same seed gives the same run: trace() is a hash of every completion, its bytes included, in order. One world
// at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "core/io.h"
#include "core/socket.h"

namespace weir::sim {

struct Faults {
  // Probabilities in [0, 1] per opportunity.
  double short_send = 0;
  double short_receive = 0;
  double no_buffers = 0;
  double lost_multishot = 0;
  double reorder = 0;
  double refuse_connect = 0;
  double slow_connect = 0;          // per turn; 1: nobody ever answers
  double reset = 0;
  double late_cancel = 0;
  double receive_pressure = 0;      // per turn
  double stall = 0;                 // per turn and operation: it makes no progress
  uint32_t socket_buffer_bytes = 64 * 1024;
  uint32_t max_receive_bytes = 64 * 1024;   // most that one receive delivers
};

struct Socket {
  int peer = -1;
  std::deque<uint8_t> inbound;
  bool inbound_ended = false;     // the peer has ended its side
  bool reset = false;
  bool write_ended = false;       // our side has ended
  bool end_told = false;
  bool closed = false;
};

struct Listener {
  core::SocketAddress address;
  std::deque<int> pending;        // accepted descriptors not yet handed out
};

class World {
 public:
  explicit World(uint64_t seed, const Faults& faults = {});
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  static World& now();

  // The address book's thread looks at them too.
  std::atomic<uint64_t> monotonic_ns = 1'000'000'000;
  std::atomic<int64_t> wall_ns = 1'700'000'000'000'000'000;
  std::map<std::string, std::string> files;   // by path
  Faults faults;

  void advance(uint64_t ns) {
    monotonic_ns += ns;
    wall_ns += static_cast<int64_t>(ns);
  }
  bool chance(double probability) { return probability > 0 && std::uniform_real_distribution<>(0, 1)(random_) < probability; }
  uint64_t below(uint64_t bound) { return std::uniform_int_distribution<uint64_t>(0, bound - 1)(random_); }

  int make_socket();
  int listen(const core::SocketAddress& address);
  // A pair of connected descriptors through the listener at `address`; negative errno when there is none.
  int connect(int socket, const core::SocketAddress& address);
  void close(int descriptor);
  void end_writing(int descriptor);
  void reset(int descriptor);

  Socket* socket(int descriptor);
  Listener* listener(int descriptor);
  size_t open_descriptors() const { return sockets_.size() + listeners_.size(); }
  std::mt19937_64& random() { return random_; }

  // What has happened so far, as one number; and how much.
  uint64_t trace() const { return trace_; }
  uint64_t events() const { return events_; }
  void note(uint64_t what) {
    trace_ = (trace_ ^ what) * 0x9e3779b97f4a7c15u;
    trace_ ^= trace_ >> 29;
    ++events_;
  }
  void note(std::string_view bytes) { note(std::hash<std::string_view>{}(bytes)); }

 private:
  std::mt19937_64 random_;
  std::map<int, Socket> sockets_;
  std::map<int, Listener> listeners_;
  int next_descriptor_ = 100;
  uint16_t next_port_ = 20000;
  uint64_t trace_ = 0;
  uint64_t events_ = 0;
};

}  // namespace weir::sim
