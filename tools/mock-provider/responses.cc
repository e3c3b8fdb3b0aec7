// The responses API: one object, or the named events that build it up.
#include <fmt/format.h>

#include "tools/mock-provider/answer.h"
#include "tools/mock-provider/text.h"

namespace weir::tools {
namespace {

// The object, at one point of its life.
class Response {
 public:
  Response(const AnswerInput& input, const Words& words) : input_(input), words_(words) {}

  std::string part() const {
    return R"({"type":"output_text","annotations":[],"logprobs":[],"text":)" + json_string(words_.text()) +
           "}";
  }
  std::string item(std::string_view status, std::string_view content) const {
    return fmt::format(
        R"({{"id":"msg_mock_{}","type":"message","status":"{}","role":"assistant","content":[{}]}})",
        input_.number, status, content);
  }
  std::string whole() const {
    return object(words_.cut ? "incomplete" : "completed", item("completed", part()), usage());
  }
  std::string begun() const { return object("in_progress", "", "null"); }

 private:
  std::string usage() const {
    if (input_.fault.usage == Fault::Usage::none) return "null";
    const Usage usage = usage_of(input_, words_.list.size());
    return fmt::format(
        R"({{"input_tokens":{},"input_tokens_details":{{"cached_tokens":{}}},"output_tokens":{},)"
        R"("output_tokens_details":{{"reasoning_tokens":{}}},"total_tokens":{}}})",
        token_count(input_, usage.prompt), token_count(input_, usage.cached),
        token_count(input_, usage.completion), token_count(input_, usage.reasoning),
        token_count(input_, usage.prompt + usage.completion));
  }
  std::string object(std::string_view status, std::string_view output, std::string_view usage) const {
    const std::string& previous = input_.request.previous_response_id;
    return fmt::format(
        R"({{"id":"resp_mock_{}","object":"response","created_at":{},"status":"{}","error":null,)"
        R"("incomplete_details":{},"instructions":null,"max_output_tokens":null,"metadata":{{}},)"
        R"("model":{},"output":[{}],"parallel_tool_calls":true,"previous_response_id":{},)"
        R"("temperature":1.0,"tool_choice":"auto","tools":[],"top_p":1.0,"usage":{}}})",
        input_.number, input_.created_s, status,
        status == "incomplete" ? R"({"reason":"max_output_tokens"})" : "null",
        json_string(input_.request.model), output, previous.empty() ? "null" : json_string(previous), usage);
  }

  const AnswerInput& input_;
  const Words& words_;
};

class Events {
 public:
  // `fields` are those behind type and sequence_number.
  void add(std::string_view type, std::string_view fields, Frame::Waits waits = Frame::Waits::not_at_all) {
    answer_.frames.push_back(
        {fmt::format("event: {}\ndata: {{\"type\":\"{}\",\"sequence_number\":{},{}}}\n\n", type, type,
                     sequence_++, fields),
         waits});
  }
  Answer take() {
    answer_.stream = true;
    return std::move(answer_);
  }

 private:
  Answer answer_;
  uint64_t sequence_ = 0;
};

}  // namespace

Answer answer_responses(const AnswerInput& input) {
  const Words words = words_of(input);
  const Response response(input, words);
  if (!input.request.stream) {
    Answer answer;
    answer.frames.push_back({response.whole()});
    return answer;
  }
  const std::string place =
      fmt::format(R"("item_id":"msg_mock_{}","output_index":0,"content_index":0)", input.number);
  const std::string empty_part = R"({"type":"output_text","annotations":[],"logprobs":[],"text":""})";
  Events events;
  events.add("response.created", R"("response":)" + response.begun());
  events.add("response.in_progress", R"("response":)" + response.begun());
  events.add("response.output_item.added", R"("output_index":0,"item":)" + response.item("in_progress", ""));
  events.add("response.content_part.added", place + R"(,"part":)" + empty_part);
  for (size_t i = 0; i < words.list.size(); ++i)
    events.add("response.output_text.delta",
               place + R"(,"logprobs":[],"delta":)" + json_string(words.list[i]),
               i == 0 ? Frame::Waits::for_first_token : Frame::Waits::for_token);
  events.add("response.output_text.done", place + R"(,"logprobs":[],"text":)" + json_string(words.text()));
  events.add("response.content_part.done", place + R"(,"part":)" + response.part());
  events.add("response.output_item.done",
             R"("output_index":0,"item":)" + response.item("completed", response.part()));
  // Here the last event is the end mark.
  if (!input.fault.no_done)
    events.add(words.cut ? "response.incomplete" : "response.completed", R"("response":)" + response.whole());
  return events.take();
}

}  // namespace weir::tools
