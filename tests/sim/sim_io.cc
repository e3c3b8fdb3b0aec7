// core::Io on the simulated kernel: the same rules as io_uring_enter(2) gives, with every liberty taken that
// it allows.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/poison.h"
#include "tests/sim/sim_world.h"

namespace weir::core {
namespace {

constexpr uint32_t kBlockBytes = 16 * 1024;

enum class Kind : uint8_t { accept, receive, send, connect };

struct Armed {
  Operation* operation;
  Kind kind;
  int descriptor;
  std::vector<iovec> pieces;
  size_t sent = 0;
  SocketAddress address;
  bool cancelled = false;
};

struct Done {
  Operation* operation;
  Completion completion;
};

}  // namespace

struct Io::Impl {
  BufferPool& buffers;
  sim::World& world = sim::World::now();
  std::vector<std::unique_ptr<Armed>> armed;
  std::deque<Done> done;
  std::vector<std::unique_ptr<Block>> blocks;
  std::vector<std::unique_ptr<uint8_t[]>> memory;
  std::vector<Block*> free_blocks;
  bool buffers_returned = false;
  bool woken = false;
  IoStats stats;

  explicit Impl(BufferPool& pool) : buffers(pool) {
    buffers.on_recycle(
        [](void* self_pointer, Block& block) {
          auto& self = *static_cast<Impl*>(self_pointer);
          unpoison(block.base, block.capacity);
          std::memset(block.base, 0xdd, block.capacity);  // nobody may still look
          poison(block.base, kBlockBytes + BufferPool::kPadding);
          self.free_blocks.push_back(&block);
          self.buffers_returned = true;
        },
        this);
  }
  ~Impl() {
    WEIR_ASSERT(armed.empty());
    WEIR_ASSERT(free_blocks.size() == blocks.size());  // every receive block came back
    for (const auto& block : blocks) unpoison(block->base, kBlockBytes + BufferPool::kPadding);
  }

  void add(Operation& operation, Kind kind, int descriptor) {
    auto entry = std::make_unique<Armed>();
    entry->operation = &operation;
    entry->kind = kind;
    entry->descriptor = descriptor;
    armed.push_back(std::move(entry));
    operation.arm();
    ++stats.submitted;
  }

  Slice receive_block(uint32_t size) {
    if (free_blocks.empty()) {
      memory.push_back(std::make_unique<uint8_t[]>(kBlockBytes + BufferPool::kPadding));
      blocks.push_back(std::make_unique<Block>());
      Block& block = *blocks.back();
      block.base = memory.back().get();
      block.capacity = kBlockBytes;
      block.is_receive = true;
      block.pool = &buffers;
      free_blocks.push_back(&block);
    }
    const size_t at = world.below(free_blocks.size());
    std::swap(free_blocks[at], free_blocks.back());
    Block* block = free_blocks.back();
    free_blocks.pop_back();
    block->references = 1;
    poison(block->base, kBlockBytes + BufferPool::kPadding);
    unpoison(block->base, size + BufferPool::kPadding);  // the padding may be read
    return {block->base, size, block};
  }

  // Ends an operation (or tells an interim result of a multishot one).
  void tell(Armed& entry, int32_t result, bool more, Slice data = {}) {
    world.note(static_cast<uint64_t>(entry.kind) << 56 ^ static_cast<uint64_t>(entry.descriptor) << 32 ^
               static_cast<uint32_t>(result) ^ uint64_t{more} << 63);
    if (!data.empty()) world.note(data.text());
    Done item{entry.operation, {}};
    item.completion.result = result;
    item.completion.more = more;
    item.completion.data = std::move(data);
    done.push_back(std::move(item));
  }

  // One step of one operation; true when it has ended.
  bool progress(Armed& entry) {
    if (entry.cancelled && !world.chance(world.faults.late_cancel)) {
      tell(entry, entry.kind == Kind::send && entry.sent > 0 ? static_cast<int32_t>(entry.sent) : -ECANCELED, false);
      return true;
    }
    if (world.chance(world.faults.stall)) return false;
    switch (entry.kind) {
      case Kind::accept:
        return progress_accept(entry);
      case Kind::connect:
        if (world.chance(world.faults.slow_connect)) return false;
        tell(entry, world.connect(entry.descriptor, entry.address), false);
        return true;
      case Kind::receive:
        return progress_receive(entry);
      case Kind::send:
        return progress_send(entry);
    }
    return false;
  }

  bool progress_accept(Armed& entry) {
    sim::Listener* listener = world.listener(entry.descriptor);
    if (listener == nullptr || listener->pending.empty()) return false;
    const int accepted = listener->pending.front();
    listener->pending.pop_front();
    const bool more = !world.chance(world.faults.lost_multishot);
    tell(entry, accepted, more);
    return !more;
  }

  bool progress_receive(Armed& entry) {
    sim::Socket* socket = world.socket(entry.descriptor);
    WEIR_ASSERT(socket != nullptr);  // closed under an armed operation
    if (world.chance(world.faults.reset)) world.reset(entry.descriptor);
    if (socket->reset) {
      tell(entry, -ECONNRESET, false);
      return true;
    }
    if (socket->inbound.empty()) {
      if (!socket->inbound_ended) return false;
      tell(entry, 0, false);
      return true;
    }
    if (world.chance(world.faults.no_buffers)) {
      ++stats.no_buffers;
      buffers_returned = true;  // "returned" at once: the receive is armed again in the same turn
      tell(entry, -ENOBUFS, false);
      return true;
    }
    size_t size = std::min<size_t>({socket->inbound.size(), kBlockBytes, world.faults.max_receive_bytes});
    if (world.chance(world.faults.short_receive)) size = 1 + world.below(size);
    Slice data = receive_block(static_cast<uint32_t>(size));
    for (size_t i = 0; i < size; ++i) {
      data.mutable_data()[i] = socket->inbound.front();
      socket->inbound.pop_front();
    }
    const bool more = !world.chance(world.faults.lost_multishot);
    tell(entry, static_cast<int32_t>(size), more, std::move(data));
    return !more;
  }

  bool progress_send(Armed& entry) {
    sim::Socket* socket = world.socket(entry.descriptor);
    WEIR_ASSERT(socket != nullptr);
    sim::Socket* peer = world.socket(socket->peer);
    if (socket->reset || peer == nullptr) {
      tell(entry, entry.sent > 0 ? static_cast<int32_t>(entry.sent) : -EPIPE, false);
      return true;
    }
    size_t total = 0;
    for (const iovec& piece : entry.pieces) total += piece.iov_len;
    size_t room = peer->inbound.size() >= world.faults.socket_buffer_bytes
                      ? 0
                      : world.faults.socket_buffer_bytes - peer->inbound.size();
    size_t size = std::min(room, total - entry.sent);
    const bool stop_short = size > 0 && world.chance(world.faults.short_send);
    if (stop_short) size = 1 + world.below(size);
    size_t skip = entry.sent;
    size_t left = size;
    for (const iovec& piece : entry.pieces) {
      if (skip >= piece.iov_len) {
        skip -= piece.iov_len;
        continue;
      }
      const auto* bytes = static_cast<const uint8_t*>(piece.iov_base) + skip;
      const size_t count = std::min(left, piece.iov_len - skip);
      peer->inbound.insert(peer->inbound.end(), bytes, bytes + count);
      left -= count;
      skip = 0;
      if (left == 0) break;
    }
    entry.sent += size;
    if (entry.sent == total || stop_short) {
      tell(entry, static_cast<int32_t>(entry.sent), false);
      return true;
    }
    return false;
  }
};

Io::Io(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Io::~Io() = default;

std::expected<std::unique_ptr<Io>, std::string> Io::create(const IoOptions&, BufferPool& buffers) {
  return std::unique_ptr<Io>(new Io(std::make_unique<Impl>(buffers)));
}

void Io::accept(Operation& operation, int listener) { impl_->add(operation, Kind::accept, listener); }
void Io::receive(Operation& operation, int socket) { impl_->add(operation, Kind::receive, socket); }

void Io::send(Operation& operation, int socket, std::span<const iovec> pieces) {
  impl_->add(operation, Kind::send, socket);
  impl_->armed.back()->pieces.assign(pieces.begin(), pieces.begin() + static_cast<long>(std::min<size_t>(pieces.size(), 16)));
}

void Io::connect(Operation& operation, int socket, const sockaddr* address, socklen_t size) {
  impl_->add(operation, Kind::connect, socket);
  impl_->armed.back()->address = SocketAddress::from(address, size);
}

void Io::cancel(Operation& operation) {
  WEIR_ASSERT(operation.armed());
  for (auto& entry : impl_->armed) {
    if (entry->operation == &operation) entry->cancelled = true;  // not there: it has ended, the news is on its way
  }
}

void Io::shutdown_write(int socket) { impl_->world.end_writing(socket); }

void Io::close(int descriptor) {
  for (const auto& entry : impl_->armed) WEIR_ASSERT(entry->descriptor != descriptor);  // invariant 2 of core::Io
  impl_->world.close(descriptor);
}

void Io::submit_and_wait(uint64_t) {
  ++impl_->stats.enters;
  if (impl_->world.chance(impl_->world.faults.reorder)) {
    std::shuffle(impl_->armed.begin(), impl_->armed.end(), impl_->world.random());
  }
  // Handlers run later, so nothing is added while this walks.
  std::vector<std::unique_ptr<Armed>> still;
  for (auto& entry : impl_->armed) {
    if (!impl_->progress(*entry)) still.push_back(std::move(entry));
  }
  impl_->armed = std::move(still);
}

void Io::dispatch() {
  // Only what had completed when this began.
  for (size_t count = impl_->done.size(); count > 0; --count) {
    Done item = std::move(impl_->done.front());
    impl_->done.pop_front();
    ++impl_->stats.completed;
    item.operation->complete(item.completion);
  }
}

void Io::wake() { impl_->woken = true; }
bool Io::trim_receive_memory() { return false; }
bool Io::take_buffers_returned() { return std::exchange(impl_->buffers_returned, false); }
bool Io::take_receive_pressure() { return impl_->world.chance(impl_->world.faults.receive_pressure); }
bool Io::receive_memory_scarce() const { return true; }
const IoStats& Io::stats() const { return impl_->stats; }

}  // namespace weir::core
