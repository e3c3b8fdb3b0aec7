// From a table's text to everything a publish needs: the compiled body, the trust anchors of its providers,
// the hosts to be resolved, the memory of its limits and budgets. Publishes nothing.
//
// Thread: one at a time; it keeps what it has read of trust anchors, so that tables that name the same file
// share one context (and shards keep their connection pools).
#pragma once

#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "net/address_book.h"
#include "net/tls/tls_client_context.h"
#include "routing/guard/guard_plan.h"
#include "routing/table/compile.h"
#include "routing/table/compile_change.h"

namespace weir::routing {

struct LoadedTable {
  std::shared_ptr<const TableBody> body;
  std::shared_ptr<const TenantTable> tenants;
  std::vector<std::shared_ptr<net::TlsClientContext>> trust;  // as Table::trust
  std::vector<net::AddressBook::Host> hosts;
  std::shared_ptr<const GuardPlan> guards;  // as Table::guards
};

class TableLoader {
 public:
  // `dispose` runs what frees a body or tenant table that nobody uses any more; none = where the last user
  // is. Guards keep their state in `arena`; none = they are not bound, for a check.
  using Dispose = std::function<void(std::function<void()>)>;
  TableLoader(CompileOptions options, Dispose dispose, std::shared_ptr<GuardArena> arena)
      : options_(std::move(options)), dispose_(std::move(dispose)), arena_(std::move(arena)) {}

  // All problems of the table, or what to publish: its objects in the registry's order
  // (routing/table/objects.h).
  std::expected<LoadedTable, std::vector<Problem>> load(std::string text, TableFormat format);
  std::expected<LoadedTable, std::vector<Problem>> load(Document document);
  // The same from a document without its tenants and keys, around such as are compiled already. `tenants_of`
  // gives them; null = there are none that belong to the body (its basis tells). None: so it is, or the
  // document has problems, which load() of the whole one tells better.
  using TenantsOf = std::function<std::shared_ptr<const TenantTable>(const TableBody&)>;
  std::optional<LoadedTable> load_around(Document document, const TenantsOf& tenants_of,
                                         const GuardPlan* base = nullptr);
  std::shared_ptr<const TenantTable> adopt(std::unique_ptr<TenantTable> tenants) const {
    return share(std::move(tenants));
  }
  // The same table with other tenants and keys (routing/table/compile_change.h). Shares all else with
  // `table`, which may be in use.
  std::expected<LoadedTable, std::vector<Problem>> change(LoadedTable table,
                                                          std::span<const ObjectChange> changes);
  // Reads the trust anchors of a body anew, as if they had changed.
  std::expected<LoadedTable, std::vector<Problem>> reload_trust(LoadedTable table);

 private:
  std::expected<LoadedTable, std::vector<Problem>> complete(std::shared_ptr<const TableBody> body,
                                                            std::shared_ptr<const TenantTable> tenants,
                                                            const GuardPlan* base);
  std::vector<Problem> load_trust(LoadedTable& table);

  const CompileOptions options_;
  bool bind_guards(LoadedTable& table, const GuardPlan* base) const;  // false: too many
  template <typename T>
  std::shared_ptr<const T> share(std::unique_ptr<T> made) const;

  const Dispose dispose_;
  const std::shared_ptr<GuardArena> arena_;
  std::map<std::string, std::shared_ptr<net::TlsClientContext>> trust_;  // by file; "" = the system's
};

}  // namespace weir::routing
