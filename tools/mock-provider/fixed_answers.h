// The provider of benchmarks: every request gets the same answer, rendered at start; nothing is parsed,
// allocated or copied. A body with "stream": true gets a stream of equal frames, each sent by itself.
//
// Intervals may be shorter than the loop's timers are fine (1 ms), so streams wait in a queue of their own:
// all have the same interval, hence the first is always the next one due. It is looked at in every turn, by
// the loop's turn hook; whoever turns the loop asks wait_ns() first.
//
// Thread: its loop's. Limit: core::limits::kMaxConnectionsPerShard streams.
#pragma once

#include <cstdint>
#include <string>

#include "core/loop.h"
#include "core/slab.h"
#include "net/http_server.h"

namespace weir::tools {

struct FixedOptions {
  std::string name = "mock";
  uint32_t frames = 200;  // of a stream, the last one not counted, which bears usage and the end mark
  uint64_t frame_interval_us = 0;  // 0 = one in every turn of the loop
};

class FixedAnswers final : public net::RequestHandler {
 public:
  static constexpr size_t kBodyBytes = 600;
  static constexpr size_t kFrameBytes = 200;

  FixedAnswers(core::Loop& loop, const FixedOptions& options);
  ~FixedAnswers();

  // How long the loop may wait: until the next frame is due.
  uint64_t wait_ns() const;

 private:
  struct Stream {
    explicit Stream(net::ServerSession& to) : session(to) {}
    net::ServerSession& session;
    uint32_t sent = 0;
    uint64_t due_ns = 0;
    Stream* next = nullptr;
    Stream* previous = nullptr;
  };

  core::Result<void> on_head(net::ServerSession&, const net::RequestHead&, const uint8_t*) override {
    return {};
  }
  void on_request(net::ServerSession& session, const net::Request& request) override;
  void on_refused(net::ServerSession& session, core::Error error) override;
  void on_client_gone(net::ServerSession& session, core::Error error) override;

  void send_due_frames();
  void send(net::ServerSession& session, const std::string& text);
  void begin_stream(net::ServerSession& session);
  void append(Stream& stream);
  void unlink(Stream& stream);

  core::Loop& loop_;
  const FixedOptions options_;
  const uint64_t interval_ns_;
  std::string plain_, plain_and_close_;  // whole answers
  std::string stream_head_, frame_, stream_end_;
  core::Slab<Stream> streams_;
  Stream* first_ = nullptr;  // circular; the next one due
};

}  // namespace weir::tools
