// Which of a process's servers a new connection goes to. SO_REUSEPORT spreads connections by a hash: of a few long
// ones, as SDKs keep them, one server may get three times as many as its neighbour, and stays with them.
//
//   accepted by server A ─▶ place(A): the one with the fewest ─┬─ A itself: adopted at once (nearly always)
//                                                              └─ B: hand_over() posts the descriptor to B's loop
//
// A connection is passed on if its server has more than the emptiest one and an eighth: counts of up to eight are
// kept equal, larger ones within an eighth, and when many come and go hardly one is passed on.
//
// Invariants
//   1. A connection is counted once, from place() to leave(), at the server that has it or has been promised it.
//   2. Nothing is promised to a server that has ended: it sees the promise in its count before it ends, or the
//      promise sees that it is gone (both look after they have written, sequentially consistent).
//
// Thread: a server's calls come from its own, place() and hand_over() from the accepting one's; a server may join while
// others accept. Destroyed after the last loop has ended.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/assert.h"
#include "core/cache_line.h"
#include "core/loop.h"

namespace weir::net {

class TlsServerContextHolder;

class AcceptBalance {
 public:
  // Takes a descriptor over, on the server's own loop. `tls`: as given to HttpServer::listen().
  using Adopt = std::function<void(int descriptor, const TlsServerContextHolder* tls)>;

  explicit AcceptBalance(uint32_t servers) : servers_(servers) {}
  AcceptBalance(const AcceptBalance&) = delete;
  AcceptBalance& operator=(const AcceptBalance&) = delete;

  void join(uint32_t index, core::Loop& loop, Adopt adopt) {
    Server& server = servers_[index];
    server.loop = &loop;
    server.adopt = std::move(adopt);
    server.open.store(true);
  }
  // While closed, nothing is passed on to this server or by it; what it has been promised still comes.
  void set_open(uint32_t index, bool open) { servers_[index].open.store(open); }

  // Counts a connection that `self` has accepted, and says whom it goes to.
  uint32_t place(uint32_t self) {
    const uint32_t fewest = fewest_but(self);
    if (fewest != self) {
      ++servers_[fewest].connections;
      if (servers_[fewest].open.load()) return fewest;
      --servers_[fewest].connections;
    }
    ++servers_[self].connections;
    return self;
  }
  // To whom place() has said.
  void hand_over(uint32_t index, int descriptor, const TlsServerContextHolder* tls) {
    Server& server = servers_[index];
    server.loop->post([&server, descriptor, tls] { server.adopt(descriptor, tls); });
  }
  // A connection of this server has ended.
  void leave(uint32_t index) {
    WEIR_ASSERT(count(index) > 0);
    --servers_[index].connections;
  }
  // Those it has, and those it has been promised.
  uint32_t connections(uint32_t index) const { return servers_[index].connections.load(); }

 private:
  struct alignas(core::kCacheLineBytes) Server {
    std::atomic<uint32_t> connections{0};
    std::atomic<bool> open{false};
    core::Loop* loop = nullptr;
    Adopt adopt;
  };
  // `self` where nobody has clearly fewer.
  uint32_t fewest_but(uint32_t self) const {
    if (!servers_[self].open.load(std::memory_order_relaxed)) return self;
    uint32_t fewest = self;
    for (uint32_t i = 0; i < servers_.size(); ++i) {
      if (servers_[i].open.load(std::memory_order_relaxed) && count(i) < count(fewest)) fewest = i;
    }
    return count(self) > count(fewest) + count(fewest) / 8 ? fewest : self;
  }
  uint32_t count(uint32_t index) const { return servers_[index].connections.load(std::memory_order_relaxed); }

  std::vector<Server> servers_;
};

}  // namespace weir::net
