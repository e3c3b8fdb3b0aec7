// A change of the table on its way: what somebody asks for, how it is worked out against the newest objects,
// and what becomes of it. ControlThread (control.h) carries it; the calls of the API only make a
// ChangeRequest.
//
//   ChangeRequest ─▶ plan(Newest) ─▶ Plan: objects before, after ─▶ Prepared: compiled ─▶ ChangeOutcome
//   loop             compile worker                                  compile worker        loop
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "routing/admin/refusal.h"
#include "routing/admin/roles.h"
#include "routing/admin/table_loader.h"
#include "routing/registry/registry.h"
#include "routing/table/objects.h"

namespace weir::routing {

// The newest table, for whoever works out a change of it. Nothing changes it meanwhile.
struct Newest {
  const Registry& registry;  // for reading
  uint64_t revision;         // of the table
  const TableBody& body;     // compiled from it
  const TenantTable& tenants;
  int64_t wall_now_ns;

  // The object's body; none = there is no such object.
  RegistryResult<std::optional<std::string>> object(ObjectKind kind, std::string_view name) const {
    return registry.read_object(revision, kind, name);
  }
};

struct Plan {
  std::vector<ObjectChange> changes = {};  // each object once; `before` need not be filled in
  std::optional<Document> document = {};   // the whole table afterwards, where that is what was asked for
  std::string detail = {};                 // JSON, kept with the change
  uint64_t restored_revision = 0;          // of a rollback
};

struct ChangeRequest {
  Caller caller;
  std::string action, target, reason;
  uint64_t began_ns = 0;                  // when the request came
  std::optional<uint64_t> if_match = {};  // refuse when the table has changed since
  bool dry_run = false;                   // say what would change
  uint64_t proposal = 0;                  // of the same author, to be put in this one's place; 0 = none
  std::function<std::expected<Plan, Refusal>(const Newest&)> plan = {};

  // What the rules make of it.
  enum class Approvals : uint8_t {
    needed,     // as flags and scenarios say
    not_asked,  // a rollback never waits
    given,      // `approved_by` are all there have to be; it carries out `proposal`
  };
  Approvals approvals = Approvals::needed;
  bool deploys = false;  // the whole table: prompts too, where prompt_source is git
  std::vector<Actor> approved_by = {};
};

struct ChangeOutcome {
  enum class Kind : uint8_t { made, proposed, dry_run };
  Kind kind = Kind::made;
  uint64_t revision = 0;                 // that it made; or the newest
  uint64_t changed = 0;                  // objects; 0 = it was so already
  uint64_t durable_ns = 0, live_ns = 0;  // since the request came
  uint64_t commit_ns = 0;                // of that, in the registry
  uint64_t restored_revision = 0;
  uint64_t proposal = 0;                   // its id, when it waits
  std::vector<std::string> required = {};  // roles that approve, in order
  std::vector<ObjectChange> changes = {};  // of a dry run
};
using ChangeResult = std::expected<ChangeOutcome, Refusal>;
using ChangeDone = std::function<void(ChangeResult)>;

// A plan that was found good.
struct Prepared {
  std::vector<ObjectChange> changes;  // with before and after, without those that change nothing
  std::string detail;
  uint64_t restored_revision = 0;
  LoadedTable table;                  // what would serve
  bool trust_is_old = false;          // anchors were read again meanwhile
  bool reloaded = false;              // compiled: credentials and trust were read anew
  bool tenants_compiled = false;      // and the tenants too
  std::vector<std::string> required;  // roles that have to approve
};

// Works the request out and checks it whole. Compile worker; takes from 100 µs for one tenant to seconds for
// a table of a million.
std::expected<Prepared, Refusal> prepare(const ChangeRequest& request, const Newest& newest,
                                         const LoadedTable& current, TableLoader& loader);

}  // namespace weir::routing
