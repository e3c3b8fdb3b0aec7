#include "tools/mock-provider/api_request.h"

#include <algorithm>

#include "core/buffer.h"

namespace weir::tools {
namespace {

namespace ondemand = simdjson::ondemand;
using simdjson::error_code;
using simdjson::SUCCESS;

static_assert(simdjson::SIMDJSON_PADDING <= core::BufferPool::kPadding);

// Each reader leaves `to` alone when the value has another type, which a lenient provider ignores.
error_code read_text(ondemand::value value, std::string& to) {
  ondemand::json_type type;
  if (const auto error = value.type().get(type)) return error;
  if (type != ondemand::json_type::string) return SUCCESS;
  std::string_view text;
  if (const auto error = value.get_string().get(text)) return error;
  to = text;
  return SUCCESS;
}

error_code read_flag(ondemand::value value, bool& to) {
  ondemand::json_type type;
  if (const auto error = value.type().get(type)) return error;
  return type == ondemand::json_type::boolean ? value.get_bool().get(to) : SUCCESS;
}

error_code read_count(ondemand::value value, uint32_t& to, uint32_t most) {
  ondemand::json_type type;
  if (const auto error = value.type().get(type)) return error;
  if (type != ondemand::json_type::number) return SUCCESS;
  uint64_t count;
  if (value.get_uint64().get(count) == SUCCESS) to = static_cast<uint32_t>(std::min<uint64_t>(count, most));
  return SUCCESS;
}

// The text of a content: a string, or the text of its parts one after the other.
error_code read_content(ondemand::value content, std::string& to) {
  ondemand::json_type type;
  if (const auto error = content.type().get(type)) return error;
  if (type != ondemand::json_type::array) return read_text(content, to);
  to.clear();
  ondemand::array parts;
  if (const auto error = content.get_array().get(parts)) return error;
  for (auto part : parts) {
    ondemand::object fields;
    if (part.get_object().get(fields) != SUCCESS) continue;
    for (auto field : fields) {
      std::string_view key;
      if (const auto error = field.unescaped_key().get(key)) return error;
      if (key != "text") continue;
      std::string text;
      if (const auto error = read_text(field.value(), text)) return error;
      to += text;
    }
  }
  return SUCCESS;
}

// Messages (chat) or items (responses): keeps the text of the last one of the user.
error_code read_messages(ondemand::value messages, std::string& to) {
  ondemand::json_type type;
  if (const auto error = messages.type().get(type)) return error;
  if (type != ondemand::json_type::array) return read_text(messages, to);
  ondemand::array items;
  if (const auto error = messages.get_array().get(items)) return error;
  for (auto item : items) {
    ondemand::object fields;
    if (item.get_object().get(fields) != SUCCESS) continue;
    std::string role, text;
    for (auto field : fields) {
      std::string_view key;
      if (const auto error = field.unescaped_key().get(key)) return error;
      if (key == "role") {
        if (const auto error = read_text(field.value(), role)) return error;
      } else if (key == "content") {
        if (const auto error = read_content(field.value(), text)) return error;
      }
    }
    if (role == "user") to = std::move(text);
  }
  return SUCCESS;
}

// [{"type":"function","function":{"name":…}}], or in responses [{"type":"function","name":…}].
error_code read_tools(ondemand::value tools, std::vector<std::string>& to) {
  ondemand::array list;
  if (tools.get_array().get(list) != SUCCESS) return SUCCESS;
  for (auto tool : list) {
    ondemand::object fields;
    if (tool.get_object().get(fields) != SUCCESS) continue;
    std::string name;
    for (auto field : fields) {
      std::string_view key;
      if (const auto error = field.unescaped_key().get(key)) return error;
      if (key == "name") {
        if (const auto error = read_text(field.value(), name)) return error;
      } else if (key == "function") {
        ondemand::object function;
        if (field.value().get_object().get(function) != SUCCESS) continue;
        ondemand::value inner;
        if (function["name"].get(inner) == SUCCESS) {
          if (const auto error = read_text(inner, name)) return error;
        }
      }
    }
    if (!name.empty()) to.push_back(std::move(name));
  }
  return SUCCESS;
}

// A string, a list of strings, a list of tokens or a list of token lists.
error_code read_inputs(ondemand::value input, std::vector<std::string>& to) {
  ondemand::json_type type;
  if (const auto error = input.type().get(type)) return error;
  if (type == ondemand::json_type::string) return read_text(input, to.emplace_back());
  ondemand::array list;
  if (input.get_array().get(list) != SUCCESS) return SUCCESS;
  std::string tokens;
  for (auto element : list) {
    ondemand::value value;
    if (const auto error = element.get(value)) return error;
    if (const auto error = value.type().get(type)) return error;
    if (type == ondemand::json_type::string) {
      if (const auto error = read_text(value, to.emplace_back())) return error;
      continue;
    }
    std::string_view raw;
    if (type == ondemand::json_type::array) {
      ondemand::array inner;
      if (const auto error = value.get_array().get(inner)) return error;
      if (const auto error = inner.raw_json().get(raw)) return error;
      to.emplace_back(raw);
    } else {
      tokens += value.raw_json_token();
    }
  }
  if (!tokens.empty()) to.push_back(std::move(tokens));
  return SUCCESS;
}

error_code read_field(std::string_view key, ondemand::value value, ApiRequest& request) {
  if (key == "model") return read_text(value, request.model);
  if (key == "stream") return read_flag(value, request.stream);
  if (key == "n") return read_count(value, request.choices, ApiRequestReader::kMaxChoices);
  if (key == "max_tokens" || key == "max_completion_tokens" || key == "max_output_tokens")
    return read_count(value, request.max_tokens, UINT32_MAX);
  if (key == "messages") return read_messages(value, request.user_text);
  if (key == "prompt") return read_text(value, request.user_text);
  if (key == "tools") return read_tools(value, request.tools);
  if (key == "previous_response_id") return read_text(value, request.previous_response_id);
  if (key == "dimensions") return read_count(value, request.dimensions, ApiRequestReader::kMaxDimensions);
  if (key == "encoding_format") {
    std::string format;
    const auto error = read_text(value, format);
    request.base64 = format == "base64";
    return error;
  }
  if (key == "input") {
    return request.api == Api::embeddings ? read_inputs(value, request.inputs)
                                          : read_messages(value, request.user_text);
  }
  if (key == "stream_options") {
    ondemand::object options;
    if (value.get_object().get(options) != SUCCESS) return SUCCESS;
    ondemand::value inner;
    return options["include_usage"].get(inner) == SUCCESS ? read_flag(inner, request.include_usage) : SUCCESS;
  }
  return SUCCESS;
}

}  // namespace

std::expected<ApiRequest, std::string> ApiRequestReader::read(Api api, std::span<const uint8_t> body) {
  ApiRequest request;
  request.api = api;
  request.body_bytes = body.size();
  const simdjson::padded_string_view text(reinterpret_cast<const char*>(body.data()), body.size(),
                                          body.size() + core::BufferPool::kPadding);
  const auto not_json = [](error_code error) {
    return std::unexpected(std::string("The body is not valid JSON: ") + simdjson::error_message(error));
  };
  ondemand::document document;
  if (const auto error = parser_.iterate(text).get(document)) return not_json(error);
  ondemand::object fields;
  if (document.get_object().get(fields) != SUCCESS) return std::unexpected("The body must be a JSON object.");
  for (auto field : fields) {
    std::string_view key;
    if (const auto error = field.unescaped_key().get(key)) return not_json(error);
    ondemand::value value;
    if (const auto error = field.value().get(value)) return not_json(error);
    if (const auto error = read_field(key, value, request)) return not_json(error);
  }
  if (request.model.empty()) return std::unexpected("You must provide a model parameter.");
  request.choices = std::max(request.choices, 1u);
  request.dimensions = std::max(request.dimensions, 1u);
  return request;
}

}  // namespace weir::tools
