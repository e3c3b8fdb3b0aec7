// The copy of a request that goes to a candidate (shadow_call.h), as far as the exchange has a part in it: it
// is begun when the request itself has been sent, and the client's answer is noted beside the copy's.
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "routing/exchange/exchange.h"
#include "routing/exchange/shadow_call.h"
#include "routing/exchange/shard.h"

namespace weir::routing {

// Head and body in a block of their own; empty: it is too large, or there is no memory.
core::Slice Exchange::render_copy(UnitIndex unit, ProviderIndex provider, const Inspection& inspection) {
  UpstreamRequest request;
  if (!render_request(unit, provider, inspection, request)) return {};
  uint64_t size = request.head_size;
  for (const Piece& piece : request.pieces.pieces()) size += piece.size;
  if (size > core::limits::kMaxShadowRequestBytes) return {};
  core::Slice copy = shard_.loop().buffers().allocate(static_cast<uint32_t>(size));
  if (copy.block() == nullptr) return {};
  uint8_t* to = copy.mutable_data();
  const auto append = [&](std::span<const uint8_t> bytes) { to = std::copy(bytes.begin(), bytes.end(), to); };
  const std::span<const uint8_t> block = request.block.bytes(), client = session_.request_bytes().bytes();
  append(block.subspan(request.head_begin, request.head_size));
  for (const Piece& piece : request.pieces.pieces()) {
    append(piece.from_body ? client.subspan(facts_.head_size + piece.offset, piece.size)
                           : block.subspan(kRequestHeadRoom + piece.offset, piece.size));
  }
  copy.set_size(static_cast<uint32_t>(size));
  return copy;
}

// Only what can be paid for and held on the side; else the copy is dropped, and nobody notices.
void Exchange::start_shadow(const Inspection& inspection) {
  const ShadowChoice choice = *std::exchange(shadow_, std::nullopt);
  ShardMetrics& metrics = shard_.metrics();
  const GuardPlan* plan = table().guards.get();
  const ScopeGuard* guard = plan == nullptr ? nullptr : plan->shadow(choice.flag);
  if (guard == nullptr) return;
  // The copy pins the shard's table, which may be newer by now.
  if (&table() != &shard_.table()) return metrics.shadow_dropped.add();
  const Unit& candidate = (*table().body)[choice.unit];
  if (!shard_.has_room_for_shadow()) return metrics.shadow_dropped.add();
  std::array<HostLoad, core::limits::kMaxModelHosts> room;
  const auto host = choose_host(host_loads(candidate.model, PoolUse::copies, room), shard_.dice());
  if (!host) return metrics.shadow_dropped.add();
  const ProviderIndex provider = (*table().body)[candidate.model].provider_at(*host);
  // The budget is asked first: one that is used up must not cost a copy of every request.
  const Unreported facts{.input_bytes = uint64_t{input_bytes_} + prompt_bytes(candidate.rewrite, {}),
                         .media_bytes = media_bytes_,
                         .most = most_usage(choice.unit, inspection)};
  const int64_t worst = cost(facts.most, (*table().body)[candidate.model].price);
  const BudgetGuard& budget = guard->budgets[0];
  if (reserve(*budget.line, budget.spec, worst, shard_.guard_time()) != Fit::fits)
    return metrics.shadow_over_budget.add();
  core::Slice copy = render_copy(choice.unit, provider, inspection);
  if (copy.block() == nullptr) {
    routing::settle(*budget.line, budget.spec, worst, 0);
    return metrics.shadow_dropped.add();
  }
  ShadowPair* pair = shard_.shadow_pairs().take();
  WEIR_ASSERT(pair != nullptr);  // there was room
  pair->table = table_.get();
  pair->id = record_.id;
  pair->wall_ns = record_.wall_ns;
  pair->tenant = static_cast<uint32_t>(decision_.tenant);
  pair->scenario = static_cast<uint32_t>(*decision_.scenario);
  pair->flag = static_cast<uint32_t>(choice.flag);
  pair->endpoint = facts_.endpoint;
  pair->streamed = stream_;
  pair->shadow.unit = static_cast<uint32_t>(choice.unit);
  ShadowCall* call = shard_.shadow_calls().acquire(shard_, *pair, budget, facts);
  WEIR_ASSERT(call != nullptr);  // as above
  shadow_pair_ = pair;
  metrics.shadow_started.add();
  call->start(std::move(copy), *host);
}

// In settle(): what the client was answered, and what that took.
void Exchange::finish_shadow(const Usage& usage) {
  if (shadow_pair_ == nullptr) return;
  ShadowPair& pair = *std::exchange(shadow_pair_, nullptr);
  ShadowSide& side = pair.primary;
  side.unit = record_.unit != Record::kNone ? record_.unit : record_.decided_unit;
  side.status = record_.status;
  side.error = record_.error;
  side.usage = usage;
  side.cost_nano_usd = record_.cost_nano_usd;
  side.first_byte_ns = record_.first_token_ns;
  side.total_ns = record_.total_ns;
  shard_.shadow_pairs().finish(pair, side);
}

}  // namespace weir::routing
