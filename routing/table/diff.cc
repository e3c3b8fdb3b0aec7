#include "routing/table/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>
#include <utility>

#include "core/display_text.h"
#include "routing/table/canonical_json.h"
#include "routing/table/problem.h"
#include "routing/table/reader.h"

namespace weir::routing {
namespace {

using simdjson::SUCCESS;
using JsonObject = simdjson::dom::object;

constexpr size_t kMaxShownBytes = 120;  // of one value, in text

// Members in the order of their names.
std::vector<std::pair<std::string_view, Element>> sorted_members(JsonObject object) {
  std::vector<std::pair<std::string_view, Element>> members;
  for (const auto [name, value] : object) members.emplace_back(name, value);
  std::ranges::stable_sort(members, {}, &std::pair<std::string_view, Element>::first);
  return members;
}

// Recursion is bounded by the parser's depth.
void diff_values(const Path& path, Element before, Element after, std::vector<MemberChange>& changes) {
  JsonObject old_object, new_object;
  const bool both =
      before.get_object().get(old_object) == SUCCESS && after.get_object().get(new_object) == SUCCESS;
  if (!both) {
    std::string old_json = canonical_json(before);
    std::string new_json = canonical_json(after);
    if (old_json != new_json) changes.push_back({path.text(), std::move(old_json), std::move(new_json)});
    return;
  }
  const auto old_members = sorted_members(old_object);
  const auto new_members = sorted_members(new_object);
  auto old_at = old_members.begin();
  auto new_at = new_members.begin();
  while (old_at != old_members.end() || new_at != new_members.end()) {
    const bool gone =
        new_at == new_members.end() || (old_at != old_members.end() && old_at->first < new_at->first);
    const bool is_new =
        old_at == old_members.end() || (new_at != new_members.end() && new_at->first < old_at->first);
    const Path member(path, is_new ? new_at->first : old_at->first);
    if (gone) {
      changes.push_back({member.text(), canonical_json(old_at++->second), ""});
    } else if (is_new) {
      changes.push_back({member.text(), "", canonical_json(new_at++->second)});
    } else {
      diff_values(member, old_at++->second, new_at++->second, changes);
    }
  }
}

std::string_view change_word(const ObjectChange& change) {
  return !change.before ? "added" : !change.after ? "removed" : "changed";
}

std::string shown(std::string_view json) {
  if (json.empty()) return "(none)";
  std::string text = core::displayable(json);
  if (text.size() <= kMaxShownBytes) return text;
  size_t end = kMaxShownBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) end--;
  return text.substr(0, end) + "…";
}

struct ObjectKey {
  ObjectKind kind;
  std::string name;
  friend bool operator==(const ObjectKey&, const ObjectKey&) = default;
};
struct ObjectKeyHash {
  size_t operator()(const ObjectKey& key) const {
    return std::hash<std::string>()(key.name) * kObjectKindCount + std::to_underlying(key.kind);
  }
};

}  // namespace

std::vector<MemberChange> diff_object(const ObjectChange& change) {
  std::vector<MemberChange> changes;
  if (!change.before || !change.after) {
    changes.push_back({"", change.before.value_or(""), change.after.value_or("")});
    return changes;
  }
  simdjson::dom::parser before_parser, after_parser;
  Element before, after;
  if (before_parser.parse(*change.before).get(before) != SUCCESS ||
      after_parser.parse(*change.after).get(after) != SUCCESS) {
    if (change.before != change.after) changes.push_back({"", *change.before, *change.after});
    return changes;
  }
  diff_values(Path(), before, after, changes);
  return changes;
}

std::vector<ObjectChange> diff_documents(Element before, Element after) {
  std::unordered_map<ObjectKey, std::string, ObjectKeyHash> old_bodies;
  std::vector<ObjectKey> old_order;
  split_document(before, [&](const ObjectView& object) {
    const auto [at, is_new] = old_bodies.try_emplace({object.kind, std::string(object.name)}, object.body);
    if (is_new) old_order.push_back(at->first);
  });
  std::array<std::vector<ObjectChange>, kObjectKindCount> found;
  split_document(after, [&](const ObjectView& object) {
    const auto at = old_bodies.find({object.kind, std::string(object.name)});
    const bool known = at != old_bodies.end();
    if (!known || at->second != object.body) {
      found[std::to_underlying(object.kind)].push_back(
          {.kind = object.kind,
           .name = std::string(object.name),
           .before = known ? std::optional(std::move(at->second)) : std::nullopt,
           .after = std::string(object.body)});
    }
    if (known) old_bodies.erase(at);
  });
  for (const ObjectKey& key : old_order) {
    const auto at = old_bodies.find(key);
    if (at == old_bodies.end()) continue;
    found[std::to_underlying(key.kind)].push_back(
        {.kind = key.kind, .name = key.name, .before = std::move(at->second), .after = std::nullopt});
  }
  std::vector<ObjectChange> changes;
  for (std::vector<ObjectChange>& of_kind : found) std::ranges::move(of_kind, std::back_inserter(changes));
  return changes;
}

void append_diff_json(std::string& out, const ObjectChange& change) {
  out += R"({"kind":)";
  append_json_string(out, to_string(change.kind));
  out += R"(,"name":)";
  append_json_string(out, change.name);
  out += fmt::format(R"(,"change":"{}","members":[)", change_word(change));
  bool first = true;
  for (const MemberChange& member : diff_object(change)) {
    if (!std::exchange(first, false)) out += ',';
    out += R"({"path":)";
    append_json_string(out, member.path);
    if (!member.before.empty()) out.append(R"(,"before":)").append(member.before);
    if (!member.after.empty()) out.append(R"(,"after":)").append(member.after);
    out += '}';
  }
  out += "]}";
}

std::string diff_json(std::span<const ObjectChange> changes) {
  std::string out = "[";
  for (const ObjectChange& change : changes) {
    if (out.size() > 1) out += ',';
    append_diff_json(out, change);
  }
  return out + ']';
}

std::string diff_text(std::span<const ObjectChange> changes, size_t max_objects) {
  std::string out;
  size_t added = 0, removed = 0, changed = 0, listed = 0;
  for (const ObjectChange& change : changes) {
    (!change.before ? added : !change.after ? removed : changed)++;
    if (listed++ >= max_objects) continue;
    const std::string_view kind = to_string(change.kind);
    const std::string name = core::displayable(change.name);
    if (!change.before) {
      out += fmt::format("+ {} {} {}\n", kind, name, shown(change.after.value_or("")));
    } else if (!change.after) {
      out += fmt::format("- {} {} {}\n", kind, name, shown(*change.before));
    } else {
      out += fmt::format("~ {} {}\n", kind, name);
      for (const MemberChange& member : diff_object(change)) {
        out += fmt::format("    {}{}{} -> {}\n", member.path, member.path.empty() ? "" : ": ",
                           shown(member.before), shown(member.after));
      }
    }
  }
  if (listed > max_objects) out += fmt::format("… and {} more objects\n", listed - max_objects);
  out += changes.empty() ? std::string("no difference\n")
                         : fmt::format("{} added, {} removed, {} changed\n", added, removed, changed);
  return out;
}

}  // namespace weir::routing
