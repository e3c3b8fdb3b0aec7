// The cache in an exchange: what makes two requests the same, answers given again, answers collected as they
// pass.
//
// The key is made of the tenant, the unit's hash, the endpoint, what the unit's prompt says of this request
// (user, date), and every member of the body but those that do not reach the model or that the unit replaces:
// model, user, metadata, safety_identifier, prompt_cache_key. Members count in any order, and blanks between
// tokens do not; else every byte of a member does (routing/inspect/canonical_hash.h).
//
// Not cached: /v1/responses, which has a memory of its own; prompts that mention attributes; requests longer than
// kMaxCacheRequestBytes, since who hashes tens of megabytes at once holds up a shard.
#include <algorithm>

#include "routing/exchange/answers.h"
#include "routing/exchange/exchange.h"
#include "routing/exchange/shard.h"
#include "routing/inspect/canonical_hash.h"

namespace weir::routing {
namespace {

core::SipKey as_key(core::Hash128 hash) {
  return {hash.low, hash.high};
}

std::string_view as_text(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool is_left_out(FieldName name) {
  switch (name) {
    case FieldName::model:
    case FieldName::user:
    case FieldName::metadata:
    case FieldName::safety_identifier:
    case FieldName::prompt_cache_key:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::optional<core::Hash128> Exchange::cache_key(UnitIndex unit_index, const Inspection& inspection) {
  if (facts_.endpoint == Endpoint::responses) return std::nullopt;
  const TableBody& body = *table().body;
  const Unit& unit = body[unit_index];
  core::Hash128 key = core::siphash128(shard_.gateway().cache_key, table()[decision_.tenant].id());
  key = core::siphash128(as_key(key), as_text(unit.hash));
  const char endpoint = static_cast<char>(facts_.endpoint);
  key = core::siphash128(as_key(key), {&endpoint, 1});
  for (const PromptPart& part : unit.rewrite.prompt) {
    if (part.variable == PromptVariable::attribute) return std::nullopt;
    if (part.variable == PromptVariable::user) key = core::siphash128(as_key(key), user_.text());
    if (part.variable == PromptVariable::date) key = core::siphash128(as_key(key), shard_.date());
    if (part.variable == PromptVariable::tenant_name) {
      key = core::siphash128(as_key(key), table()[decision_.tenant].display_name_json());
    }
    if (part.variable == PromptVariable::scenario && decision_.scenario) {
      key = core::siphash128(as_key(key), body[*decision_.scenario].name);
    }
  }
  if (is_too_large_for_cache()) return std::nullopt;
  const auto request = session_.request_bytes().bytes().subspan(facts_.head_size);
  core::Hash128 members;
  for (uint32_t i = 0; i < inspection.field_count; ++i) {
    const Field& field = inspection.fields[i];
    if (is_left_out(field.name)) continue;
    const core::Hash128 member =
        hash_tokens(as_key(key), request.subspan(field.key_begin, field.value_end - field.key_begin));
    members.low += member.low;
    members.high += member.high;
  }
  return core::siphash128(as_key(key), {reinterpret_cast<const char*>(&members), sizeof members});
}

bool Exchange::is_too_large_for_cache() const {
  return session_.request_bytes().size() - facts_.head_size > core::limits::kMaxCacheRequestBytes;
}

// The Inspector has seen other bodies since: look again.
std::optional<core::Hash128> Exchange::cache_key(UnitIndex unit_index) {
  if (is_too_large_for_cache()) return std::nullopt;
  const auto inspection =
      shard_.inspector().inspect(facts_.endpoint, session_.request_bytes().bytes().subspan(facts_.head_size));
  WEIR_ASSERT(inspection.has_value());  // the same bytes were accepted before
  return cache_key(unit_index, **inspection);
}

// True: there is one, and if asked for it has been given. `why`: what led away from the decided unit, if nobody has
// said so yet.
bool Exchange::answer_from_cache(UnitIndex unit_index, core::Hash128 key, CacheLook look,
                                 std::optional<core::ErrorCode> why) {
  AnswerCache& cache = shard_.gateway().cache;
  AnswerCache::Hit hit;
  cache.look_up(key, shard_.loop().now_ns(), hit);
  if (!hit) return false;
  if (look == CacheLook::only_look) {
    cache.release(hit);
    return true;
  }
  if (why && unit_index != decision_.unit) leave_decided_unit(*why);
  shard_.metrics().cache_hits.add();
  phase_ = Phase::relaying;
  committed_ = true;
  record_.cache = CacheUse::hit;
  record_.status = 200;
  record_.unit = static_cast<uint32_t>(unit_index);
  record_.upstream_status = 0;
  usage_ = UsageReader(facts_.endpoint);  // nothing is bought
  record_.response_bytes =
      send_answer(session_, shard_.loop().buffers(), 200, stream_ ? "text/event-stream" : "application/json",
                  std::span(hit.parts, hit.part_count), answer_context());
  cache.release(hit);
  finish();
  return true;
}

// Before the first attempt, for a unit that keeps its answers. True: answered.
bool Exchange::try_cache(const Inspection& inspection) {
  draft_key_.reset();
  if ((*table().body)[decision_.unit].cache_ttl_ns == 0) return false;
  draft_key_ = cache_key(decision_.unit, inspection);
  if (!draft_key_ && is_too_large_for_cache()) {
    record_.cache = CacheUse::too_large;
    shard_.metrics().cache_too_large.add();
  }
  if (!draft_key_) return false;
  if (answer_from_cache(decision_.unit, *draft_key_, CacheLook::answer)) return true;
  record_.cache = CacheUse::miss;
  shard_.metrics().cache_misses.add();
  return false;
}

// A hop or budget that says `cached`: what the decided unit, or stable, has answered before. What was switched
// off is not repeated.
bool Exchange::answer_from_any_cache(CacheLook look, std::optional<core::ErrorCode> why) {
  if (!decision_.scenario) return false;
  for (const UnitIndex unit_index : {decision_.unit, (*table().body)[*decision_.scenario].stable}) {
    if (is_unit_killed(table(), unit_index)) continue;
    const auto key = cache_key(unit_index);
    if (key && answer_from_cache(unit_index, *key, look, why)) return true;
  }
  return false;
}

// Before anything is asked of a provider: what is purged from now on may be what it is going to say, and what it says is
// of this day.
void Exchange::begin_capture(bool looked_up) {
  AnswerCache& cache = shard_.gateway().cache;
  if (!looked_up) draft_key_ = unit().cache_ttl_ns == 0 ? std::nullopt : cache_key(unit_);
  if (!draft_key_) return cache.drop(draft_);
  cache.begin(draft_);
}

// What may be kept is known with the head.
void Exchange::go_on_capturing(uint16_t status) {
  if (status != 200 || stream_ != (mode_ == Mode::events)) shard_.gateway().cache.drop(draft_);
}

void Exchange::capture(std::span<const uint8_t> bytes) {
  if (draft_.collecting()) shard_.gateway().cache.append(draft_, bytes, shard_.loop().now_ns());
  if (shadow_pair_ != nullptr) shadow_pair_->primary.append(bytes);
}

// The answer was whole: it is kept, under the unit that gave it.
void Exchange::store_capture() {
  if (!draft_.collecting()) return;
  AnswerCache& cache = shard_.gateway().cache;
  if (record_.error || record_.status != 200) return cache.drop(draft_);
  const TableBody& body = *table().body;
  const CacheLabels labels{.tenant = hash_name(table()[decision_.tenant].id()),
                           .unit = hash_name(unit().name),
                           .scenario = decision_.scenario ? hash_name(body[*decision_.scenario].name) : 0};
  if (cache.store(draft_, *draft_key_, labels, unit().cache_ttl_ns, shard_.loop().now_ns()))
    shard_.metrics().cache_stores.add();
}

}  // namespace weir::routing
