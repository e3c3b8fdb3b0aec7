#include "tools/mock-provider/answer.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/mock-provider/text.h"

namespace weir::tools {
namespace {

Answer plain(std::string body) {
  Answer answer;
  answer.frames.push_back({std::move(body)});
  return answer;
}

std::string message_of(const AnswerInput& input, const Words& words, std::string_view tool) {
  if (tool.empty())
    return R"({"role":"assistant","content":)" + json_string(words.text()) +
           R"(,"refusal":null,"annotations":[]})";
  return fmt::format(
      R"({{"role":"assistant","content":null,"refusal":null,"tool_calls":[{{"id":"call_mock_{}",)"
      R"("type":"function","function":{{"name":{},"arguments":{}}}}}]}})",
      input.number, json_string(tool), json_string(tool_arguments(input.request)));
}

std::string_view usual_type(int status) {
  if (status == 429) return "requests";
  return status < 500 ? "invalid_request_error" : "server_error";
}

std::string_view usual_code(int status) {
  switch (status) {
    case 401:
      return "invalid_api_key";
    case 404:
      return "model_not_found";
    case 429:
      return "rate_limit_exceeded";
    default:
      return {};
  }
}

}  // namespace

std::string Words::text() const {
  std::string all;
  for (const std::string& word : list) all += word;
  return all;
}

Words words_of(const AnswerInput& input) {
  std::vector<std::string> sentence;
  const std::string text = fmt::format("This is {} answering with {}.", input.name, input.request.model);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin + 1), text.size());
    sentence.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  Words words;
  const size_t wanted = input.tokens != 0 ? input.tokens : sentence.size();
  words.cut = input.request.max_tokens < wanted;
  const size_t count = std::min<size_t>(wanted, input.request.max_tokens);
  for (size_t i = 0; i < count; ++i) {
    std::string word = sentence[i % sentence.size()];
    if (i != 0 && word.front() != ' ') word.insert(0, 1, ' ');
    words.list.push_back(std::move(word));
  }
  return words;
}

std::string_view called_tool(const ApiRequest& request) {
  for (const std::string& tool : request.tools) {
    if (request.user_text.find("call " + tool) != std::string::npos) return tool;
  }
  return {};
}

std::string tool_arguments(const ApiRequest& request) {
  return R"({"text":)" + json_string(request.user_text) + "}";
}

Usage usage_of(const AnswerInput& input, uint64_t completion_tokens) {
  const Fault::Tokens& said = input.fault.tokens;
  return {.prompt = said.prompt.value_or(input.request.prompt_tokens()),
          .completion = said.completion.value_or(completion_tokens),
          .cached = said.cached.value_or(0),
          .reasoning = said.reasoning.value_or(0)};
}

std::string token_count(const AnswerInput& input, uint64_t count) {
  const std::string digits = std::to_string(count);
  return input.fault.usage == Fault::Usage::string ? json_string(digits) : digits;
}

std::string usage_object(const AnswerInput& input, uint64_t completion_tokens) {
  const Usage usage = usage_of(input, completion_tokens);
  return fmt::format(R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},)"
                     R"("prompt_tokens_details":{{"cached_tokens":{},"audio_tokens":0}},)"
                     R"("completion_tokens_details":{{"reasoning_tokens":{},"audio_tokens":0,)"
                     R"("accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}})",
                     token_count(input, usage.prompt), token_count(input, usage.completion),
                     token_count(input, usage.prompt + usage.completion), token_count(input, usage.cached),
                     token_count(input, usage.reasoning));
}

Answer answer_chat(const AnswerInput& input) {
  if (input.request.stream) return stream_chat(input);
  const Words words = words_of(input);
  const std::string_view tool = called_tool(input.request);
  const std::string message = message_of(input, words, tool);
  std::string choices;
  for (uint32_t i = 0; i < input.request.choices; ++i) {
    choices += fmt::format(R"({}{{"index":{},"message":{},"logprobs":null,"finish_reason":"{}"}})",
                           i == 0 ? "" : ",", i, message,
                           !tool.empty() ? "tool_calls"
                           : words.cut   ? "length"
                                         : "stop");
  }
  std::string body = fmt::format(
      R"({{"id":"chatcmpl-mock-{}","object":"chat.completion","created":{},"model":{},"choices":[{}])",
      input.number, input.created_s, json_string(input.request.model), choices);
  if (input.fault.usage != Fault::Usage::none)
    body += R"(,"usage":)" + usage_object(input, words.list.size() * input.request.choices);
  body += R"(,"service_tier":"default","system_fingerprint":)" + json_string(input.name) + "}";
  return plain(std::move(body));
}

Answer answer_completions(const AnswerInput& input) {
  if (input.request.stream) return stream_completions(input);
  const Words words = words_of(input);
  std::string choices;
  for (uint32_t i = 0; i < input.request.choices; ++i) {
    choices += fmt::format(R"({}{{"text":{},"index":{},"logprobs":null,"finish_reason":"{}"}})",
                           i == 0 ? "" : ",", json_string(words.text()), i, words.cut ? "length" : "stop");
  }
  std::string body = fmt::format(
      R"({{"id":"cmpl-mock-{}","object":"text_completion","created":{},"model":{},"choices":[{}])",
      input.number, input.created_s, json_string(input.request.model), choices);
  if (input.fault.usage != Fault::Usage::none)
    body += R"(,"usage":)" + usage_object(input, words.list.size() * input.request.choices);
  body += R"(,"system_fingerprint":)" + json_string(input.name) + "}";
  return plain(std::move(body));
}

Answer answer_to(const AnswerInput& input) {
  switch (input.request.api) {
    case Api::chat:
      return answer_chat(input);
    case Api::completions:
      return answer_completions(input);
    case Api::embeddings:
      return answer_embeddings(input);
    case Api::responses:
      return answer_responses(input);
  }
  return answer_error(404, "There is no such API.");
}

Answer answer_models(const std::vector<std::string>& models, std::string_view name) {
  std::string body = R"({"object":"list","data":[)";
  for (const std::string& model : models) {
    if (body.back() == '}') body += ',';
    body += fmt::format(R"({{"id":{},"object":"model","created":1700000000,"owned_by":{}}})",
                        json_string(model), json_string(name));
  }
  return plain(body + "]}");
}

Answer answer_error(int status, std::string_view message, std::string_view type, std::string_view code) {
  if (type.empty()) type = usual_type(status);
  if (code.empty()) code = usual_code(status);
  Answer answer =
      plain(fmt::format(R"({{"error":{{"message":{},"type":{},"param":null,"code":{}}}}})",
                        json_string(message), json_string(type), code.empty() ? "null" : json_string(code)));
  answer.status = status;
  return answer;
}

}  // namespace weir::tools
