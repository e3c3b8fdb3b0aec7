// core::Io on Linux io_uring. What each choice is worth is measured in bench/; the rules behind it:
//
//   * one ring per shard, made on its own thread (SINGLE_ISSUER | DEFER_TASKRUN, kernel 6.1; COOP_TASKRUN
//     before): without them the same relay costs more than twice as much
//   * one io_uring_enter per turn submits everything and waits
//   * multishot accept and receive; received bytes land in a provided buffer ring of few, hot blocks:
//     incremental ones (kernel 6.12) that many sockets share, whole ones before
//   * no linked or per-request timeouts, no registered files, no zero-copy send: measured neutral or worse
#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <vector>

#include "core/clock.h"
#include "core/io.h"
#include "core/poison.h"
#include "core/system/thread_order.h"

namespace weir::core {
namespace {

// Newer than the packaged liburing headers (2.3); values from include/uapi/linux/io_uring.h.
constexpr uint16_t kBufferRingIncremental = 2;      // IOU_PBUF_RING_INC, 6.12
constexpr uint32_t kEnterNoIowait = 1u << 7;        // IORING_ENTER_NO_IOWAIT, 6.15
constexpr uint32_t kFeatureNoIowait = 1u << 17;     // IORING_FEAT_NO_IOWAIT
constexpr uint16_t kSendVectorized = 1u << 5;       // IORING_SEND_VECTORIZED, 6.17
constexpr uint16_t kReceiveGroup = 0;
constexpr uint32_t kRingEntries = 4096;             // blocks the buffer ring can hold
constexpr size_t kPaddingPage = 4096;               // after each block, so that reading kPadding past its end is legal
constexpr size_t kPiecesPerSend = 16;
constexpr uint64_t kPressureFactor = 4;             // grown to this many times the first size = pressure

constexpr uint64_t kIgnored = 0;                    // user_data of operations nobody waits for
constexpr uint64_t kWakeTag = 1;                    // user_data of the wake-up poll; operations are aligned

// A waiting loop leaves the processor's other thread its share.
void pause_processor() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm("yield");
#endif
}

std::string set_up_error(int error) {
  switch (error) {
    case ENOSYS:
      return "io_uring is not available: the kernel is older than 5.1 or built without it; weir needs Linux 6.1 or newer";
    case EPERM:
    case EACCES:
      return "io_uring is not permitted: set the sysctl kernel.io_uring_disabled=0, and in a container allow "
             "io_uring_setup, io_uring_enter and io_uring_register in its seccomp profile";
    case ENOMEM:
      return "io_uring could not get memory: raise the locked-memory limit (ulimit -l, or LimitMEMLOCK= in the systemd unit)";
    case EMFILE:
    case ENFILE:
      return "io_uring could not get a descriptor: raise the limit on open files (ulimit -n, or LimitNOFILE= in the systemd unit)";
    default:
      return std::string("io_uring could not be set up: ") + std::strerror(error);
  }
}

}  // namespace

struct Io::Impl {
  struct SendVector {
    msghdr header;
    iovec pieces[kPiecesPerSend];
  };

  io_uring ring{};
  bool ring_ready = false;
  uint32_t enter_flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
  int enter_descriptor = -1;
  int wake_descriptor = -1;

  BufferPool& buffers;
  IoOptions options;
  bool incremental = false;
  bool sends_vectors = false;              // SEND takes pieces as they are; else SENDMSG, in a message header
  io_uring_buf_ring* buffer_ring = nullptr;
  std::vector<Block*> blocks;              // by receive id; null = id unused
  std::vector<uint16_t> free_ids;
  uint32_t kernel_blocks = 0;              // blocks the kernel may fill
  std::vector<Block*> spare_blocks;        // grown, and not needed just now
  size_t fewest_spare = 0;                 // since the last trim(): so many were not needed at all
  uint32_t initial_blocks = 0;
  uint32_t block_bytes = 0;
  bool buffers_returned = false;
  bool receive_pressure = false;

  // By place in the submission queue: the kernel reads a vector when it takes the entry, which frees both.
  std::vector<SendVector> send_vectors;
  // What was armed while the kernel took nothing from a full queue (it had no memory for requests, or its
  // completions had to be seen first); in order, before anything newer. Empty but for that.
  std::deque<io_uring_sqe> waiting;
  std::deque<SendVector> waiting_vectors;  // beside it
  IoStats stats;

  explicit Impl(BufferPool& pool) : buffers(pool) {}
  ~Impl();

  std::string set_up(const IoOptions& wanted);
  std::string set_up_buffers();
  std::string restrict_and_enable();
  bool can_send_vectors();
  bool add_block();
  bool trim();
  void give_to_kernel(Block& block);
  static void unmap(Block& block);
  void recycle(Block& block);
  io_uring_sqe* next_entry();
  SendVector& vector_of(io_uring_sqe* entry);
  void take_waiting();
  bool everything_taken() const;
  int enter(uint32_t wait_for, uint64_t wait_ns);
  int poll_and_wait(uint64_t wait_ns);
  uint32_t flush_submissions();
  void arm_wake();
  void dispatch();
  Slice take_received(const io_uring_cqe& entry);
};

Io::Impl::~Impl() {
  if (ring_ready) {
    // What was asked for last: descriptors to close, as a rule. Left in the queue they would stay open.
    if (!everything_taken()) enter(0, 0);
    io_uring_queue_exit(&ring);
  }
  if (wake_descriptor >= 0) ::close(wake_descriptor);
  for (Block* block : blocks) {
    if (block == nullptr) continue;
    unmap(*block);
    delete block;
  }
  std::free(buffer_ring);
}

std::string Io::Impl::set_up(const IoOptions& wanted) {
  options = wanted;
  io_uring_params params{};
  const uint32_t common =
      IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_R_DISABLED;
  // The queue says in memory that there is something to enter the kernel for.
  const uint32_t told = options.busy_poll_ns != 0 ? IORING_SETUP_TASKRUN_FLAG : 0;
  params.flags = common | told | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  params.cq_entries = options.completion_entries;
  int result = -EINVAL;
  if (options.kernel != KernelLevel::linux_6_0) {
    result = io_uring_queue_init_params(options.submission_entries, &ring, &params);
  }
  if (result == -EINVAL) {  // kernel < 6.1
    params = {};
    params.flags = common | told | IORING_SETUP_COOP_TASKRUN;
    params.cq_entries = options.completion_entries;
    result = io_uring_queue_init_params(options.submission_entries, &ring, &params);
  }
  if (result == -EINVAL) return "this kernel's io_uring is too old; weir needs Linux 6.1 or newer";
  if (result < 0) return set_up_error(-result);
  ring_ready = true;

  io_uring_probe* probe = io_uring_get_probe_ring(&ring);
  // SEND_ZC came with multishot receive (6.0), which cannot be probed itself.
  const bool multishot = probe != nullptr && io_uring_opcode_supported(probe, IORING_OP_SEND_ZC);
  io_uring_free_probe(probe);
  if (!multishot) return "this kernel's io_uring has no multishot receive; weir needs Linux 6.1 or newer";

  if (io_uring_register_ring_fd(&ring) == 1) enter_flags |= IORING_ENTER_REGISTERED_RING;
  enter_descriptor = ring.enter_ring_fd;
  if (params.features & kFeatureNoIowait) enter_flags |= kEnterNoIowait;

  wake_descriptor = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_descriptor < 0) return set_up_error(errno);
  send_vectors.resize(ring.sq.ring_entries);
  if (std::string problem = set_up_buffers(); !problem.empty()) return problem;
  if (std::string problem = restrict_and_enable(); !problem.empty()) return problem;
  sends_vectors = can_send_vectors();
  arm_wake();
  return {};
}

// Asks for a send that cannot succeed: a kernel that does not know the flag says so before it looks for the socket.
bool Io::Impl::can_send_vectors() {
  if (options.kernel != KernelLevel::newest) return false;
  io_uring_sqe* entry = io_uring_get_sqe(&ring);
  io_uring_prep_send(entry, /*sockfd=*/-1, send_vectors[0].pieces, 1, MSG_NOSIGNAL);
  entry->ioprio = kSendVectorized;
  entry->user_data = kIgnored;
  io_uring_cqe* completion = nullptr;
  if (io_uring_submit_and_wait(&ring, 1) < 0 || io_uring_peek_cqe(&ring, &completion) != 0) return false;
  const bool known = completion->res == -EBADF;
  io_uring_cqe_seen(&ring, completion);
  return known;
}

// From now on the ring does what this file asks for and nothing else: it can do much that a seccomp filter, which
// sees io_uring_enter alone, would have refused (open files, ...).
std::string Io::Impl::restrict_and_enable() {
  constexpr uint8_t kOperations[] = {IORING_OP_ACCEPT, IORING_OP_RECV,         IORING_OP_SEND,  IORING_OP_SENDMSG,
                                     IORING_OP_CONNECT, IORING_OP_ASYNC_CANCEL, IORING_OP_CLOSE, IORING_OP_POLL_ADD};
  constexpr uint8_t kRegistrations[] = {IORING_REGISTER_ENABLE_RINGS, IORING_UNREGISTER_RING_FDS};
  std::vector<io_uring_restriction> restrictions;
  const auto add = [&](uint16_t kind, uint8_t what) {
    io_uring_restriction& restriction = restrictions.emplace_back();
    std::memset(&restriction, 0, sizeof restriction);
    restriction.opcode = kind;
    restriction.sqe_op = what;  // in a union with the other kinds' values
  };
  for (const uint8_t operation : kOperations) add(IORING_RESTRICTION_SQE_OP, operation);
  for (const uint8_t registration : kRegistrations) add(IORING_RESTRICTION_REGISTER_OP, registration);
  add(IORING_RESTRICTION_SQE_FLAGS_ALLOWED, IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS);
  // liburing 2.3 declares functions for both and exports neither.
  const auto ask = [&](unsigned what, void* list, size_t count) {
    return ::syscall(SYS_io_uring_register, ring.ring_fd, what, list, count) == 0;
  };
  const bool enabled = ask(IORING_REGISTER_RESTRICTIONS, restrictions.data(), restrictions.size()) &&
                       ask(IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
  return enabled ? std::string() : set_up_error(errno);
}

std::string Io::Impl::set_up_buffers() {
  void* memory = nullptr;
  if (posix_memalign(&memory, 4096, kRingEntries * sizeof(io_uring_buf)) != 0) return set_up_error(ENOMEM);
  std::memset(memory, 0, kRingEntries * sizeof(io_uring_buf));
  buffer_ring = static_cast<io_uring_buf_ring*>(memory);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(buffer_ring);
  registration.ring_entries = kRingEntries;
  registration.bgid = kReceiveGroup;
  int result = -EINVAL;
  if (options.kernel == KernelLevel::newest) {
    registration.pad = kBufferRingIncremental;
    result = io_uring_register_buf_ring(&ring, &registration, 0);
    incremental = result == 0;
  }
  if (result == -EINVAL) {
    registration.pad = 0;
    result = io_uring_register_buf_ring(&ring, &registration, 0);
  }
  if (result < 0) return set_up_error(-result);
  io_uring_buf_ring_init(buffer_ring);

  block_bytes = incremental ? options.incremental_block_bytes : options.whole_block_bytes;
  initial_blocks = incremental ? options.incremental_blocks : options.whole_blocks;
  blocks.assign(kRingEntries, nullptr);
  free_ids.reserve(kRingEntries);
  for (uint32_t id = kRingEntries; id-- > 0;) free_ids.push_back(static_cast<uint16_t>(id));
  buffers.on_recycle([](void* self, Block& block) { static_cast<Impl*>(self)->recycle(block); }, this);
  for (uint32_t i = 0; i < initial_blocks; ++i) {
    if (!add_block()) return set_up_error(ENOMEM);
  }
  return {};
}

bool Io::Impl::add_block() {
  if (!spare_blocks.empty()) {
    give_to_kernel(*spare_blocks.back());
    spare_blocks.pop_back();
    fewest_spare = std::min(fewest_spare, spare_blocks.size());
    stats.spare_bytes -= block_bytes;
    stats.receive_bytes += block_bytes;
    return true;
  }
  if (free_ids.empty() || stats.receive_bytes + block_bytes > options.max_receive_bytes) return false;
  void* memory = ::mmap(nullptr, block_bytes + kPaddingPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  auto* block = new Block;
  block->base = static_cast<uint8_t*>(memory);
  block->capacity = block_bytes;
  block->is_receive = true;
  block->pool = &buffers;
  block->receive_id = free_ids.back();
  free_ids.pop_back();
  blocks[block->receive_id] = block;
  stats.receive_bytes += block_bytes;
  give_to_kernel(*block);
  return true;
}

void Io::Impl::give_to_kernel(Block& block) {
  block.references = 1;
  block.filled = 0;
  poison(block.base, block.capacity);  // its bytes are ours piece by piece, as they arrive
  io_uring_buf_ring_add(buffer_ring, block.base, block.capacity, block.receive_id,
                        io_uring_buf_ring_mask(kRingEntries), 0);
  io_uring_buf_ring_advance(buffer_ring, 1);
  ++kernel_blocks;
}

void Io::Impl::unmap(Block& block) {
  unpoison(block.base, block.capacity);
  ::munmap(block.base, block.capacity + kPaddingPage);
}

// The last slice of a block the kernel is done with is gone.
void Io::Impl::recycle(Block& block) {
  buffers_returned = true;
  if (kernel_blocks < initial_blocks) {
    give_to_kernel(block);
  } else {
    poison(block.base, block.capacity);
    spare_blocks.push_back(&block);
    stats.receive_bytes -= block_bytes;
    stats.spare_bytes += block_bytes;
  }
}

// A fresh block costs a page fault for every 4 KiB, so one stays while bursts come back for it.
bool Io::Impl::trim() {
  for (; fewest_spare > 0; --fewest_spare) {
    Block* const spare = spare_blocks.back();
    spare_blocks.pop_back();
    blocks[spare->receive_id] = nullptr;
    free_ids.push_back(spare->receive_id);
    stats.spare_bytes -= block_bytes;
    unmap(*spare);
    delete spare;
  }
  fewest_spare = spare_blocks.size();
  return fewest_spare > 0;
}

io_uring_sqe* Io::Impl::next_entry() {
  ++stats.submitted;
  if (waiting.empty()) {
    if (io_uring_sqe* entry = io_uring_get_sqe(&ring)) return entry;
    // More armed in one turn than the queue holds: hand over what there is, do not wait.
    const uint32_t count = flush_submissions();
    ++stats.enters;
    io_uring_enter(static_cast<unsigned>(enter_descriptor), count, 0, enter_flags & IORING_ENTER_REGISTERED_RING, nullptr);
    if (io_uring_sqe* entry = io_uring_get_sqe(&ring)) return entry;
  }
  waiting_vectors.emplace_back();
  return &waiting.emplace_back();
}

// Where the pieces of the send in `entry`, the newest one, are kept.
Io::Impl::SendVector& Io::Impl::vector_of(io_uring_sqe* entry) {
  return waiting.empty() ? send_vectors[static_cast<size_t>(entry - ring.sq.sqes)] : waiting_vectors.back();
}

void Io::Impl::take_waiting() {
  while (!waiting.empty()) {
    io_uring_sqe* entry = io_uring_get_sqe(&ring);
    if (entry == nullptr) return;
    *entry = waiting.front();
    SendVector& vector = send_vectors[static_cast<size_t>(entry - ring.sq.sqes)];
    if (entry->opcode == IORING_OP_SENDMSG) {
      vector = waiting_vectors.front();
      vector.header.msg_iov = vector.pieces;
      entry->addr = reinterpret_cast<uint64_t>(&vector.header);
    } else if (entry->opcode == IORING_OP_SEND && entry->ioprio == kSendVectorized) {
      vector = waiting_vectors.front();
      entry->addr = reinterpret_cast<uint64_t>(vector.pieces);
    }
    waiting.pop_front();
    waiting_vectors.pop_front();
  }
}

bool Io::Impl::everything_taken() const {
  return waiting.empty() && __atomic_load_n(ring.sq.khead, __ATOMIC_ACQUIRE) == ring.sq.sqe_tail;
}

// Publishes prepared entries to the kernel's queue; returns how many it has not consumed yet.
uint32_t Io::Impl::flush_submissions() {
  io_uring_sq& queue = ring.sq;
  const uint32_t mask = queue.ring_mask;
  uint32_t tail = *queue.ktail;
  while (queue.sqe_head != queue.sqe_tail) {
    queue.array[tail & mask] = queue.sqe_head & mask;
    ++tail;
    ++queue.sqe_head;
  }
  __atomic_store_n(queue.ktail, tail, __ATOMIC_RELEASE);
  return tail - __atomic_load_n(queue.khead, __ATOMIC_ACQUIRE);
}

int Io::Impl::enter(uint32_t wait_for, uint64_t wait_ns) {
  __kernel_timespec timeout{};
  io_uring_getevents_arg argument{};
  argument.sigmask_sz = _NSIG / 8;
  if (wait_for != 0 && wait_ns != UINT64_MAX) {
    timeout.tv_sec = static_cast<int64_t>(wait_ns / 1'000'000'000);
    timeout.tv_nsec = static_cast<int64_t>(wait_ns % 1'000'000'000);
    argument.ts = reinterpret_cast<uint64_t>(&timeout);
  }
  const uint32_t count = flush_submissions();
  ++stats.enters;
  return io_uring_enter2(static_cast<unsigned>(enter_descriptor), count, wait_for, enter_flags,
                         reinterpret_cast<sigset_t*>(&argument), sizeof argument);
}

// Submits, looks for busy_poll_ns whether anything completes, and sleeps only then.
int Io::Impl::poll_and_wait(uint64_t wait_ns) {
  const int result = enter(0, 0);
  if (result < 0 || io_uring_cq_ready(&ring) != 0) return result;
  const uint64_t begun_ns = monotonic_now_ns();
  const uint64_t poll_ns = std::min(options.busy_poll_ns, wait_ns);
  for (uint64_t spent_ns = 0; spent_ns < poll_ns; spent_ns = monotonic_now_ns() - begun_ns) {
    const bool something = (io_uring_smp_load_acquire(ring.sq.kflags) & IORING_SQ_TASKRUN) != 0;
    if (something || io_uring_cq_ready(&ring) != 0) return enter(0, 0);
    pause_processor();
  }
  return wait_ns == UINT64_MAX ? enter(1, wait_ns) : enter(1, wait_ns - poll_ns);
}

void Io::Impl::arm_wake() {
  io_uring_sqe* entry = next_entry();
  io_uring_prep_poll_multishot(entry, wake_descriptor, POLLIN);  // edge-triggered: never read back
  entry->user_data = kWakeTag;
}

Slice Io::Impl::take_received(const io_uring_cqe& entry) {
  if (!(entry.flags & IORING_CQE_F_BUFFER)) return {};
  Block* block = blocks[entry.flags >> IORING_CQE_BUFFER_SHIFT];
  WEIR_ASSERT(block != nullptr && block->references > 0);
  const uint32_t size = entry.res > 0 ? static_cast<uint32_t>(entry.res) : 0;
  WEIR_ASSERT(size <= block->capacity - block->filled);
  uint8_t* data = block->base + block->filled;
  // With the padding, which may be read though it is the kernel's still.
  unpoison(data, std::min<size_t>(size + BufferPool::kPadding, block->capacity - block->filled));
  block->filled += size;
  ++block->references;
  Slice slice(data, size, block);
  // An incremental block is the kernel's until it is full. Counting the bytes is exact; the CQE flag is not
  // (missing at the end of a stream before 6.17, axboe/liburing#1545).
  const bool consumed = incremental ? block->filled == block->capacity : true;
  if (consumed) {
    --kernel_blocks;
    --block->references;
  }
  return slice;
}

void Io::Impl::dispatch() {
  io_uring_cq& queue = ring.cq;
  uint32_t head = *queue.khead;
  const uint32_t tail = __atomic_load_n(queue.ktail, __ATOMIC_ACQUIRE);
  stats.completed += tail - head;
  bool starved = false;
  for (; head != tail; ++head) {
    const io_uring_cqe entry = queue.cqes[head & queue.ring_mask];
    // Freed at once: handlers may enter the kernel when the submission queue is full.
    __atomic_store_n(queue.khead, head + 1, __ATOMIC_RELEASE);
    if (entry.user_data == kIgnored) continue;
    if (entry.user_data == kWakeTag) {
      thread_order_after(&wake_descriptor);
      if (!(entry.flags & IORING_CQE_F_MORE)) arm_wake();
      continue;
    }
    Completion completion;
    completion.result = entry.res;
    completion.more = (entry.flags & IORING_CQE_F_MORE) != 0;
    completion.data = take_received(entry);
    if (entry.res == -ENOBUFS) starved = true;
    reinterpret_cast<Operation*>(entry.user_data)->complete(completion);
  }
  if (starved) ++stats.no_buffers;
  if (starved || kernel_blocks == 0) {
    // Grown only while all of it is held: what comes back within the turn serves the next. A receive may report its
    // want of buffers after they have come back, and nothing else would tell it.
    if (kernel_blocks > 0 || add_block()) buffers_returned = true;
    if (stats.receive_bytes >= kPressureFactor * initial_blocks * block_bytes) receive_pressure = true;
  }
  stats.overflows = *queue.koverflow;
}

Io::Io(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Io::~Io() = default;

std::expected<std::unique_ptr<Io>, std::string> Io::create(const IoOptions& options, BufferPool& buffers) {
  auto impl = std::make_unique<Impl>(buffers);
  if (std::string problem = impl->set_up(options); !problem.empty()) return std::unexpected(std::move(problem));
  return std::unique_ptr<Io>(new Io(std::move(impl)));
}

void Io::accept(Operation& operation, int listener) {
  io_uring_sqe* entry = impl_->next_entry();
  io_uring_prep_multishot_accept(entry, listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  entry->user_data = reinterpret_cast<uint64_t>(&operation);
  operation.arm();
}

void Io::receive(Operation& operation, int socket) {
  io_uring_sqe* entry = impl_->next_entry();
  io_uring_prep_recv_multishot(entry, socket, nullptr, 0, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = kReceiveGroup;
  entry->user_data = reinterpret_cast<uint64_t>(&operation);
  operation.arm();
}

void Io::send(Operation& operation, int socket, std::span<const iovec> pieces) {
  WEIR_ASSERT(!pieces.empty());
  io_uring_sqe* entry = impl_->next_entry();
  // MSG_WAITALL: the kernel itself goes on after a short send.
  constexpr int kFlags = MSG_NOSIGNAL | MSG_WAITALL;
  if (pieces.size() == 1) {
    io_uring_prep_send(entry, socket, pieces[0].iov_base, pieces[0].iov_len, kFlags);
  } else {
    Io::Impl::SendVector& vector = impl_->vector_of(entry);
    const size_t count = pieces.size() < kPiecesPerSend ? pieces.size() : kPiecesPerSend;
    std::memcpy(vector.pieces, pieces.data(), count * sizeof(iovec));
    if (impl_->sends_vectors) {
      io_uring_prep_send(entry, socket, vector.pieces, count, kFlags);
      entry->ioprio = kSendVectorized;
    } else {
      vector.header = {};
      vector.header.msg_iov = vector.pieces;
      vector.header.msg_iovlen = count;
      io_uring_prep_sendmsg(entry, socket, &vector.header, kFlags);
    }
  }
  entry->user_data = reinterpret_cast<uint64_t>(&operation);
  operation.arm();
}

void Io::connect(Operation& operation, int socket, const sockaddr* address, socklen_t size) {
  io_uring_sqe* entry = impl_->next_entry();
  io_uring_prep_connect(entry, socket, address, size);
  entry->user_data = reinterpret_cast<uint64_t>(&operation);
  operation.arm();
}

void Io::cancel(Operation& operation) {
  WEIR_ASSERT(operation.armed());
  io_uring_sqe* entry = impl_->next_entry();
  io_uring_prep_cancel64(entry, reinterpret_cast<uint64_t>(&operation), 0);
  entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
  entry->user_data = kIgnored;
}

void Io::shutdown_write(int socket) {
  // Not through the ring: there the operation is always handed to a worker thread (REQ_F_FORCE_ASYNC), which
  // takes ten times as long and leaves a thread behind. Once per connection, at its end.
  ::shutdown(socket, SHUT_WR);
}

void Io::close(int descriptor) {
  io_uring_sqe* entry = impl_->next_entry();
  io_uring_prep_close(entry, descriptor);
  entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
  entry->user_data = kIgnored;
}

void Io::submit_and_wait(uint64_t wait_ns) {
  impl_->take_waiting();
  const bool wait = wait_ns != 0 && impl_->waiting.empty();  // what still waits must not wait for an event
  const bool poll = wait && impl_->options.busy_poll_ns != 0;
  int result = poll ? impl_->poll_and_wait(wait_ns) : impl_->enter(wait ? 1 : 0, wait_ns);
  if (result == -EBUSY || result == -EAGAIN) {
    // Then nothing was completed either: what would free memory or room has to be asked for by itself.
    result = io_uring_enter(static_cast<unsigned>(impl_->enter_descriptor), 0, 0,
                            (impl_->enter_flags & IORING_ENTER_REGISTERED_RING) | IORING_ENTER_GETEVENTS, nullptr);
  }
  // EINTR, ETIME: nothing lost. EBUSY, EAGAIN: the kernel has no memory for requests, or its completion queue is
  // full; dispatching makes room and the next turn submits the rest.
  WEIR_ASSERT(result >= 0 || result == -EINTR || result == -ETIME || result == -EBUSY || result == -EAGAIN);
}

void Io::dispatch() { impl_->dispatch(); }

void Io::wake() {
  thread_order_before(&impl_->wake_descriptor);
  const uint64_t one = 1;
  // EAGAIN means the counter is full, so a wake-up is pending anyway.
  [[maybe_unused]] const ssize_t written = ::write(impl_->wake_descriptor, &one, sizeof one);
}

bool Io::trim_receive_memory() { return impl_->trim(); }
bool Io::take_buffers_returned() { return std::exchange(impl_->buffers_returned, false); }
bool Io::receive_memory_scarce() const { return impl_->stats.receive_bytes >= impl_->options.max_receive_bytes / 2; }
bool Io::take_receive_pressure() { return std::exchange(impl_->receive_pressure, false); }
const IoStats& Io::stats() const { return impl_->stats; }

}  // namespace weir::core
