// A blind TCP relay on io_uring: what it costs to carry bytes from one socket to another and back, the
// physical limit that weir is measured against. It looks at nothing.
//
//   relay UPSTREAM [buffers] [bytes]     e.g. relay 127.0.0.1:9000 256 4096
//
// 256 x 4 KiB suits messages of 1 KB, 32 x 64 KiB large ones: the kernel cycles through all buffers, so what
// they take together should stay in the cache. One ring, multishot accept and receive, one send per
// direction.
#include <liburing.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "core/assert.h"
#include "core/socket.h"

namespace {

using weir::core::SocketAddress;

enum Kind : uint64_t { kAccept, kConnect, kReceive, kSend };  // in the low bits of user_data

struct Pair;
struct Piece {
  uint16_t buffer;
  uint32_t begin, size;
};
struct Side {  // what is received here goes to the other side
  Pair* pair = nullptr;
  Side* other = nullptr;
  int socket = -1;
  bool receiving = false, sending = false, ended = false, starved = false;
  std::deque<Piece> queue;  // to be sent to the other side; the front is under way
};
struct Pair {
  Side client, upstream;
  int pending = 0;  // operations in the kernel
  bool broken = false;
  bool listed = false;  // to be freed when nothing is pending
};

class Relay {
 public:
  Relay(const SocketAddress& upstream, unsigned count, unsigned bytes)
      : upstream_(upstream), bytes_(bytes), count_(count), memory_(size_t{count} * bytes) {
    io_uring_params params{};
    params.flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                   IORING_SETUP_CQSIZE;
    params.cq_entries = 16384;
    WEIR_ASSERT(io_uring_queue_init_params(1024, &ring_, &params) == 0);
    io_uring_register_ring_fd(&ring_);
    void* memory = nullptr;
    WEIR_ASSERT(posix_memalign(&memory, 4096, count * sizeof(io_uring_buf)) == 0);
    buffers_ = static_cast<io_uring_buf_ring*>(memory);
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<uint64_t>(buffers_);
    registration.ring_entries = count;
    WEIR_ASSERT(io_uring_register_buf_ring(&ring_, &registration, 0) == 0);
    io_uring_buf_ring_init(buffers_);
    for (unsigned i = 0; i < count; ++i) give_back(static_cast<uint16_t>(i));
  }

  [[noreturn]] void run(int listener) {
    listener_ = listener;
    arm_accept();
    for (;;) {
      io_uring_submit_and_wait(&ring_, 1);
      io_uring_cqe* entry = nullptr;
      unsigned head = 0, seen = 0;
      io_uring_for_each_cqe(&ring_, head, entry) {
        handle(*entry);
        ++seen;
      }
      io_uring_cq_advance(&ring_, seen);
      if (returned_ && !starved_.empty()) {
        for (Side* side : std::exchange(starved_, {})) {
          arm_receive(*side);
          finish_if_broken(*side->pair);
        }
      }
      returned_ = false;
      for (Pair* pair : std::exchange(finished_, {})) free_if_done(pair);
    }
  }

 private:
  io_uring_sqe* entry_for(void* owner, Kind kind) {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) {
      io_uring_submit(&ring_);
      entry = io_uring_get_sqe(&ring_);
    }
    user_data_ = reinterpret_cast<uint64_t>(owner) | kind;
    return entry;
  }
  void arm_accept() {
    io_uring_sqe* entry = entry_for(nullptr, kAccept);
    io_uring_prep_multishot_accept(entry, listener_, nullptr, nullptr, SOCK_CLOEXEC);
    entry->user_data = user_data_;
  }
  void arm_receive(Side& side) {
    side.starved = false;
    if (side.receiving || side.ended || side.pair->broken) return;
    io_uring_sqe* entry = entry_for(&side, kReceive);
    io_uring_prep_recv_multishot(entry, side.socket, nullptr, 0, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->user_data = user_data_;
    side.receiving = true;
    ++side.pair->pending;
  }
  void send_next(Side& from) {
    if (from.sending || from.queue.empty() || from.pair->broken) return;
    const Piece& piece = from.queue.front();
    io_uring_sqe* entry = entry_for(&from, kSend);
    io_uring_prep_send(entry, from.other->socket, &memory_[size_t{piece.buffer} * bytes_ + piece.begin],
                       piece.size, MSG_NOSIGNAL | MSG_WAITALL);
    entry->user_data = user_data_;
    from.sending = true;
    ++from.pair->pending;
  }
  void give_back(uint16_t buffer) {
    io_uring_buf_ring_add(buffers_, &memory_[size_t{buffer} * bytes_], bytes_, buffer,
                          io_uring_buf_ring_mask(count_), 0);
    io_uring_buf_ring_advance(buffers_, 1);
    returned_ = true;
  }

  void handle(const io_uring_cqe& entry) {
    const auto kind = static_cast<Kind>(entry.user_data & 3);
    if (kind == kAccept) {
      if (entry.res >= 0) accepted(entry.res);
      if (!(entry.flags & IORING_CQE_F_MORE)) arm_accept();
      return;
    }
    Side& side = *reinterpret_cast<Side*>(entry.user_data & ~uint64_t{3});
    if (!(entry.flags & IORING_CQE_F_MORE)) --side.pair->pending;
    if (kind == kConnect) {
      if (entry.res < 0) break_off(side);
      arm_receive(side.pair->client);
      arm_receive(side.pair->upstream);
    } else if (kind == kReceive) {
      received(side, entry);
    } else {
      sent(side, entry.res);
    }
    finish_if_broken(*side.pair);
  }
  void finish_if_broken(Pair& pair) {
    if (pair.broken && !std::exchange(pair.listed, true)) finished_.push_back(&pair);
  }
  void accepted(int socket) {
    auto* pair = new Pair;
    pair->client = {.pair = pair, .other = &pair->upstream, .socket = socket, .queue = {}};
    pair->upstream = {.pair = pair,
                      .other = &pair->client,
                      .socket = weir::core::open_tcp_socket(upstream_.family()),
                      .queue = {}};
    io_uring_sqe* entry = entry_for(&pair->upstream, kConnect);
    io_uring_prep_connect(entry, pair->upstream.socket, upstream_.get(), upstream_.size());
    entry->user_data = user_data_;
    ++pair->pending;
  }
  void received(Side& side, const io_uring_cqe& entry) {
    if (!(entry.flags & IORING_CQE_F_MORE)) side.receiving = false;
    if (entry.res == -ENOBUFS) {
      side.starved = true;
      starved_.push_back(&side);
      return;
    }
    if (entry.res <= 0) {
      side.ended = true;
      if (entry.res < 0) return break_off(side);
      return pass_end_on(side);
    }
    side.queue.push_back(
        {static_cast<uint16_t>(entry.flags >> IORING_CQE_BUFFER_SHIFT), 0, static_cast<uint32_t>(entry.res)});
    send_next(side);
    if (!side.receiving) arm_receive(side);
  }
  void sent(Side& side, int result) {
    side.sending = false;
    if (result < 0) return break_off(side);
    Piece& piece = side.queue.front();
    piece.begin += static_cast<uint32_t>(result);
    piece.size -= static_cast<uint32_t>(result);
    if (piece.size == 0) {
      give_back(piece.buffer);
      side.queue.pop_front();
    }
    send_next(side);
    pass_end_on(side);
  }
  void pass_end_on(Side& side) {
    if (!side.ended || !side.queue.empty() || side.pair->broken) return;
    ::shutdown(side.other->socket, SHUT_WR);
    if (side.other->ended && side.other->queue.empty()) break_off(side);
  }
  void break_off(Side& side) {
    side.pair->broken = true;
    for (const int socket : {side.socket, side.other->socket}) ::shutdown(socket, SHUT_RDWR);
  }
  void free_if_done(Pair* pair) {
    pair->listed = false;  // the next completion lists it again
    if (pair->pending > 0 || pair->client.starved || pair->upstream.starved) return;
    for (Side* side : {&pair->client, &pair->upstream}) {
      ::close(side->socket);
      for (const Piece& piece : side->queue) give_back(piece.buffer);
    }
    delete pair;
  }

  const SocketAddress upstream_;
  const unsigned bytes_, count_;
  std::vector<uint8_t> memory_;
  io_uring ring_{};
  io_uring_buf_ring* buffers_ = nullptr;
  uint64_t user_data_ = 0;
  int listener_ = -1;
  bool returned_ = false;
  std::vector<Side*> starved_;
  std::vector<Pair*> finished_;
};

unsigned number(const char* text) {
  return static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

}  // namespace

int main(int argc, char** argv) {
  const auto upstream = SocketAddress::parse(argc > 1 ? argv[1] : "");
  const unsigned count = argc > 2 ? number(argv[2]) : 256, bytes = argc > 3 ? number(argv[3]) : 4096;
  if (!upstream || count == 0 || (count & (count - 1)) != 0 || bytes == 0) {
    std::fprintf(stderr, "relay: relay UPSTREAM [buffers, a power of two] [bytes of each]\n");
    return 2;
  }
  const auto listener = weir::core::listen_tcp(*SocketAddress::parse("127.0.0.1:0"));
  if (!listener) {
    std::fprintf(stderr, "relay: %s\n", listener.error().c_str());
    return 1;
  }
  std::printf("{\"event\":\"listening\",\"port\":%u}\n", weir::core::bound_address(*listener).port());
  std::fflush(stdout);
  Relay(*upstream, count, bytes).run(*listener);
}
