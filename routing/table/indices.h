// Positions of a table's objects in the vectors and blocks that hold them. An index is of one table: never
// kept across tables, except those of tenants and keys across changes of single tenants
// (routing/table/tenant_table.h).
#pragma once

#include <cstdint>

namespace weir::routing {

enum class ProviderIndex : uint32_t {};
enum class ModelIndex : uint32_t {};
enum class UnitIndex : uint32_t {};
enum class ScenarioIndex : uint32_t {};
enum class FlagIndex : uint32_t {};
enum class TenantIndex : uint32_t {};
enum class KeyIndex : uint32_t {};
enum class SegmentIndex : uint32_t {};
enum class AttributeIndex : uint32_t {};

}  // namespace weir::routing
