#include "routing/admin/table_loader.h"

#include <utility>

namespace weir::routing {

std::expected<LoadedTable, std::vector<Problem>> TableLoader::load(std::string text, TableFormat format) {
  auto document = Document::parse(std::move(text), format);
  if (!document) return std::unexpected(std::move(document.error()));
  return load(*std::move(document));
}

std::expected<LoadedTable, std::vector<Problem>> TableLoader::load(Document document) {
  auto body = compile(std::move(document), options_);
  if (!body) return std::unexpected(std::move(body.error()));
  LoadedTable table;
  if (dispose_) {
    table.body = std::shared_ptr<const TableBody>(body->release(), dispose_);
  } else {
    table.body = std::move(*body);
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
