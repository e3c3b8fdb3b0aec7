// Tenants and keys as the table's text says them: what the compiler reads and the tests write down. What
// shards read is packed: routing/table/tenant_table.h.
//
// clear(): as made, but the memory is kept for the next of a million.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "routing/table/indices.h"

namespace weir::routing {

// SHA-256 or HMAC-SHA-256.
using Digest = std::array<uint8_t, 32>;

enum class BudgetAction : uint8_t { economy, cached, static_text, reject, kill };

// The window of a budget that is spent once and never again.
inline constexpr uint64_t kNoWindow = INT64_MAX;

// At most this much money in any window of this length.
struct Budget {
  uint64_t window_ns = 0;  // 0: a calendar month; kNoWindow
  int64_t limit_nano_usd = 0;
  BudgetAction on_exceed = BudgetAction::reject;
  bool operator==(const Budget&) const = default;
};

// Requests per second, minute, hour and day, tokens per minute, requests at the same time; 0 = none.
struct Limits {
  uint64_t rps = 0, rpm = 0, rph = 0, rpd = 0, tpm = 0, concurrency = 0;
  BudgetAction on_exceed = BudgetAction::reject;  // not kill
  uint8_t warn_percent = 0;  // used up so far within the first hour of a table: somebody is told; 0 = nobody
  std::array<uint8_t, 6> unused = {};  // instead of padding: records are compared byte by byte
  bool operator==(const Limits&) const = default;
};

enum class FlagState : uint8_t { off, pilot, production };
// What happens at a row's expiry. Only `off` changes the decision: `freeze` refuses changes of the row until
// it is renewed (frozen_rows() in routing/table/edit.h), `alert` lists it among the problems.
enum class ExpiryAction : uint8_t { off, freeze, alert };
enum class OnRollback : uint8_t { switch_next_turn, finish, restart };

// What a pilot may use: requests and tokens per minute, requests at the same time, requests in all; 0 = none.
struct PilotLimits {
  uint64_t rpm = 0, tpm = 0, concurrency = 0, total_requests = 0;

  bool any() const { return (rpm | tpm | concurrency | total_requests) != 0; }
  bool operator==(const PilotLimits&) const = default;
};

// A tenant's standing on one flag.
struct TenantFlag {
  FlagIndex flag{};
  FlagState state = FlagState::off;
  uint32_t milli_percent = 0;  // 0 .. 100'000; grain 0.001 %
  std::vector<SegmentIndex> segments;
  int64_t start_ns = INT64_MIN;  // wall clock, ns since 1970; before it: stable
  int64_t expires_ns = INT64_MAX;
  int64_t review_ns = INT64_MAX;  // somebody looks at it again
  ExpiryAction on_expiry = ExpiryAction::off;
  OnRollback on_rollback = OnRollback::switch_next_turn;
  UnitIndex previous{};  // answers past the pilot's limits and after a rollback
  PilotLimits limits = {};
  int64_t until_ns = INT64_MAX;  // the pilot's last moment
};

struct TenantSpec {
  std::string id;
  std::string display_name;        // empty = the id
  std::vector<TenantFlag> flags;   // at most one per flag
  std::vector<ModelIndex> models;  // models it may name directly, sorted
  Limits limits;
  std::vector<Budget> budgets;
  Limits user_limits;                // of each of its users
  std::vector<Budget> user_budgets;  // of each of its users

  void clear() {
    id.clear();
    display_name.clear();
    flags.clear();
    models.clear();
    limits = user_limits = {};
    budgets.clear();
    user_budgets.clear();
  }
};

struct KeySpec {
  std::string id;
  TenantIndex tenant{};
  Digest hash{};  // HMAC-SHA-256(key hash secret, token)
  std::optional<ScenarioIndex> scenario;
  std::vector<TenantIndex> act_as;  // tenants it may name in x-weir-tenant, sorted
  Limits limits;
  std::vector<Budget> budgets;

  void clear() {
    id.clear();
    tenant = {};
    hash = {};
    scenario.reset();
    act_as.clear();
    limits = {};
    budgets.clear();
  }
};

}  // namespace weir::routing
