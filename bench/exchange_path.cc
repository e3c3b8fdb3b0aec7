// Runs exchanges through a whole shard on loopback, on one thread, and prints what each took of the kernel.
// Under callgrind with --toggle-collect=measured_gateway_turn the instructions are those of the gateway's
// turns after the warm-up, and of nothing else; bench/instructions does that, and compares with
// bench/baseline.json.
//
//   exchange_path KIND [exchanges]       KIND: chat_1k, chat_32k, stream_200
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tests/support/loopback_gateway.h"

using namespace weir;

// By name, so that callgrind can tell it from the turns of the warm-up.
extern "C" [[gnu::noinline]] void measured_gateway_turn(core::Loop& loop) {
  loop.turn(0);
  asm volatile("");  // no tail call: the collection ends where this function does
}

int main(int argc, char** argv) {
  const std::string_view kind = argc > 1 ? argv[1] : "";
  const uint64_t exchanges = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1000;
  tests::LoopbackOptions options;
  if (kind == "chat_1k" || kind == "chat_32k") {
    options.request_body = tests::loopback_request(kind == "chat_1k" ? 1024 : 32 * 1024, false);
    options.answer_pieces = tests::loopback_answer();
  } else if (kind == "stream_200") {
    options.request_body = tests::loopback_request(1024, true);
    options.answer_pieces = tests::loopback_stream(200);
  } else {
    std::fprintf(stderr, "exchange_path: exchange_path chat_1k|chat_32k|stream_200 [exchanges]\n");
    return 2;
  }
  tests::LoopbackGateway gateway(std::move(options));
  const bool warm = gateway.run(exchanges, [](core::Loop& loop) { loop.turn(0); });
  const core::IoStats before = gateway.loop().io().stats();
  const uint64_t first = gateway.exchanges();
  if (!warm || !gateway.run(exchanges, measured_gateway_turn) || gateway.failed()) {
    std::fprintf(stderr, "exchange_path: exchanges do not end\n");
    return 1;
  }
  const core::IoStats& after = gateway.loop().io().stats();
  const auto done = static_cast<double>(gateway.exchanges() - first);
  const auto each = [&](uint64_t count) { return static_cast<double>(count) / done; };
  std::printf("{\"exchanges\":%.0f,\"kernel_entries\":%.3f,\"operations\":%.3f,\"completions\":%.3f}\n", done,
              each(after.enters - before.enters), each(after.submitted - before.submitted),
              each(after.completed - before.completed));
  return 0;
}
