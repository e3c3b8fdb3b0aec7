// Answers that providers break, and a table whose requests they get: what the tests of broken and of corrupted answers
// share.
#pragma once

#include <atomic>
#include <cstdio>
#include <string>

#include "tests/integration/gateway_fixture.h"

namespace weir::tests {

// `patience`: with the provider, between two pieces of an answer.
inline std::string table(uint16_t provider, const std::string& patience = "20s") {
  return R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" + std::to_string(provider) +
         R"(/v1"}},"models":{"m":{"provider":"p","tier":"economy","price":{"input":1,"output":2}}},
    "units":{"u":{"model":"m","retries":0,"timeouts":{"connect":"2s","first_token":")" +
         patience + R"(","idle":")" + patience + R"(","total":"60s"}}},
    "scenarios":{"chat":{"stable":"u"}},"tenants":{"t":{}},
    "keys":[{"id":"k","tenant":"t","hash":")" +
         key_hash() + R"("}]})";
}

inline const std::string kBody =
    R"({"object":"chat.completion","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}})";
inline const std::string kPlain =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " + std::to_string(kBody.size()) +
    "\r\n\r\n" + kBody;
inline std::string chunk(const std::string& text) {
  char size[16];
  std::snprintf(size, sizeof size, "%zx\r\n", text.size());
  return size + text + "\r\n";
}
inline const std::string kStream =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" +
    chunk("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}]}\n\n") +
    chunk("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"two\"}}]}\n\ndata: [DONE]\n\n") +
    "0\r\n\r\n";

inline const std::string kStreamRequest = chat_request("connection: close\r\n", "chat", R"(,"stream":true)");

// Two good answers after each bad one: a provider that only fails would soon not be asked any more.
inline const std::string kGood =
    "HTTP/1.1 200 OK\r\nconnection: close\r\n" + kPlain.substr(kPlain.find("content-type"));
inline void keep_in_use(Gateway& gateway, std::atomic<bool>& good) {
  good = true;
  for (int i = 0; i < 2; ++i) {
    BlockingClient client(gateway.port());
    client.send(chat_request("connection: close\r\n"));
    EXPECT_TRUE(client.receive_to_end().starts_with("HTTP/1.1 200"));
  }
  good = false;
}

}  // namespace weir::tests
