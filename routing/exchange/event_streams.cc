#include "routing/exchange/event_streams.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "core/limits.h"
#include "net/http/writer.h"
#include "routing/exchange/shard.h"

namespace weir::routing {
namespace {

using core::ErrorCode;

constexpr uint32_t kEventHeadRoom = 512;
constexpr uint32_t kEventRoom = 256;  // two numbers of at most twenty digits, twice, and constants
constexpr std::string_view kCommentChunk = "3\r\n:\n\n\r\n";

}  // namespace

core::Result<void> EventStreams::open(net::ServerSession& session, std::string_view last_event_id,
                                      RequestId id) {
  if (draining_) return core::fail(ErrorCode::shutting_down);
  if (sessions_.size() >= core::limits::kMaxEventStreamsPerShard) {
    return core::fail(ErrorCode::too_many_event_streams);
  }
  core::BumpBlock& memory = shard_.small_bytes();
  const auto room = memory.room(kEventHeadRoom);
  if (room.empty()) return core::fail(ErrorCode::out_of_buffers);
  net::HeadWriter writer({reinterpret_cast<char*>(room.data()), kEventHeadRoom});
  writer.status_line(200);
  writer.field("content-type", "text/event-stream");
  writer.field("cache-control", "no-store");
  writer.field("transfer-encoding", "chunked");
  writer.field("x-request-id", std::string_view(to_hex(id).data(), 32));
  if (session.must_close()) writer.field("connection", "close");
  writer.end();
  WEIR_ASSERT(!writer.overflowed());
  session.send(memory.take(static_cast<uint32_t>(writer.size())));
  session.exchange = this;
  sessions_.push_back(&session);
  changed();

  uint64_t known = 0;
  const auto [end, error] =
      std::from_chars(last_event_id.data(), last_event_id.data() + last_event_id.size(), known);
  const bool knows = error == std::errc{} && end == last_event_id.data() + last_event_id.size() &&
                     known == shard_.table().revision;
  if (knows) return {};
  core::Slice event = render_event();
  if (!event.empty()) {
    session.send(std::move(event));
    shard_.metrics().events_sent.add();
  }
  return {};
}

void EventStreams::on_client_gone(net::ServerSession& session) {
  std::erase(sessions_, &session);
  changed();
}

void EventStreams::on_new_table() {
  if (sessions_.empty()) return;
  const core::Slice event = render_event();
  if (event.empty()) {
    // Without memory to tell it in: an end is noticed too, and what happened is told at the next beginning.
    for (net::ServerSession* session : sessions_) session->abort();
    sessions_.clear();
    return changed();
  }
  send_to_all(event);
  shard_.metrics().events_sent.add(sessions_.size());
}

void EventStreams::begin_drain() {
  draining_ = true;
  for (net::ServerSession* session : sessions_) {
    session->send(core::Slice::of_static(net::kLastChunk));
    session->end_response();
  }
  sessions_.clear();
  changed();
}

void EventStreams::on_keep_alive(core::Timer& timer) {
  auto& self = timer.owner<EventStreams>();
  self.send_to_all(core::Slice::of_static(kCommentChunk));
  self.changed();
}

// One event as one chunk; empty without memory.
core::Slice EventStreams::render_event() {
  const Table& table = shard_.table();
  char event[kEventRoom];
  const auto end = fmt::format_to_n(
      event, sizeof event,
      "event: message\nid: {0}\n"
      "data: {{\"type\":\"refetchEvaluation\",\"etag\":\"\\\"{0}\\\"\",\"lastModified\":{1}}}\n\n",
      table.revision, table.published_wall_ns / 1'000'000'000);
  WEIR_ASSERT(end.size <= sizeof event);
  char header[net::kMaxChunkHeaderBytes];
  const size_t header_size = net::render_chunk_header(end.size, header);
  const auto size = static_cast<uint32_t>(header_size + end.size + net::kChunkEnd.size());
  const auto room = shard_.small_bytes().room(size);
  if (room.empty()) return {};
  std::memcpy(room.data(), header, header_size);
  std::memcpy(room.data() + header_size, event, end.size);
  std::memcpy(room.data() + header_size + end.size, net::kChunkEnd.data(), net::kChunkEnd.size());
  return shard_.small_bytes().take(size);
}

void EventStreams::send_to_all(const core::Slice& chunk) {
  std::erase_if(sessions_, [&](net::ServerSession* session) {
    if (session->send_queue_high()) {
      session->abort();
      return true;
    }
    session->send(chunk.share());
    return false;
  });
}

// Their number has changed, or the comment was sent.
void EventStreams::changed() {
  shard_.metrics().event_streams.set(static_cast<int64_t>(sessions_.size()));
  if (sessions_.empty()) return keep_alive_.cancel();
  if (keep_alive_.armed()) return;
  shard_.loop().timers().schedule(
      keep_alive_,
      core::deadline_after(shard_.loop().now_ns(), core::milliseconds(core::limits::kEventKeepAliveMs)));
}

}  // namespace weir::routing
