#include "routing/table/objects.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>
#include <vector>

#include "routing/table/canonical_json.h"
#include "routing/table/reader.h"

namespace weir::routing {
namespace {


struct KindNames {
  std::string_view singular, plural;
};

// By ObjectKind.
constexpr KindNames kNames[] = {
    {"settings", "settings"}, {"provider", "providers"},   {"model", "models"},     {"prompt", "prompts"},
    {"unit", "units"},        {"attribute", "attributes"}, {"segment", "segments"}, {"scenario", "scenarios"},
    {"flag", "flags"},        {"tenant", "tenants"},       {"key", "keys"},
};
static_assert(std::size(kNames) == kObjectKindCount);

// The kind whose objects stand under this member of the root.
std::optional<ObjectKind> section_kind(std::string_view member) {
  for (uint8_t i = 1; i < kObjectKindCount; i++) {
    if (kNames[i].plural == member) return static_cast<ObjectKind>(i);
  }
  return std::nullopt;
}

void append_member(std::string& out, std::string_view name, std::string_view value) {
  if (!out.empty()) out += ',';
  append_json_string(out, name);
  out += ':';
  out += value;
}

// The settings: whatever is no section, in the order of canonical JSON.
void split_settings(simdjson::dom::object root, const std::function<void(const ObjectView&)>& each) {
  std::vector<std::pair<std::string_view, Element>> members;
  for (const auto [name, value] : root) {
    if (!section_kind(name)) members.emplace_back(name, value);
  }
  if (members.empty()) return;
  std::ranges::stable_sort(members, {}, &std::pair<std::string_view, Element>::first);
  std::string body;
  for (const auto& [name, value] : members) append_member(body, name, canonical_json(value));
  body = '{' + std::move(body) + '}';
  each({ObjectKind::settings, kSettingsName, body});
}

void split_section(ObjectKind kind, Element section, std::string& body,
                   const std::function<void(const ObjectView&)>& each) {
  const auto tell = [&](std::string_view name, Element element) {
    body.clear();
    append_canonical(body, element);
    each({kind, name, body});
  };
  if (kind == ObjectKind::key) {
    simdjson::dom::array keys;
    if (section.get_array().get(keys) != simdjson::SUCCESS) return;
    for (const Element key : keys) {
      std::string_view id;
      if (key["id"].get_string().get(id) == simdjson::SUCCESS) tell(id, key);
    }
    return;
  }
  simdjson::dom::object objects;
  if (section.get_object().get(objects) != simdjson::SUCCESS) return;
  for (const auto [name, element] : objects) tell(name, element);
}

}  // namespace

std::string_view to_string(ObjectKind kind) {
  return kNames[std::to_underlying(kind)].singular;
}

std::string_view plural(ObjectKind kind) {
  return kNames[std::to_underlying(kind)].plural;
}

std::optional<ObjectKind> parse_object_kind(std::string_view singular_or_plural) {
  for (uint8_t i = 0; i < kObjectKindCount; i++) {
    if (kNames[i].singular == singular_or_plural || kNames[i].plural == singular_or_plural)
      return static_cast<ObjectKind>(i);
  }
  return std::nullopt;
}

void split_document(Element root, const std::function<void(const ObjectView&)>& each) {
  simdjson::dom::object members;
  if (root.get_object().get(members) != simdjson::SUCCESS) return;
  split_settings(members, each);
  // Looking a member up walks all members before it, so the sections are found in one walk.
  std::array<std::optional<Element>, kObjectKindCount> sections;
  for (const auto [name, value] : members) {
    if (const auto kind = section_kind(name)) sections[std::to_underlying(*kind)] = value;
  }
  std::string body;
  for (uint8_t i = 0; i < kObjectKindCount; i++) {
    if (sections[i]) split_section(static_cast<ObjectKind>(i), *sections[i], body, each);
  }
}

bool is_in_order(Element root) {
  simdjson::dom::object members;
  if (root.get_object().get(members) != simdjson::SUCCESS) return true;
  for (const auto [section, value] : members) {
    const auto kind = section_kind(section);
    simdjson::dom::object objects;
    if (!kind || *kind >= ObjectKind::tenant || value.get_object().get(objects) != simdjson::SUCCESS)
      continue;
    std::string_view last;
    for (const auto [name, _] : objects) {
      if (name < last) return false;
      last = name;
    }
  }
  return true;
}

std::string put_in_order(Element root) {
  struct Object {
    ObjectKind kind;
    std::string name, body;
  };
  std::vector<Object> objects;
  DocumentBuilder builder;
  split_document(root, [&](const ObjectView& object) {
    if (object.kind >= ObjectKind::tenant) return builder.add(object);
    objects.push_back({object.kind, std::string(object.name), std::string(object.body)});
  });
  std::ranges::stable_sort(objects, {}, &Object::name);
  for (const Object& object : objects) builder.add({object.kind, object.name, object.body});
  return builder.take();
}

void DocumentBuilder::add(const ObjectView& object) {
  std::string& section = sections_[std::to_underlying(object.kind)];
  switch (object.kind) {
    case ObjectKind::settings:
      section = object.body;
      return;
    case ObjectKind::key:
      if (!section.empty()) section += ',';
      section += object.body;
      return;
    default:
      append_member(section, object.name, object.body);
  }
}

std::string DocumentBuilder::take() {
  // What stands at the root, by name: the settings' members and the sections.
  struct Member {
    std::string name;
    std::string json;
    ObjectKind kind;
  };
  std::vector<Member> members;
  const std::string settings = std::exchange(sections_[0], {});
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (!settings.empty()) {
    if (parser.parse(settings).get_object().get(object) == simdjson::SUCCESS) {
      for (const auto [name, value] : object)
        members.push_back({std::string(name), canonical_json(value), ObjectKind::settings});
    } else {
      // Nothing of ours: compile() will say that it does not know the field, or that this is no JSON.
      members.push_back({std::string(kSettingsName), settings, ObjectKind::settings});
    }
  }
  size_t size = 2;
  for (uint8_t i = 1; i < kObjectKindCount; i++) {
    if (!sections_[i].empty())
      members.push_back({std::string(kNames[i].plural), {}, static_cast<ObjectKind>(i)});
    size += sections_[i].size() + kNames[i].plural.size() + 6;
  }
  std::ranges::stable_sort(members, {}, &Member::name);
  std::string document;
  document.reserve(size + settings.size());
  document += '{';
  for (const Member& member : members) {
    if (document.size() > 1) document += ',';
    append_json_string(document, member.name);
    document += ':';
    if (member.kind == ObjectKind::settings) {
      document += member.json;
      continue;
    }
    const bool is_list = member.kind == ObjectKind::key;
    std::string section = std::exchange(sections_[std::to_underlying(member.kind)], {});
    document.append(is_list ? "[" : "{").append(section).append(is_list ? "]" : "}");
  }
  document += '}';
  return document;
}

}  // namespace weir::routing
