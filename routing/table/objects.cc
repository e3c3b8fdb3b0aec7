#include "routing/table/objects.h"

#include <algorithm>
#include <array>

#include "routing/table/canonical_json.h"

namespace weir::routing {
namespace {

constexpr auto kSingular =
    std::to_array<std::string_view>({"settings", "provider", "model", "prompt", "unit", "attribute",
                                     "segment", "scenario", "flag", "tenant", "key"});
constexpr auto kPlural =
    std::to_array<std::string_view>({"settings", "providers", "models", "prompts", "units", "attributes",
                                     "segments", "scenarios", "flags", "tenants", "keys"});

}  // namespace

std::string_view to_string(ObjectKind kind) {
  return kSingular[static_cast<size_t>(kind)];
}

std::string_view plural(ObjectKind kind) {
  return kPlural[static_cast<size_t>(kind)];
}

std::optional<ObjectKind> parse_object_kind(std::string_view text) {
  for (size_t i = 0; i < kObjectKindCount; i++) {
    if (text == kSingular[i] || text == kPlural[i]) return static_cast<ObjectKind>(i);
  }
  return std::nullopt;
}

void DocumentBuilder::add(const ObjectView& object) {
  std::string& section = sections_[static_cast<size_t>(object.kind)];
  if (object.kind == ObjectKind::settings) {
    section = object.body;
    return;
  }
  if (!section.empty()) section += ',';
  if (object.kind != ObjectKind::key) {
    append_json_string(section, object.name);
    section += ':';
  }
  section += object.body;
}

std::string DocumentBuilder::take() {
  std::string out = "{";
  for (size_t i = 1; i < kObjectKindCount; i++) {
    if (sections_[i].empty()) continue;
    const bool list = static_cast<ObjectKind>(i) == ObjectKind::key;
    if (out.size() > 1) out += ',';
    out += '"' + std::string(kPlural[i]) + "\":" + (list ? '[' : '{') + sections_[i] + (list ? ']' : '}');
  }
  const std::string& settings = sections_[0];
  if (settings.size() > 2) {
    if (out.size() > 1) out += ',';
    out.append(settings, 1, settings.size() - 2);
  }
  return out + '}';
}

}  // namespace weir::routing
