#include "routing/exchange/data_plane.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <utility>

#include "net/http/json_body.h"
#include "routing/decide/segments.h"
#include "routing/exchange/answers.h"
#include "routing/exchange/expected_tokens.h"
#include "routing/exchange/shard.h"
#include "routing/guard/runaway.h"

namespace weir::routing {
namespace {

using core::ErrorCode;
using net::HeaderId;

constexpr uint64_t kRetryWhenOverloadedNs = 2 * core::kNsPerSecond;

std::optional<Endpoint> endpoint_of(uint8_t path) {
  return path <= static_cast<uint8_t>(Endpoint::responses) ? std::optional(static_cast<Endpoint>(path))
                                                           : std::nullopt;
}

uint16_t small_number(std::string_view text) {
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() ? number : 0;
}

}  // namespace

DataPlane::Path DataPlane::path_of(std::string_view target) {
  if (target == "/v1/chat/completions") return Path::chat_completions;
  if (target == "/v1/completions") return Path::completions;
  if (target == "/v1/embeddings") return Path::embeddings;
  if (target == "/v1/responses") return Path::responses;
  if (target == "/v1/models") return Path::models;
  if (target == "/healthz") return Path::health;
  if (target == "/readyz") return Path::ready;
  return Path::unknown;
}

core::Result<KeyIndex> DataPlane::identify(const net::RequestHead& head, const uint8_t* base) {
  if (head.fields.count(HeaderId::authorization) > 1) {
    return core::fail(ErrorCode::duplicate_authorization, "authorization");
  }
  return shard_.identifier().identify(shard_.table(), head.fields.value(HeaderId::authorization, base));
}

core::Result<void> DataPlane::on_head(net::ServerSession&, const net::RequestHead& head,
                                      const uint8_t* base) {
  const std::string_view target = head.target.view(base);
  const Path path = path_of(target);
  if (path == Path::unknown) {
    const auto ofrep = parse_ofrep_target(target);
    return ofrep ? ofrep_.on_head(*ofrep, head, base) : core::fail(ErrorCode::not_found);
  }
  const bool takes_body = endpoint_of(static_cast<uint8_t>(path)).has_value();
  if (head.method != (takes_body ? net::Method::post : net::Method::get)) {
    return core::fail(ErrorCode::method_not_allowed, takes_body ? "POST" : "GET");
  }
  if (!takes_body) return {};
  if (!shard_.has_table()) return core::fail(ErrorCode::not_ready);
  // Identity comes first: a stranger learns nothing and uploads nothing. on_request() asks again, from the
  // cache, because the table may have changed while the body came in.
  if (auto key = identify(head, base); !key) return std::unexpected(key.error());
  return net::require_json_body(head, base);
}

core::Result<void> DataPlane::read_steering(const net::RequestHead& head, const uint8_t* base,
                                            Steering& steering) const {
  const net::FieldTable& fields = head.fields;
  const auto read = [&](HeaderId id, const char* name, std::string_view& value) -> core::Result<void> {
    value = {};
    const net::Field* field = fields.find(id);
    if (field == nullptr) return {};
    if (fields.count(id) > 1) return core::fail(ErrorCode::duplicate_control_header, name);
    value = field->value(base);
    if (value.empty() || value.size() > core::limits::kMaxIdentifierBytes) {
      return core::fail(ErrorCode::bad_control_header, name);
    }
    return {};
  };
  if (auto r = read(HeaderId::weir_scenario, "x-weir-scenario", steering.scenario); !r) return r;
  if (auto r = read(HeaderId::weir_conversation, "x-weir-conversation", steering.conversation); !r) return r;
  if (auto r = read(HeaderId::weir_user, "x-weir-user", steering.user); !r) return r;
  if (auto r = read(HeaderId::weir_tenant, "x-weir-tenant", steering.tenant); !r) return r;
  steering.attributes.clear();
  if (fields.count(HeaderId::weir_attribute) == 0) return {};
  const TableBody& body = *shard_.table().body;
  for (const net::Field& field : fields) {
    if (field.id != HeaderId::weir_attribute) continue;
    std::string_view name = field.name(base);
    name.remove_prefix(net::kWeirAttributePrefix.size());
    if (auto parsed = parse_attribute(body, name, field.value(base), steering.attributes); !parsed)
      return parsed;
  }
  return {};
}

void DataPlane::on_request(net::ServerSession& session, const net::Request& request) {
  shard_.metrics().requests.add();
  const std::string_view target = request.head.target.view(request.base);
  const Path path = path_of(target);
  Record record;
  record.id = shard_.next_request_id();
  record.wall_ns = shard_.loop().wall_now_ns();
  record.request_bytes = session.request_bytes().size();
  if (path == Path::health || path == Path::ready) return answer_health(session, path, record);
  if (!shard_.has_table()) return answer_error(session, {ErrorCode::not_ready}, record);
  if (path == Path::models) return answer_models(session, request, record);
  if (path == Path::unknown) return ofrep_.on_request(session, *parse_ofrep_target(target), request, record);
  const auto endpoint = endpoint_of(static_cast<uint8_t>(path));
  WEIR_ASSERT(endpoint.has_value());  // on_head() let it through
  if (auto started = decide_and_start(session, request, *endpoint, record); !started) {
    // The table may only be named while it is certain to be read before it is freed: see record.h.
    const auto table = shard_.pin_table();
    record.table = table.get();
    answer_error(session, started.error(), record);
  }
}

core::Result<void> DataPlane::decide_and_start(net::ServerSession& session, const net::Request& request,
                                               Endpoint endpoint, Record& record) {
  const net::RequestHead& head = request.head;
  const uint8_t* base = request.base;
  const Table& table = shard_.table();
  const TableBody& body = *table.body;
  record.endpoint = endpoint;
  record.has_endpoint = true;

  auto key = identify(head, base);
  if (!key) return std::unexpected(key.error());
  record.key = static_cast<uint32_t>(*key);
  record.tenant = static_cast<uint32_t>(table[*key].tenant());
  record.client_retry = small_number(head.fields.value(HeaderId::stainless_retry_count, base));

  Steering& steering = steering_;
  if (auto read = read_steering(head, base, steering); !read) return read;
  const auto acting = acting_tenant(table, *key, steering.tenant);
  if (!acting) return std::unexpected(acting.error());
  const TenantIndex tenant = *acting;
  record.tenant = static_cast<uint32_t>(tenant);

  auto inspected = shard_.inspector().inspect(endpoint, request.body);
  if (!inspected) return std::unexpected(inspected.error());
  const Inspection& inspection = **inspected;

  DecideInput input;
  input.key = *key;
  input.tenant = tenant;
  input.scenario_header = steering.scenario;
  input.model = inspection.model;
  input.conversation = !steering.conversation.empty() ? steering.conversation : inspection.conversation;
  input.user = !steering.user.empty()     ? steering.user
               : !inspection.user.empty() ? inspection.user
                                          : inspection.safety_identifier;
  const uint64_t user_tag = find_user(table, tenant, *key, input.user);
  input.attributes = &steering.attributes;
  input.wall_now_ns = shard_.loop().wall_now_ns();
  auto choice = choose_scenario(table, input);
  if (!choice) return std::unexpected(choice.error());

  // Never more than what is lost least: copies first, then what said that it can wait. Before anything is counted: a
  // request that is shed takes nothing of a pilot.
  const Rung rung = shard_.rung();
  if (rung >= Rung::shed) {
    const bool low = choice->scenario && body[*choice->scenario].priority == Priority::low;
    if (low || rung == Rung::no_accept) {
      shard_.metrics().shed.add();
      retry_after_ns_ = kRetryWhenOverloadedNs;
      return core::fail(ErrorCode::overloaded);
    }
  }

  // After shedding: who is told to come back is not counted for that.
  uint64_t runaway_tag = 0;
  if (body.runaway.any()) {
    const RunawayRequest seen{
        .tenant_id = table[tenant].id(),
        .key_id = table[*key].id(),
        .user = input.user,
        .conversation = input.conversation,
        .body = {reinterpret_cast<const char*>(request.body.data()), request.body.size()}};
    const RunawayVerdict verdict =
        check_runaway(shard_.gateway().users, body.runaway, seen, shard_.loop().now_ns());
    if (verdict.rule != nullptr) {
      shard_.metrics().runaway_refused.add();
      record.limit = verdict.rule;
      retry_after_ns_ = verdict.retry_after_ns;
      return core::fail(ErrorCode::repeated_request, verdict.rule);
    }
    runaway_tag = verdict.full_length_tag;
  }

  // Pins matter only where a flag can change the unit.
  uint64_t pin_key = 0;
  if (choice->scenario && !input.conversation.empty() && !body[*choice->scenario].flags.empty()) {
    PinTable& pins = shard_.gateway().pins;
    pin_key = pins.key(table[tenant].id(), body[*choice->scenario].name, input.conversation);
    input.pinned_unit = pins.lookup(pin_key, shard_.loop().now_ns());
  }
  auto decision = decide(table, *choice, input);
  if (!decision) return std::unexpected(decision.error());
  PilotPlaces pilots;
  if (decision->limited != 0 && table.guards != nullptr) {
    if (auto kept = keep_within_pilot(table, input, inspection, *decision, pilots, record); !kept)
      return kept;
  }
  const auto pin = [&] {
    if (!decision->pin || pin_key == 0) return;
    shard_.gateway().pins.store(pin_key, body[decision->unit].short_hash, shard_.loop().now_ns());
    shard_.metrics().pins_written.add();
  };
  if (decision->restart) {
    pin();
    record.scenario = static_cast<uint32_t>(*choice->scenario);
    if (decision->flag) record.flag = static_cast<uint32_t>(*decision->flag);
    return core::fail(ErrorCode::conversation_restarted);
  }

  std::optional<ShadowChoice> shadow;
  if (decision->scenario && body[*decision->scenario].shadowed != 0 && shard_.gateway().options.shadow) {
    shadow = choose_shadow(table, input, *decision, shard_.dice());
    if (shadow && rung >= Rung::no_shadow) {
      shard_.metrics().shadow_dropped.add();
      shadow.reset();
    }
  }

  RequestFacts facts;
  facts.endpoint = endpoint;
  facts.head_size = static_cast<uint32_t>(request.body.data() - base);
  facts.user_tag = user_tag;
  const std::string_view trace = head.fields.value(HeaderId::traceparent, base);
  if (trace.size() == sizeof facts.traceparent) {
    std::memcpy(facts.traceparent, trace.data(), trace.size());
    facts.traceparent_size = static_cast<uint8_t>(trace.size());
  }
  Exchange* exchange = shard_.exchanges().acquire(shard_, session, facts, record);
  if (exchange == nullptr) return core::fail(ErrorCode::too_many_exchanges);
  session.exchange = exchange;
  // Where a guard refuses the request or leads it elsewhere, the conversation has not begun on this unit.
  if (exchange->start(*decision, inspection, input.user, steering.attributes, runaway_tag, shadow, pilots))
    pin();
  return {};
}

// The user's tag, if the tenant's users are counted. What is counted of it is fetched while the request is decided.
uint64_t DataPlane::find_user(const Table& table, TenantIndex tenant, KeyIndex key, std::string_view user) const {
  const ScopeGuard* guard = table.guards == nullptr ? nullptr : table.guards->user_of(tenant);
  if (guard == nullptr) return 0;
  const UserGuards& users = shard_.gateway().users;
  const uint64_t tag = users.tag_of(table[tenant].id(), user, table[key].id());
  users.prefetch(*guard, tag);
  return tag;
}

// Each flag that applies may be a pilot with limits of its own, past which the previous unit answers.
core::Result<void> DataPlane::keep_within_pilot(const Table& table, const DecideInput& input,
                                                const Inspection& inspection, Decision& decision,
                                                PilotPlaces& pilots, Record& record) {
  const Scenario& scenario = (*table.body)[*decision.scenario];
  for (uint32_t left = decision.limited; left != 0; left &= left - 1) {
    const FlagIndex flag = scenario.flags[static_cast<uint32_t>(std::countr_zero(left))];
    const ScopeGuard* pilot = table.guards->pilot(decision.tenant, flag);
    if (pilot == nullptr) continue;
    const bool by_tokens = (pilot->rate_kinds >> static_cast<unsigned>(RateKind::tokens) & 1) != 0;
    const uint64_t tokens = by_tokens ? expected_tokens(table, decision.unit, inspection) : 0;
    if (decision.reason == Reason::pinned) {
      pilots.take_anyway(*pilot, tokens, shard_.guard_time());
      continue;
    }
    const std::optional<LimitKind> past = pilots.take(*pilot, tokens, shard_.guard_time());
    if (!past) continue;
    record.limit = limit_token(GuardScope::pilot, *past);
    shard_.metrics().limited[static_cast<size_t>(GuardScope::pilot)][static_cast<size_t>(*past)].add();
    pilots.give_back();
    auto previous = past_pilot_limit(table, input, decision, flag);
    if (!previous) return std::unexpected(previous.error());
    decision = *previous;
    return {};
  }
  return {};
}

void DataPlane::answer_models(net::ServerSession& session, const net::Request& request, Record& record) {
  const auto key = identify(request.head, request.base);
  if (!key) return answer_error(session, key.error(), record);
  const TableBody& body = *shard_.table().body;
  const TenantIndex tenant = shard_.table()[*key].tenant();
  record.key = static_cast<uint32_t>(*key);
  record.tenant = static_cast<uint32_t>(tenant);
  const int64_t created = shard_.table().published_wall_ns / 1'000'000'000;
  std::string json = "{\"object\":\"list\",\"data\":[";
  const auto add = [&](std::string_view id, std::string_view owner) {
    if (json.back() == '}') json += ',';
    json += fmt::format("{{\"id\":\"{}\",\"object\":\"model\",\"created\":{},\"owned_by\":\"{}\"}}", id,
                        created, owner);
  };
  for (const Scenario& scenario : body.scenarios) add(scenario.name, "weir");
  for (const ModelIndex model : shard_.table()[tenant].models())
    add(body[model].name, body[body[model].provider].name);
  json += "]}";
  record.status = 200;
  const auto table = shard_.pin_table();
  record.table = table.get();
  record.response_bytes =
      send_answer(session, shard_.loop().buffers(), 200, "application/json", json, {record, nullptr, 0, {}});
  session.end_response();
  shard_.settle(record);
}

// Probes come often and say little: they are answered, and not recorded.
void DataPlane::answer_health(net::ServerSession& session, Path path, Record& record) {
  const Gateway& gateway = shard_.gateway();
  const bool ready = gateway.ready.load(std::memory_order_relaxed) &&
                     !gateway.draining.load(std::memory_order_relaxed) && shard_.has_table();
  const bool good = path == Path::health || ready;
  send_answer(session, shard_.loop().buffers(), good ? 200 : 503, "application/json",
              good ? "{\"status\":\"ok\"}" : "{\"status\":\"not ready\"}", {record, nullptr, 0, {}});
  session.end_response();
}

void DataPlane::answer_error(net::ServerSession& session, core::Error error, Record& record) {
  record.error = error.code;
  record.status = core::describe(error.code).status;
  AnswerContext context{record, record.table, 0, {}};
  context.retry_after_ns = std::exchange(retry_after_ns_, 0);
  record.response_bytes = send_error(session, shard_.small_bytes(), error, context);
  session.end_response();
  shard_.settle(record);
}

void DataPlane::on_refused(net::ServerSession& session, core::Error error) {
  shard_.metrics().requests.add();
  Record record;
  record.id = shard_.next_request_id();
  record.wall_ns = shard_.loop().wall_now_ns();
  record.request_bytes = session.request_bytes().size();
  const auto ofrep = parse_refused_ofrep_target(session.request_bytes().bytes());
  if (ofrep) return ofrep_.on_refused(session, *ofrep, error, record);
  answer_error(session, error, record);
}

void DataPlane::on_client_gone(net::ServerSession& session, core::Error error) {
  if (ofrep_.streams().owns(session)) return ofrep_.streams().on_client_gone(session);
  if (session.exchange != nullptr) static_cast<Exchange*>(session.exchange)->on_client_gone(error);
}

void DataPlane::on_send_queue_low(net::ServerSession& session) {
  if (session.exchange == nullptr || ofrep_.streams().owns(session)) return;
  static_cast<Exchange*>(session.exchange)->on_send_queue_low();
}

}  // namespace weir::routing
