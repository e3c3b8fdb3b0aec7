// Answers that weir gives itself, all in OpenAI's shapes: errors, static texts, lists, health.
//
// Thread: the session's shard.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "core/buffer.h"
#include "core/bump_block.h"
#include "core/error.h"
#include "net/http/writer.h"
#include "net/server_session.h"
#include "routing/exchange/record.h"
#include "routing/guard/admission.h"

namespace weir::routing {

// What the x-weir-* fields of an answer say.
struct AnswerContext {
  const Record& record;
  const Table* table = nullptr;              // null: no decision was made
  uint16_t hops_taken = 0;
  std::optional<core::ErrorCode> first_failure;
  RateFacts requests = {}, tokens = {};      // x-ratelimit-*
  uint64_t retry_after_ns = 0;               // errors: when it makes sense to ask again; 0 = not known
};

// x-ratelimit-{limit,remaining,reset}-{requests,tokens}, as far as there are such limits.
void append_rate_fields(net::HeadWriter& writer, const RateFacts& requests, const RateFacts& tokens);


// x-request-id, and, once there is a decision, x-weir-unit, -arm, -flag, -reason, -revision, -cache, -fallback.
void append_decision_fields(net::HeadWriter& writer, const Table& table, const Record& record, uint16_t hops_taken,
                            std::optional<core::ErrorCode> first_failure);

// Queues a whole error answer; the caller ends the response. Returns the bytes queued (0 without memory: the
// session is then aborted).
uint32_t send_error(net::ServerSession& session, core::BumpBlock& memory, core::Error error, const AnswerContext& context);

// {"error":{...}} as one stream event; empty without memory.
core::Slice render_error_event(core::BumpBlock& memory, core::Error error);

// Queues a completion whose only text is `text`, plain or as a stream. Returns the bytes queued.
uint32_t send_static_answer(net::ServerSession& session, core::BufferPool& buffers, std::string_view text,
                            Endpoint endpoint, bool stream, int64_t wall_now_ns, const AnswerContext& context);

// Queues a whole answer with a body, in one piece or several.
uint32_t send_answer(net::ServerSession& session, core::BufferPool& buffers, int status, std::string_view content_type,
                     std::span<const std::string_view> parts, const AnswerContext& context);
uint32_t send_answer(net::ServerSession& session, core::BufferPool& buffers, int status, std::string_view content_type,
                     std::string_view body, const AnswerContext& context);

}  // namespace weir::routing
