#include "routing/admin/table_loader.h"

#include <fmt/format.h>

#include <utility>

namespace weir::routing {

std::expected<LoadedTable, std::vector<Problem>> TableLoader::load(std::string text, TableFormat format) {
  auto body = compile_text(std::move(text), format, options_);
  if (!body) return std::unexpected(std::move(body.error()));
  LoadedTable table;
  if (dispose_) {
    table.body = std::shared_ptr<const TableBody>(body->release(), dispose_);
  } else {
    table.body = std::move(*body);
  }
  table.guards = GuardPlan::bind(*table.body, arena_);
  if (table.guards == nullptr) {
    return std::unexpected(std::vector<Problem>{
        {.path = "", .message = fmt::format("declares more limits and budgets than the {} there is memory for",
                                            arena_->max_lines())}});
  }
  if (auto problems = load_trust(table); !problems.empty()) return std::unexpected(std::move(problems));
  for (const Provider& provider : table.body->providers) {
    table.hosts.push_back(
        {.name = provider.host, .port = provider.port, .allow_link_local = provider.allow_link_local});
  }
  return table;
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
