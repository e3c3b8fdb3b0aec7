// The one place where a request is admitted and settled against every limit and budget that concerns it.
//
//   admit():  global ▶ scenario ▶ tenant ▶ key ▶ user           each: rates, concurrency, tokens; then all
//   budgets
//             └── one says no: what the others took goes back, the request is refused, nothing remains
//   GuardHold: what an admitted request has taken, kept by its exchange
//   settle(): tokens corrected, money replaced by the actual cost, places freed; exactly once
//
// A budget or limit whose action changes what answers does not refuse: admit() says which action applies, and
// the caller answers accordingly (another unit, the cache, a fixed text), still holding what it took. A rate
// past which such an action applies is not charged, and left alone until a fifth of it is free again: answers
// change once, not with every request.
//
// Invariants
//   1. A refused request leaves every counter as it found it (but those that count refusals, and what time has
//      meanwhile refilled of a rate).
//   2. After settle() nothing of the request is reserved anywhere, on every path: rejected, failed,
//      disconnected, retried, answered from the cache.
//   3. Pure: time, amounts and names come in. No allocation.
//
// Thread: any; a hold belongs to its exchange.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/limits.h"
#include "core/siphash.h"
#include "routing/guard/guard_plan.h"
#include "routing/guard/guard_time.h"
#include "routing/guard/user_lines.h"

namespace weir::routing {

// The lines of users, for all shards.
struct UserGuards {
  UserGuards(size_t memory_bytes, core::SipKey secret)
      : limits(memory_bytes / 2), budgets(memory_bytes / 2), key(secret) {}

  // By which a user of a tenant is found; where none is named, whoever has this key is one.
  uint64_t tag_of(std::string_view tenant_id, std::string_view user, std::string_view key_id) const;
  // Begins to fetch what admit() will ask for: of many users the lines are in no cache.
  void prefetch(const ScopeGuard& guard, uint64_t tag) const;

  UserLines<LimitLine> limits;
  UserLines<BudgetLine> budgets;
  const core::SipKey key;
};

// What is counted of one user, held while it is looked at: meanwhile it counts as one of its requests.
class UserLook {
 public:
  UserLook(const ScopeGuard& guard, std::string_view tenant_id, std::string_view user, UserGuards& users);
  UserLook(const ScopeGuard& guard, uint64_t tag, UserGuards& users);
  UserLook(const UserLook&) = delete;
  UserLook& operator=(const UserLook&) = delete;
  ~UserLook();

  // The user's hash, by which alerts name it.
  uint64_t tag() const { return tag_; }
  // Null where nothing is.
  const LimitLine* limits() const { return limits_; }
  const BudgetLine* budget(size_t rule) const { return budgets_[rule]; }

 private:
  UserGuards& users_;
  const uint64_t tag_;
  LimitLine* limits_ = nullptr;
  std::array<BudgetLine*, core::limits::kMaxBudgets> budgets_{};
};

// Which limit said no. Its token names it to clients, records and metrics: "tenant.rpm".
enum class LimitKind : uint8_t { rps, rpm, rph, rpd, tpm, concurrency, total, budget };
inline constexpr unsigned kLimitKinds = 8;
const char* limit_token(GuardScope scope, LimitKind kind);

// The places that a request has taken under the limits of pilots (requests and tokens per minute, requests at
// the same time and in all), past which the previous unit answers. They go back whole when the pilot's unit is
// not asked after all, for another guard refuses the request, or its action answers. Else they are the
// exchange's, to settle when it is over.
class PilotPlaces {
 public:
  PilotPlaces() = default;
  PilotPlaces(const PilotPlaces&) = delete;
  PilotPlaces& operator=(const PilotPlaces&) = delete;
  ~PilotPlaces() { give_back(); }

  // Counts the request, and the tokens that it is expected to use, if it is within the pilot's limits; else it
  // leaves them as they were and says which one is used up.
  std::optional<LimitKind> take(const ScopeGuard& pilot, uint64_t tokens, const GuardTime& now);
  // Counts it all the same: a conversation that has begun on the pilot's unit goes on there.
  void take_anyway(const ScopeGuard& pilot, uint64_t tokens, const GuardTime& now);
  void give_back();
  // Hands them over to `other`, which has none.
  void move_to(PilotPlaces& other);
  // The request is over and has used so many tokens. Has none afterwards.
  void settle(uint64_t tokens, const GuardTime& now);

 private:
  struct Place {
    const ScopeGuard* pilot;
    Charge requests;  // under requests per minute
    Charge tokens;    // under tokens per minute
    bool counted;     // under `concurrency`
    bool in_total;    // under `total`
  };
  static Place begin(const ScopeGuard& pilot);
  static void undo(const Place& place, const FreshClock& clock);

  // As many as a combination has flags; the first count_.
  std::array<Place, std::bit_width(core::limits::kMaxUnitCombinations) - 1> taken_;
  unsigned count_ = 0;
  FreshClock clock_;  // by which they are given back
};
// Whether a request of a token would be within its limits now; nothing is counted.
bool would_be_within_pilot(const ScopeGuard& pilot, uint64_t now_ns);

struct AdmitRequest {
  const GuardPlan* plan = nullptr;
  TenantIndex tenant{};
  KeyIndex key{};
  std::optional<ScenarioIndex> scenario;
  uint64_t user_tag = 0;  // UserGuards::tag_of(); 0 where the tenant's users are not counted
  uint64_t tokens = 0;    // estimate
  int64_t worst_nano_usd = 0;
};

// What x-ratelimit-* say: of the limits of its kind the one with the least left.
struct RateFacts {
  bool any = false;
  uint64_t limit = 0;
  uint64_t remaining = 0;
  uint64_t reset_ns = 0;
};

struct Verdict {
  enum class Kind : uint8_t {
    admitted,
    refused,      // come back after retry_after_ns
    never,        // asks for more than a limit admits at once
    acts,         // `action` applies: reject and kill hold nothing, the others what fits
  };
  Kind kind = Kind::admitted;
  BudgetAction action = BudgetAction::reject;
  GuardScope scope = GuardScope::global;  // of the guard that decided
  LimitKind limit = LimitKind::rpm;
  uint64_t retry_after_ns = 0;
  RateFacts facts{};  // of the rate that refused
};

// What a request has taken. Empty = nothing.
class GuardHold {
 public:
  GuardHold() = default;
  GuardHold(const GuardHold&) = delete;
  GuardHold& operator=(const GuardHold&) = delete;
  ~GuardHold();

  // Asserts that it holds nothing. On `admitted` and on soft actions it holds what admit() took.
  Verdict admit(const AdmitRequest& request, UserGuards& users, const GuardTime& now);
  // Another unit answers, whose worst case is this. False: it does not fit, and nothing has changed. What an economy
  // unit may cost fits into budgets whose action is economy.
  enum class Asks : uint8_t { unit, economy_unit };
  bool change_worst(int64_t worst_nano_usd, Asks asks, const GuardTime& now);
  // The request is over: this is what it used and cost. Holds nothing afterwards; without effect when it
  // holds nothing.
  void settle(uint64_t tokens, int64_t cost_nano_usd, UserGuards& users, const GuardTime& now);

  // The first of the limits that this request counts under of which `warn_at` is used up; null: none. All of them
  // are marked.
  const char* warns(const GuardTime& now) const;

  // What x-ratelimit-* say of the limits that this request counts under.
  void rate_facts(const GuardTime& now, RateFacts& requests, RateFacts& tokens) const;

  bool holds() const { return plan_ != nullptr; }
  int64_t worst_nano_usd() const { return worst_; }

 private:
  static constexpr unsigned kMaxScopes = 5;
  struct Part {
    const ScopeGuard* guard;
    LimitLine* line;      // null: no limits
    uint64_t token_mark;  // of its Charge
    bool counted;         // a place under `concurrency` is taken
    uint8_t taken;        // a bit per RateKind that was charged
  };
  // Of all charges, by part and RateKind; what was not charged is not set. Only while it is being admitted.
  using Marks = std::array<std::array<uint64_t, kRateKinds>, kMaxScopes>;

  void add(const ScopeGuard* guard, LimitLine* line);
  bool take_rates(unsigned at, const GuardTime& now, Marks& marks, Verdict& verdict);
  RateOutcome take_rate(Part& part, unsigned kind, const GuardTime& now);
  void mark_past(const ScopeGuard& guard, LimitLine* line, LimitKind kind, const RateOutcome& outcome) const;
  bool go_past(Part& part, LimitKind kind, const RateOutcome& outcome, const GuardTime& now, Verdict& verdict);
  Charge rate_charge(const Part& part, unsigned kind, uint64_t mark) const;
  void undo_rates(unsigned at, const Marks& marks, const FreshClock& clock);
  bool take_budgets(const GuardTime& now, Verdict& verdict);
  // Calls visit(guard, spec, line) for every budget of the request, until it answers false.
  template <typename Visit>
  bool each_budget(Visit&& visit) const;
  bool find_user(const AdmitRequest& request, UserGuards& users, const GuardTime& now);
  void release_user(UserGuards& users);

  const GuardPlan* plan_ = nullptr;
  std::array<Part, kMaxScopes> parts_;
  unsigned part_count_ = 0;
  uint64_t user_others_ = 0;  // who held the user's line before this one
  uint64_t user_tag_ = 0;
  LimitLine* user_limits_ = nullptr;
  std::array<BudgetLine*, core::limits::kMaxBudgets> user_budgets_;
  unsigned user_budget_count_ = 0;
  uint64_t tokens_ = 0;
  int64_t worst_ = 0;
};

}  // namespace weir::routing
