// The answers of the mock provider, as text: a body in frames, without HTTP around it. A plain answer is one
// frame; a stream has one frame per event, with a note of what it waits for.
//
// The text is "This is NAME answering with MODEL.", repeated or cut to the number of words asked for; a word
// counts as a token.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/mock-provider/api_request.h"
#include "tools/mock-provider/fault.h"

namespace weir::tools {

struct Frame {
  enum class Waits : uint8_t { not_at_all, for_first_token, for_token };
  std::string bytes;
  Waits waits = Waits::not_at_all;
};

struct Answer {
  int status = 200;
  bool stream = false;
  std::vector<Frame> frames;
};

// What an answer depends on.
struct AnswerInput {
  const ApiRequest& request;
  const Fault& fault;
  std::string_view name;  // of this provider
  uint64_t number;        // of this request: makes ids
  int64_t created_s;      // since 1970
  uint32_t tokens;        // words of the answer; 0 = the sentence as it is
};

struct Usage {
  uint64_t prompt = 0;
  uint64_t completion = 0;
  uint64_t cached = 0;
  uint64_t reasoning = 0;
};

Answer answer_to(const AnswerInput& input);
Answer answer_models(const std::vector<std::string>& models, std::string_view name);
// {"error":{…}} of any status; `type` and `code` empty = the usual ones of the status.
Answer answer_error(int status, std::string_view message, std::string_view type = {},
                    std::string_view code = {});

// ---- shared by the files that implement answer_to() ----

Answer answer_chat(const AnswerInput& input);         // answer.cc
Answer answer_completions(const AnswerInput& input);  // answer.cc
Answer stream_chat(const AnswerInput& input);         // stream_frames.cc
Answer stream_completions(const AnswerInput& input);  // stream_frames.cc
Answer answer_embeddings(const AnswerInput& input);   // embeddings.cc
Answer answer_responses(const AnswerInput& input);    // responses.cc

struct Words {
  std::vector<std::string> list;  // each but the first begins with its space
  bool cut = false;               // max_tokens ended it
  std::string text() const;
};
Words words_of(const AnswerInput& input);
// The tool the user asked for with "call NAME", or empty.
std::string_view called_tool(const ApiRequest& request);
std::string tool_arguments(const ApiRequest& request);
Usage usage_of(const AnswerInput& input, uint64_t completion_tokens);
// A number of a usage object; faults may turn it into a string.
std::string token_count(const AnswerInput& input, uint64_t count);
// {"prompt_tokens":…}, for chat and completions.
std::string usage_object(const AnswerInput& input, uint64_t completion_tokens);

}  // namespace weir::tools
