// The compiled flag table (DESIGN section 4): immutable, validated, read by every shard without locks.
//
//   text (YAML/JSON) --load--> document --validate--> (all problems | ok) --compile--> TableBody
//   TableBody + Kills + revision --> Table, published through core::SnapshotPublisher<Table>
//
// A kill or unkill makes a new Table over the same TableBody, so it costs the same with a million tenants.
//
// Invariants
//   1. Immutable after compile. Everything a shard reads from it during an exchange stays valid while
//      the exchange holds its core::SnapshotRef<Table>.
//   2. Every index stored here is in range of the vector it points into (checked by compile).
//   3. No plaintext API key of a client is ever here, only its keyed hash. Provider credentials are in
//      Secret, which has no printing operator and never enters JSON, logs or metrics.
//   4. Two units with the same canonical form have the same SHA-256; names are unique.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/tls/tls_client_context.h"
#include "core/murmur3.h"
#include "routing/inspect/rewrite.h"
#include "routing/inspect/usage.h"
#include "routing/table/name_index.h"

namespace weir::routing {

enum class ProviderIndex : uint32_t {};
enum class ModelIndex : uint32_t {};
enum class UnitIndex : uint32_t {};
enum class ScenarioIndex : uint32_t {};
enum class FlagIndex : uint32_t {};
enum class TenantIndex : uint32_t {};
enum class KeyIndex : uint32_t {};
enum class SegmentIndex : uint32_t {};
enum class AttributeIndex : uint32_t {};

// A provider's credential. Readable only on purpose.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  std::string_view reveal() const { return value_; }
  bool empty() const { return value_.empty(); }

 private:
  std::string value_;
};

enum class Dialect : uint8_t { openai };

struct Provider {
  std::string name;
  Dialect dialect = Dialect::openai;
  std::string base_url;  // as written, for people
  bool tls = false;      // https
  std::string host;      // name or address, without brackets
  uint16_t port = 0;
  std::string host_header;        // Host field value upstream
  std::string path_prefix;        // e.g. "/v1" (no trailing slash); a base_url without path has ""
  bool allow_link_local = false;  // may its name resolve to a link-local or metadata address
  Secret authorization;  // whole value of the Authorization field, e.g. "Bearer sk-..."; may be empty
  std::string ca_file;   // trust anchors for this provider; empty = the system's
};

enum class Tier : uint8_t { economy, standard, premium };

struct Model {
  std::string name;
  ProviderIndex provider{};
  std::string provider_model;  // what the provider calls it; default: the name
  Tier tier = Tier::standard;
  Price price;  // nano-USD per million tokens
  uint32_t max_output_tokens = 16'384;  // of one choice, when neither the unit nor the request bounds it
};

// Relative times in nanoseconds; 0 is never stored: absent ones get their documented default.
struct Timeouts {
  uint64_t connect_ns;      // until the connection (and TLS) stands; default 2 s
  uint64_t header_ns;       // from request sent until the response head; default 60 s
  uint64_t first_token_ns;  // from request sent until the first content; default 60 s
  uint64_t idle_ns;         // between two pieces of the answer; default 30 s
  uint64_t total_ns;        // the whole exchange, all attempts; default 120 s
};

// Owns what UnitRewrite views. Moving it keeps every address.
struct UnitStorage {
  std::vector<std::unique_ptr<const std::string>> texts;
  std::vector<ParamRewrite> params;
  std::vector<PromptPart> prompt;
  std::vector<std::string_view> tools;
};

struct Unit {
  std::string name;
  UnitIndex base{};                // what a derived unit is layered over; a declared one: itself
  std::array<uint8_t, 32> hash{};  // SHA-256 of the canonical form
  std::string hash_hex;            // the same, 64 lower-case hex digits
  uint64_t short_hash = 0;         // first 8 bytes of hash, big-endian; what a pin stores
  ModelIndex model{};
  std::string prompt;   // name@semver; empty = none
  UnitRewrite rewrite;  // what splicing needs; views into `storage`
  Timeouts timeouts{};
  uint32_t retries = 0;  // further tries on the same hop
  uint64_t cache_ttl_ns = 0;
  UnitStorage storage;
};

// What a hop of the fallback chain answers to. Bits of FallbackHop::on.
enum class FallbackCause : uint8_t {
  timeout = 1,
  server_error = 2,
  rate_limited = 4,
  connect = 8,
  invalid = 16,
  refusal = 32
};

struct FallbackHop {
  enum class Kind : uint8_t { unit, cached, static_text };
  Kind kind = Kind::unit;
  UnitIndex unit{};  // Kind::unit
  uint8_t on = 0;    // FallbackCause bits; cached and static answer to every cause
  std::string text;  // Kind::static_text
};

enum class BudgetAction : uint8_t { economy, cached, static_text, reject, kill };

// At most this much money in any window of this length.
struct Budget {
  uint64_t window_ns = 0;  // 0: a calendar month
  int64_t limit_nano_usd = 0;
  BudgetAction on_exceed = BudgetAction::reject;
};

// Changes that wait for the approval of others; bits of Approvals::causes.
enum class ApprovalCause : uint8_t {
  production = 1,  // a tenant's row goes to production; another candidate or stable unit
  widen = 2,       // more of a tenant's traffic may get the candidate
  prompt = 4,      // a prompt comes into use that was not in use there
};
enum class ApprovalRole : uint8_t { operator_role, approver, admin };

// What a scenario or a flag asks for before it changes (routing/table/approvals.h). A flag's changes need what its
// scenario asks for and what it asks for itself.
struct Approvals {
  uint8_t causes = 0;             // ApprovalCause bits; 0 = none needed
  std::vector<ApprovalRole> by;   // in this order, each given by another person
};

// May prompts be changed through the admin API, or only by replacing the table from version control?
enum class PromptSource : uint8_t { api, git };

// Requests per second, minute, hour and day, tokens per minute, requests at the same time; 0 = none.
struct Limits {
  uint64_t rps = 0, rpm = 0, rph = 0, rpd = 0, tpm = 0, concurrency = 0;
};

enum class StickyKey : uint8_t { conversation, user, tenant };

struct Scenario {
  std::string name;
  UnitIndex stable{};
  std::vector<FallbackHop> fallback;
  std::vector<StickyKey> sticky_by;       // first one present is the sticky key
  std::vector<FlagIndex> flags;           // declared order; bit i of a combination = flags[i] applies
  std::vector<UnitIndex> combinations;    // 2^flags.size() units; [0] == stable
  std::vector<uint64_t> combination_hashes;  // short_hash of each; by index_rows()
  uint32_t first_rank = 0;                // rank of flags[0], all flags counted by scenario and bit; by index_rows()
  std::vector<Budget> budgets;
  Approvals approvals;
};

struct Flag {
  std::string name;
  std::string salt;                       // default: the flag's name
  core::Murmur3 split;                    // murmur3 state after salt ":"; by index_rows()
  ScenarioIndex scenario{};
  uint8_t bit = 0;  // its bit in Scenario::combinations
  std::vector<SegmentIndex> exclude;
  uint32_t shadow_milli_percent = 0;  // 0 .. 100'000
  int64_t shadow_budget_nano_usd = 0;
  std::string owner;
  Approvals approvals;
};

enum class FlagState : uint8_t { off, pilot, production };
// What happens at a row's expiry. Only `off` changes the decision: `freeze` refuses changes of the row until it is
// renewed (frozen_rows() in routing/table/edit.h), `alert` lists it among the problems.
enum class ExpiryAction : uint8_t { off, freeze, alert };
enum class OnRollback : uint8_t { switch_next_turn, finish, restart };

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
  UnitIndex previous{};    // answers past the pilot's limits and after a rollback
  uint64_t limit_rpm = 0;  // 0 = none
  uint64_t limit_total_requests = 0;
  int64_t until_ns = INT64_MAX;  // the pilot's last moment
};

struct Tenant {
  std::string id;
  std::string display_name;        // default: id
  std::string display_name_json;   // the same as the inside of a JSON string
  std::vector<TenantFlag> flags;   // sorted by flag index
  std::vector<ModelIndex> models;  // models it may name directly, sorted
  Limits limits;
  std::vector<Budget> budgets;
  Limits user_limits;                // of each of its users
  std::vector<Budget> user_budgets;  // of each of its users
};

struct Key {
  std::string id;
  TenantIndex tenant{};
  std::array<uint8_t, 32> hash{};  // HMAC-SHA-256(key hash secret, token)
  std::optional<ScenarioIndex> scenario;
  std::vector<TenantIndex> act_as;  // tenants it may name in x-weir-tenant, sorted
  Limits limits;
  std::vector<Budget> budgets;
};

enum class AttributeKind : uint8_t { enumeration, string, boolean, number };

struct Attribute {
  std::string name;  // lower case; header x-weir-attr-<name>
  AttributeKind kind = AttributeKind::string;
  std::vector<std::string> values;  // AttributeKind::enumeration
};

// One step of a segment's condition in postfix order, evaluated on a stack of booleans
// (never more than limits::kMaxPendingConditions on it; peak_pending() in routing/decide/segments.h tells).
struct ConditionStep {
  enum class Kind : uint8_t {
    equals,  // string, enumeration: text == operand
    one_of,  // text is one of operands
    starts_with,
    ends_with,
    is_true,
    is_false,  // boolean
    less,
    less_equal,
    greater,
    greater_equal,
    number_equals,
    all,
    any,     // pops `count` results
    negate,  // pops one
  };
  Kind kind;
  AttributeIndex attribute{};
  uint32_t count = 0;
  double number = 0;
  std::vector<std::string> operands = {};  // one for equals/starts_with/ends_with
};

struct Segment {
  std::string name;
  std::vector<ConditionStep> steps;  // an absent attribute makes its step false
};

// A TenantFlag again, packed for decide(): eight bytes.
struct PackedRow {
  uint32_t terms = 0;                      // into PackedRows::terms
  uint32_t milli_percent : 17 = 0;
  uint32_t present : 1 = 0;                // 0: the tenant has no row on this flag
  uint32_t limited : 1 = 0;                // a limit of the pilot is set (rpm, total_requests)
  uint32_t timed : 1 = 0;                  // the pilot ends at RowTerms::until_ns
  uint32_t state : 2 = 0;                  // FlagState
  uint32_t on_rollback : 2 = 0;            // OnRollback
  uint32_t bit : 8 = 0;                    // Flag::bit
};

// When a row runs and whom it admits beside its percentage. Rows of many tenants share the same.
struct RowTerms {
  int64_t start_ns = INT64_MIN;
  int64_t expires_ns = INT64_MAX;
  int64_t until_ns = INT64_MAX;
  uint32_t first_segment = 0;              // into PackedRows::segments
  uint16_t segment_count = 0;
  ExpiryAction on_expiry = ExpiryAction::off;
};

// The rows of all tenants, laid out so that a decision reads one or two cache lines of them whatever the number of
// tenants and flags. Built by index_rows() (routing/decide/row_index.h, which has the picture), the last step of
// compile().
struct PackedRows {
  static constexpr uint32_t kDense = UINT32_MAX;
  struct Block {
    uint32_t first = 0;                    // into words
    uint32_t groups = 0;                   // kDense: a row for every flag, by rank
  };
  struct Group {
    ScenarioIndex scenario{};
    uint32_t first : 24 = 0;               // its first row, from the start of the block
    uint32_t count : 8 = 0;                // of its rows
  };
  std::vector<Block> blocks;               // by TenantIndex
  std::vector<PackedRow> words;            // rows, and groups cast to rows
  std::vector<RowTerms> terms;
  std::vector<SegmentIndex> segments;
};

// Everything but the kills. Built once by compile() (routing/table/compile.h).
struct TableBody {
  std::vector<Provider> providers;
  std::vector<Model> models;
  std::vector<Unit> units;  // declared, then derived ones (combinations, direct models)
  std::vector<Attribute> attributes;
  std::vector<Segment> segments;
  std::vector<Scenario> scenarios;
  std::vector<Flag> flags;
  std::vector<Tenant> tenants;
  std::vector<Key> keys;
  std::vector<UnitIndex> direct_units;  // by ModelIndex: the plain unit used when a model is named directly

  PackedRows rows;

  NameIndex provider_names, model_names, unit_names, attribute_names, scenario_names, flag_names, tenant_names;
  KeyHashIndex key_hashes;                 // HMAC -> KeyIndex
  ShortHashIndex unit_hashes;              // Unit::short_hash -> UnitIndex

  Limits limits;                // of everything together
  std::vector<Budget> budgets;
  PromptSource prompt_source = PromptSource::api;

  std::string source_json;  // the document as JSON, secrets as references; GET /v1/table

  const Provider& operator[](ProviderIndex i) const { return providers[static_cast<uint32_t>(i)]; }
  const Model& operator[](ModelIndex i) const { return models[static_cast<uint32_t>(i)]; }
  const Unit& operator[](UnitIndex i) const { return units[static_cast<uint32_t>(i)]; }
  const Attribute& operator[](AttributeIndex i) const { return attributes[static_cast<uint32_t>(i)]; }
  const Segment& operator[](SegmentIndex i) const { return segments[static_cast<uint32_t>(i)]; }
  const Scenario& operator[](ScenarioIndex i) const { return scenarios[static_cast<uint32_t>(i)]; }
  const Flag& operator[](FlagIndex i) const { return flags[static_cast<uint32_t>(i)]; }
  const Tenant& operator[](TenantIndex i) const { return tenants[static_cast<uint32_t>(i)]; }
  const Key& operator[](KeyIndex i) const { return keys[static_cast<uint32_t>(i)]; }
};

// What is switched off. Resolved to indices of one TableBody; names that it does not hold are kept by the
// control thread and bite again when they come back.
struct Kills {
  bool any = false;  // one test on the hot path
  bool global = false;
  std::vector<bool> providers, units, scenarios, flags;  // sized like the body's vectors when `any`
  std::vector<TenantIndex> tenants;                      // sorted
};

class GuardPlan;

struct Table {
  uint64_t revision = 0;
  int64_t published_wall_ns = 0;
  std::shared_ptr<const TableBody> body;
  Kills kills;
  // By ProviderIndex: trust for the providers that speak TLS, null for others. Prototypes: a shard makes its own
  // with for_another_shard().
  std::vector<std::shared_ptr<net::TlsClientContext>> trust;
  // The body's limits and budgets with the memory of their state (routing/guard/guard_plan.h); null: none is enforced.
  std::shared_ptr<const GuardPlan> guards;
};

}  // namespace weir::routing
