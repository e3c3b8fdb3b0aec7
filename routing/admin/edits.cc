#include "routing/admin/edits.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "routing/table/canonical_json.h"
#include "routing/table/edit.h"
#include "routing/table/reader.h"

namespace weir::routing {
namespace {

using nlohmann::json;

std::unexpected<Refusal> unknown(ObjectKind kind, const std::string& name, std::string param) {
  return refuse(Refusal::Kind::unknown_name, fmt::format("There is no {} {}.", to_string(kind), name),
                std::move(param));
}

// A body of the registry: it parses.
std::string canonical(const json& value) {
  return canonical_text(value.dump(-1, ' ', false, json::error_handler_t::replace)).value_or("null");
}

Plan one_change(ObjectKind kind, const std::string& name, std::optional<std::string> after) {
  Plan plan;
  plan.changes.push_back({.kind = kind, .name = name, .before = std::nullopt, .after = std::move(after)});
  return plan;
}

// A key's name is its id, which its body holds too.
std::expected<std::string, Refusal> with_id(const std::string& name, const std::string& body) {
  json key = parse_json(body);
  if (!key.is_object()) return body;  // compile() says so
  if (key.contains("id") && key["id"] != name) {
    return refuse(Refusal::Kind::bad_value,
                  fmt::format("The body's id is not {}, which the path names.", name), "id");
  }
  key["id"] = name;
  return canonical(key);
}

std::expected<Plan, Refusal> plan_body(ObjectKind kind, const std::string& name, std::string body) {
  if (kind == ObjectKind::key) {
    auto key = with_id(name, body);
    if (!key) return std::unexpected(std::move(key.error()));
    body = *std::move(key);
  }
  return one_change(kind, name, std::move(body));
}

}  // namespace

json parse_json(std::string_view text) {
  return json::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::optional<std::string> canonical_text(std::string_view text) {
  auto document = Document::parse(std::string(text), TableFormat::json);
  if (!document) return std::nullopt;
  Problems problems;
  const Path top;
  check_duplicates(problems, top, document->root());
  if (!problems.empty()) return std::nullopt;
  return canonical_json(document->root());
}

std::expected<Plan, Refusal> plan_put(const Newest&, ObjectKind kind, const std::string& name,
                                      const std::string& body) {
  auto given = canonical_text(body);
  if (!given)
    return refuse(Refusal::Kind::bad_value, "The body must be JSON without members given twice.", "");
  return plan_body(kind, name, *std::move(given));
}

std::expected<Plan, Refusal> plan_patch(const Newest& newest, ObjectKind kind, const std::string& name,
                                        const std::string& patch) {
  auto now = newest.object(kind, name);
  if (!now) return std::unexpected(refusal_of(now.error()));
  if (!*now) return unknown(kind, name, "name");
  auto body = merge_patch(**now, patch);
  if (!body) return refuse(std::move(body.error()));
  return plan_body(kind, name, *std::move(body));
}

std::expected<Plan, Refusal> plan_delete(const Newest& newest, ObjectKind kind, const std::string& name) {
  auto now = newest.object(kind, name);
  if (!now) return std::unexpected(refusal_of(now.error()));
  if (!*now) return unknown(kind, name, "name");
  return one_change(kind, name, std::nullopt);
}

std::expected<Plan, Refusal> plan_row(const Newest& newest, const std::string& flag,
                                      const std::string& tenant, const std::string& change) {
  const TableBody& body = newest.body;
  const auto flag_index = body.flag_names.find(flag);
  if (!flag_index) return unknown(ObjectKind::flag, flag, "flag");
  auto now = newest.object(ObjectKind::tenant, tenant);
  if (!now) return std::unexpected(refusal_of(now.error()));
  if (!*now) return unknown(ObjectKind::tenant, tenant, "tenant");
  const UnitIndex stable = body[body.flags[*flag_index].scenario].stable;
  auto changed = edit_row(**now, {.flag = flag, .change = change, .stable = body[stable].name});
  if (!changed) return refuse(std::move(changed.error()));
  return one_change(ObjectKind::tenant, tenant, *std::move(changed));
}

std::string with_rows_of(const std::string& now, const std::optional<std::string>& then,
                         const std::function<bool(std::string_view flag)>& is_meant) {
  json body = parse_json(now);
  if (!body.is_object()) body = json::object();
  const json rows_now = body.contains("flags") && body["flags"].is_object() ? body["flags"] : json::object();
  json rows = json::object();
  for (const auto& [flag, row] : rows_now.items()) {
    if (!is_meant(flag)) rows[flag] = row;
  }
  const json past = then ? parse_json(*then) : json();
  if (past.is_object() && past.contains("flags") && past["flags"].is_object()) {
    for (const auto& [flag, row] : past["flags"].items()) {
      if (is_meant(flag)) rows[flag] = row;
    }
  }
  if (rows == rows_now) return now;
  body["flags"] = std::move(rows);
  return canonical(body);
}

}  // namespace weir::routing
