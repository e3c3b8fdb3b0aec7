// The OpenFeature Remote Evaluation Protocol on the data-plane listener: the DataPlane hands it what comes to
// paths under /ofrep/. It knows sessions and the shard; what is asked and answered stands in routing/ofrep/.
//
//   evaluate:  key ▶ tenant ▶ context ▶ the decision of each scenario ▶ answer, or 304
//   events:    key or ticket ▶ EventStreams
//
// The credential is an API key, as `Authorization: Bearer` or as X-API-Key (both are in the protocol's
// securitySchemes), and x-weir-tenant names another tenant that the key may act for. Evaluations are counted,
// not recorded: one application may ask thousands of times a second. Refusals are recorded as any other.
//
// Limits: kMaxOfrepBodyBytes (body_too_large), kMaxOfrepAnswerBytes (answer_too_large). Thread: its shard's.
#pragma once

#include <optional>

#include "net/server_session.h"
#include "routing/exchange/event_streams.h"
#include "routing/exchange/record.h"
#include "routing/ofrep/evaluation_context.h"
#include "routing/ofrep/ofrep_error.h"
#include "routing/ofrep/ofrep_target.h"

namespace weir::routing {

class Shard;

class OfrepPlane {
 public:
  explicit OfrepPlane(Shard& shard) : shard_(shard), streams_(shard) {}

  core::Result<void> on_head(const OfrepTarget& target, const net::RequestHead& head, const uint8_t* base);
  void on_request(net::ServerSession& session, const OfrepTarget& target, const net::Request& request,
                  Record& record);
  void on_refused(net::ServerSession& session, const OfrepTarget& target, core::Error error, Record& record);
  EventStreams& streams() { return streams_; }

 private:
  core::Result<KeyIndex> identify(const net::RequestHead& head, const uint8_t* base);
  core::Result<void> admit_stream(const OfrepTarget& target, const net::RequestHead& head,
                                  const uint8_t* base);
  std::expected<void, OfrepError> evaluate(net::ServerSession& session, const OfrepTarget& target,
                                           const net::Request& request, Record& record);
  void answer(net::ServerSession& session, core::Slice body, const net::Request& request, bool tagged,
              const Record& record);
  void answer_error(net::ServerSession& session, const OfrepError& error, Record& record,
                    const char* allow = nullptr);

  Shard& shard_;
  EventStreams streams_;
  EvaluationContextReader reader_;
};

}  // namespace weir::routing
