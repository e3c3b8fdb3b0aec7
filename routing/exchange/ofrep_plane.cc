#include "routing/exchange/ofrep_plane.h"

#include <array>
#include <cstring>
#include <span>
#include <utility>

#include "core/limits.h"
#include "net/http/json_body.h"
#include "net/http/writer.h"
#include "routing/exchange/shard.h"
#include "routing/ofrep/etag.h"
#include "routing/ofrep/evaluation.h"
#include "routing/ofrep/event_ticket.h"
#include "routing/ofrep/flag_key.h"

namespace weir::routing {
namespace {

using core::ErrorCode;
using net::HeaderId;
namespace limits = core::limits;

constexpr uint32_t kOfrepHeadRoom = 512;
constexpr uint32_t kFirstAnswerBytes = 8 * 1024;  // doubled until the answer fits
constexpr uint32_t kErrorRoom = 512;              // beside the key, which comes back escaped

}  // namespace

core::Result<void> OfrepPlane::on_head(const OfrepTarget& target, const net::RequestHead& head,
                                       const uint8_t* base) {
  if (target.kind == OfrepTarget::Kind::unknown) return core::fail(ErrorCode::not_found);
  const bool stream = target.kind == OfrepTarget::Kind::events;
  if (head.method != (stream ? net::Method::get : net::Method::post)) {
    return core::fail(ErrorCode::method_not_allowed, stream ? "GET" : "POST");
  }
  if (!shard_.has_table()) return core::fail(ErrorCode::not_ready);
  if (stream) return admit_stream(target, head, base);
  if (auto key = identify(head, base); !key) return std::unexpected(key.error());
  if (head.framing.content_length > limits::kMaxOfrepBodyBytes) return core::fail(ErrorCode::body_too_large);
  return net::require_json_body(head, base);
}

core::Result<KeyIndex> OfrepPlane::identify(const net::RequestHead& head, const uint8_t* base) {
  const net::FieldTable& fields = head.fields;
  // One of the two, once.
  if (fields.count(HeaderId::authorization) + fields.count(HeaderId::api_key) > 1) {
    return core::fail(ErrorCode::duplicate_authorization, "authorization");
  }
  if (const net::Field* field = fields.find(HeaderId::api_key)) {
    return shard_.identifier().identify_token(shard_.table(), field->value(base), "x-api-key");
  }
  return shard_.identifier().identify(shard_.table(), fields.value(HeaderId::authorization, base));
}

core::Result<void> OfrepPlane::admit_stream(const OfrepTarget& target, const net::RequestHead& head,
                                            const uint8_t* base) {
  if (is_event_ticket(shard_.key_hasher(), *shard_.table().tenants, target.ticket,
                      shard_.loop().wall_now_ns())) {
    return {};
  }
  const auto key = identify(head, base);
  return key ? core::Result<void>() : std::unexpected(key.error());
}

void OfrepPlane::on_request(net::ServerSession& session, const OfrepTarget& target,
                            const net::Request& request, Record& record) {
  std::expected<void, OfrepError> answered;
  if (target.kind == OfrepTarget::Kind::events) {
    const auto opened =
        streams_.open(session, request.head.fields.value(HeaderId::last_event_id, request.base), record.id);
    if (!opened) answered = std::unexpected(OfrepError{.code = opened.error().code, .key = {}, .member = {}});
  } else {
    answered = evaluate(session, target, request, record);
    if (!answered && target.kind == OfrepTarget::Kind::one_flag) answered.error().key = target.key;
  }
  if (answered) return;
  const auto table = shard_.pin_table();  // the record names it: see record.h
  record.table = table.get();
  answer_error(session, answered.error(), record);
}

std::expected<void, OfrepError> OfrepPlane::evaluate(net::ServerSession& session, const OfrepTarget& target,
                                                     const net::Request& request, Record& record) {
  const auto fail = [](core::Error error) {
    return std::unexpected(
        OfrepError{.code = error.code, .key = {}, .member = error.param == nullptr ? "" : error.param});
  };
  const net::FieldTable& fields = request.head.fields;
  const Table& table = shard_.table();
  const TableBody& body = *table.body;
  // Again, as on_head() did: the table may have changed while the body came in.
  const auto key = identify(request.head, request.base);
  if (!key) return fail(key.error());
  record.key = static_cast<uint32_t>(*key);
  record.tenant = static_cast<uint32_t>(table[*key].tenant());
  if (fields.count(HeaderId::weir_tenant) > 1) {
    return fail({ErrorCode::duplicate_control_header, "x-weir-tenant"});
  }
  const auto tenant = acting_tenant(table, *key, fields.value(HeaderId::weir_tenant, request.base));
  if (!tenant) return fail(tenant.error());
  record.tenant = static_cast<uint32_t>(*tenant);

  const bool all = target.kind == OfrepTarget::Kind::all_flags;
  const std::optional<FlagKey> flag = all ? std::nullopt : find_flag_key(body, target.key);
  if (!all && !flag) return fail({ErrorCode::flag_not_found});
  if (request.body.size() > limits::kMaxOfrepBodyBytes) return fail({ErrorCode::body_too_large});
  const auto context = reader_.read(body, request.body);
  if (!context) {
    return std::unexpected(
        OfrepError{.code = context.error().code, .key = {}, .member = context.error().member});
  }

  const EvaluationInput input{.table = table,
                              .key = *key,
                              .tenant = *tenant,
                              .context = **context,
                              .pins = shard_.gateway().pins,
                              .now_ns = shard_.loop().now_ns(),
                              .wall_now_ns = shard_.loop().wall_now_ns()};
  std::array<uint8_t, 256> target_room;
  ScratchWriter events(target_room);
  if (all) {
    events.append(kEventsPath);
    events.append("?ticket=");
    render_event_ticket(shard_.key_hasher(), table[*tenant].id(), input.wall_now_ns, events);
    WEIR_ASSERT(!events.overflowed());
  }
  for (uint32_t bytes = kFirstAnswerBytes; bytes <= limits::kMaxOfrepAnswerBytes; bytes *= 2) {
    core::Slice answered = shard_.loop().buffers().allocate(bytes);
    if (answered.block() == nullptr) return fail({ErrorCode::out_of_buffers});
    ScratchWriter out({answered.mutable_data(), bytes});
    if (all) {
      render_all_evaluations(input, events.text(0, events.size()), out);
    } else if (auto rendered = render_evaluation(input, *flag, target.key, out); !rendered) {
      return fail(rendered.error());
    }
    if (out.overflowed()) continue;
    answered.set_size(out.size());
    answer(session, std::move(answered), request, all, record);
    return {};
  }
  return fail({ErrorCode::answer_too_large});
}

void OfrepPlane::answer(net::ServerSession& session, core::Slice body, const net::Request& request,
                        bool tagged, const Record& record) {
  shard_.metrics().evaluations.add();
  core::BumpBlock& memory = shard_.small_bytes();
  const auto room = memory.room(kOfrepHeadRoom);
  if (room.empty()) return session.abort();
  net::HeadWriter writer({reinterpret_cast<char*>(room.data()), kOfrepHeadRoom});
  std::optional<EntityTag> tag;
  bool unchanged = false;
  if (tagged) {
    tag.emplace(request.body, body.text());
    for (const net::Field& field : request.head.fields) {
      unchanged |= field.id == HeaderId::if_none_match && tag->matches(field.value(request.base));
    }
  }
  writer.status_line(unchanged ? 304 : 200);
  if (tag) writer.field("etag", tag->text());
  writer.field("cache-control", "no-cache");
  writer.field("content-type", "application/json");
  if (!unchanged) writer.field("content-length", body.size());
  writer.field("x-request-id", std::string_view(to_hex(record.id).data(), 32));
  if (session.must_close()) writer.field("connection", "close");
  writer.end();
  WEIR_ASSERT(!writer.overflowed());
  session.send(memory.take(static_cast<uint32_t>(writer.size())));
  if (unchanged) {
    shard_.metrics().evaluations_unchanged.add();
  } else {
    session.send(std::move(body));
  }
  session.end_response();
}

void OfrepPlane::on_refused(net::ServerSession& session, const OfrepTarget& target, core::Error error,
                            Record& record) {
  const bool wrong_method = error.code == ErrorCode::method_not_allowed;
  OfrepError told{.code = error.code, .key = {}, .member = {}};
  if (target.kind == OfrepTarget::Kind::one_flag) told.key = target.key;
  if (!wrong_method && error.param != nullptr) told.member = error.param;
  answer_error(session, told, record, wrong_method ? error.param : nullptr);
}

void OfrepPlane::answer_error(net::ServerSession& session, const OfrepError& error, Record& record,
                              const char* allow) {
  record.error = error.code;
  record.status = ofrep_status(error.code);
  core::BumpBlock& memory = shard_.small_bytes();
  const auto body_bytes = static_cast<uint32_t>(kErrorRoom + 2 * error.key.value_or("").size());
  const auto room = record.status == 0 ? std::span<uint8_t>() : memory.room(kOfrepHeadRoom + body_bytes);
  if (room.empty()) {
    session.abort();
    return shard_.settle(record);
  }
  ScratchWriter body(room.subspan(kOfrepHeadRoom, body_bytes));
  render_ofrep_error(error, body);
  WEIR_ASSERT(!body.overflowed());
  net::HeadWriter writer({reinterpret_cast<char*>(room.data()), kOfrepHeadRoom});
  writer.status_line(record.status);
  writer.field("content-type", "application/json");
  writer.field("content-length", body.size());
  if (allow != nullptr) writer.field("allow", allow);
  if (record.status == 401) writer.field("www-authenticate", "Bearer");
  if (record.status == 429) writer.field("retry-after", kOfrepRetryAfterS);
  writer.field("x-request-id", std::string_view(to_hex(record.id).data(), 32));
  if (session.must_close()) writer.field("connection", "close");
  writer.end();
  WEIR_ASSERT(!writer.overflowed());
  const auto head_size = static_cast<uint32_t>(writer.size());
  const uint32_t content_size = session.head_only() ? 0 : body.size();
  std::memmove(room.data() + head_size, body.data(), content_size);
  record.response_bytes = head_size + content_size;
  session.send(memory.take(head_size + content_size));
  session.end_response();
  shard_.settle(record);
}

}  // namespace weir::routing
