// What it costs to read, rewrite and meter JSON. One core, warm cache: lower bounds. simdjson's DOM parser
// and its stage 1 alone stand beside, being what would otherwise do the reading.
#include <benchmark/benchmark.h>
#include <simdjson.h>

#include <cstring>
#include <string>
#include <vector>

#include "core/assert.h"
#include "routing/inspect/inspect.h"
#include "routing/inspect/rewrite.h"
#include "routing/inspect/usage.h"

namespace weir::routing {
namespace {

std::string prose(size_t size, size_t escape_each) {
  const std::string_view sentence = "The quick brown fox jumps over the lazy dog and then it rests. ";
  std::string text;
  for (size_t i = 0; text.size() < size; ++i) {
    text += sentence[i % sentence.size()];
    if (escape_each != 0 && i % escape_each == escape_each - 1) text += "\\n";
  }
  return text;
}

std::string chat(const std::string& prompt, bool model_first = true) {
  const std::string model = R"("model":"support-chat")";
  const std::string rest =
      R"("messages":[{"role":"system","content":"You are helpful."},{"role":"user","content":")" + prompt +
      R"("}],"temperature":0.2,"max_tokens":800,"stream":true,"user":"u-4021")";
  return model_first ? "{" + model + "," + rest + "}" : "{" + rest + "," + model + "}";
}

std::string conversation(int turns) {
  std::string messages;
  for (int i = 0; i < turns; ++i) {
    messages += std::string(i ? "," : "") + R"({"role":")" + (i % 2 ? "assistant" : "user") +
                R"(","content":"What is the weather like in Paris today, my friend?"})";
  }
  return R"({"model":"support-chat","messages":[)" + messages + "]}";
}

std::string not_ascii(size_t size) {
  std::string text;
  while (text.size() < size) text += "Привет мир 你好 ";
  return text;
}

// With the readable bytes that must follow.
class Padded {
 public:
  explicit Padded(std::string text) : size_(text.size()), text_(std::move(text)) {
    text_.append(Inspector::kPadding, ' ');
  }
  std::span<const uint8_t> bytes() const { return {reinterpret_cast<const uint8_t*>(text_.data()), size_}; }

 private:
  size_t size_;
  std::string text_;
};

const std::string kOneKilobyte = chat(prose(790, 0));

void inspect(benchmark::State& state, const std::string& text) {
  const Padded body(text);
  static Inspector inspector;
  for (auto _ : state) {
    const auto result = inspector.inspect(Endpoint::chat_completions, body.bytes());
    WEIR_ASSERT(result.has_value());
    benchmark::DoNotOptimize(*result);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}
BENCHMARK_CAPTURE(inspect, 1KB_model_first, kOneKilobyte);
BENCHMARK_CAPTURE(inspect, 1KB_model_last, chat(prose(790, 0), false));
BENCHMARK_CAPTURE(inspect, 32KB, chat(prose(32'000, 0)));
BENCHMARK_CAPTURE(inspect, 32KB_escape_each_80, chat(prose(32'000, 80)));
BENCHMARK_CAPTURE(inspect, 32KB_escape_each_8, chat(prose(32'000, 8)));
BENCHMARK_CAPTURE(inspect, 32KB_not_ascii, chat(not_ascii(32'000)));
BENCHMARK_CAPTURE(inspect, 16KB_200_messages, conversation(200));

void inspect_with_avx2(benchmark::State& state, const std::string& text) {
  const std::string before(json_kernel());
  if (!use_json_kernel("avx2")) state.SkipWithError("this processor has no avx2");
  inspect(state, text);
  use_json_kernel(before);
}
BENCHMARK_CAPTURE(inspect_with_avx2, 1KB, kOneKilobyte);
BENCHMARK_CAPTURE(inspect_with_avx2, 32KB_escape_each_80, chat(prose(32'000, 80)));

void simdjson_dom(benchmark::State& state, const std::string& text) {
  const Padded body(text);
  simdjson::dom::parser parser;
  for (auto _ : state) {
    simdjson::dom::element element;
    const auto error = parser.parse(body.bytes().data(), body.bytes().size(), false).get(element);
    WEIR_ASSERT(error == simdjson::SUCCESS);
    benchmark::DoNotOptimize(element);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}
BENCHMARK_CAPTURE(simdjson_dom, 1KB, kOneKilobyte);
BENCHMARK_CAPTURE(simdjson_dom, 32KB, chat(prose(32'000, 0)));
BENCHMARK_CAPTURE(simdjson_dom, 32KB_escape_each_80, chat(prose(32'000, 80)));

void simdjson_stage_1(benchmark::State& state, const std::string& text, const char* kernel) {
  const auto* implementation = simdjson::get_available_implementations()[kernel];
  if (implementation == nullptr || !implementation->supported_by_runtime_system()) {
    state.SkipWithError("not supported here");
    return;
  }
  const Padded body(text);
  std::unique_ptr<simdjson::internal::dom_parser_implementation> parser;
  WEIR_ASSERT(implementation->create_dom_parser_implementation(1 << 20, 128, parser) == simdjson::SUCCESS);
  for (auto _ : state) {
    const auto error =
        parser->stage1(body.bytes().data(), body.bytes().size(), simdjson::stage1_mode::regular);
    WEIR_ASSERT(error == simdjson::SUCCESS);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}
BENCHMARK_CAPTURE(simdjson_stage_1, 1KB_icelake, kOneKilobyte, "icelake");
BENCHMARK_CAPTURE(simdjson_stage_1, 1KB_haswell, kOneKilobyte, "haswell");
BENCHMARK_CAPTURE(simdjson_stage_1, 32KB_icelake, chat(prose(32'000, 0)), "icelake");
BENCHMARK_CAPTURE(simdjson_stage_1, 32KB_haswell, chat(prose(32'000, 0)), "haswell");

void rewrite(benchmark::State& state, const std::string& text) {
  const std::vector<ParamRewrite> params = {make_param("temperature", "\"temperature\"", "0.2"),
                                            make_param("max_tokens", "\"max_tokens\"", "1500")};
  const std::vector<PromptPart> prompt = {{"You are the support assistant of ", PromptVariable::tenant_name},
                                          {". Be brief and kind.", PromptVariable::none}};
  UnitRewrite unit;
  unit.model_json = "\"gpt-4o-mini-2024-07-18\"";
  unit.params = params;
  unit.prompt = prompt;
  PromptValues values{};
  values.of[static_cast<size_t>(PromptVariable::tenant_name)] = "Bank Seventeen";
  const Padded body(text);
  static Inspector inspector;
  const auto inspection = inspector.inspect(Endpoint::chat_completions, body.bytes());
  WEIR_ASSERT(inspection.has_value());
  std::vector<uint8_t> room(4096);
  PieceList pieces;
  for (auto _ : state) {
    ScratchWriter scratch(room);
    const auto result = plan_rewrite(**inspection, body.bytes(), unit, values, scratch, pieces);
    WEIR_ASSERT(result.has_value());
    benchmark::ClobberMemory();
  }
  state.counters["pieces"] = pieces.size();
}
BENCHMARK_CAPTURE(rewrite, 1KB_model_prompt_params, kOneKilobyte);

const std::string kAnswer =
    R"({"id":"chatcmpl-9f8e7d6c5b4a","object":"chat.completion","created":1760000000,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,)"
    R"("message":{"role":"assistant","content":"Of course. You can change the delivery address of an open order as long as it has not left the warehouse."},)"
    R"("logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":212,"completion_tokens":31,"total_tokens":243,"prompt_tokens_details":)"
    R"({"cached_tokens":128,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}},"service_tier":"default"})";

void usage_of_answer(benchmark::State& state, bool split) {
  const Padded body(kAnswer);
  const auto half = body.bytes().size() / 2;
  for (auto _ : state) {
    UsageReader reader(Endpoint::chat_completions);
    if (split) {
      reader.feed(body.bytes().first(half), UsageReader::Position::first);
      reader.feed(body.bytes().subspan(half), UsageReader::Position::last);
    } else {
      reader.feed(body.bytes(), UsageReader::Position::whole);
    }
    WEIR_ASSERT(reader.usage().input == 212);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kAnswer.size()));
}
BENCHMARK_CAPTURE(usage_of_answer, 700B_whole, false);
BENCHMARK_CAPTURE(usage_of_answer, 700B_split, true);

std::string frame(const std::string& delta, const std::string& usage) {
  return R"({"id":"chatcmpl-9f8e7d6c5b4a","object":"chat.completion.chunk","created":1760000000,"model":"gpt-4o-mini-2024-07-18",)"
         R"("choices":[{"index":0,"delta":)" +
         delta + R"(,"logprobs":null,"finish_reason":null}],"usage":)" + usage + "}";
}

void usage_of_frame(benchmark::State& state, const std::string& text, bool after_content) {
  const Padded first(frame(R"({"content":"Hi"})", "null"));
  const Padded body(text);
  UsageReader reader(Endpoint::chat_completions);
  if (after_content) reader.read_event(first.bytes());
  for (auto _ : state) {
    benchmark::DoNotOptimize(reader.read_event(body.bytes()));
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}
BENCHMARK_CAPTURE(usage_of_frame, 200B_content, frame(R"({"content":" hello"})", "null"), true);
BENCHMARK_CAPTURE(usage_of_frame, 200B_before_content, frame(R"({"role":"assistant","content":""})", "null"),
                  false);
BENCHMARK_CAPTURE(usage_of_frame, 250B_usage,
                  frame("{}", R"({"prompt_tokens":212,"completion_tokens":31,"total_tokens":243})"), true);

}  // namespace
}  // namespace weir::routing
