// Every property a table's objects may have, one row each: the validator reads them from here, and a test
// holds the JSON Schema (table.schema.json) against the same rows.
//
//   X(enumerator, "property", required | optional[, what to write when a required one is missing])
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace weir::routing {

#define WEIR_ROOT_PROPERTIES(X)               \
  X(schema, "$schema", optional)              \
  X(attributes, "attributes", optional)       \
  X(budgets, "budgets", optional)             \
  X(flags, "flags", optional)                 \
  X(keys, "keys", optional)                   \
  X(limits, "limits", optional)               \
  X(models, "models", optional)               \
  X(prompt_source, "prompt_source", optional) \
  X(prompts, "prompts", optional)             \
  X(providers, "providers", optional)         \
  X(runaway, "runaway", optional)             \
  X(scenarios, "scenarios", optional)         \
  X(segments, "segments", optional)           \
  X(tenants, "tenants", optional)             \
  X(units, "units", optional)

#define WEIR_APPROVALS_PROPERTIES(X)                                                     \
  X(by, "by", required, "roles that approve, in their order, such as [approver, admin]") \
  X(causes, "for", required, "what waits for approval, such as [production, widen]")

#define WEIR_PROVIDER_PROPERTIES(X)                 \
  X(allow_link_local, "allow_link_local", optional) \
  X(api_key, "api_key", optional)                   \
  X(base_url, "base_url", required)                 \
  X(ca_file, "ca_file", optional)                   \
  X(dialect, "dialect", optional)

#define WEIR_MODEL_PROPERTIES(X)                      \
  X(max_input_tokens, "max_input_tokens", optional)   \
  X(max_output_tokens, "max_output_tokens", optional) \
  X(price, "price", required)                         \
  X(provider, "provider", optional)                   \
  X(provider_model, "provider_model", optional)       \
  X(providers, "providers", optional)                 \
  X(tier, "tier", optional)

#define WEIR_PRICE_PROPERTIES(X)            \
  X(cached_input, "cached_input", optional) \
  X(input, "input", required)               \
  X(output, "output", required)

#define WEIR_PROMPT_PROPERTIES(X) \
  X(mode, "mode", optional)       \
  X(system, "system", required)

#define WEIR_UNIT_PROPERTIES(X)       \
  X(answer, "answer", optional)       \
  X(cache_ttl, "cache_ttl", optional) \
  X(model, "model", required)         \
  X(params, "params", optional)       \
  X(prompt, "prompt", optional)       \
  X(retries, "retries", optional)     \
  X(timeouts, "timeouts", optional)   \
  X(tools, "tools", optional)

#define WEIR_TIMEOUTS_PROPERTIES(X)       \
  X(connect, "connect", optional)         \
  X(first_token, "first_token", optional) \
  X(header, "header", optional)           \
  X(idle, "idle", optional)               \
  X(total, "total", optional)

#define WEIR_COMPARISON_PROPERTIES(X) \
  X(ends_with, "ends_with", optional) \
  X(eq, "eq", optional)               \
  X(ge, "ge", optional)               \
  X(gt, "gt", optional)               \
  X(le, "le", optional)               \
  X(lt, "lt", optional)               \
  X(starts_with, "starts_with", optional)

#define WEIR_SCENARIO_PROPERTIES(X)   \
  X(approvals, "approvals", optional) \
  X(budgets, "budgets", optional)     \
  X(fallback, "fallback", optional)   \
  X(priority, "priority", optional)   \
  X(stable, "stable", required)       \
  X(sticky_by, "sticky_by", optional)

#define WEIR_HOP_PROPERTIES(X)       \
  X(cached, "cached", optional)      \
  X(on, "on", optional)              \
  X(static_text, "static", optional) \
  X(unit, "unit", optional)

#define WEIR_FLAG_PROPERTIES(X)       \
  X(approvals, "approvals", optional) \
  X(candidate, "candidate", required) \
  X(exclude, "exclude", optional)     \
  X(owner, "owner", optional)         \
  X(salt, "salt", optional)           \
  X(scenario, "scenario", required)   \
  X(shadow, "shadow", optional)

#define WEIR_CANDIDATE_PROPERTIES(X) \
  X(model, "model", optional)        \
  X(params, "params", optional)      \
  X(prompt, "prompt", optional)      \
  X(unit, "unit", optional)

#define WEIR_SHADOW_PROPERTIES(X)       \
  X(budget_usd, "budget_usd", required) \
  X(percent, "percent", required)       \
  X(sticky, "sticky", optional)         \
  X(window, "window", optional)

#define WEIR_TENANT_PROPERTIES(X)           \
  X(budgets, "budgets", optional)           \
  X(flags, "flags", optional)               \
  X(limits, "limits", optional)             \
  X(models, "models", optional)             \
  X(name, "name", optional)                 \
  X(user_budgets, "user_budgets", optional) \
  X(user_limits, "user_limits", optional)

#define WEIR_TENANT_FLAG_PROPERTIES(X)                                                         \
  X(approver, "approver", optional)                                                            \
  X(expires, "expires", optional)                                                              \
  X(limits, "limits", optional)                                                                \
  X(on_expiry, "on_expiry", optional)                                                          \
  X(on_rollback, "on_rollback", optional)                                                      \
  X(owner, "owner", required, "the one person who answers for it, such as u-4021")             \
  X(percent, "percent", optional)                                                              \
  X(previous, "previous", required, "the unit to return to, mostly the scenario's stable one") \
  X(reason, "reason", required, "why the tenant is in this state, in a sentence")              \
  X(review, "review", required, "when somebody looks at it again, such as 2026-12-08")         \
  X(segments, "segments", optional)                                                            \
  X(start, "start", optional)                                                                  \
  X(state, "state", required)

#define WEIR_PILOT_LIMITS_PROPERTIES(X)         \
  X(concurrency, "concurrency", optional)       \
  X(rpm, "rpm", optional)                       \
  X(total_requests, "total_requests", optional) \
  X(tpm, "tpm", optional)                       \
  X(until, "until", optional)

#define WEIR_LIMITS_PROPERTIES(X)         \
  X(concurrency, "concurrency", optional) \
  X(on_exceed, "on_exceed", optional)     \
  X(rpd, "rpd", optional)                 \
  X(rph, "rph", optional)                 \
  X(rpm, "rpm", optional)                 \
  X(rps, "rps", optional)                 \
  X(tpm, "tpm", optional)                 \
  X(warn_at, "warn_at", optional)

#define WEIR_RUNAWAY_PROPERTIES(X)                            \
  X(full_length_rpm, "full_length_rpm", optional)             \
  X(same_conversation_rpm, "same_conversation_rpm", optional) \
  X(same_request_rpm, "same_request_rpm", optional)

#define WEIR_BUDGET_PROPERTIES(X)     \
  X(on_exceed, "on_exceed", optional) \
  X(usd, "usd", required)             \
  X(window, "window", required)

#define WEIR_KEY_PROPERTIES(X)      \
  X(act_as, "act_as", optional)     \
  X(budgets, "budgets", optional)   \
  X(hash, "hash", required)         \
  X(id, "id", required)             \
  X(limits, "limits", optional)     \
  X(scenario, "scenario", optional) \
  X(tenant, "tenant", required)

// Shapes of objects: Y(Enum, "name", TABLE). The name is the object's in the schema's $defs. Rows are
// sorted by property, the order canonical documents come in, which makes matching fast.
#define WEIR_OBJECT_SHAPES(Y)                                          \
  Y(RootProperty, "table", WEIR_ROOT_PROPERTIES)                       \
  Y(ProviderProperty, "provider", WEIR_PROVIDER_PROPERTIES)            \
  Y(ModelProperty, "model", WEIR_MODEL_PROPERTIES)                     \
  Y(PriceProperty, "price", WEIR_PRICE_PROPERTIES)                     \
  Y(PromptProperty, "prompt", WEIR_PROMPT_PROPERTIES)                  \
  Y(UnitProperty, "unit", WEIR_UNIT_PROPERTIES)                        \
  Y(TimeoutsProperty, "timeouts", WEIR_TIMEOUTS_PROPERTIES)            \
  Y(ComparisonProperty, "comparison", WEIR_COMPARISON_PROPERTIES)      \
  Y(ApprovalsProperty, "approvals", WEIR_APPROVALS_PROPERTIES)         \
  Y(ScenarioProperty, "scenario", WEIR_SCENARIO_PROPERTIES)            \
  Y(HopProperty, "hop", WEIR_HOP_PROPERTIES)                           \
  Y(FlagProperty, "flag", WEIR_FLAG_PROPERTIES)                        \
  Y(CandidateProperty, "candidate", WEIR_CANDIDATE_PROPERTIES)         \
  Y(ShadowProperty, "shadow", WEIR_SHADOW_PROPERTIES)                  \
  Y(TenantProperty, "tenant", WEIR_TENANT_PROPERTIES)                  \
  Y(TenantFlagProperty, "tenant_flag", WEIR_TENANT_FLAG_PROPERTIES)    \
  Y(PilotLimitsProperty, "pilot_limits", WEIR_PILOT_LIMITS_PROPERTIES) \
  Y(LimitsProperty, "limits", WEIR_LIMITS_PROPERTIES)                  \
  Y(RunawayProperty, "runaway", WEIR_RUNAWAY_PROPERTIES)               \
  Y(BudgetProperty, "budget", WEIR_BUDGET_PROPERTIES)                  \
  Y(KeyProperty, "key", WEIR_KEY_PROPERTIES)

enum class Presence : uint8_t { optional, required };

struct PropertyRow {
  std::string_view name;
  Presence presence;
  std::string_view remedy = {};  // what to write, when it is missing
};

struct ObjectShape {
  std::string_view name;
  std::span<const PropertyRow> properties;
};

// The rows of one shape, by its enum: PropertyTable<TenantProperty>::kShape.
template <typename Property>
struct PropertyTable;

#define X(enumerator, ...) enumerator,
#define Y(Enum, shape, TABLE) enum class Enum : uint8_t { TABLE(X) };
WEIR_OBJECT_SHAPES(Y)
#undef Y
#undef X

#define X(enumerator, property, presence, ...) \
  PropertyRow{property, Presence::presence __VA_OPT__(, ) __VA_ARGS__},
#define Y(Enum, shape, TABLE)                                             \
  template <>                                                             \
  struct PropertyTable<Enum> {                                            \
    static constexpr auto kRows = std::to_array<PropertyRow>({TABLE(X)}); \
    static constexpr ObjectShape kShape{shape, kRows};                    \
  };
WEIR_OBJECT_SHAPES(Y)
#undef Y
#undef X

inline constexpr auto kObjectShapes = std::to_array<ObjectShape>({
#define Y(Enum, shape, TABLE) PropertyTable<Enum>::kShape,
    WEIR_OBJECT_SHAPES(Y)
#undef Y
});

// Values of the enumerated properties. Each list is in the order of its enum in table.h.
inline constexpr auto kDialects = std::to_array<std::string_view>({"openai"});
inline constexpr auto kTiers = std::to_array<std::string_view>({"economy", "standard", "premium"});
inline constexpr auto kPromptModes = std::to_array<std::string_view>({"replace", "prepend", "if_absent"});
inline constexpr auto kAttributeKinds = std::to_array<std::string_view>({"string", "boolean", "number"});
inline constexpr auto kFallbackCauses =
    std::to_array<std::string_view>({"timeout", "5xx", "429", "connect", "invalid", "refusal"});
inline constexpr auto kPromptSources = std::to_array<std::string_view>({"api", "git"});
inline constexpr auto kApprovalCauses = std::to_array<std::string_view>({"production", "widen", "prompt"});
inline constexpr auto kApprovalRoles = std::to_array<std::string_view>({"operator", "approver", "admin"});
inline constexpr auto kPriorities = std::to_array<std::string_view>({"low", "normal"});
inline constexpr auto kStickyKeys = std::to_array<std::string_view>({"conversation", "user", "tenant"});
inline constexpr auto kFlagStates = std::to_array<std::string_view>({"off", "pilot", "production"});
inline constexpr auto kExpiryActions = std::to_array<std::string_view>({"off", "freeze", "alert"});
inline constexpr auto kRollbackActions =
    std::to_array<std::string_view>({"switch_next_turn", "finish", "restart"});
inline constexpr auto kAnswerChecks = std::to_array<std::string_view>({"any", "nonempty", "json"});
inline constexpr auto kLimitActions = std::to_array<std::string_view>({"economy", "cached", "static", "reject"});
inline constexpr auto kBudgetActions =
    std::to_array<std::string_view>({"economy", "cached", "static", "reject", "kill"});

}  // namespace weir::routing
