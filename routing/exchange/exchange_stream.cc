// Streams: events are relayed whole, as they come, each looked at once. The usage event that weir asked for
// and the client did not is left out; a stream that ends without its end mark is never ended cleanly.
#include <algorithm>
#include <cstring>

#include "net/http/writer.h"
#include "routing/exchange/exchange.h"
#include "routing/exchange/shard.h"

namespace weir::routing {
namespace {

using core::ErrorCode;

// Providers that were asked for usage put `"usage":null` on every other chunk; a client that did not ask must
// not see the key. Blanks of the same length are legal JSON white space, so nothing moves. The quotes of a
// key cannot stand unescaped inside a string, so the text is a member wherever it is found.
void blank_null_usage(std::span<uint8_t> event) {
  constexpr std::string_view kMember = ",\"usage\":null";
  void* found = memmem(event.data(), event.size(), kMember.data(), kMember.size());
  if (found != nullptr) std::memset(found, ' ', kMember.size());
}

}  // namespace

// Looks at one whole event; false: it must not reach the client.
bool Exchange::take_event(std::span<uint8_t> bytes) {
  const net::SseEvent event = net::parse_event(bytes);
  if (event.comment_only()) return true;
  if (net::is_done(event.data)) {
    saw_done_ = true;
    return true;
  }
  std::span<const uint8_t> data(reinterpret_cast<const uint8_t*>(event.data.data()), event.data.size());
  core::Slice joined;
  if (event.multi_line_data) {
    joined = shard_.loop().buffers().allocate(static_cast<uint32_t>(bytes.size()));
    if (joined.block() == nullptr) return true;
    const auto text = net::join_data(bytes, {reinterpret_cast<char*>(joined.mutable_data()), joined.room()});
    if (!text) return true;
    data = {joined.data(), text->size()};
  }
  const EventFacts facts = usage_.read_event(data);
  if (facts.content) on_first_token();
  if (record_.first_token_ns != 0) ++content_events_;  // from the first token on, an event bears one
  if (facts.error) record_.error = ErrorCode::upstream_status;
  if (facts.terminal) saw_terminal_ = true;
  if (!usage_hidden_) return true;
  if (facts.usage_only) return false;
  blank_null_usage(bytes);
  return true;
}

void Exchange::send_chunk(core::Slice payload) {
  if (payload.empty()) return;
  char header[net::kMaxChunkHeaderBytes];
  const size_t size = net::render_chunk_header(payload.size(), header);
  core::Slice begin = shard_.small_bytes().copy({header, size});
  if (begin.empty()) return cut({ErrorCode::out_of_buffers});
  send_downstream(std::move(begin));
  send_downstream(std::move(payload));
  send_downstream(core::Slice::of_static(net::kChunkEnd));
}

bool Exchange::keep_partial(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return true;
  const auto size = static_cast<uint32_t>(bytes.size());
  const uint32_t have = partial_event_.size();
  if (partial_event_.block() == nullptr || partial_event_.room() - have < size) {
    core::Slice larger = shard_.loop().buffers().allocate(std::max<uint32_t>(2 * (have + size), 512));
    if (larger.block() == nullptr) return false;
    if (have > 0) std::memcpy(larger.mutable_data(), partial_event_.data(), have);
    partial_event_ = std::move(larger);
  }
  std::memcpy(partial_event_.mutable_data() + have, bytes.data(), size);
  partial_event_.set_size(have + size);
  return true;
}

void Exchange::relay_events(net::BodyPiece piece) {
  core::Slice payload = piece.payload();
  const bool untouched = partial_event_.empty();
  uint32_t begin = 0;   // of what is to be relayed next
  uint32_t at = 0;      // events end here so far
  while (at < payload.size()) {
    auto end = splitter_.find_event_end(payload.bytes().subspan(at));
    if (!end) return cut(end.error());
    if (*end == net::SseSplitter::npos) break;
    const auto size = static_cast<uint32_t>(*end);
    if (!partial_event_.empty()) {
      // The rest of an event that began in an earlier piece.
      if (!keep_partial(payload.bytes().subspan(at, size))) return cut({ErrorCode::out_of_buffers});
      core::Slice event = std::move(partial_event_);
      if (take_event({event.mutable_data(), event.size()})) send_chunk(std::move(event));
      if (phase_ == Phase::ended) return;
      begin = at + size;
    } else if (!take_event({payload.mutable_data() + at, size})) {
      if (at > begin) send_chunk(payload.share(begin, at - begin));
      if (phase_ == Phase::ended) return;
      begin = at + size;
    }
    at += size;
  }
  if (untouched && begin == 0 && at == payload.size() && piece.whole_chunk) {
    return send_downstream(std::move(piece.bytes));
  }
  if (at > begin) send_chunk(payload.share(begin, at - begin));
  if (phase_ == Phase::ended) return;
  if (!keep_partial(payload.bytes().subspan(at))) cut({ErrorCode::out_of_buffers});
}

bool Exchange::stream_complete() const {
  if (!partial_event_.empty()) return false;
  return facts_.endpoint == Endpoint::responses ? saw_terminal_ : saw_done_;
}

void Exchange::end_events(Reuse reuse) {
  end_attempt(reuse);
  if (!stream_complete()) {
    // A clean end of the transport is not the end of the stream.
    fail_attempt({ErrorCode::upstream_truncated}, 0);
    return;
  }
  on_first_token();  // a complete answer without content: whatever is held goes out
  send_downstream(core::Slice::of_static(net::kLastChunk));
  finish();
}

}  // namespace weir::routing
