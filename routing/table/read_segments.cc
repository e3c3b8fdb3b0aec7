// Attributes and segments.
#include "routing/table/compile_state.h"

namespace weir::routing {
namespace {

using Kind = ConditionStep::Kind;

// Words with a meaning of their own inside a segment.
constexpr auto kConnectives = std::to_array<std::string_view>({"all", "any", "not"});

bool is_connective(std::string_view word) {
  return std::ranges::find(kConnectives, word) != kConnectives.end();
}

constexpr size_t kMinPhoneDigits = 9;

// Somewhere in the text: something, '@', and a domain that ends in letters. "@example.com" is a group, and
// "support@2.1.0" a prompt.
bool looks_like_email(std::string_view text) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  for (size_t at = text.find('@'); at != std::string_view::npos; at = text.find('@', at + 1)) {
    if (at == 0 || text[at - 1] == ' ') continue;
    const std::string_view domain = text.substr(at + 1, text.find_first_of(" ,;>@", at + 1) - at - 1);
    const size_t dot = domain.rfind('.');
    if (dot != std::string_view::npos && dot > 0 && dot + 1 < domain.size() && is_letter(domain[dot + 1]))
      return true;
  }
  return false;
}

bool looks_like_phone(std::string_view text) {
  if (text.starts_with("tel:")) text.remove_prefix(4);
  size_t digits = 0;
  for (const char c : text) {
    if (c >= '0' && c <= '9') {
      digits++;
    } else if (std::string_view(" +-().").find(c) == std::string_view::npos) {
      return false;
    }
  }
  return digits >= kMinPhoneDigits || (digits >= 7 && text.starts_with('+'));
}

// Rules are for groups: a person's address in one would spread into configuration, logs and audit.
void check_impersonal(Problems& problems, const Path& path, std::string_view text) {
  if (!looks_like_email(text) && !looks_like_phone(text)) return;
  problems.add(path,
               "looks like a person's e-mail address or phone number; rules name groups, so use an "
               "attribute that says what this person is");
}

void read_attribute(CompileState& state, const Path& path, Element element, Attribute& attribute) {
  const std::string& name = attribute.name;
  if (!std::ranges::all_of(
          name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; })) {
    state.problems.add(path,
                       "must be lower-case letters, digits and - only, as it ends the header x-weir-attr-…");
  }
  if (is_connective(name))
    state.problems.add(path, fmt::format("{} is a word of segments; choose another", quote(name)));
  if (!element.is_array()) {
    const auto choice = read_choice(state.problems, path, element, kAttributeKinds);
    constexpr std::array kKinds = {AttributeKind::string, AttributeKind::boolean, AttributeKind::number};
    if (choice) attribute.kind = kKinds[*choice];
    return;
  }
  attribute.kind = AttributeKind::enumeration;
  const simdjson::dom::array array = element.get_array().value_unsafe();
  size_t position = 0;
  for (const Element item : array) {
    const Path at(path, position++);
    const auto value = read_text(state.problems, at, item, core::limits::kMaxIdentifierBytes);
    if (!value) continue;
    check_impersonal(state.problems, at, *value);
    attribute.values.emplace_back(*value);
  }
  if (position == 0) state.problems.add(path, "has no values; list them, or say string");
  std::vector<std::string_view> sorted(attribute.values.begin(), attribute.values.end());
  std::ranges::sort(sorted);
  const auto twice = std::ranges::adjacent_find(sorted);
  if (twice != sorted.end()) state.problems.add(path, fmt::format("holds {} twice; keep one", quote(*twice)));
}

// Reads one segment's condition into postfix steps.
//
// Lists are folded two by two (a b all c all), so the stack of booleans that evaluation needs grows with the
// nesting and not with the lists: a condition at depth d (from 1) is evaluated on a stack of at most d.
class ConditionReader {
 public:
  ConditionReader(CompileState& state, std::vector<ConditionStep>& steps) : state_(state), steps_(steps) {}

  // A mapping of attributes and connectives, all of which must hold.
  void read(const Path& path, Element element, uint32_t depth) {
    const auto object = read_object(state_.problems, path, element);
    if (!object) return;
    if (depth > core::limits::kMaxSegmentDepth) {
      return state_.problems.add(
          path, fmt::format("is nested deeper than {} levels", core::limits::kMaxSegmentDepth));
    }
    size_t count = 0;
    for (auto at = object->begin(); at != object->end(); ++at) count++;
    if (count == 0) return state_.problems.add(path, "has no condition, so it would hold for everybody");
    const uint32_t inner = count > 1 ? depth + 1 : depth;
    size_t done = 0;
    std::vector<std::string_view> seen;
    for (const auto [key, value] : *object) {
      const Path at(path, key);
      if (seen.size() <= core::limits::kMaxAttributes && std::ranges::find(seen, key) != seen.end()) {
        state_.problems.add(at, "appears twice; keep one, or use all");
        continue;
      }
      seen.push_back(key);
      read_member(at, key, value, inner);
      if (done++ > 0) push({.kind = Kind::all, .count = 2});
    }
  }

 private:
  void read_member(const Path& path, std::string_view key, Element value, uint32_t depth) {
    if (key == "all") return read_list(path, value, depth, Kind::all);
    if (key == "any") return read_list(path, value, depth, Kind::any);
    if (key == "not") {
      read(path, value, depth + 1);
      return push({.kind = Kind::negate, .count = 1});
    }
    if (depth > core::limits::kMaxSegmentDepth) {
      return state_.problems.add(
          path, fmt::format("is nested deeper than {} levels", core::limits::kMaxSegmentDepth));
    }
    const auto index = state_.body.attribute_names.find(key);
    if (!index) {
      std::vector<std::string_view> known(kConnectives.begin(), kConnectives.end());
      known.insert(known.end(), state_.attribute_names.list.begin(), state_.attribute_names.list.end());
      return state_.problems.add(
          path, "undeclared attribute; declare it under attributes" + did_you_mean(key, known));
    }
    read_test(path, value, static_cast<AttributeIndex>(*index), depth);
  }

  void read_list(const Path& path, Element element, uint32_t depth, Kind connective) {
    const auto array = read_array(state_.problems, path, element);
    if (!array) return;
    size_t position = 0;
    for (const Element item : *array) {
      read(Path(path, position), item, depth + 1);
      if (position++ > 0) push({.kind = connective, .count = 2});
    }
    if (position == 0) state_.problems.add(path, "is an empty list; give it conditions");
  }

  // attribute: value | [values] | {comparison: value, ...}
  void read_test(const Path& path, Element value, AttributeIndex index, uint32_t depth) {
    if (value.is_object()) return read_comparisons(path, value, index, depth);
    if (!value.is_array()) return read_equal(path, value, index);
    if (!is_text(index)) {
      return state_.problems.add(path,
                                 "a list of values is for text attributes; use any with one condition each");
    }
    ConditionStep step{.kind = Kind::one_of, .attribute = index};
    const simdjson::dom::array array = value.get_array().value_unsafe();
    size_t position = 0;
    for (const Element item : array) {
      const Path at(path, position++);
      if (const auto text = read_operand(at, item, index, Whole::yes)) step.operands.emplace_back(*text);
    }
    if (position == 0) return state_.problems.add(path, "is an empty list, so it would hold for nobody");
    push(std::move(step));
  }

  void read_equal(const Path& path, Element value, AttributeIndex index) {
    switch (state_.body[index].kind) {
      case AttributeKind::boolean:
        if (const auto wanted = read_boolean(state_.problems, path, value)) {
          push({.kind = *wanted ? Kind::is_true : Kind::is_false, .attribute = index});
        }
        return;
      case AttributeKind::number:
        return read_number(path, value, index, Kind::number_equals);
      case AttributeKind::string:
      case AttributeKind::enumeration:
        return read_pattern(path, value, index, Kind::equals);
    }
  }

  void read_comparisons(const Path& path, Element value, AttributeIndex index, uint32_t depth) {
    using enum ComparisonProperty;
    struct Row {
      ComparisonProperty property;
      Kind kind;
    };
    constexpr std::array kTexts = {Row{starts_with, Kind::starts_with}, Row{ends_with, Kind::ends_with}};
    constexpr std::array kNumbers = {Row{lt, Kind::less}, Row{le, Kind::less_equal}, Row{gt, Kind::greater},
                                     Row{ge, Kind::greater_equal}};
    const Object<ComparisonProperty> object(state_.problems, path, value);
    if (!object.valid()) return;
    size_t done = 0;
    const auto count_one = [&] {
      if (done++ > 0) push({.kind = Kind::all, .count = 2});
    };
    if (object.has(eq)) {
      read_equal(object.at(eq), object[eq], index);
      count_one();
    }
    for (const Row& row : kTexts) {
      if (!object.has(row.property)) continue;
      if (state_.body[index].kind != AttributeKind::string) {
        state_.problems.add(object.at(row.property), "compares text, but the attribute is not a string");
        continue;
      }
      read_pattern(object.at(row.property), object[row.property], index, row.kind);
      count_one();
    }
    for (const Row& row : kNumbers) {
      if (!object.has(row.property)) continue;
      if (state_.body[index].kind != AttributeKind::number) {
        state_.problems.add(object.at(row.property), "compares numbers, but the attribute is not a number");
        continue;
      }
      read_number(object.at(row.property), object[row.property], index, row.kind);
      count_one();
    }
    if (value.get_object().value_unsafe().size() == 0)
      state_.problems.add(path, "has no comparison; name one, such as eq or starts_with");
    if (done > 1 && depth + 1 > core::limits::kMaxSegmentDepth) {
      state_.problems.add(path,
                          fmt::format("is nested deeper than {} levels", core::limits::kMaxSegmentDepth));
    }
  }

  void read_pattern(const Path& path, Element value, AttributeIndex index, Kind kind) {
    const auto text = read_operand(path, value, index, kind == Kind::equals ? Whole::yes : Whole::no);
    if (text) push({.kind = kind, .attribute = index, .operands = {std::string(*text)}});
  }

  void read_number(const Path& path, Element value, AttributeIndex index, Kind kind) {
    double number = 0;
    if (value.get_double().get(number) != simdjson::SUCCESS) {
      return state_.problems.add(path, fmt::format("must be a number, not {}", describe_type(value)));
    }
    int64_t whole = 0;  // a limit to compare with may be large; one value to equal is a number of somebody
    if (kind == Kind::number_equals && value.get_int64().get(whole) == simdjson::SUCCESS) {
      check_impersonal(state_.problems, path, std::to_string(whole));
    }
    push({.kind = kind, .attribute = index, .number = number});
  }

  bool is_text(AttributeIndex index) const {
    const AttributeKind kind = state_.body[index].kind;
    return kind == AttributeKind::string || kind == AttributeKind::enumeration;
  }

  enum class Whole { yes, no };  // is the text a whole value, or a part of one

  std::optional<std::string_view> read_operand(const Path& path, Element value, AttributeIndex index,
                                               Whole whole) {
    const auto text = read_text(state_.problems, path, value, core::limits::kMaxIdentifierBytes);
    if (!text) return std::nullopt;
    check_impersonal(state_.problems, path, *text);
    const Attribute& attribute = state_.body[index];
    if (attribute.kind != AttributeKind::enumeration || whole == Whole::no) return text;
    if (std::ranges::find(attribute.values, *text) == attribute.values.end()) {
      const std::vector<std::string_view> values(attribute.values.begin(), attribute.values.end());
      state_.problems.add(path, fmt::format("{} is not a value of {}; one of {}{}", quote(*text),
                                            attribute.name, list_names(values), did_you_mean(*text, values)));
    }
    return text;
  }

  void push(ConditionStep step) { steps_.push_back(std::move(step)); }

  CompileState& state_;
  std::vector<ConditionStep>& steps_;
};

}  // namespace

void read_attributes(CompileState& state, const Root& root) {
  read_section(state, root, RootProperty::attributes, state.attribute_names, state.body.attributes,
               [&](const Path& path, Element element, Attribute& attribute, uint32_t) {
                 read_attribute(state, path, element, attribute);
               });
  check_section_size(state, root, RootProperty::attributes, state.body.attributes.size(),
                     core::limits::kMaxAttributes);
}

void read_segments(CompileState& state, const Root& root) {
  read_section(state, root, RootProperty::segments, state.segment_names, state.body.segments,
               [&](const Path& path, Element element, Segment& segment, uint32_t) {
                 ConditionReader(state, segment.steps).read(path, element, 1);
               });
  check_section_size(state, root, RootProperty::segments, state.body.segments.size(),
                     core::limits::kMaxSegments);
}

}  // namespace weir::routing
