// Embeddings: vectors that depend on nothing but the text, so that tests may compare them.
#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "core/murmur3.h"
#include "tools/mock-provider/answer.h"
#include "tools/mock-provider/text.h"

namespace weir::tools {
namespace {

static_assert(std::endian::native == std::endian::little, "base64 vectors are little-endian floats");

// Values between -1 and 1 that a float holds exactly and six digits print exactly.
std::vector<float> vector_of(std::string_view text, uint32_t dimensions) {
  std::vector<float> values;
  values.reserve(dimensions);
  for (uint32_t i = 0; i < dimensions; ++i) {
    const uint32_t hash = core::murmur3_32(text, i);
    values.push_back(static_cast<float>(static_cast<int32_t>(hash % 129) - 64) / 64.0F);
  }
  return values;
}

}  // namespace

Answer answer_embeddings(const AnswerInput& input) {
  std::string body = R"({"object":"list","data":[)";
  for (size_t i = 0; i < input.request.inputs.size(); ++i) {
    const std::vector<float> values = vector_of(input.request.inputs[i], input.request.dimensions);
    body += fmt::format(R"({}{{"object":"embedding","index":{},"embedding":)", i == 0 ? "" : ",", i);
    if (input.request.base64) {
      body +=
          json_string(base64({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)}));
    } else {
      for (size_t j = 0; j < values.size(); ++j) body += fmt::format("{}{}", j == 0 ? "[" : ",", values[j]);
      body += ']';
    }
    body += '}';
  }
  body += R"(],"model":)" + json_string(input.request.model);
  if (input.fault.usage != Fault::Usage::none) {
    const std::string tokens = token_count(input, usage_of(input, 0).prompt);
    body += fmt::format(R"(,"usage":{{"prompt_tokens":{},"total_tokens":{}}})", tokens, tokens);
  }
  Answer answer;
  answer.frames.push_back({body + "}"});
  return answer;
}

}  // namespace weir::tools
