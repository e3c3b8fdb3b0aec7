#include "routing/decide/segments.h"

#include <algorithm>
#include <charconv>

#include "core/ascii.h"
#include "core/assert.h"
#include "core/limits.h"

namespace weir::routing {

namespace {

using core::ErrorCode;
using core::limits::kMaxPendingConditions;

constexpr const char* kAttributeHeader = "x-weir-attr-*";

// The topmost `count` bits of the stack.
constexpr uint64_t low_bits(uint32_t count) {
  return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

constexpr uint64_t drop(uint64_t stack, uint32_t count) {
  return count >= 64 ? 0 : stack >> count;
}

bool test(const ConditionStep& step, const AttributeValues& values) {
  using Kind = ConditionStep::Kind;
  const AttributeValues::Value* value = values.find(step.attribute);
  if (value == nullptr) return false;
  switch (step.kind) {
    case Kind::equals:
      return value->text() == step.operands[0];
    case Kind::one_of:
      return std::find(step.operands.begin(), step.operands.end(), value->text()) != step.operands.end();
    case Kind::starts_with:
      return value->text().starts_with(step.operands[0]);
    case Kind::ends_with:
      return value->text().ends_with(step.operands[0]);
    case Kind::is_true:
      return value->boolean;
    case Kind::is_false:
      return !value->boolean;
    case Kind::less:
      return value->number < step.number;
    case Kind::less_equal:
      return value->number <= step.number;
    case Kind::greater:
      return value->number > step.number;
    case Kind::greater_equal:
      return value->number >= step.number;
    case Kind::number_equals:
      return value->number == step.number;
    case Kind::all:
    case Kind::any:
    case Kind::negate:
      break;
  }
  WEIR_ASSERT(false);
  return false;
}

// RFC 8259 section 6: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? from_chars alone would take "inf" and
// ".5".
bool is_json_number(std::string_view text) {
  size_t at = 0;
  const auto digits = [&] {
    const size_t begin = at;
    while (at < text.size() && core::is_digit(text[at])) at++;
    return at - begin;
  };
  const auto take = [&](std::string_view any_of) {
    if (at == text.size() || any_of.find(text[at]) == std::string_view::npos) return false;
    at++;
    return true;
  };
  take("-");
  if (!take("0") && digits() == 0) return false;
  if (take(".") && digits() == 0) return false;
  if (take("eE")) {
    take("+-");
    if (digits() == 0) return false;
  }
  return at == text.size();
}

std::optional<uint32_t> find_attribute(const TableBody& body, std::string_view name) {
  if (name.empty() || name.size() > core::limits::kMaxNameBytes) return std::nullopt;
  std::array<char, core::limits::kMaxNameBytes> lower;
  std::transform(name.begin(), name.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return body.attribute_names.find({lower.data(), name.size()});
}

}  // namespace

bool matches(const Segment& segment, const AttributeValues& values) {
  using Kind = ConditionStep::Kind;
  uint64_t stack = 0;  // bit 0 is the top
  for (const ConditionStep& step : segment.steps) {
    switch (step.kind) {
      case Kind::all:
        stack = drop(stack, step.count) << 1 | ((stack & low_bits(step.count)) == low_bits(step.count));
        break;
      case Kind::any:
        stack = drop(stack, step.count) << 1 | ((stack & low_bits(step.count)) != 0);
        break;
      case Kind::negate:
        stack ^= 1;
        break;
      default:
        stack = stack << 1 | test(step, values);
    }
  }
  return (stack & 1) != 0;
}

std::optional<uint32_t> peak_pending(std::span<const ConditionStep> steps) {
  using Kind = ConditionStep::Kind;
  uint32_t pending = 0;
  uint32_t peak = 0;
  for (const ConditionStep& step : steps) {
    switch (step.kind) {
      case Kind::all:
      case Kind::any:
        if (step.count > pending) return std::nullopt;
        pending = pending - step.count + 1;
        break;
      case Kind::negate:
        if (pending == 0) return std::nullopt;
        break;
      case Kind::equals:
      case Kind::starts_with:
      case Kind::ends_with:
        if (step.operands.size() != 1) return std::nullopt;
        [[fallthrough]];
      default:
        pending++;
    }
    peak = std::max(peak, pending);
  }
  if (pending != 1 || peak > kMaxPendingConditions) return std::nullopt;
  return peak;
}

core::Result<void> parse_attribute(const TableBody& body, std::string_view name, std::string_view value,
                                   AttributeValues& values) {
  const std::optional<uint32_t> found = find_attribute(body, name);
  if (!found) return core::fail(ErrorCode::bad_control_header, kAttributeHeader);
  const AttributeIndex index{*found};
  if (values.find(index) != nullptr) return core::fail(ErrorCode::duplicate_control_header, kAttributeHeader);
  if (value.size() > core::limits::kMaxIdentifierBytes) return core::fail(ErrorCode::field_too_long, kAttributeHeader);

  const Attribute& attribute = body[index];
  AttributeValues::Value parsed{.data = value.data(), .size = value.size(), .number = 0, .boolean = false};
  bool accepted = true;
  switch (attribute.kind) {
    case AttributeKind::string:
      break;
    case AttributeKind::enumeration:
      accepted = std::find(attribute.values.begin(), attribute.values.end(), value) != attribute.values.end();
      break;
    case AttributeKind::boolean:
      parsed.boolean = value == "true";
      accepted = parsed.boolean || value == "false";
      break;
    case AttributeKind::number:
      // A number beyond double's range is refused, not rounded to infinity.
      accepted = is_json_number(value) &&
                 std::from_chars(value.data(), value.data() + value.size(), parsed.number).ec == std::errc{};
      break;
  }
  if (!accepted) return core::fail(ErrorCode::bad_control_header, kAttributeHeader);
  values.set(index, parsed);
  return {};
}

}  // namespace weir::routing
