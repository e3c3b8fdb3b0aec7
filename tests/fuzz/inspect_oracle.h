// What a request body says, read the slow way: the promises of routing/inspect/inspect.h over members that were
// split by counting brackets. Refuses and accepts by rules of its own, so that an inspector that refuses too
// much is seen as well as one that accepts too much. For valid JSON only.
#pragma once

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "routing/inspect/inspect.h"
#include "tests/fuzz/json_split.h"

namespace weir::fuzz {

// The letters of servers that ignore case: ASCII, and the two beyond it that fold onto s and k.
inline std::string slow_fold(std::string key) {
  const auto replace = [&](std::string_view from, std::string_view to) {
    for (size_t at = key.find(from); at != std::string::npos; at = key.find(from))
      key.replace(at, from.size(), to);
  };
  replace("\xc5\xbf", "s");
  replace("\xe2\x84\xaa", "k");
  for (char& c : key) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return key;
}

struct SlowInspection {
  std::string refused;  // the field at fault, or what is wrong; empty if nothing is
  std::vector<SlowMember> fields;
  std::string model, user, safety_identifier, conversation;
  bool stream = false, include_usage = false;
  std::string_view stream_options, include_usage_value;
  uint64_t n = 0, best_of = 0, max_tokens = 0, max_completion_tokens = 0, max_output_tokens = 0;
  size_t input_bytes = 0, prompt_count = 1;
  size_t least_media = 0, most_media = 0;  // short ones may be left out, and those of tools
  std::vector<std::string_view> messages, tools;
  std::vector<size_t> system;  // which messages
  std::vector<std::string> tool_names;

  SlowInspection(routing::Endpoint endpoint, std::string_view document)
      : chat_(endpoint == routing::Endpoint::chat_completions),
        responses_(endpoint == routing::Endpoint::responses) {
    const std::string_view root = trimmed(document);
    if (kind_of(root) != '{') {
      refuse("not an object");
      return;
    }
    fields = slow_members(root);
    read_keys();
    model = identifier("model", core::limits::kMaxModelBytes);
    user = identifier("user");
    safety_identifier = identifier("safety_identifier");
    read_conversation();
    read_stream();
    n = count("n");
    best_of = count("best_of");
    max_tokens = count("max_tokens");
    max_completion_tokens = count("max_completion_tokens");
    max_output_tokens = count("max_output_tokens");
    const std::string tier = identifier("service_tier");
    if (!tier.empty() && tier != "auto" && tier != "default") refuse("service_tier");
    if (responses_ && flag("background", given("background"))) refuse("background");
    read_sizes();
    if (chat_) read_messages();
    if (chat_ || responses_) read_tools();
    const char instructions = kind_of(given("instructions"));
    if (responses_ && instructions != '\0' && instructions != '"') refuse("instructions");
    if (endpoint == routing::Endpoint::completions) {
      for (const std::string_view prompt : slow_elements(given("prompt"))) {
        prompts_ += kind_of(prompt) == '"' || kind_of(prompt) == '[';
      }
      prompt_count = std::max<size_t>(prompts_, 1);
    }
  }

 private:
  void refuse(std::string_view what) {
    if (refused.empty()) refused = what;
  }

  void read_keys() {
    static const std::set<std::string> known = {
#define X(name) #name,
        WEIR_FIELD_TABLE(X)
#undef X
    };
    if (fields.size() > core::limits::kMaxTopLevelFields) refuse("too many fields");
    std::set<std::string> seen;
    for (const SlowMember& field : fields) {
      const std::string key = field.key();
      const std::string folded = slow_fold(key);
      if (key.size() > core::limits::kMaxKeyBytes) refuse("a long key");
      if (key.contains('\0')) refuse("a key with NUL");
      if (!seen.insert(folded).second) refuse("twice: " + folded);
      if (known.contains(folded) && key != folded) refuse("in another case: " + folded);
    }
  }

  // The value of the one member of this name; nothing if it is absent.
  std::string_view only(std::string_view object, std::string_view name) {
    std::optional<std::string_view> value;
    for (const SlowMember& member : slow_members(object)) {
      const std::string key = member.key();
      if (slow_fold(key) != name) continue;
      if (value || key != name) refuse(name);
      value = member.value;
    }
    return value.value_or("");
  }
  // A field; null is as good as none.
  std::string_view given(std::string_view name) const {
    for (const SlowMember& field : fields) {
      if (field.key() == name) return field.value == "null" ? "" : field.value;
    }
    return "";
  }

  std::string text(std::string_view name, std::string_view value, size_t limit) {
    if (value.empty() || value == "null") return "";
    if (kind_of(value) != '"') return refuse(name), "";
    std::string text = slow_text(value);
    if (text.size() > limit || text.contains('\0')) refuse(name);
    return text;
  }
  std::string identifier(std::string_view name, size_t limit = core::limits::kMaxIdentifierBytes) {
    return text(name, given(name), limit);
  }
  std::string nested_identifier(std::string_view field, std::string_view name) {
    return text(field, only(given(field), name), core::limits::kMaxIdentifierBytes);
  }
  bool flag(std::string_view name, std::string_view value) {
    if (!value.empty() && value != "null" && value != "true" && value != "false") refuse(name);
    return value == "true";
  }
  uint64_t count(std::string_view name) {
    const std::string_view value = given(name);
    if (value.empty()) return 0;
    const bool digits = value.find_first_not_of("0123456789") == std::string_view::npos && value.size() <= 10;
    const uint64_t number = digits ? std::stoull(std::string(value)) : 0;
    if (number == 0 || number > core::limits::kMaxCount) refuse(name);
    return number;
  }
  void expect_kind(std::string_view name, char kind) {
    if (!given(name).empty() && kind_of(given(name)) != kind) refuse(name);
  }

  void read_conversation() {
    expect_kind("metadata", '{');
    const bool is_object = kind_of(given("conversation")) == '{';
    for (const std::string& candidate :
         {nested_identifier("metadata", "conversation_id"),
          is_object ? nested_identifier("conversation", "id") : identifier("conversation"),
          identifier("previous_response_id"), identifier("prompt_cache_key")}) {
      if (conversation.empty()) conversation = candidate;
    }
  }

  void read_stream() {
    stream = flag("stream", given("stream"));
    stream_options = given("stream_options");
    expect_kind("stream_options", '{');
    include_usage_value = only(stream_options, "include_usage");
    include_usage = flag("stream_options", include_usage_value);
  }

  void read_sizes() {
    for (const char* name :
         {"messages", "input", "prompt", "instructions", "tools", "functions", "response_format", "text"}) {
      const std::string_view value = given(name);
      input_bytes += std::ranges::any_of(fields, [&](const auto& field) { return field.key() == name; })
                         ? std::max<size_t>(value.size(), value.empty() ? 4 : 0)  // null is four bytes
                         : 0;
      add_media(value, std::string_view(name) != "tools" || !(chat_ || responses_));
    }
  }
  void add_media(std::string_view value, bool is_counted) {
    for (const std::string_view element : slow_elements(value)) add_media(element, is_counted);
    for (const SlowMember& member : slow_members(value)) {
      add_media(member.value, is_counted);
      const std::string key = slow_fold(std::string(member.raw_key));  // an escaped one is none of these
      if (key != "url" && key != "image_url" && key != "file_data" && key != "file_url") continue;
      if (!member.value.starts_with("\"data:")) continue;
      const size_t size = raw_inside(member.value).size();
      most_media += size;
      if (is_counted && size >= 256) least_media += size;
    }
  }

  void read_messages() {
    expect_kind("messages", '[');
    if (given("messages").empty()) refuse("messages");
    messages = slow_elements(given("messages"));
    for (const std::string_view& message : messages) {
      if (kind_of(message) != '{') refuse("messages");
      const std::string_view role = only(message, "role");
      if (role.empty()) continue;
      if (kind_of(role) != '"') {
        refuse("messages");
        continue;
      }
      const std::string text = slow_fold(slow_text(role));
      if (text == "system" || text == "developer")
        system.push_back(static_cast<size_t>(&message - messages.data()));
    }
  }

  std::string tool_text(std::string_view value) {
    if (kind_of(value) != '"') return refuse("tools"), "";
    return text("tools", value, core::limits::kMaxIdentifierBytes);
  }
  void read_tools() {
    expect_kind("tools", '[');
    tools = slow_elements(given("tools"));
    if (tools.size() > core::limits::kMaxTools) refuse("tools");
    for (const std::string_view tool : tools) {
      if (kind_of(tool) != '{') refuse("tools");
      const std::string_view type = only(tool, "type");
      std::string_view name = only(tool, chat_ ? "function" : "name");
      if (chat_ && !name.empty()) {
        if (kind_of(name) != '{') refuse("tools");
        name = only(name, "name");
      }
      const std::string kind = type.empty() ? "function" : tool_text(type);
      const std::string function = name.empty() ? "" : tool_text(name);
      tool_names.push_back(kind == "function" ? function : kind);
    }
  }

  bool chat_;
  bool responses_;
  size_t prompts_ = 0;
};

}  // namespace weir::fuzz
