#include "routing/table/reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/display_text.h"
#include "routing/table/scalars.h"

namespace weir::routing {
namespace {

using Type = simdjson::dom::element_type;

constexpr auto kNameBytes = [] {
  std::array<bool, 256> allowed{};
  for (const char c :
       std::string_view("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@:-")) {
    allowed[static_cast<unsigned char>(c)] = true;
  }
  return allowed;
}();

void report_type(Problems& problems, const Path& path, Element element, std::string_view wanted) {
  if (element.type() == Type::NULL_VALUE) {
    return problems.add(path, fmt::format("is empty; give it {} or leave it out", wanted));
  }
  const bool quotable =
      wanted.starts_with("a string") && element.type() != Type::OBJECT && element.type() != Type::ARRAY;
  problems.add(path, fmt::format("must be {}, not {}{}", wanted, describe_type(element),
                                 quotable ? "; put it in quotes" : ""));
}

std::optional<Decimal> read_decimal(Problems& problems, const Path& path, Element element) {
  switch (element.type()) {
    case Type::INT64: {
      const int64_t value = element.get_int64().value_unsafe();
      const uint64_t magnitude =
          value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
      return Decimal{.negative = value < 0, .digits = magnitude};
    }
    case Type::UINT64:
      return Decimal{.digits = element.get_uint64().value_unsafe()};
    case Type::DOUBLE:
      return shortest_decimal(element.get_double().value_unsafe());
    default:
      report_type(problems, path, element, "a number");
      return std::nullopt;
  }
}

// "90s", "1500ms": the largest unit that divides it.
std::string print_duration(uint64_t ns) {
  if (ns % kNsPerDay == 0 && ns != 0) return fmt::format("{}d", ns / kNsPerDay);
  if (ns % kNsPerHour == 0 && ns != 0) return fmt::format("{}h", ns / kNsPerHour);
  if (ns % core::kNsPerSecond == 0) return fmt::format("{}s", ns / core::kNsPerSecond);
  return fmt::format("{}ms", ns / core::kNsPerMs);
}

}  // namespace

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= core::limits::kMaxNameBytes &&
         std::ranges::all_of(text, [](char c) { return kNameBytes[static_cast<unsigned char>(c)]; });
}

void check_name(Problems& problems, const Path& path, std::string_view name) {
  if (is_name(name)) return;
  problems.add(path, fmt::format("{} is not a name: use letters, digits and . _ @ : - only, at most {} bytes",
                                 quote(name), core::limits::kMaxNameBytes));
}

std::string_view describe_type(Element element) {
  switch (element.type()) {
    case Type::ARRAY:
      return "a list";
    case Type::OBJECT:
      return "a mapping";
    case Type::STRING:
      return "a string";
    case Type::INT64:
    case Type::UINT64:
    case Type::DOUBLE:
      return "a number";
    case Type::BOOL:
      return "a boolean";
    case Type::NULL_VALUE:
      return "null";
  }
  return "something else";
}

std::optional<std::string_view> read_string(Problems& problems, const Path& path, Element element) {
  std::string_view text;
  if (element.get_string().get(text) == simdjson::SUCCESS) return text;
  report_type(problems, path, element, "a string");
  return std::nullopt;
}

std::optional<std::string_view> read_text(Problems& problems, const Path& path, Element element,
                                          size_t max_bytes) {
  const auto text = read_string(problems, path, element);
  if (!text) return std::nullopt;
  if (text->empty()) {
    problems.add(path, "is empty; give it some text or leave it out");
    return std::nullopt;
  }
  if (text->size() > max_bytes) {
    problems.add(path, fmt::format("is {} bytes long; at most {} are accepted", text->size(), max_bytes));
    return std::nullopt;
  }
  if (!core::is_displayable_text(*text)) {
    problems.add(
        path,
        fmt::format(
            "holds a control character, line break or invisible character: {}; use one line of plain text",
            quote(*text)));
    return std::nullopt;
  }
  return text;
}

std::optional<bool> read_boolean(Problems& problems, const Path& path, Element element) {
  bool value = false;
  if (element.get_bool().get(value) == simdjson::SUCCESS) return value;
  report_type(problems, path, element, "true or false");
  return std::nullopt;
}

std::optional<uint64_t> read_count(Problems& problems, const Path& path, Element element, uint64_t min,
                                   uint64_t max) {
  const auto decimal = read_decimal(problems, path, element);
  if (!decimal) return std::nullopt;
  const auto value = scale(*decimal, 0);
  if (!value || *value < 0 || static_cast<uint64_t>(*value) < min || static_cast<uint64_t>(*value) > max) {
    problems.add(path, fmt::format("must be a whole number from {} to {}", min, max));
    return std::nullopt;
  }
  return static_cast<uint64_t>(*value);
}

std::optional<uint64_t> read_duration_ns(Problems& problems, const Path& path, Element element,
                                         uint64_t min_ns, uint64_t max_ns) {
  std::string_view text;
  if (element.get_string().get(text) != simdjson::SUCCESS) {
    problems.add(path,
                 fmt::format("must be a duration with its unit, such as 300ms, 2s, 5m, 1h or 7d, not {}",
                             describe_type(element)));
    return std::nullopt;
  }
  const auto ns = parse_duration_ns(text);
  if (!ns) {
    problems.add(path,
                 fmt::format("{} is not a duration: write whole digits and one unit, such as 300ms, 2s, "
                             "5m, 1h or 7d",
                             quote(text)));
    return std::nullopt;
  }
  if (*ns < min_ns || *ns > max_ns) {
    problems.add(path, fmt::format("{} is out of range: from {} to {}", text, print_duration(min_ns),
                                   print_duration(max_ns)));
    return std::nullopt;
  }
  return ns;
}

std::optional<int64_t> read_timestamp_ns(Problems& problems, const Path& path, Element element) {
  const auto text = read_string(problems, path, element);
  if (!text) return std::nullopt;
  const auto ns = parse_timestamp_ns(*text);
  if (!ns) {
    problems.add(path, fmt::format("{} is not a time: write it as 2026-12-01T09:00:00Z, 2026-12-01T09:00Z or "
                                   "2026-12-01",
                                   quote(*text)));
  }
  return ns;
}

std::optional<uint32_t> read_milli_percent(Problems& problems, const Path& path, Element element) {
  const auto decimal = read_decimal(problems, path, element);
  if (!decimal) return std::nullopt;
  const auto value = scale(*decimal, 3);
  if (!value || *value < 0 || *value > 100'000) {
    problems.add(path, "must be a percentage from 0 to 100 in steps of 0.001");
    return std::nullopt;
  }
  return static_cast<uint32_t>(*value);
}

std::optional<int64_t> read_nano_usd(Problems& problems, const Path& path, Element element) {
  constexpr int64_t kMaxUsd = 1'000'000'000;  // leaves a factor of nine to the end of NanoUsd
  const auto decimal = read_decimal(problems, path, element);
  if (!decimal) return std::nullopt;
  const auto value = scale(*decimal, 9);
  if (!value || *value < 0 || *value > kMaxUsd * core::NanoUsd::kPerUsd) {
    problems.add(path, fmt::format("must be an amount in USD from 0 to {} with at most 9 decimals", kMaxUsd));
    return std::nullopt;
  }
  return value;
}

std::optional<size_t> read_choice(Problems& problems, const Path& path, Element element,
                                  std::span<const std::string_view> choices) {
  std::string_view text;
  if (element.get_string().get(text) != simdjson::SUCCESS) {
    problems.add(path, fmt::format("must be one of {}, not {}", list_names(choices), describe_type(element)));
    return std::nullopt;
  }
  const auto found = std::ranges::find(choices, text);
  if (found == choices.end()) {
    problems.add(path, fmt::format("{} is not accepted; one of {}{}", quote(text), list_names(choices),
                                   did_you_mean(text, choices)));
    return std::nullopt;
  }
  return static_cast<size_t>(found - choices.begin());
}

std::optional<simdjson::dom::array> read_array(Problems& problems, const Path& path, Element element) {
  simdjson::dom::array array;
  if (element.get_array().get(array) == simdjson::SUCCESS) return array;
  report_type(problems, path, element, "a list");
  return std::nullopt;
}

std::optional<simdjson::dom::object> read_object(Problems& problems, const Path& path, Element element) {
  simdjson::dom::object object;
  if (element.get_object().get(object) == simdjson::SUCCESS) return object;
  report_type(problems, path, element, "a mapping");
  return std::nullopt;
}

// Recursion is bounded by limits::kMaxJsonDepth.
void check_duplicates(Problems& problems, const Path& path, Element element) {
  if (element.type() == Type::ARRAY) {
    const simdjson::dom::array array = element.get_array().value_unsafe();
    size_t position = 0;
    for (const Element item : array) {
      check_duplicates(problems, Path(path, position++), item);
    }
  } else if (element.type() == Type::OBJECT) {
    const simdjson::dom::object object = element.get_object().value_unsafe();
    std::vector<std::string_view> keys;
    for (const auto [key, value] : object) {
      keys.push_back(key);
      check_duplicates(problems, Path(path, key), value);
    }
    std::ranges::sort(keys);
    for (auto at = std::ranges::adjacent_find(keys); at != keys.end();
         at = std::adjacent_find(at + 1, keys.end())) {
      problems.add(Path(path, *at), "appears twice; keep one");
    }
  }
}

std::optional<uint32_t> read_properties(Problems& problems, const Path& path, Element element,
                                        const ObjectShape& shape, std::span<Element> values) {
  const auto object = read_object(problems, path, element);
  if (!object) return std::nullopt;
  const std::span<const PropertyRow> rows = shape.properties;
  uint32_t present = 0;
  size_t next = 0;  // members mostly come in the rows' order, so the search goes on from the last one found
  for (const auto [key, value] : *object) {
    size_t row = next;
    size_t steps = 0;
    for (; steps < rows.size() && rows[row].name != key; steps++) row = row + 1 == rows.size() ? 0 : row + 1;
    if (steps == rows.size()) {
      std::vector<std::string_view> names;
      for (const PropertyRow& known : rows) names.push_back(known.name);
      const std::string hint = did_you_mean(key, names);
      problems.add(Path(path, key), hint.empty()
                                        ? fmt::format("unknown field; known here: {}", list_names(names))
                                        : "unknown field" + hint);
      continue;
    }
    if ((present >> row & 1) != 0) {
      problems.add(Path(path, key), "appears twice; keep one");
      continue;
    }
    present |= 1u << row;
    values[row] = value;
    next = row + 1 == rows.size() ? 0 : row + 1;
  }
  for (size_t row = 0; row < rows.size(); row++) {
    if (rows[row].presence == Presence::required && (present >> row & 1) == 0) {
      problems.add(path, fmt::format("{} is missing{}{}", quote(rows[row].name),
                                     rows[row].remedy.empty() ? "" : ": ", rows[row].remedy));
    }
  }
  return present;
}

}  // namespace weir::routing
