#include "tools/mock-provider/fixed_answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/limits.h"
#include "core/strong.h"
#include "net/http/writer.h"
#include "tools/mock-provider/answer.h"
#include "tools/mock-provider/text.h"

namespace weir::tools {
namespace {

// `text` with the mark # replaced by as many letters as make it `size` bytes.
std::string padded(std::string text, size_t size) {
  const size_t mark = text.find('#');
  const size_t rest = text.size() - 1;
  return text.replace(mark, 1, std::string(size > rest ? size - rest : 1, 'm'));
}

std::string chunk(std::string_view payload) {
  char size[net::kMaxChunkHeaderBytes];
  return std::string(size, net::render_chunk_header(payload.size(), size)) + std::string(payload) +
         std::string(net::kChunkEnd);
}

std::string plain_answer(std::string_view body, std::string_view fields) {
  return fmt::format("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{}\r\n{}",
                     body.size(), fields, body);
}

// "stream" : true, without reading the rest.
bool asks_for_stream(std::string_view body) {
  size_t at = body.find("\"stream\"");
  if (at == std::string_view::npos) return false;
  at = body.find_first_not_of(" \t\r\n:", at + 8);
  return at != std::string_view::npos && body.substr(at).starts_with("true");
}

}  // namespace

FixedAnswers::FixedAnswers(core::Loop& loop, const FixedOptions& options)
    : loop_(loop),
      options_(options),
      interval_ns_(options.frame_interval_us * 1000),
      streams_(core::limits::kMaxConnectionsPerShard) {
  const std::string name = json_string(options.name);
  constexpr std::string_view kUsage =
      R"("usage":{"prompt_tokens":250,"completion_tokens":60,"total_tokens":310,)"
      R"("prompt_tokens_details":{"cached_tokens":0}})";
  const std::string body =
      padded(fmt::format(R"({{"id":"chatcmpl-mock","object":"chat.completion","created":1700000000,)"
                         R"("model":"mock-model","choices":[{{"index":0,"message":{{"role":"assistant",)"
                         R"("content":"#"}},"finish_reason":"stop"}}],{},"system_fingerprint":{}}})",
                         kUsage, name),
             kBodyBytes);
  plain_ = plain_answer(body, "");
  plain_and_close_ = plain_answer(body, "connection: close\r\n");
  stream_head_ =
      "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: "
      "chunked\r\n\r\n";
  constexpr std::string_view kBegin =
      R"(data: {"id":"chatcmpl-mock","object":"chat.completion.chunk","created":1700000000,)"
      R"("model":"mock-model","choices":[)";
  frame_ = chunk(padded(std::string(kBegin) + R"({"index":0,"delta":{"content":"#"},"finish_reason":null}]})"
                                              "\n\n",
                        kFrameBytes));
  stream_end_ = chunk(std::string(kBegin) +
                      R"({"index":0,"delta":{},"finish_reason":"stop"}]})"
                      "\n\n" +
                      std::string(kBegin) + "]," + std::string(kUsage) + "}\n\ndata: [DONE]\n\n") +
                std::string(net::kLastChunk);
  loop_.on_turn([](void* self) { static_cast<FixedAnswers*>(self)->send_due_frames(); }, this);
}

FixedAnswers::~FixedAnswers() {
  WEIR_ASSERT(first_ == nullptr);
  loop_.on_turn(nullptr, nullptr);
}

void FixedAnswers::send(net::ServerSession& session, const std::string& text) {
  session.send(core::Slice::of_static(text));
}

void FixedAnswers::on_request(net::ServerSession& session, const net::Request& request) {
  const std::string_view body(reinterpret_cast<const char*>(request.body.data()), request.body.size());
  if (asks_for_stream(body)) return begin_stream(session);
  send(session, session.must_close() ? plain_and_close_ : plain_);
  session.end_response();
}

void FixedAnswers::begin_stream(net::ServerSession& session) {
  Stream* stream = streams_.acquire(session);
  if (stream == nullptr) return session.abort();
  session.exchange = stream;
  send(session, stream_head_);
  stream->due_ns = loop_.now_ns() + interval_ns_;
  append(*stream);
}

void FixedAnswers::append(Stream& stream) {
  if (first_ == nullptr) {
    first_ = stream.next = stream.previous = &stream;
    return;
  }
  stream.next = first_;
  stream.previous = first_->previous;
  stream.previous->next = &stream;
  first_->previous = &stream;
}

void FixedAnswers::unlink(Stream& stream) {
  if (stream.next == &stream) {
    first_ = nullptr;
    return;
  }
  stream.previous->next = stream.next;
  stream.next->previous = stream.previous;
  if (first_ == &stream) first_ = stream.next;
}

uint64_t FixedAnswers::wait_ns() const {
  return first_ == nullptr ? UINT64_MAX : core::timeout_until(first_->due_ns, core::monotonic_now_ns());
}

void FixedAnswers::send_due_frames() {
  const uint64_t now_ns = loop_.now_ns();
  for (uint32_t count = streams_.live(); count > 0 && first_ != nullptr && first_->due_ns <= now_ns;
       --count) {
    Stream& stream = *first_;
    unlink(stream);
    if (stream.sent == options_.frames) {
      net::ServerSession& session = stream.session;
      streams_.release(&stream);
      session.exchange = nullptr;
      send(session, stream_end_);
      session.end_response();
      continue;
    }
    // A reader that has fallen behind gets its frame later.
    if (!stream.session.send_queue_high()) {
      send(stream.session, frame_);
      ++stream.sent;
    }
    stream.due_ns = std::max(stream.due_ns + interval_ns_, now_ns);
    append(stream);
  }
}

void FixedAnswers::on_refused(net::ServerSession& session, core::Error error) {
  const core::ErrorInfo& info = core::describe(error.code);
  const std::string body =
      answer_error(info.status, info.sentence, info.type, info.code).frames.front().bytes;
  const std::string text = fmt::format(
      "HTTP/1.1 {} \r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{}",
      info.status, body.size(), body);
  session.send(loop_.buffers().copy_of({reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
  session.end_response();
}

void FixedAnswers::on_client_gone(net::ServerSession& session, core::Error) {
  auto* stream = static_cast<Stream*>(std::exchange(session.exchange, nullptr));
  if (stream == nullptr) return;
  unlink(*stream);
  streams_.release(stream);
}

}  // namespace weir::tools
