#include "routing/registry/mentions.h"

#include <simdjson.h>

#include <algorithm>
#include <vector>

namespace weir::routing {
namespace {

// The object under `member` of a body that is JSON; empty when there is none.
simdjson::dom::object member_of(simdjson::dom::parser& parser, std::string_view body, const char* member) {
  simdjson::dom::element root;
  simdjson::dom::object found;
  if (parser.parse(body.data(), body.size()).get(root) != simdjson::SUCCESS) return {};
  if (root[member].get(found) != simdjson::SUCCESS) return {};
  return found;
}

// Calls `each` with the flags whose row of a tenant is another one afterwards.
template <typename Each>
void for_changed_rows(std::string_view before, std::string_view after, const Each& each) {
  constexpr std::string_view kRows = "\"flags\":{";
  const bool had = before.find(kRows) != std::string_view::npos;
  const bool has = after.find(kRows) != std::string_view::npos;
  thread_local simdjson::dom::parser old_parser, new_parser;
  std::vector<std::pair<std::string_view, std::string>> old_rows;
  if (had) {
    for (const auto [flag, row] : member_of(old_parser, before, "flags")) {
      old_rows.emplace_back(flag, simdjson::minify(row));
    }
  }
  if (has) {
    for (const auto [flag, row] : member_of(new_parser, after, "flags")) {
      const auto old = std::ranges::find(old_rows, flag, &decltype(old_rows)::value_type::first);
      if (old == old_rows.end()) {
        each(flag);
        continue;
      }
      if (old->second != simdjson::minify(row)) each(flag);
      old_rows.erase(old);
    }
  }
  for (const auto& [flag, row] : old_rows) each(flag);
}

void mention_tenant_of_key(std::string_view body, Mentions& mentions) {
  if (body.empty()) return;  // the key is gone
  thread_local simdjson::dom::parser parser;
  simdjson::dom::element root;
  std::string_view tenant;
  if (parser.parse(body.data(), body.size()).get(root) == simdjson::SUCCESS &&
      root["tenant"].get(tenant) == simdjson::SUCCESS) {
    mentions.emplace(ObjectKind::tenant, tenant);
  }
}

std::optional<ObjectKind> kind_of(KillScope scope) {
  switch (scope) {
    case KillScope::global:
      return std::nullopt;
    case KillScope::provider:
      return ObjectKind::provider;
    case KillScope::unit:
      return ObjectKind::unit;
    case KillScope::scenario:
      return ObjectKind::scenario;
    case KillScope::flag:
      return ObjectKind::flag;
    case KillScope::tenant:
      return ObjectKind::tenant;
  }
  __builtin_unreachable();
}

}  // namespace

void mention(ObjectKind kind, std::string_view before, std::string_view after, Mentions& mentions) {
  mentions.emplace(kind, std::string());
  if (kind == ObjectKind::tenant) {
    for_changed_rows(before, after, [&](std::string_view flag) { mentions.emplace(ObjectKind::flag, flag); });
  } else if (kind == ObjectKind::key) {
    mention_tenant_of_key(before, mentions);
    mention_tenant_of_key(after, mentions);
  }
}

void mention(const Kill& kill, Mentions& mentions) {
  if (const auto kind = kind_of(kill.scope)) {
    mentions.emplace(*kind, std::string());
    mentions.emplace(*kind, kill.name);
  }
}

}  // namespace weir::routing
