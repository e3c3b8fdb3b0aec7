// The mock provider: the OpenAI API as far as weir speaks it, a journal of what it was asked, and faults on
// demand. It runs on weir's own loop and HTTP server, and is a provider for tests and demonstrations; for
// benchmarks there is FixedAnswers.
//
//   POST /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/responses     GET /v1/models
//   POST, GET, DELETE /mock/faults    GET, DELETE /mock/journal    GET /mock/stats
//
// Thread: its loop's. Limit: core::limits::kMaxConnectionsPerShard answers at once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/loop.h"
#include "core/slab.h"
#include "net/http_server.h"
#include "tools/mock-provider/api_request.h"
#include "tools/mock-provider/delivery.h"
#include "tools/mock-provider/fault.h"
#include "tools/mock-provider/journal.h"

namespace weir::tools {

struct ProviderOptions {
  std::string name = "mock";
  uint32_t tokens = 0;  // words of an answer; 0 = the sentence as it is
  uint64_t token_delay_ms = 0;
  std::vector<std::string> models = {"mock-model"};  // listed; any other is answered too
};

class Provider final : public net::RequestHandler, private DeliveryOwner {
 public:
  Provider(core::Loop& loop, ProviderOptions options);
  // For /mock/stats. Outlives all requests.
  void watch(const net::HttpServer& server) { server_ = &server; }

 private:
  struct Stats {
    uint64_t requests = 0;  // of the API
    uint64_t streams = 0;   // among them
    uint64_t complete = 0;
    uint64_t aborted = 0;  // the client was gone first
    uint64_t cut = 0;      // a fault ended it
    uint64_t refused = 0;  // what was not HTTP, or not to be found
  };

  core::Result<void> on_head(net::ServerSession& session, const net::RequestHead& head,
                             const uint8_t* base) override;
  void on_request(net::ServerSession& session, const net::Request& request) override;
  void on_refused(net::ServerSession& session, core::Error error) override;
  void on_client_gone(net::ServerSession& session, core::Error error) override;
  void on_send_queue_low(net::ServerSession& session) override;
  void on_delivered(Delivery& delivery, bool complete) override;

  void answer_api(net::ServerSession& session, const net::Request& request, Api api, std::string_view path);
  void control(net::ServerSession& session, const net::Request& request, std::string_view path);
  void deliver(net::ServerSession& session, Answer answer, Fault fault, uint64_t entry);
  void reply(net::ServerSession& session, Answer answer);
  void reply_json(net::ServerSession& session, int status, std::string body);
  std::string stats() const;

  core::Loop& loop_;
  const ProviderOptions options_;
  ApiRequestReader reader_;
  FaultList faults_;
  Journal journal_;
  core::Slab<Delivery> deliveries_;
  Stats stats_;
  const net::HttpServer* server_ = nullptr;
  uint64_t last_number_ = 0;
};

}  // namespace weir::tools
