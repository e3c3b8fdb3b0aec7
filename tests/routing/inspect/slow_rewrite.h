// What routing/inspect/rewrite does by splicing, done on parsed values: slow, obvious, and the same document.
#pragma once

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "routing/inspect/rewrite.h"

namespace weir::routing {

// Owns what a table would own.
struct OwnedUnit {
  std::vector<ParamRewrite> params;
  std::vector<PromptPart> prompt;
  std::vector<std::string_view> tools;
  PromptMode mode = PromptMode::replace;
  bool filter_tools = false;

  UnitRewrite view() const { return {"\"real\"", params, prompt, mode, filter_tools, tools}; }

  OwnedUnit& set(std::string_view key, std::string_view key_json, std::string_view value_json) {
    params.push_back(make_param(key, key_json, value_json));
    return *this;
  }
  OwnedUnit& say(PromptMode how, std::string_view text) {
    mode = how;
    prompt = {{text, PromptVariable::none}};
    return *this;
  }
  OwnedUnit& allow(std::vector<std::string_view> names) {
    filter_tools = true;
    tools = std::move(names);
    return *this;
  }
};

inline nlohmann::json slow_rewrite(nlohmann::json body, const OwnedUnit& unit, Endpoint endpoint) {
  using nlohmann::json;
  const bool chat = endpoint == Endpoint::chat_completions;
  const bool responses = endpoint == Endpoint::responses;
  if (unit.filter_tools && (chat || responses)) {
    body.erase("functions");
    body.erase("function_call");
    if (body.contains("tools") && body["tools"].is_array()) {
      json kept = json::array();
      for (const json& tool : body["tools"]) {
        const std::string type = tool.value("type", "function");
        std::string name = type;
        if (type == "function" && chat)
          name = tool.contains("function") ? tool["function"].value("name", "") : "";
        if (type == "function" && responses) name = tool.value("name", "");
        if (!name.empty() && std::find(unit.tools.begin(), unit.tools.end(), name) != unit.tools.end())
          kept.push_back(tool);
      }
      body["tools"] = kept;
      if (kept.empty()) {
        for (const char* key : {"tools", "tool_choice", "parallel_tool_calls"}) body.erase(key);
      }
    }
  }
  if (endpoint != Endpoint::embeddings) {
    for (const ParamRewrite& param : unit.params) {
      std::string key(param.key);
      const bool has_tools = (chat || responses) && body.contains("tools") && !body["tools"].empty();
      if (!has_tools && key == "tool_choice") continue;
      if (key == "max_tokens" || key == "max_completion_tokens") {
        if (responses) key = "max_output_tokens";
        if (endpoint == Endpoint::completions) key = "max_tokens";
        for (const char* other : {"max_tokens", "max_completion_tokens", "max_output_tokens"})
          body.erase(other);
      }
      if (responses && key == "frequency_penalty") continue;
      for (auto it = body.begin(); it != body.end();)
        it = same_key(it.key(), key) ? body.erase(it) : std::next(it);
      body[key] = json::parse(param.value_json);
    }
  }
  body["model"] = "real";
  if (!unit.prompt.empty()) {
    const std::string ours = json::parse("\"" + std::string(unit.prompt[0].literal_json) + "\"");
    if (chat) {
      json kept = json::array();
      bool any_system = false;
      for (const json& message : body["messages"]) {
        const std::string role = message.value("role", "");
        const bool system = same_key(role, "system") || same_key(role, "developer");
        any_system |= system;
        if (!system || unit.mode != PromptMode::replace) kept.push_back(message);
      }
      if (unit.mode != PromptMode::if_absent || !any_system)
        kept.insert(kept.begin(), json::object({{"role", "system"}, {"content", ours}}));
      body["messages"] = kept;
    }
    if (responses) {
      const bool theirs = body.contains("instructions") && body["instructions"].is_string();
      if (!theirs || unit.mode == PromptMode::replace) {
        body["instructions"] = ours;
      } else if (unit.mode == PromptMode::prepend) {
        body["instructions"] = ours + "\n" + std::string(body["instructions"]);
      }
    }
  }
  if (body.contains("stream") && body["stream"] == true && (chat || endpoint == Endpoint::completions)) {
    if (!body.contains("stream_options") || body["stream_options"].is_null())
      body["stream_options"] = json::object();
    body["stream_options"]["include_usage"] = true;
  }
  return body;
}

}  // namespace weir::routing
