// Streams of chat completions and completions: one frame per chunk, as the API sends them.
#include <fmt/format.h>

#include "tools/mock-provider/answer.h"
#include "tools/mock-provider/text.h"

namespace weir::tools {
namespace {

// Chunks of one stream: what all have in common is rendered once.
class Chunks {
 public:
  Chunks(const AnswerInput& input, std::string_view prefix, std::string_view object) : input_(input) {
    answer_.stream = true;
    begin_ = fmt::format(
        R"(data: {{"id":"{}-mock-{}","object":"{}","created":{},"model":{},"system_fingerprint":{},)"
        R"("choices":[)",
        prefix, input.number, object, input.created_s, json_string(input.request.model),
        json_string(input.name));
    asked_ = input.request.include_usage && input.fault.usage != Fault::Usage::none;
  }

  void add(std::string_view choice, Frame::Waits waits) {
    push(choice, asked_ ? R"(,"usage":null)" : "", waits);
  }

  // The chunk that says why a choice ended, and after the last one usage and the end mark.
  void end(std::string_view choice, bool last, uint64_t completion_tokens) {
    const bool early = input_.fault.usage == Fault::Usage::early;
    if (last && asked_ && early) {
      push(choice, R"(,"usage":)" + usage_object(input_, completion_tokens), Frame::Waits::not_at_all);
    } else {
      add(choice, Frame::Waits::not_at_all);
    }
    if (!last) return;
    if (asked_ && !early)
      push("", R"(,"usage":)" + usage_object(input_, completion_tokens), Frame::Waits::not_at_all);
    if (!input_.fault.no_done) answer_.frames.push_back({"data: [DONE]\n\n"});
  }

  Answer take() { return std::move(answer_); }

 private:
  void push(std::string_view choices, std::string_view usage, Frame::Waits waits) {
    std::string frame = begin_;
    frame += choices;
    frame += ']';
    frame += usage;
    frame += "}\n\n";
    answer_.frames.push_back({std::move(frame), waits});
  }

  const AnswerInput& input_;
  Answer answer_;
  std::string begin_;
  bool asked_ = false;
};

std::string chat_choice(uint32_t index, std::string_view delta, std::string_view finish_reason = "null") {
  return fmt::format(R"({{"index":{},"delta":{},"logprobs":null,"finish_reason":{}}})", index, delta,
                     finish_reason);
}

Frame::Waits wait_for(uint32_t choice, size_t token) {
  return choice == 0 && token == 0 ? Frame::Waits::for_first_token : Frame::Waits::for_token;
}

// The arguments of a call come in pieces, cut without regard for JSON.
std::vector<std::string> pieces_of(const std::string& arguments) {
  constexpr size_t kPiece = 12;
  std::vector<std::string> pieces;
  for (size_t at = 0; at < arguments.size(); at += kPiece) pieces.push_back(arguments.substr(at, kPiece));
  return pieces;
}

}  // namespace

Answer stream_chat(const AnswerInput& input) {
  Chunks chunks(input, "chatcmpl", "chat.completion.chunk");
  const Words words = words_of(input);
  const std::string_view tool = called_tool(input.request);
  const uint32_t choices = input.request.choices;
  for (uint32_t i = 0; i < choices; ++i) {
    if (tool.empty()) {
      chunks.add(chat_choice(i, R"({"role":"assistant","content":"","refusal":null})"),
                 Frame::Waits::not_at_all);
      for (size_t token = 0; token < words.list.size(); ++token)
        chunks.add(chat_choice(i, R"({"content":)" + json_string(words.list[token]) + "}"),
                   wait_for(i, token));
    } else {
      chunks.add(chat_choice(i, R"({"role":"assistant","content":null})"), Frame::Waits::not_at_all);
      chunks.add(
          chat_choice(i, fmt::format(R"({{"tool_calls":[{{"index":0,"id":"call_mock_{}","type":"function",)"
                                     R"("function":{{"name":{},"arguments":""}}}}]}})",
                                     input.number, json_string(tool))),
          wait_for(i, 0));
      for (const std::string& piece : pieces_of(tool_arguments(input.request)))
        chunks.add(chat_choice(i, R"({"tool_calls":[{"index":0,"function":{"arguments":)" +
                                      json_string(piece) + "}}]}"),
                   Frame::Waits::for_token);
    }
    const std::string_view reason = !tool.empty() ? R"("tool_calls")"
                                    : words.cut   ? R"("length")"
                                                  : R"("stop")";
    chunks.end(chat_choice(i, "{}", reason), i + 1 == choices, words.list.size() * choices);
  }
  return chunks.take();
}

Answer stream_completions(const AnswerInput& input) {
  Chunks chunks(input, "cmpl", "text_completion");
  const Words words = words_of(input);
  const auto choice = [](uint32_t index, std::string_view text, std::string_view reason) {
    return fmt::format(R"({{"text":{},"index":{},"logprobs":null,"finish_reason":{}}})", json_string(text),
                       index, reason);
  };
  for (uint32_t i = 0; i < input.request.choices; ++i) {
    for (size_t token = 0; token < words.list.size(); ++token)
      chunks.add(choice(i, words.list[token], "null"), wait_for(i, token));
    chunks.end(choice(i, "", words.cut ? R"("length")" : R"("stop")"), i + 1 == input.request.choices,
               words.list.size() * input.request.choices);
  }
  return chunks.take();
}

}  // namespace weir::tools
