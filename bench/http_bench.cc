// The HTTP units on the shapes of traffic weir carries: an SDK's request head (544 bytes, 16 fields), a
// provider's response head (200 bytes), a chunk and a server-sent event of 200 bytes. Hot caches and
// predicted branches: lower bounds, good for comparing one change against another.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/assert.h"
#include "net/http/body_decoder.h"
#include "net/http/head_parser.h"
#include "net/http/sse.h"
#include "net/http/writer.h"

namespace weir::net {
namespace {

std::vector<uint8_t> bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

// As openai-node sends it.
constexpr std::string_view kRequest =
    "POST /v1/chat/completions HTTP/1.1\r\n"
    "host: llm.eu.gateway.internal:8080\r\n"
    "connection: keep-alive\r\n"
    "content-length: 1024\r\n"
    "accept: application/json\r\n"
    "content-type: application/json\r\n"
    "user-agent: OpenAI/JS 5.12.2\r\n"
    "x-stainless-retry-count: 0\r\n"
    "x-stainless-lang: js\r\n"
    "x-stainless-package-version: 5.12.2\r\n"
    "x-stainless-os: Linux\r\n"
    "x-stainless-arch: x64\r\n"
    "x-stainless-runtime: node\r\n"
    "x-stainless-runtime-version: v22.14.0\r\n"
    "authorization: Bearer sk-weir-0123456789abcdef0123456789abcdef0123456789\r\n"
    "accept-language: en-US, *\r\n"
    "accept-encoding: gzip, deflate, br\r\n"
    "\r\n";
static_assert(kRequest.size() == 544);

constexpr std::string_view kResponse =
    "HTTP/1.1 200 OK\r\n"
    "date: Fri, 20 Nov 2026 10:00:00 GMT\r\n"
    "content-type: application/json\r\n"
    "content-length: 612\r\n"
    "connection: keep-alive\r\n"
    "x-request-id: req_0123456789abcdef0123456789abcdef0123456789abcde\r\n"
    "\r\n";
static_assert(kResponse.size() == 200);

constexpr std::string_view kEvent =
    "data: "
    "{\"id\":\"chatcmpl-0123456789abcdef012345678\",\"object\":\"chat.completion.chunk\",\"created\":"
    "1763632800,"
    "\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" "
    "flow\"},\"finish_reason\":null}]}\n\n";
static_assert(kEvent.size() == 200);

// With a body behind the head, as on the wire; range(0) = 0 leaves it out.
void request_head(benchmark::State& state) {
  const std::vector<uint8_t> bytes =
      bytes_of(std::string(kRequest) + std::string(static_cast<size_t>(state.range(0)), 'x'));
  RequestHeadParser parser;
  for (auto _ : state) {
    parser.reset();
    const auto status = parser.parse(bytes);
    benchmark::DoNotOptimize(status);
    benchmark::DoNotOptimize(&parser);
    benchmark::ClobberMemory();
  }
  WEIR_ASSERT(parser.head_size() == kRequest.size() && parser.head().fields.size() == 16);
}
BENCHMARK(request_head)->Arg(1024)->Arg(0);

void response_head(benchmark::State& state) {
  const std::vector<uint8_t> bytes =
      bytes_of(std::string(kResponse) + std::string(static_cast<size_t>(state.range(0)), 'x'));
  ResponseHeadParser parser;
  for (auto _ : state) {
    parser.reset(Method::post);
    const auto status = parser.parse(bytes);
    benchmark::DoNotOptimize(status);
    benchmark::DoNotOptimize(&parser);
    benchmark::ClobberMemory();
  }
  WEIR_ASSERT(parser.head_size() == kResponse.size());
}
BENCHMARK(response_head)->Arg(612)->Arg(0);

void chunk_step(benchmark::State& state) {
  const std::vector<uint8_t> bytes = bytes_of("c8\r\n" + std::string(kEvent) + "\r\n");
  BodyDecoder decoder;
  WEIR_ASSERT(decoder.start(MessageSide::response, {BodyKind::chunked, 0}, kNoBodyLimit).has_value());
  for (auto _ : state) {
    const auto step = decoder.next(bytes);
    benchmark::DoNotOptimize(step);
    benchmark::ClobberMemory();
  }
  WEIR_ASSERT(decoder.at_chunk_boundary());
}
BENCHMARK(chunk_step);

void event_end(benchmark::State& state) {
  const std::vector<uint8_t> bytes = bytes_of(kEvent);
  SseSplitter splitter;
  for (auto _ : state) {
    const auto end = splitter.find_event_end(bytes);
    benchmark::DoNotOptimize(end);
    benchmark::ClobberMemory();
  }
  WEIR_ASSERT(splitter.at_event_boundary());
}
BENCHMARK(event_end);

void event_end_and_parse(benchmark::State& state) {
  const std::vector<uint8_t> bytes = bytes_of(kEvent);
  SseSplitter splitter;
  for (auto _ : state) {
    const auto end = splitter.find_event_end(bytes);
    const SseEvent event = parse_event(std::span(bytes).first(*end));
    benchmark::DoNotOptimize(event);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(event_end_and_parse);

void write_request_head(benchmark::State& state) {
  char buffer[1024];
  for (auto _ : state) {
    HeadWriter writer(buffer);
    writer.request_line(Method::post, "/v1/chat/completions");
    writer.field("host", "api.openai.com");
    writer.field("authorization", "Bearer sk-0123456789abcdef0123456789abcdef0123456789abcdef");
    writer.field("content-type", "application/json");
    writer.field("accept", "text/event-stream");
    writer.field("content-length", uint64_t{1024});
    writer.end();
    benchmark::DoNotOptimize(writer.size());
    benchmark::ClobberMemory();
  }
}
BENCHMARK(write_request_head);

void write_response_head(benchmark::State& state) {
  char buffer[1024];
  for (auto _ : state) {
    HeadWriter writer(buffer);
    writer.status_line(200);
    writer.field("content-type", "application/json");
    writer.field("x-request-id", "0123456789abcdef0123456789abcdef");
    writer.field("x-weir-unit", "support-mini");
    writer.field("x-weir-arm", "stable");
    writer.field("x-weir-reason", "split");
    writer.field("x-weir-revision", uint64_t{4711});
    writer.field("content-length", uint64_t{612});
    writer.end();
    benchmark::DoNotOptimize(writer.size());
    benchmark::ClobberMemory();
  }
}
BENCHMARK(write_response_head);

}  // namespace
}  // namespace weir::net
