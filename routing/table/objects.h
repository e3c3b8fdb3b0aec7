// A table as the objects it is made of: what the registry stores, what the admin API changes one by one, what
// a diff compares. A document is its objects and nothing else, so both ways lose nothing:
//
//   document ──split_document──▶ (kind, name, body)* ──assemble_document──▶ the same document, canonical
//
// An object's name is its name in the document's section; a key's is its `id`. Everything at the root that is
// no section (`budgets`, `prompt_source`) is one object, kind settings, name "table". A body is canonical
// JSON (routing/table/canonical_json.h) of what stands under the name; a key's body keeps its id.
//
// Pure; any thread.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace weir::routing {

// The numbers are stored in registries: append, never renumber.
enum class ObjectKind : uint8_t {
  settings = 0,
  provider = 1,
  model = 2,
  prompt = 3,
  unit = 4,
  attribute = 5,
  segment = 6,
  scenario = 7,
  flag = 8,
  tenant = 9,
  key = 10,
};
inline constexpr uint8_t kObjectKindCount = 11;

// "tenant": in records and diffs. "tenants": in paths of the admin API and in the document.
std::string_view to_string(ObjectKind kind);
std::string_view plural(ObjectKind kind);
std::optional<ObjectKind> parse_object_kind(std::string_view singular_or_plural);

inline constexpr std::string_view kSettingsName = "table";

// Units and prompts never change under their name (DESIGN section 1).
constexpr bool is_immutable(ObjectKind kind) {
  return kind == ObjectKind::unit || kind == ObjectKind::prompt;
}

struct ObjectView {
  ObjectKind kind;
  std::string_view name;
  std::string_view body;
};

// One object of a change: its body before and after, none = it is not there.
struct ObjectChange {
  ObjectKind kind = ObjectKind::settings;
  std::string name = {};
  std::optional<std::string> before = {};
  std::optional<std::string> after = {};
};

// Calls `each` for every object, kinds in the order of the enum, names in the document's order. The views
// live until `each` returns. The document need not be a valid table; what is no object of a known section is
// left out (compile() has said so already).
void split_document(simdjson::dom::element root, const std::function<void(const ObjectView&)>& each);

// The registry gives objects back by name, and order matters: flags of one scenario are layered in it, and
// indices count in it. What a document means must not depend on whether it has been through a registry, so it
// is served in that order. Of tenants and keys any order is the same.
bool is_in_order(simdjson::dom::element root);
// The document with its objects by name.
std::string put_in_order(simdjson::dom::element root);

// Collects objects (any order of kinds; names of one kind in the order they come) into a document.
class DocumentBuilder {
 public:
  void add(const ObjectView& object);
  // The whole document as JSON; members of the root sorted. Ends the builder.
  std::string take();

 private:
  std::string sections_[kObjectKindCount];
};

}  // namespace weir::routing
