// The seam to the kernel: one completion queue per shard. core/system/io_uring.cc implements it on
// io_uring; tests/sim/sim_io.cc on a simulated kernel, chosen at link time.
//
//   arm an Operation ──▶ queued ──submit_and_wait()──▶ kernel ──▶ completion(s) ──dispatch()──▶ handler, never nested
//
// Invariants
//   1. An Operation belongs to its owner and must stay where it is from the arming to its last completion
//      (Completion::more == false). Its memory must not be freed while armed(): close = cancel every
//      armed operation, wait for the last completion of each, then close the descriptor, then free.
//   2. A multishot operation may end at any completion, also a successful one: `more` tells. The owner
//      arms it again (-ENOBUFS: when Loop says buffers are back).
//   3. At most one send is armed per socket; it completes with all bytes sent, or fewer (the owner sends
//      the rest), or an error.
//   4. One Io belongs to one thread; only wake() may be called from others.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>

#include "core/buffer.h"

namespace weir::core {

struct Completion {
  int32_t result = 0;    // >= 0: what the operation yields; < 0: -errno
  bool more = false;     // multishot: still armed
  Slice data;            // receive: the bytes (result > 0)
};

class Operation {
 public:
  using Handler = void (*)(void* owner, Completion& completion);
  Operation(void* owner, Handler handler) : owner_(owner), handler_(handler) {}
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  ~Operation() { WEIR_ASSERT(!armed_); }
  bool armed() const { return armed_; }

  // ---- for implementations of Io only ----
  void arm() {
    WEIR_ASSERT(!armed_);
    armed_ = true;
  }
  void complete(Completion& completion) {
    WEIR_ASSERT(armed_);
    armed_ = completion.more;
    handler_(owner_, completion);
  }

 private:
  void* owner_;
  Handler handler_;
  bool armed_ = false;
};

// What a kernel has that an older one has not; of `newest` what is there is used, and tests ask for less.
enum class KernelLevel : uint8_t {
  linux_6_0,  // the kernel may interrupt to complete (COOP_TASKRUN)
  linux_6_1,  // it completes where it is entered (DEFER_TASKRUN)
  newest,     // incremental buffers (6.12), sends of pieces without a message header (6.17)
};

struct IoOptions {
  uint32_t submission_entries = 1024;
  uint32_t completion_entries = 16384;
  // Receive memory at start. With incremental buffers (kernel 6.12) a block serves many receives; without
  // them each receive takes one whole block, so the second pair of sizes applies: as many as a busy shard holds at once
  // (a request's stays until it is answered), or every turn would have to find others.
  uint32_t incremental_block_bytes = 512 * 1024;
  uint32_t incremental_blocks = 4;
  uint32_t whole_block_bytes = 16 * 1024;
  uint32_t whole_blocks = 256;
  uint64_t max_receive_bytes = 256u << 20;      // grown on demand up to here
  KernelLevel kernel = KernelLevel::newest;     // use no more than this one has
  // How long submit_and_wait() looks for completions before it sleeps: what comes meanwhile is answered without the
  // wake-up of a thread, and the CPU is used up.
  uint64_t busy_poll_ns = 0;
};

struct IoStats {
  uint64_t enters = 0;             // entries into the kernel
  uint64_t submitted = 0;          // operations submitted
  uint64_t completed = 0;          // completions seen
  uint64_t overflows = 0;          // completion queue overflowed (a slow path, never a loss)
  uint64_t receive_bytes = 0;      // receive memory that the kernel may fill or somebody holds
  uint64_t spare_bytes = 0;        // beside it: grown, and not in use now
  uint64_t no_buffers = 0;         // receives that found no buffer
};

class Io {
 public:
  // Creates the queue on the calling thread, which becomes its only user. The error is one line that says
  // what is missing and what to do about it.
  static std::expected<std::unique_ptr<Io>, std::string> create(const IoOptions& options, BufferPool& buffers);
  ~Io();
  Io(const Io&) = delete;
  Io& operator=(const Io&) = delete;

  // Multishot: each completion's result is an accepted, non-blocking, close-on-exec descriptor.
  void accept(Operation& operation, int listener);
  // Multishot: each completion carries data; result 0 = the peer ended its side. Ends with -ENOBUFS when
  // receive memory is used up.
  void receive(Operation& operation, int socket);
  // Sends all pieces in order; they must stay valid until the completion, the iovec array need not.
  void send(Operation& operation, int socket, std::span<const iovec> pieces);
  // `address` must stay valid until the completion.
  void connect(Operation& operation, int socket, const sockaddr* address, socklen_t size);
  // Asks the kernel to end an armed operation early; it completes as usual (often -ECANCELED).
  void cancel(Operation& operation);
  // Ends the sending side of a socket after what was sent; nobody is told.
  void shutdown_write(int socket);
  // Closes a descriptor that no armed operation uses; nobody is told.
  void close(int descriptor);

  // Submits all that was armed and waits at most `wait_ns` (0 = not at all, UINT64_MAX = for ever) until
  // something completes. One entry into the kernel.
  void submit_and_wait(uint64_t wait_ns);
  // Runs the handlers of what has completed.
  void dispatch();
  // Makes a waiting or the next submit_and_wait() return early. Any thread.
  void wake();

  // True when receive memory has come back or grown since the last call: starved receives may be armed.
  bool take_buffers_returned();
  // Gives back what receive memory was not needed at all since the last call. True: some is left that the next call may
  // give back.
  bool trim_receive_memory();
  // True when receive memory has grown well past its first size since the last call: many blocks are kept by a
  // few bytes each, which their holders should copy out.
  bool take_receive_pressure();
  // True while receive memory has grown to half of what it may: whatever holds some of it must let go.
  bool receive_memory_scarce() const;
  const IoStats& stats() const;

 private:
  struct Impl;
  explicit Io(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::core
