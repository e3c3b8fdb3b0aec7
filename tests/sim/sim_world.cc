#include "tests/sim/sim_world.h"

#include <cerrno>

#include "core/clock.h"

namespace weir::sim {
namespace {

World* world = nullptr;

}  // namespace

World::World(uint64_t seed, const Faults& wanted) : faults(wanted), random_(seed) {
  WEIR_ASSERT(world == nullptr);
  world = this;
}

World::~World() { world = nullptr; }

World& World::now() {
  WEIR_ASSERT(world != nullptr);
  return *world;
}

int World::make_socket() {
  sockets_[next_descriptor_] = Socket{};
  return next_descriptor_++;
}

int World::listen(const core::SocketAddress& address) {
  Listener listener{address, {}};
  if (listener.address.port() == 0) listener.address.set_port(next_port_++);
  listeners_[next_descriptor_] = listener;
  return next_descriptor_++;
}

int World::connect(int descriptor, const core::SocketAddress& address) {
  if (chance(faults.refuse_connect)) return -ECONNREFUSED;
  for (auto& [number, candidate] : listeners_) {
    if (!(candidate.address == address)) continue;
    const int other = make_socket();
    sockets_[other].peer = descriptor;
    sockets_[descriptor].peer = other;
    candidate.pending.push_back(other);
    return 0;
  }
  return -ECONNREFUSED;
}

Socket* World::socket(int descriptor) {
  const auto found = sockets_.find(descriptor);
  return found == sockets_.end() ? nullptr : &found->second;
}

Listener* World::listener(int descriptor) {
  const auto found = listeners_.find(descriptor);
  return found == listeners_.end() ? nullptr : &found->second;
}

void World::end_writing(int descriptor) {
  Socket* self = socket(descriptor);
  if (self == nullptr || self->write_ended) return;
  self->write_ended = true;
  if (Socket* peer = socket(self->peer); peer != nullptr) peer->inbound_ended = true;
}

void World::reset(int descriptor) {
  Socket* self = socket(descriptor);
  if (self == nullptr) return;
  self->reset = true;
  if (Socket* peer = socket(self->peer); peer != nullptr) peer->reset = true;
}

void World::close(int descriptor) {
  if (Listener* closing = listener(descriptor); closing != nullptr) {
    for (const int pending : closing->pending) {
      reset(pending);
      sockets_.erase(pending);
    }
    listeners_.erase(descriptor);
    return;
  }
  Socket* self = socket(descriptor);
  WEIR_ASSERT(self != nullptr);  // closed twice, or never opened
  // Unread bytes make a close a reset, as in TCP.
  if (!self->inbound.empty() && !self->inbound_ended) reset(descriptor);
  end_writing(descriptor);
  sockets_.erase(descriptor);
}

}  // namespace weir::sim

// ---- the seam: clock and sockets ----

namespace weir::core {

uint64_t monotonic_now_ns() { return sim::World::now().monotonic_ns; }
int64_t wall_now_ns() { return sim::World::now().wall_ns; }

std::expected<int, std::string> listen_tcp(const SocketAddress& address) { return sim::World::now().listen(address); }
SocketAddress bound_address(int socket) { return sim::World::now().listener(socket)->address; }
int open_tcp_socket(int) { return sim::World::now().make_socket(); }
std::optional<PeerCredentials> peer_credentials(int) { return std::nullopt; }  // every peer is a TCP one
void close_socket(int socket) { sim::World::now().close(socket); }

}  // namespace weir::core
