// What the mock provider reads of a request's body: the fields that shape its answer. Everything else must be
// valid JSON as far as it is looked at, and is ignored.
//
// Thread: the loop's; one reader serves all requests.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir::tools {

enum class Api : uint8_t { chat, completions, embeddings, responses };

struct ApiRequest {
  Api api = Api::chat;
  std::string model;
  bool stream = false;
  bool include_usage = false;
  uint32_t choices = 1;              // n
  uint32_t max_tokens = UINT32_MAX;  // max_tokens, max_completion_tokens, max_output_tokens
  std::string user_text;             // the last user message, or the prompt or input
  std::vector<std::string> tools;    // names of the functions offered
  std::string previous_response_id;
  // embeddings
  std::vector<std::string> inputs;  // token lists are taken by their JSON text
  bool base64 = false;
  uint32_t dimensions = 8;

  uint64_t body_bytes = 0;
  // Tokens the request is billed for: a quarter of its bytes, rounded up.
  uint64_t prompt_tokens() const { return (body_bytes + 3) / 4; }
};

class ApiRequestReader {
 public:
  static constexpr uint32_t kMaxChoices = 16;
  static constexpr uint32_t kMaxDimensions = 4096;

  // `body` must be followed by BufferPool::kPadding readable bytes. The error is a sentence for the client.
  std::expected<ApiRequest, std::string> read(Api api, std::span<const uint8_t> body);

 private:
  simdjson::ondemand::parser parser_;
};

}  // namespace weir::tools
