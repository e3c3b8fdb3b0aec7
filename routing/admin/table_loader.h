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
#include <string>
#include <vector>

#include "net/address_book.h"
#include "net/tls/tls_client_context.h"
#include "routing/guard/guard_plan.h"
#include "routing/table/compile.h"

namespace weir::routing {

struct LoadedTable {
  std::shared_ptr<const TableBody> body;
  std::vector<std::shared_ptr<net::TlsClientContext>> trust;  // as Table::trust
  std::vector<net::AddressBook::Host> hosts;
  std::shared_ptr<const GuardPlan> guards;  // as Table::guards
};

class TableLoader {
 public:
  // `dispose` frees a body that nobody uses any more; none = delete it where the last user is.
  // Guards keep their state in `arena`.
  TableLoader(CompileOptions options, std::function<void(const TableBody*)> dispose, std::shared_ptr<GuardArena> arena)
      : options_(std::move(options)), dispose_(std::move(dispose)), arena_(std::move(arena)) {}

  // All problems of the table, or what to publish.
  std::expected<LoadedTable, std::vector<Problem>> load(std::string text, TableFormat format);
  // Reads the trust anchors of a body anew, as if they had changed.
  std::expected<LoadedTable, std::vector<Problem>> reload_trust(LoadedTable table);

 private:
  std::vector<Problem> load_trust(LoadedTable& table);

  const CompileOptions options_;
  const std::function<void(const TableBody*)> dispose_;
  const std::shared_ptr<GuardArena> arena_;
  std::map<std::string, std::shared_ptr<net::TlsClientContext>> trust_;  // by file; "" = the system's
};

}  // namespace weir::routing
