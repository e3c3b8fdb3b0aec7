// Typed reading of a table's document. Every function reports what is wrong to Problems and answers with
// nothing, so a caller goes on with the next property and all problems come out in one run.
// Control thread only.
#pragma once

#include <simdjson.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/limits.h"
#include "routing/table/problem.h"
#include "routing/table/properties.h"

namespace weir::routing {

using Element = simdjson::dom::element;

// Letters, digits and . _ @ : - only, at most limits::kMaxNameBytes: such a name needs no escaping in a
// header, a log line or a metric label.
bool is_name(std::string_view text);

// Reports when `name` is none.
void check_name(Problems& problems, const Path& path, std::string_view name);

// "a number", "a mapping", ...
std::string_view describe_type(Element element);

std::optional<std::string_view> read_string(Problems& problems, const Path& path, Element element);
// Not empty, at most `max_bytes`, and core::is_displayable_text().
std::optional<std::string_view> read_text(Problems& problems, const Path& path, Element element,
                                          size_t max_bytes = core::limits::kMaxTextBytes);
std::optional<bool> read_boolean(Problems& problems, const Path& path, Element element);
std::optional<uint64_t> read_count(Problems& problems, const Path& path, Element element, uint64_t min,
                                   uint64_t max);
std::optional<uint64_t> read_duration_ns(Problems& problems, const Path& path, Element element,
                                         uint64_t min_ns, uint64_t max_ns);
std::optional<int64_t> read_timestamp_ns(Problems& problems, const Path& path, Element element);
// 0 to 100 in steps of 0.001, as thousandths.
std::optional<uint32_t> read_milli_percent(Problems& problems, const Path& path, Element element);
// An amount of money from zero, exact in nano-USD.
std::optional<int64_t> read_nano_usd(Problems& problems, const Path& path, Element element);
// Position in `choices`.
std::optional<size_t> read_choice(Problems& problems, const Path& path, Element element,
                                  std::span<const std::string_view> choices);
std::optional<simdjson::dom::array> read_array(Problems& problems, const Path& path, Element element);
std::optional<simdjson::dom::object> read_object(Problems& problems, const Path& path, Element element);

// Reports members that appear twice in any object inside `element`.
void check_duplicates(Problems& problems, const Path& path, Element element);

// Sorts an object's members into `values` by their row in `shape`; bit i of the answer = values[i] is set.
// Reports unknown, duplicate and missing ones. None when the element is no object.
std::optional<uint32_t> read_properties(Problems& problems, const Path& path, Element element,
                                        const ObjectShape& shape, std::span<Element> values);

// An object of one shape. Its members are read by name; an absent one reads as nothing, unreported.
template <typename Property>
class Object {
 public:
  // `path` must outlive the Object.
  Object(Problems& problems, const Path& path, Element element) : problems_(problems), path_(path) {
    const auto present = read_properties(problems, path, element, PropertyTable<Property>::kShape, values_);
    valid_ = present.has_value();
    present_ = present.value_or(0);
  }

  // False: it was no object at all, which has been reported.
  bool valid() const { return valid_; }
  bool has(Property property) const { return (present_ >> index(property) & 1) != 0; }
  bool empty() const { return present_ == 0; }
  const Path& path() const { return path_; }
  Path at(Property property) const { return {path_, PropertyTable<Property>::kRows[index(property)].name}; }
  // The property must be there.
  Element operator[](Property property) const { return values_[index(property)]; }

  // read(problems, path, element, arguments...) on the property if it is there.
  template <typename Read, typename... Arguments>
  auto read(Property property, Read&& function, Arguments&&... arguments) const
      -> decltype(function(std::declval<Problems&>(), Path(), Element(), arguments...)) {
    if (!has(property)) return {};
    return function(problems_, at(property), (*this)[property], arguments...);
  }

  std::optional<std::string_view> text(Property property) const {
    return read(property, [](Problems& problems, const Path& path, Element element) {
      return read_text(problems, path, element);
    });
  }
  std::optional<std::string_view> string(Property property) const { return read(property, read_string); }
  std::optional<bool> boolean(Property property) const { return read(property, read_boolean); }
  std::optional<uint64_t> count(Property property, uint64_t min, uint64_t max) const {
    return read(property, read_count, min, max);
  }
  std::optional<uint64_t> duration_ns(Property property, uint64_t min_ns, uint64_t max_ns) const {
    return read(property, read_duration_ns, min_ns, max_ns);
  }
  std::optional<int64_t> timestamp_ns(Property property) const { return read(property, read_timestamp_ns); }
  std::optional<uint32_t> milli_percent(Property property) const {
    return read(property, read_milli_percent);
  }
  std::optional<int64_t> nano_usd(Property property) const { return read(property, read_nano_usd); }
  std::optional<size_t> choice(Property property, std::span<const std::string_view> choices) const {
    return read(property, read_choice, choices);
  }

  // each(path, element) for every element of an array.
  template <typename Each>
  void for_each(Property property, Each&& each) const {
    if (!has(property)) return;
    const Path list = at(property);
    const auto array = read_array(problems_, list, (*this)[property]);
    if (!array) return;
    size_t position = 0;
    for (const Element element : *array) each(Path(list, position++), element);
  }

 private:
  static constexpr size_t index(Property property) { return static_cast<size_t>(property); }

  Problems& problems_;
  const Path& path_;
  std::array<Element, PropertyTable<Property>::kRows.size()> values_;
  uint32_t present_ = 0;
  bool valid_ = false;
};

}  // namespace weir::routing
