#include "routing/table/edit.h"

#include <simdjson.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "routing/table/canonical_json.h"
#include "routing/table/document.h"
#include "routing/table/reader.h"
#include "routing/table/scalars.h"

namespace weir::routing {
namespace {

using nlohmann::json;
using Failed = std::unexpected<std::vector<Problem>>;

Failed one_problem(std::string_view path, std::string message) {
  std::vector<Problem> problems;
  problems.push_back({.path = std::string(path), .message = std::move(message)});
  return Failed(std::move(problems));
}

// Depth, UTF-8 and numbers are checked by the table's own parser, which says where a problem is.
std::expected<json, std::vector<Problem>> read_request(std::string_view text) {
  if (text.empty()) return one_problem("", "is empty; send JSON");
  const auto document = Document::parse(std::string(text), TableFormat::json);
  if (!document) return Failed(document.error());
  Problems problems;
  check_duplicates(problems, Path(), document->root());
  if (!problems.empty()) return Failed(problems.take());
  return json::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::expected<json, std::vector<Problem>> read_body(std::string_view body) {
  json parsed = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded())
    return one_problem("", "what is stored of the object is not valid JSON; write it anew");
  return parsed;
}

EditResult canonical(const json& value) {
  const std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  const auto document = Document::parse(text, TableFormat::json);
  if (!document) return Failed(document.error());
  return canonical_json(document->root());
}

// Reports members that no row has.
void check_members(Problems& problems, const json& change) {
  std::vector<std::string_view> known;
  for (const PropertyRow& row : PropertyTable<TenantFlagProperty>::kRows) known.push_back(row.name);
  const Path nowhere;
  for (const auto& [name, value] : change.items()) {
    if (std::ranges::find(known, name) != known.end()) continue;
    const std::string hint = did_you_mean(name, known);
    problems.add(Path(nowhere, name),
                 "unknown field" + (hint.empty() ? "; known here: " + list_names(known) : hint));
  }
}

// ---- frozen rows ----

std::optional<std::string_view> string_at(Element row, std::string_view name) {
  std::string_view text;
  if (row[name].get_string().get(text) != simdjson::SUCCESS) return std::nullopt;
  return text;
}

bool is_frozen(Element row, int64_t wall_now_ns) {
  if (string_at(row, "on_expiry") != "freeze") return false;
  const auto expires = string_at(row, "expires");
  const auto expires_ns = expires ? parse_timestamp_ns(*expires) : std::nullopt;
  return expires_ns && *expires_ns <= wall_now_ns;
}

// Does the change leave the frozen row as it is, or end that it is frozen?
bool may_become(Element before, simdjson::simdjson_result<Element> found, int64_t wall_now_ns) {
  Element after;
  if (found.get(after) != simdjson::SUCCESS) return true;
  if (canonical_json(before) == canonical_json(after) || string_at(after, "state") == "off") return true;
  const auto expires = string_at(after, "expires");
  const auto expires_ns = expires ? parse_timestamp_ns(*expires) : std::nullopt;
  return !expires || (expires_ns && *expires_ns > wall_now_ns);
}

}  // namespace

EditResult merge_patch(std::string_view body, std::string_view patch) {
  auto wanted = read_request(patch);
  if (!wanted) return Failed(std::move(wanted.error()));
  auto merged = read_body(body);
  if (!merged) return Failed(std::move(merged.error()));
  merged->merge_patch(*wanted);
  return canonical(*merged);
}

EditResult edit_row(std::string_view tenant_body, const RowEdit& edit) {
  auto change = read_request(edit.change);
  if (!change) return Failed(std::move(change.error()));
  if (!change->is_object())
    return one_problem("", "must be an object with the members of the row that change");
  Problems problems;
  check_members(problems, *change);
  const auto reason = change->find("reason");
  if (reason == change->end() || !reason->is_string() || *reason == "") {
    const Path nowhere;
    problems.add(Path(nowhere, "reason"), "is missing: say in a sentence why");
  }
  if (!problems.empty()) return Failed(problems.take());

  auto tenant = read_body(tenant_body);
  if (!tenant) return Failed(std::move(tenant.error()));
  if (!tenant->is_object())
    return one_problem("", "what is stored of the tenant is no object; write it anew");
  json& flags = (*tenant)["flags"];
  if (!flags.is_object()) flags = json::object();
  json& row = flags[std::string(edit.flag)];
  if (!row.is_object()) row = json::object();
  row.merge_patch(*change);
  if (!row.contains("previous")) row["previous"] = edit.stable;
  if (row.value("state", json()) == "production" && !change->contains("percent")) row.erase("percent");
  return canonical(*tenant);
}

std::vector<FrozenRow> frozen_rows(std::span<const ObjectChange> changes, int64_t wall_now_ns) {
  std::vector<FrozenRow> frozen;
  simdjson::dom::parser before_parser, after_parser;
  for (const ObjectChange& change : changes) {
    if (change.kind != ObjectKind::tenant || !change.before || !change.after) continue;
    if (change.before->find("\"freeze\"") == std::string::npos) continue;
    simdjson::dom::object rows;
    if (before_parser.parse(*change.before)["flags"].get_object().get(rows) != simdjson::SUCCESS) continue;
    const auto after_rows = after_parser.parse(*change.after)["flags"];
    for (const auto [flag, row] : rows) {
      if (is_frozen(row, wall_now_ns) && !may_become(row, after_rows[flag], wall_now_ns)) {
        frozen.push_back({.tenant = change.name, .flag = std::string(flag)});
      }
    }
  }
  return frozen;
}

}  // namespace weir::routing
