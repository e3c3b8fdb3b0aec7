#include "routing/table/csv.h"

#include <simdjson.h>

#include <array>
#include <optional>

#include "routing/table/canonical_json.h"
#include "routing/table/reader.h"

namespace weir::routing {
namespace {

using simdjson::SUCCESS;

constexpr std::string_view kLineEnd = "\r\n";

bool looks_like_formula(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return false;
  return first != 0 || std::string_view("=+-@").find(text[0]) != std::string_view::npos;
}

std::optional<Element> member_of(Element object, std::string_view name) {
  Element found;
  if (object[name].get(found) != SUCCESS || found.is_null()) return std::nullopt;
  return found;
}

// A text as it is, a list's items with blanks between them, anything else as JSON.
std::string column_text(const std::optional<Element>& element) {
  if (!element) return {};
  std::string_view text;
  if (element->get_string().get(text) == SUCCESS) return std::string(text);
  simdjson::dom::array list;
  if (element->get_array().get(list) != SUCCESS) return canonical_json(*element);
  std::string joined;
  for (const Element item : list) {
    if (!joined.empty()) joined += ' ';
    joined += column_text(item);
  }
  return joined;
}

}  // namespace

void append_csv_field(std::string& out, std::string_view text) {
  const bool guarded = looks_like_formula(text);
  const bool quoted = text.find_first_of(",\"\r\n") != std::string_view::npos;
  if (quoted) out += '"';
  if (guarded) out += '\'';
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  if (quoted) out += '"';
}

std::string_view LaunchCsv::header() {
  return "flag,scenario,candidate,tenant,state,percent,segments,start,expires,on_expiry,review,owner,"
         "approver,reason,previous,rpm,total_requests,until,on_rollback,tpm,concurrency\r\n";
}

void LaunchCsv::add(const ObjectView& object, std::string& out) {
  if (object.kind != ObjectKind::flag && object.kind != ObjectKind::tenant) return;
  simdjson::dom::parser parser;
  Element body;
  if (parser.parse(object.body.data(), object.body.size()).get(body) != SUCCESS) return;
  if (object.kind == ObjectKind::flag) {
    const auto candidate = member_of(body, "candidate");
    const auto unit = candidate ? member_of(*candidate, "unit") : std::nullopt;
    flags_.insert_or_assign(std::string(object.name),
                            FlagColumns{.scenario = column_text(member_of(body, "scenario")),
                                        .candidate = column_text(unit ? unit : candidate)});
    return;
  }
  simdjson::dom::object rows;
  if (body["flags"].get_object().get(rows) != SUCCESS) return;
  for (const auto [flag, row] : rows) {
    const auto found = flags_.find(flag);
    append_csv_field(out, flag);
    const auto column = [&](std::string_view text) {
      out += ',';
      append_csv_field(out, text);
    };
    column(found == flags_.end() ? "" : found->second.scenario);
    column(found == flags_.end() ? "" : found->second.candidate);
    column(object.name);
    for (const std::string_view member : {"state", "percent", "segments", "start", "expires", "on_expiry",
                                          "review", "owner", "approver", "reason", "previous"}) {
      column(column_text(member_of(row, member)));
    }
    const auto limits = member_of(row, "limits");
    const auto limit = [&](std::string_view member) {
      column(limits ? column_text(member_of(*limits, member)) : "");
    };
    for (const std::string_view member : {"rpm", "total_requests", "until"}) limit(member);
    column(column_text(member_of(row, "on_rollback")));
    for (const std::string_view member : {"tpm", "concurrency"}) limit(member);
    out += kLineEnd;
  }
}

std::string_view ObjectCsv::header() {
  return "kind,name,body\r\n";
}

void ObjectCsv::add(const ObjectView& object, std::string& out) {
  append_csv_field(out, to_string(object.kind));
  out += ',';
  append_csv_field(out, object.name);
  out += ',';
  append_csv_field(out, object.body);
  out += kLineEnd;
}

}  // namespace weir::routing
