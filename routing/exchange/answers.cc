#include "routing/exchange/answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>

#include "core/strong.h"
#include "routing/inspect/json_text.h"

namespace weir::routing {
namespace {

using core::ErrorCode;

constexpr uint32_t kMaxHeadBytes = 2048;
constexpr uint32_t kMaxErrorBodyBytes = 768;  // error sentences and field names are our own

// {"error":{"message":…,"type":…,"param":…,"code":…}} without allocation.
uint32_t render_error_body(std::span<char> room, core::Error error) {
  const core::ErrorInfo& info = core::describe(error.code);
  ScratchWriter out({reinterpret_cast<uint8_t*>(room.data()), room.size()});
  out.append("{\"error\":{\"message\":");
  render_json_string(info.sentence, out);
  out.append(",\"type\":");
  render_json_string(info.type, out);
  out.append(",\"param\":");
  // Of a method that is not allowed, `param` is what goes into the allow field.
  const bool has_param = error.param != nullptr && error.code != ErrorCode::method_not_allowed;
  has_param ? render_json_string(error.param, out) : out.append("null");
  out.append(",\"code\":");
  info.code.empty() ? out.append("null") : render_json_string(info.code, out);
  out.append("}}");
  WEIR_ASSERT(!out.overflowed());
  return out.size();
}

std::string json_string(std::string_view text) {
  std::string room(text.size() * 6 + 2, '\0');
  ScratchWriter out({reinterpret_cast<uint8_t*>(room.data()), room.size()});
  render_json_string(text, out);
  room.resize(out.size());
  return room;
}

bool may_retry(ErrorCode code) {
  if (code == ErrorCode::overloaded || code == ErrorCode::provider_limited) return true;
  return code == ErrorCode::rate_limited || code == ErrorCode::repeated_request;
}

// A length of time as Go prints it, which is what clients of OpenAI parse: "0s", "120ms", "6m0s", "2m59.56s".
// Rounded up to a millisecond.
std::string_view go_duration(uint64_t ns, std::span<char, 32> room) {
  const uint64_t ms = (ns + core::kNsPerMs - 1) / core::kNsPerMs;
  const uint64_t minutes = ms / 60'000 % 60, hours = ms / 3'600'000;
  char* end = room.data();
  const auto put = [&](uint64_t number, std::string_view unit) {
    end = std::to_chars(end, room.data() + room.size(), number).ptr;
    for (const char c : unit) *end++ = c;
  };
  if (ms > 0 && ms < 1000) {
    put(ms, "ms");
    return {room.data(), end};
  }
  if (hours > 0) put(hours, "h");
  if (hours > 0 || minutes > 0) put(minutes, "m");
  put(ms / 1000 % 60, "");
  if (const uint64_t decimals = ms % 1000; decimals != 0) {
    put(1000 + decimals, "");  // with its zeros in front: the leading 1 becomes the point
    end[-4] = '.';
    while (end[-1] == '0') --end;
  }
  *end++ = 's';
  return {room.data(), end};
}

// retry-after is in whole seconds, so it may only be longer.
void append_retry_fields(net::HeadWriter& writer, uint64_t retry_after_ns) {
  if (retry_after_ns == 0) return;
  writer.field("retry-after", (retry_after_ns + core::kNsPerSecond - 1) / core::kNsPerSecond);
  writer.field("retry-after-ms", (retry_after_ns + core::kNsPerMs - 1) / core::kNsPerMs);
}

}  // namespace

void append_decision_fields(net::HeadWriter& writer, const Table& table, const Record& record,
                            uint16_t hops_taken, std::optional<ErrorCode> first_failure) {
  writer.field("x-request-id", std::string_view(to_hex(record.id).data(), 32));
  if (record.decided_unit == Record::kNone) return;
  const TableBody& body = *table.body;
  if (record.unit != Record::kNone) writer.field("x-weir-unit", body.units[record.unit].name);
  writer.field("x-weir-arm", token(record.arm));
  if (record.flag != Record::kNone) writer.field("x-weir-flag", body.flags[record.flag].name);
  writer.field("x-weir-reason", token(record.reason));
  writer.field("x-weir-revision", table.revision);
  if (record.cache != CacheUse::none) writer.field("x-weir-cache", token(record.cache));
  if (hops_taken == 0) return;
  char text[64];
  const auto end = fmt::format_to_n(text, sizeof text, "{}; {}", hops_taken,
                                    first_failure ? core::describe(*first_failure).token : "killed");
  writer.field("x-weir-fallback", {text, std::min<size_t>(end.size, sizeof text)});
}

void append_rate_fields(net::HeadWriter& writer, const RateFacts& requests, const RateFacts& tokens) {
  char room[32];
  if (requests.any) {
    writer.field("x-ratelimit-limit-requests", requests.limit);
    writer.field("x-ratelimit-remaining-requests", requests.remaining);
    writer.field("x-ratelimit-reset-requests", go_duration(requests.reset_ns, room));
  }
  if (tokens.any) {
    writer.field("x-ratelimit-limit-tokens", tokens.limit);
    writer.field("x-ratelimit-remaining-tokens", tokens.remaining);
    writer.field("x-ratelimit-reset-tokens", go_duration(tokens.reset_ns, room));
  }
}

uint32_t send_error(net::ServerSession& session, core::BumpBlock& memory, core::Error error,
                    const AnswerContext& context) {
  const core::ErrorInfo& info = core::describe(error.code);
  char body[kMaxErrorBodyBytes];
  // For a wrong method `param` is what is allowed: a matter of the Allow field, not of the body.
  const bool wrong_method = error.code == ErrorCode::method_not_allowed;
  const uint32_t body_size = render_error_body(body, {error.code, wrong_method ? nullptr : error.param});
  const auto room = memory.room(kMaxHeadBytes + kMaxErrorBodyBytes);
  if (room.empty() || info.status == 0) {
    session.abort();
    return 0;
  }
  net::HeadWriter writer({reinterpret_cast<char*>(room.data()), kMaxHeadBytes});
  writer.status_line(info.status);
  writer.field("content-type", "application/json");
  writer.field("content-length", body_size);
  if (wrong_method && error.param != nullptr) writer.field("allow", error.param);
  if (info.status == 401) writer.field("www-authenticate", "Bearer");
  // The SDKs try again by themselves on 408, 409, 429 and 5xx; here that would meet the same answer.
  if ((info.status == 408 || info.status == 409 || info.status == 429 || info.status >= 500) &&
      !may_retry(error.code)) {
    writer.field("x-should-retry", "false");
  }
  append_retry_fields(writer, context.retry_after_ns);
  append_rate_fields(writer, context.requests, context.tokens);
  if (context.table != nullptr) {
    append_decision_fields(writer, *context.table, context.record, context.hops_taken, context.first_failure);
  } else {
    writer.field("x-request-id", std::string_view(to_hex(context.record.id).data(), 32));
  }
  if (session.must_close()) writer.field("connection", "close");
  writer.end();
  WEIR_ASSERT(!writer.overflowed());
  const uint32_t content_size = session.head_only() ? 0 : body_size;
  std::memcpy(room.data() + writer.size(), body, content_size);
  const auto size = static_cast<uint32_t>(writer.size()) + content_size;
  session.send(memory.take(size));
  return size;
}

core::Slice render_error_event(core::BumpBlock& memory, core::Error error) {
  char body[kMaxErrorBodyBytes];
  const uint32_t body_size = render_error_body(body, error);
  constexpr std::string_view kBegin = "data: ";
  constexpr std::string_view kEnd = "\n\n";
  const auto room = memory.room(static_cast<uint32_t>(kBegin.size() + body_size + kEnd.size()));
  if (room.empty()) return {};
  std::memcpy(room.data(), kBegin.data(), kBegin.size());
  std::memcpy(room.data() + kBegin.size(), body, body_size);
  std::memcpy(room.data() + kBegin.size() + body_size, kEnd.data(), kEnd.size());
  return memory.take(static_cast<uint32_t>(kBegin.size() + body_size + kEnd.size()));
}

uint32_t send_answer(net::ServerSession& session, core::BufferPool& buffers, int status,
                     std::string_view content_type, std::string_view body, const AnswerContext& context) {
  return send_answer(session, buffers, status, content_type, std::span(&body, 1), context);
}

uint32_t send_answer(net::ServerSession& session, core::BufferPool& buffers, int status,
                     std::string_view content_type, std::span<const std::string_view> parts,
                     const AnswerContext& context) {
  size_t body_size = 0;
  for (const std::string_view part : parts) body_size += part.size();
  core::Slice answer = buffers.allocate(kMaxHeadBytes + static_cast<uint32_t>(body_size));
  if (answer.block() == nullptr) {
    session.abort();
    return 0;
  }
  net::HeadWriter writer({reinterpret_cast<char*>(answer.mutable_data()), kMaxHeadBytes});
  writer.status_line(status);
  writer.field("content-type", content_type);
  writer.field("content-length", body_size);
  if (context.table != nullptr) {
    append_decision_fields(writer, *context.table, context.record, context.hops_taken, context.first_failure);
  } else {
    writer.field("x-request-id", std::string_view(to_hex(context.record.id).data(), 32));
  }
  append_rate_fields(writer, context.requests, context.tokens);
  if (content_type == "text/event-stream") writer.field("cache-control", "no-cache");
  if (session.must_close()) writer.field("connection", "close");
  writer.end();
  WEIR_ASSERT(!writer.overflowed());
  uint8_t* to = answer.mutable_data() + writer.size();
  for (const std::string_view part : parts) to = std::copy(part.begin(), part.end(), to);
  answer.set_size(static_cast<uint32_t>(writer.size() + body_size));
  const uint32_t size = answer.size();
  session.send(std::move(answer));
  return size;
}

uint32_t send_static_answer(net::ServerSession& session, core::BufferPool& buffers, std::string_view text,
                            Endpoint endpoint, bool stream, int64_t wall_now_ns,
                            const AnswerContext& context) {
  const std::string id = "static-" + std::string(to_hex(context.record.id).data(), 32);
  const std::string content = json_string(text);
  const int64_t created = wall_now_ns / 1'000'000'000;
  std::string body;
  switch (endpoint) {
    case Endpoint::chat_completions:
      if (stream) {
        const auto chunk = [&](std::string_view delta, std::string_view finish) {
          return fmt::format(
              "data: "
              "{{\"id\":\"{}\",\"object\":\"chat.completion.chunk\",\"created\":{},\"model\":\"weir-static\","
              "\"choices\":[{{\"index\":0,\"delta\":{},\"finish_reason\":{}}}]}}\n\n",
              id, created, delta, finish);
        };
        body = chunk("{\"role\":\"assistant\",\"content\":" + content + "}", "null") +
               chunk("{}", "\"stop\"") + "data: [DONE]\n\n";
      } else {
        body = fmt::format(
            "{{\"id\":\"{}\",\"object\":\"chat.completion\",\"created\":{},\"model\":\"weir-static\","
            "\"choices\":"
            "[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":{}}},\"logprobs\":null,"
            "\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_"
            "tokens\":0}}}}",
            id, created, content);
      }
      break;
    case Endpoint::completions:
      if (stream) {
        body = fmt::format(
            "data: "
            "{{\"id\":\"{}\",\"object\":\"text_completion\",\"created\":{},\"model\":\"weir-static\","
            "\"choices\":"
            "[{{\"index\":0,\"text\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}}]}}\n\ndata: "
            "[DONE]\n\n",
            id, created, content);
      } else {
        body = fmt::format(
            "{{\"id\":\"{}\",\"object\":\"text_completion\",\"created\":{},\"model\":\"weir-static\","
            "\"choices\":"
            "[{{\"index\":0,\"text\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}}],"
            "\"usage\":{{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0}}}}",
            id, created, content);
      }
      break;
    case Endpoint::embeddings:
      WEIR_ASSERT(false);  // a text is no vector
      break;
    case Endpoint::responses: {
      const std::string response = fmt::format(
          "{{\"id\":\"{}\",\"object\":\"response\",\"created_at\":{},\"status\":\"completed\",\"model\":"
          "\"weir-static\","
          "\"output\":[{{\"type\":\"message\",\"id\":\"msg-{}\",\"status\":\"completed\",\"role\":"
          "\"assistant\","
          "\"content\":[{{\"type\":\"output_text\",\"text\":{},\"annotations\":[]}}]}}],"
          "\"usage\":{{\"input_tokens\":0,\"output_tokens\":0,\"total_tokens\":0}}}}",
          id, created, id, content);
      body = !stream
                 ? response
                 : fmt::format(
                       "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\","
                       "\"item_id\":\"msg-{}\",\"output_index\":0,\"content_index\":0,\"delta\":{}}}\n\n"
                       "event: response.completed\ndata: "
                       "{{\"type\":\"response.completed\",\"response\":{}}}\n\n",
                       id, content, response);
      break;
    }
  }
  return send_answer(session, buffers, 200, stream ? "text/event-stream" : "application/json", body, context);
}

}  // namespace weir::routing
