// The compiled flag table (DESIGN section 4): immutable, validated, read by every shard without locks.
//
//   text (YAML/JSON) --load--> document --validate--> (all problems | ok) --compile--> TableBody +
//   TenantTable TableBody + TenantTable + Kills + revision --> Table, published through
//   core::SnapshotPublisher<Table>
//
// A kill or unkill makes a new Table over the same TableBody and TenantTable, a change of single tenants or
// keys one over the same TableBody, so both cost the same with a million tenants.
//
// Invariants
//   1. Immutable after compile. Everything a shard reads from it during an exchange stays valid while
//      the exchange holds its core::SnapshotRef<Table>.
//   2. Every index stored here is in range of the vector it points into (checked by compile).
//   3. No plaintext API key of a client is ever here, only its keyed hash. Provider credentials are in
//      Secret, which has no printing operator and never enters JSON, logs or metrics.
//   4. Two units with the same canonical form have the same SHA-256; names are unique.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/assert.h"
#include "core/murmur3.h"
#include "net/tls/tls_client_context.h"
#include "routing/inspect/answer_check.h"
#include "routing/inspect/rewrite.h"
#include "routing/inspect/usage.h"
#include "routing/table/acting.h"
#include "routing/table/indices.h"
#include "routing/table/name_index.h"
#include "routing/table/tenant_spec.h"
#include "routing/table/tenant_table.h"

namespace weir::routing {

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

// One of several providers of a model.
struct ModelHost {
  ProviderIndex provider{};
  uint32_t weight = 1;
};

struct Model {
  std::string name;
  ProviderIndex provider{};      // the first of `hosts`, or the only one
  std::vector<ModelHost> hosts;  // empty: the one above
  std::string provider_model;    // what the provider calls it; default: the name
  Tier tier = Tier::standard;
  Price price;                          // nano-USD per million tokens
  uint32_t max_output_tokens = 16'384;  // of one choice, when neither the unit nor the request bounds it
  uint32_t max_input_tokens = 131'072;  // its context window: of a request with content held elsewhere

  // By which the economy unit is found: lowest tier first, then the price of as much input as output.
  std::pair<Tier, int64_t> expense() const { return {tier, price.input + price.output}; }
  // `host`: into `hosts`; 0 when there are none.
  ProviderIndex provider_at(size_t host) const { return hosts.empty() ? provider : hosts[host].provider; }
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
  AnswerCheck answer = AnswerCheck::any;
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

// Changes that wait for the approval of others; bits of Approvals::causes.
enum class ApprovalCause : uint8_t {
  production = 1,  // a tenant's row goes to production; another candidate or stable unit
  widen = 2,       // more of a tenant's traffic may get the candidate
  prompt = 4,      // a prompt comes into use that was not in use there
};
enum class ApprovalRole : uint8_t { operator_role, approver, admin };

// What a scenario or a flag asks for before it changes (routing/table/approvals.h). A flag's changes need
// what its scenario asks for and what it asks for itself.
struct Approvals {
  uint8_t causes = 0;            // ApprovalCause bits; 0 = none needed
  std::vector<ApprovalRole> by;  // in this order, each given by another person
};

// May prompts be changed through the admin API, or only by replacing the table from version control?
enum class PromptSource : uint8_t { api, git };

enum class StickyKey : uint8_t { conversation, user, tenant };

// What is given up first when a node is overloaded.
enum class Priority : uint8_t { low, normal };

struct Scenario {
  std::string name;
  UnitIndex stable{};
  std::vector<FallbackHop> fallback;
  std::vector<StickyKey> sticky_by;  // first one present is the sticky key
  uint32_t shadowed = 0;             // bit i: flags[i] has shadow copies
  Priority priority = Priority::normal;
  std::vector<FlagIndex> flags;              // declared order; bit i of a combination = flags[i] applies
  std::vector<UnitIndex> combinations;       // 2^flags.size() units; [0] == stable
  std::vector<uint64_t> combination_hashes;  // short_hash of each; by index_flags()
  uint32_t first_rank = 0;  // rank of flags[0], all flags counted by scenario and bit; by rank_flags()
  std::vector<Budget> budgets;
  Approvals approvals;
};

struct Flag {
  std::string name;
  std::string salt;     // default: the flag's name
  core::Murmur3 split;  // murmur3 state after salt ":"; by index_flags()
  ScenarioIndex scenario{};
  uint8_t bit = 0;  // its bit in Scenario::combinations
  std::vector<SegmentIndex> exclude;
  uint32_t shadow_milli_percent = 0;  // 0 .. 100'000
  bool shadow_sticky = false;         // the share is of sticky keys, not of requests
  int64_t shadow_budget_nano_usd = 0;
  uint64_t shadow_window_ns = kNoWindow;  // as Budget::window_ns
  std::string owner;
  std::optional<UnitIndex> candidate_unit;  // none: a layer over stable
  Approvals approvals;
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

// What a client that loops does, per minute; 0 = not looked at. Told apart by tenant, the last by user or
// key.
struct Runaway {
  uint64_t same_request_rpm = 0;       // the same body, byte for byte
  uint64_t same_conversation_rpm = 0;  // turns of one conversation
  uint64_t full_length_rpm = 0;        // answers as long as they may be

  bool any() const { return (same_request_rpm | same_conversation_rpm | full_length_rpm) != 0; }
};

// Everything but tenants, keys and kills. Built once by compile() (routing/table/compile.h).
struct TableBody {
  std::vector<Provider> providers;
  std::vector<Model> models;
  std::vector<Unit> units;  // declared, then derived ones (combinations, direct models)
  uint32_t declared_units = 0;
  std::vector<Attribute> attributes;
  std::vector<Segment> segments;
  std::vector<Scenario> scenarios;
  std::vector<Flag> flags;
  std::vector<UnitIndex> direct_units;  // by ModelIndex: the plain unit used when a model is named directly

  NameIndex provider_names, model_names, unit_names, attribute_names, segment_names, scenario_names,
      flag_names;
  ShortHashIndex unit_hashes;  // Unit::short_hash -> UnitIndex

  Limits limits;  // of everything together
  std::vector<Budget> budgets;
  Actions acting =
      bit_of(BudgetAction::reject) | bit_of(BudgetAction::kill);  // those that can, in some scenario
  Runaway runaway;
  PromptSource prompt_source = PromptSource::api;

  // SHA-256 of all that tenants and keys refer to, names and order: a TenantTable with the same basis is good
  // for this body, another is not.
  Digest basis{};

  // The document as JSON, secrets as references; empty unless CompileOptions::keep_source.
  std::string source_json;

  const Provider& operator[](ProviderIndex i) const { return providers[static_cast<uint32_t>(i)]; }
  const Model& operator[](ModelIndex i) const { return models[static_cast<uint32_t>(i)]; }
  const Unit& operator[](UnitIndex i) const { return units[static_cast<uint32_t>(i)]; }
  const Attribute& operator[](AttributeIndex i) const { return attributes[static_cast<uint32_t>(i)]; }
  const Segment& operator[](SegmentIndex i) const { return segments[static_cast<uint32_t>(i)]; }
  const Scenario& operator[](ScenarioIndex i) const { return scenarios[static_cast<uint32_t>(i)]; }
  const Flag& operator[](FlagIndex i) const { return flags[static_cast<uint32_t>(i)]; }
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
  std::shared_ptr<const TenantTable> tenants;  // of the same basis as the body
  Kills kills;
  // By ProviderIndex: trust for the providers that speak TLS, null for others. Prototypes: a shard makes its
  // own with for_another_shard().
  std::vector<std::shared_ptr<net::TlsClientContext>> trust;
  // The body's limits and budgets with the memory of their state (routing/guard/guard_plan.h); null: none is
  // enforced.
  std::shared_ptr<const GuardPlan> guards;

  Tenant operator[](TenantIndex i) const { return (*tenants)[i]; }
  Key operator[](KeyIndex i) const { return (*tenants)[i]; }
};

template <typename Index>
bool is_set(const std::vector<bool>& bits, Index index) {
  const auto at = static_cast<size_t>(index);
  WEIR_ASSERT(at < bits.size());  // sized like the body's vectors when Kills::any
  return bits[at];
}

// By itself or by its provider; of several providers by all of them.
inline bool is_unit_killed(const Table& table, UnitIndex unit) {
  if (!table.kills.any) return false;
  const Model& model = (*table.body)[(*table.body)[unit].model];
  const auto killed = [&](const ModelHost& host) { return is_set(table.kills.providers, host.provider); };
  return is_set(table.kills.units, unit) ||
         (model.hosts.empty() ? is_set(table.kills.providers, model.provider)
                              : std::ranges::all_of(model.hosts, killed));
}

}  // namespace weir::routing
