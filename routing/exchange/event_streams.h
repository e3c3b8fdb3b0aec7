// The open event streams of one shard (OFREP): each hears of every new table within the turn in which the
// shard takes it up, and is otherwise kept open by comments.
//
//   HTTP/1.1 200 OK, text/event-stream          event: message
//                                               id: 42                                           (the
//                                               revision)
//   open() ─▶ event ─▶ … comment … ─▶ event     data:
//   {"type":"refetchEvaluation","etag":"\"42\"","lastModified":1}
//                                               (lastModified: seconds since 1970)
//
// A stream begins with an event, unless the client says (Last-Event-ID) that it knows the table in use:
// nothing that happens between an evaluation and the opening of its stream is lost.
//
// Invariants
//   1. session.exchange is this object while the session's answer is a stream of ours, and only then.
//   2. A client that does not read is given up: at the high-water mark of its queue, or by its connection's
//      clock.
//
// Limits: kMaxEventStreamsPerShard (too_many_event_streams), kEventKeepAliveMs. Thread: its shard's.
#pragma once

#include <string_view>
#include <vector>

#include "core/buffer.h"
#include "core/error.h"
#include "core/timer_wheel.h"
#include "net/server_session.h"
#include "routing/exchange/record.h"

namespace weir::routing {

class Shard;

class EventStreams {
 public:
  explicit EventStreams(Shard& shard) : shard_(shard), keep_alive_(on_keep_alive, this) {}
  EventStreams(const EventStreams&) = delete;
  EventStreams& operator=(const EventStreams&) = delete;

  // Answers the session's request with a stream. Errors, with nothing sent: too_many_event_streams,
  // shutting_down, out_of_buffers.
  core::Result<void> open(net::ServerSession& session, std::string_view last_event_id, RequestId id);
  bool owns(const net::ServerSession& session) const { return session.exchange == this; }
  void on_client_gone(net::ServerSession& session);
  void on_new_table();
  // Ends all of them, cleanly, and opens no more.
  void begin_drain();

 private:
  static void on_keep_alive(core::Timer& timer);
  core::Slice render_event();
  void send_to_all(const core::Slice& chunk);
  void changed();

  Shard& shard_;
  core::Timer keep_alive_;
  std::vector<net::ServerSession*> sessions_;
  bool draining_ = false;
};

}  // namespace weir::routing
