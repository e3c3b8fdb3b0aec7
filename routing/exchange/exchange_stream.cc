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

bool is_line_blank(uint8_t byte) { return byte == ' ' || byte == '\t'; }

// One past the value at `at` if it is null or an object, else nullptr.
uint8_t* value_end(uint8_t* at, const uint8_t* end) {
  if (end - at >= 4 && std::memcmp(at, "null", 4) == 0) return at + 4;
  if (at == end || *at != '{') return nullptr;
  int depth = 0;
  bool in_string = false;
  for (; at != end; ++at) {
    if (in_string) {
      if (*at == '\\' && at + 1 != end) ++at;
      else if (*at == '"') in_string = false;
    } else if (*at == '"') {
      in_string = true;
    } else if (*at == '{') {
      ++depth;
    } else if (*at == '}' && --depth == 0) {
      return at + 1;
    }
  }
  return nullptr;
}

// Providers that were asked for usage put `"usage":null` on every other chunk, some the numbers on one with
// choices; a client that did not ask must not see the key. Blanks of the same length are legal JSON white space,
// so nothing moves. The quotes of a key cannot stand unescaped inside a string, so the text is a member wherever
// it is found: at `key`, or if that is not known wherever it is.
constexpr std::string_view kUsageMember = "\"usage\"";

void blank_usage(std::span<uint8_t> event, uint8_t* key) {
  uint8_t* const first = event.data();
  uint8_t* const last = first + event.size();
  if (key == nullptr) key = static_cast<uint8_t*>(memmem(first, event.size(), kUsageMember.data(), kUsageMember.size()));
  if (key == nullptr || key == first || key[-1] == '\\') return;
  uint8_t* at = key + kUsageMember.size();
  while (at != last && is_line_blank(*at)) ++at;
  if (at == last || *at != ':') return;
  do ++at;
  while (at != last && is_line_blank(*at));
  uint8_t* end = value_end(at, last);
  if (end == nullptr) return;
  // With it goes one comma: the one before, or if it is the first member the one behind.
  uint8_t* begin = key;
  while (begin > first && is_line_blank(begin[-1])) --begin;
  if (begin > first && begin[-1] == ',') {
    --begin;
  } else {
    begin = key;
    uint8_t* comma = end;
    while (comma != last && is_line_blank(*comma)) ++comma;
    if (comma != last && *comma == ',') end = comma + 1;
  }
  std::memset(begin, ' ', static_cast<size_t>(end - begin));
}

}  // namespace

// Looks at one whole event; false: it must not reach the client.
bool Exchange::take_event(std::span<uint8_t> bytes) {
  const auto position = std::exchange(first_event_, false) ? net::EventPosition::first : net::EventPosition::later;
  const net::SseEvent event = net::parse_event(
      bytes, position, splitter_.single_line() ? net::EventLines::one : net::EventLines::any);
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
  // What comes in the same piece behind a refusal is part of it.
  if (facts.refusal && phase_ == Phase::holding && may_leave_refusals()) refused_ = true;
  if (facts.content && !refused_) on_first_token();
  if (record_.first_token_ns != 0) ++content_events_;  // from the first token on, an event bears one
  if (facts.error) record_.error = ErrorCode::upstream_status;
  if (facts.terminal) saw_terminal_ = true;
  if (!usage_hidden_) return true;
  if (facts.usage_only) return false;
  if (event.multi_line_data) {
    blank_usage(bytes, nullptr);
  } else if (const uint32_t key = usage_.usage_key(); key != UsageReader::kNoUsageKey) {
    blank_usage(bytes, bytes.data() + (data.data() - bytes.data()) + key);
  }
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

// False: the attempt is over.
bool Exchange::relay_events(net::BodyPiece piece) {
  core::Slice payload = piece.payload();
  const bool untouched = partial_event_.empty();
  uint32_t begin = 0;   // of what is to be relayed next
  uint32_t at = 0;      // events end here so far
  // What follows the end mark means nothing to anybody (WIRE).
  while (at < payload.size() && !saw_done_ && !saw_terminal_) {
    auto end = splitter_.find_event_end(payload.bytes().subspan(at));
    if (!end) {
      fail_attempt(end.error(), 0);
      return false;
    }
    if (*end == net::SseSplitter::npos) break;
    const auto size = static_cast<uint32_t>(*end);
    if (!partial_event_.empty()) {
      // The rest of an event that began in an earlier piece.
      if (!keep_partial(payload.bytes().subspan(at, size))) {
        cut({ErrorCode::out_of_buffers});
        return false;
      }
      core::Slice event = std::move(partial_event_);
      if (take_event({event.mutable_data(), event.size()})) {
        capture(event.bytes());
        send_chunk(std::move(event));
      }
      if (phase_ == Phase::ended) return false;
      begin = at + size;
    } else if (!take_event({payload.mutable_data() + at, size})) {
      if (at > begin) send_chunk(payload.share(begin, at - begin));
      if (phase_ == Phase::ended) return false;
      begin = at + size;
    } else {
      capture(payload.bytes().subspan(at, size));
    }
    at += size;
  }
  if (untouched && begin == 0 && at == payload.size() && piece.whole_chunk) {
    send_downstream(std::move(piece.bytes));
    return phase_ != Phase::ended;
  }
  if (at > begin) send_chunk(payload.share(begin, at - begin));
  if (phase_ == Phase::ended) return false;
  if (saw_done_ || saw_terminal_) return true;
  if (!keep_partial(payload.bytes().subspan(at))) cut({ErrorCode::out_of_buffers});
  return phase_ != Phase::ended;
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
  store_capture();
  finish();
}

}  // namespace weir::routing
