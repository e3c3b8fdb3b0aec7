// Reads answers of weir for showing them: a field that is missing or of another type prints as "-", since
// weirctl may be newer or older than the weir it talks to. Pure.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace weir::tools {

// JSON of what may hold bytes that are no UTF-8.
std::string to_text(const nlohmann::json& value, int indent = -1);

// The member; null when it is not there.
const nlohmann::json& member(const nlohmann::json& object, std::string_view name);
// The array; empty when it is not there. Likewise the object.
const nlohmann::json& list(const nlohmann::json& object, std::string_view name);
const nlohmann::json& mapping(const nlohmann::json& object, std::string_view name);

// A text as it came; empty when it is not there or no text. For deciding, not for showing.
std::string text_of(const nlohmann::json& object, std::string_view name);
std::optional<uint64_t> number(const nlohmann::json& object, std::string_view name);
bool is_true(const nlohmann::json& object, std::string_view name);

// The value as displayable text; "-" when it is not there.
std::string field(const nlohmann::json& object, std::string_view name);
// "1 tenant", "2 tenants", "- tenants".
std::string counted(const nlohmann::json& object, std::string_view name, std::string_view one);
std::string counted(uint64_t count, std::string_view one);
// "a, b" of an array's items; of actors their names. "-" when there is none.
std::string joined(const nlohmann::json& items, std::string_view separator = ", ");
// A time to the minute: "2026-12-01 09:00Z"; a date as it is.
std::string when(const nlohmann::json& object, std::string_view name);
std::string when(std::string_view time);

}  // namespace weir::tools
