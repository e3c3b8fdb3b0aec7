// Segments: named conditions over declared attributes. Pure, no allocation, any thread.
//
// A segment is compiled to postfix steps. Tests push one bit onto a stack that is a single 64-bit word; `all`
// and `any` replace the topmost bits by one:
//
//   {all: [{plan: pro}, {region: {starts_with: "eu-"}}]}   ->   plan = pro | region starts eu- | all 2
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/error.h"
#include "routing/decide/decide.h"
#include "routing/table/table.h"

namespace weir::routing {

// Whether the condition holds. A test of an absent attribute is false (so its negation is true).
// The steps must be such that peak_pending() accepts them.
bool matches(const Segment& segment, const AttributeValues& values);

// The most results the steps hold at once; none if they are not a well-formed program (an operand is missing,
// not exactly one result remains, or more than limits::kMaxPendingConditions would be held). For compile().
std::optional<uint32_t> peak_pending(std::span<const ConditionStep> steps);

// Reads one x-weir-attr-<name> header. `name` is what follows the prefix, in any case; `value` is viewed, not
// copied. Booleans are `true` or `false`; numbers are JSON numbers; an enumeration takes its declared values.
// Errors: bad_control_header (undeclared, or a value that is not accepted), duplicate_control_header,
// field_too_long (over limits::kMaxIdentifierBytes).
core::Result<void> parse_attribute(const TableBody& body, std::string_view name, std::string_view value,
                                   AttributeValues& values);

}  // namespace weir::routing
