#include "routing/admin/table_loader.h"

#include <fmt/format.h>

#include <utility>

namespace weir::routing {
namespace {

Problem too_many_guards(const GuardArena& arena) {
  return {.path = "",
          .message = fmt::format("declares more limits and budgets than the {} there is memory for",
                                 arena.max_lines())};
}

}  // namespace

template <typename T>
std::shared_ptr<const T> TableLoader::share(std::unique_ptr<T> made) const {
  if (!dispose_) return made;
  return {made.release(), [dispose = dispose_](const T* unused) { dispose([unused] { delete unused; }); }};
}

std::expected<LoadedTable, std::vector<Problem>> TableLoader::load(std::string text, TableFormat format) {
  auto document = Document::parse(std::move(text), format);
  if (!document) return std::unexpected(std::move(document.error()));
  return load(*std::move(document));
}

std::expected<LoadedTable, std::vector<Problem>> TableLoader::load(Document document) {
  const std::string ordered = is_in_order(document.root()) ? "" : put_in_order(document.root());
  auto compiled = compile(std::move(document), options_);
  if (compiled && !ordered.empty()) {
    compiled->body.reset();
    compiled->tenants.reset();
    compiled = compile_text(ordered, TableFormat::json, options_);
  }
  if (!compiled) return std::unexpected(std::move(compiled.error()));
  return complete(share(std::move(compiled->body)), share(std::move(compiled->tenants)), nullptr);
}

std::optional<LoadedTable> TableLoader::load_around(Document document, const TenantsOf& tenants_of,
                                                    const GuardPlan* base) {
  auto compiled = compile(std::move(document), options_);
  if (!compiled) return std::nullopt;
  std::shared_ptr<const TableBody> body = share(std::move(compiled->body));
  std::shared_ptr<const TenantTable> tenants = tenants_of(*body);
  if (tenants == nullptr || tenants->basis() != body->basis) return std::nullopt;
  auto loaded = complete(std::move(body), std::move(tenants), base);
  if (!loaded) return std::nullopt;
  return *std::move(loaded);
}

std::expected<LoadedTable, std::vector<Problem>> TableLoader::complete(
    std::shared_ptr<const TableBody> body, std::shared_ptr<const TenantTable> tenants,
    const GuardPlan* base) {
  LoadedTable table;
  table.body = std::move(body);
  table.tenants = std::move(tenants);
  if (!bind_guards(table, base)) return std::unexpected(std::vector{too_many_guards(*arena_)});
  if (auto problems = load_trust(table); !problems.empty()) return std::unexpected(std::move(problems));
  for (const Provider& provider : table.body->providers) {
    table.hosts.push_back(
        {.name = provider.host, .port = provider.port, .allow_link_local = provider.allow_link_local});
  }
  return table;
}

std::expected<LoadedTable, std::vector<Problem>> TableLoader::change(LoadedTable table,
                                                                     std::span<const ObjectChange> changes) {
  auto changed = change_tenants(*table.body, *table.tenants, changes);
  if (!changed) return std::unexpected(std::move(changed.error()));
  table.tenants = share(*std::move(changed));
  const std::shared_ptr<const GuardPlan> before = table.guards;
  if (!bind_guards(table, before.get())) return std::unexpected(std::vector{too_many_guards(*arena_)});
  return table;
}

bool TableLoader::bind_guards(LoadedTable& table, const GuardPlan* base) const {
  if (arena_ == nullptr) return true;
  table.guards = GuardPlan::bind(*table.body, *table.tenants, arena_, base);
  return table.guards != nullptr;
}

std::expected<LoadedTable, std::vector<Problem>> TableLoader::reload_trust(LoadedTable table) {
  auto before = std::exchange(trust_, {});
  auto problems = load_trust(table);
  if (problems.empty()) return table;
  trust_ = std::move(before);
  return std::unexpected(std::move(problems));
}

std::vector<Problem> TableLoader::load_trust(LoadedTable& table) {
  std::vector<Problem> problems;
  table.trust.clear();
  for (const Provider& provider : table.body->providers) {
    auto& trust = table.trust.emplace_back();
    if (!provider.tls) continue;
    auto& known = trust_[provider.ca_file];
    if (known == nullptr) {
      auto loaded = net::TlsClientContext::load({.ca_path = provider.ca_file});
      if (!loaded) {
        const Path top;
        const Path providers(top, "providers");
        const Path at(providers, provider.name);
        for (std::string& message : loaded.error()) {
          problems.push_back({.path = Path(at, "ca_file").text(), .message = std::move(message)});
        }
        trust_.erase(provider.ca_file);
        continue;
      }
      known = std::move(*loaded);
    }
    trust = known;
  }
  return problems;
}

}  // namespace weir::routing
