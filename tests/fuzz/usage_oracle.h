// What a provider's answer says about usage, read the slow way: the contract of routing/inspect/usage.h for
// documents that are valid JSON, without a search and without a state kept between bytes.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "routing/inspect/usage.h"
#include "tests/fuzz/json_split.h"

namespace weir::fuzz {

// Plain digits that can be a count of tokens.
inline std::optional<int64_t> slow_token_count(std::string_view value) {
  if (value.empty() || value.size() > 15) return std::nullopt;
  if (value.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  const int64_t count = std::stoll(std::string(value));
  return count <= int64_t{1} << 40 ? std::optional(count) : std::nullopt;
}

inline routing::Usage slow_usage(std::string_view object) {
  routing::Usage usage;
  for (const SlowMember& member : slow_members(object)) {
    for (const SlowMember& detail : slow_members(member.value)) {
      if (const auto count = slow_token_count(detail.value)) {
        if (detail.raw_key == "cached_tokens") usage.cached_input = *count;
        if (detail.raw_key == "reasoning_tokens") usage.reasoning = *count;
      }
    }
    const auto count = slow_token_count(member.value);
    if (!count) continue;
    const bool input = member.raw_key == "prompt_tokens" || member.raw_key == "input_tokens";
    const bool output = member.raw_key == "completion_tokens" || member.raw_key == "output_tokens";
    if (input) usage.input = *count;
    if (output) usage.output = *count;
    usage.present |= input || output;
  }
  return usage;
}

// The last of these objects that reports anything.
inline routing::Usage slow_last_usage(const std::vector<std::string_view>& objects) {
  routing::Usage last;
  for (const std::string_view object : objects) {
    const routing::Usage usage = slow_usage(object);
    if (usage.present) last = usage;
  }
  return last;
}

// Every value under one of the keys, at any depth, in the document's order; not those inside a usage object.
inline void slow_find(std::string_view value, std::string_view key, std::vector<std::string_view>& found) {
  for (const std::string_view element : slow_elements(value)) slow_find(element, key, found);
  for (const SlowMember& member : slow_members(value)) {
    if (member.raw_key == key) found.push_back(member.value);
    const bool is_usage = member.raw_key == "usage" && kind_of(member.value) == '{';
    if (!is_usage) slow_find(member.value, key, found);
  }
}
inline std::vector<std::string_view> slow_find(std::string_view document, std::string_view key, char kind) {
  std::vector<std::string_view> found;
  slow_find(trimmed(document), key, found);
  std::erase_if(found, [&](std::string_view value) { return kind_of(value) != kind; });
  return found;
}

// The opening quote of the first key "usage", as it stands and at any depth.
inline const char* slow_usage_key(std::string_view value) {
  for (const std::string_view element : slow_elements(value)) {
    if (const char* found = slow_usage_key(element)) return found;
  }
  for (const SlowMember& member : slow_members(value)) {
    if (member.raw_key == "usage") return member.raw_key.data() - 1;
    if (const char* found = slow_usage_key(member.value)) return found;
  }
  return nullptr;
}

// One answer, or one event's data: its members and those of its `response`.
struct SlowAnswer {
  std::vector<std::string_view> usages;
  std::string_view model, type;
  bool has_choices = false, choices_empty = false;
  bool content = false, refusal = false, error = false;

  explicit SlowAnswer(std::string_view document) {
    bool delta = false;
    for (const auto& [key, value] : slow_members(trimmed(document))) {
      envelope(key, value);
      if (key == "response") {
        for (const SlowMember& member : slow_members(value)) envelope(member.raw_key, member.value);
      }
      if (key == "type" && kind_of(value) == '"') type = raw_inside(value);
      if (key == "delta") delta |= filled(value);
      if (key == "choices" && kind_of(value) == '[') choices(value);
    }
    content |= delta && type.ends_with(".delta");
    refusal |= delta && type == "response.refusal.delta";
  }

  routing::EventFacts facts(routing::Endpoint endpoint) const {
    const bool responses = endpoint == routing::Endpoint::responses;
    const bool usage = slow_last_usage(usages).present;
    return {
        .usage = usage,
        .usage_only = usage && has_choices && choices_empty,
        .content = content,
        .refusal = refusal,
        .error = error || (responses && failed()),
        .terminal = responses && (failed() || type == "response.completed" || type == "response.incomplete")};
  }

 private:
  bool failed() const { return type == "error" || type == "response.failed"; }
  static bool filled(std::string_view value) {
    const char kind = kind_of(value);
    return (kind == '"' || kind == '{' || kind == '[') && value.size() > 2;  // {} and [] as all write them
  }
  void envelope(std::string_view key, std::string_view value) {
    if (key == "usage" && kind_of(value) == '{') usages.push_back(value);
    if (key == "model" && kind_of(value) == '"') model = raw_inside(value);
    if (key == "error") error |= value != "null";
  }
  void choices(std::string_view array) {
    const std::vector<std::string_view> all = slow_elements(array);
    has_choices = true;
    choices_empty = all.empty();
    for (const std::string_view choice : all) {
      for (const auto& [key, value] : slow_members(choice)) {
        if (key == "text") content |= filled(value);
        if (key != "delta" && key != "message") continue;
        for (const SlowMember& part : slow_members(value)) {
          static constexpr std::string_view kTokens[] = {
              "content", "refusal", "reasoning_content", "reasoning", "tool_calls", "function_call", "audio"};
          if (std::ranges::find(kTokens, part.raw_key) == std::end(kTokens) || !filled(part.value)) continue;
          content = true;
          refusal |= part.raw_key == "refusal";
        }
      }
    }
  }
};

}  // namespace weir::fuzz
