#include "routing/admin/calls.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "routing/admin/query.h"

namespace weir::routing {
namespace {

constexpr auto kCalls = std::to_array<CallRow>({
#define X(handler, method, path, body, query, allowed, scope) \
  {#handler, net::Method::method, path, CallBody::body, query, {Allowed::allowed, Scope::scope}},
    WEIR_ADMIN_CALLS(X)
#undef X
});

// The first segment of `path`, which begins with '/', and the rest.
std::pair<std::string_view, std::string_view> split(std::string_view path) {
  path.remove_prefix(1);
  const size_t end = std::min(path.find('/'), path.size());
  return {path.substr(0, end), path.substr(end)};
}

// Whether a segment is what its pattern says; what braces stand for goes to `match`.
bool fits(std::string_view pattern, std::string_view segment, CallMatch& match) {
  if (!pattern.starts_with('{')) return pattern == segment;
  const size_t close = pattern.find('}');
  const std::string_view verb = pattern.substr(close + 1);  // ":approve"
  if (segment.size() <= verb.size() || !segment.ends_with(verb)) return false;
  segment.remove_suffix(verb.size());
  if (pattern.substr(1, close - 1) == "kind") {
    match.kind = parse_object_kind(segment);
    return match.kind && plural(*match.kind) == segment;
  }
  auto name = percent_decode(segment);
  if (!name) return false;
  match.names.push_back(*std::move(name));
  return true;
}

bool fits_path(std::string_view pattern, std::string_view path, CallMatch& match) {
  match.names.clear();
  match.kind.reset();
  while (!pattern.empty() && !path.empty()) {
    const auto [want, more_pattern] = split(pattern);
    const auto [have, more_path] = split(path);
    if (!fits(want, have, match)) return false;
    pattern = more_pattern;
    path = more_path;
  }
  return pattern.empty() && path.empty();
}

// "GET, PUT" by path.
const char* allow_of(std::string_view path) {
  static const auto texts = [] {
    std::map<std::string_view, std::string> made;
    for (const CallRow& row : kCalls) {
      std::string& text = made[row.path];
      if (!text.empty()) text += ", ";
      text += net::method_name(row.method);
    }
    return made;
  }();
  return texts.at(path).c_str();
}

}  // namespace

bool takes_parameter(const CallRow& row, std::string_view name) {
  std::string_view names = row.query;
  while (!names.empty()) {
    const size_t end = std::min(names.find(' '), names.size());
    const std::string_view known = names.substr(0, end);
    if (known.ends_with('*') ? name.starts_with(known.substr(0, known.size() - 1)) : name == known)
      return true;
    names.remove_prefix(std::min(end + 1, names.size()));
  }
  return false;
}

std::span<const CallRow> call_rows() {
  return kCalls;
}

std::expected<CallMatch, CallMismatch> match_call(std::string_view path, net::Method method) {
  CallMismatch mismatch{.allow = nullptr};
  if (!path.starts_with('/')) return std::unexpected(mismatch);
  CallMatch match{};
  for (size_t i = 0; i < kCalls.size(); ++i) {
    const CallRow& row = kCalls[i];
    if (mismatch.allow != nullptr && row.method != method) continue;
    if (!fits_path(row.path, path, match)) continue;
    if (row.method != method) {
      mismatch.allow = allow_of(row.path);
      continue;
    }
    match.row = i;
    match.permission =
        row.permission.allowed == Allowed::by_kind ? permission_to_change(*match.kind) : row.permission;
    return match;
  }
  return std::unexpected(mismatch);
}

}  // namespace weir::routing
