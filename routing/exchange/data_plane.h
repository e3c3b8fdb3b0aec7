// The data-plane API (DESIGN section 5) of one shard: paths, identity, inspection, decision, and then an
// Exchange. Everything up to the start of the first attempt happens in one call, on one table.
//
//   on_head:    path ▶ method ▶ media type ▶ key                      (before a body is read)
//   on_request: key ▶ steering headers ▶ inspect ▶ scenario ▶ overload ▶ detectors ▶ pin ▶ decide ▶ pilot limits
//               ▶ Exchange::start()
//
// Paths under /ofrep/ are the OfrepPlane's, which answers in another shape.
//
// Thread: its shard's.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "net/server_session.h"
#include "routing/decide/decide.h"
#include "routing/exchange/exchange.h"
#include "routing/exchange/ofrep_plane.h"
#include "routing/exchange/record.h"

namespace weir::routing {

class Shard;

class DataPlane final : public net::RequestHandler {
 public:
  explicit DataPlane(Shard& shard) : shard_(shard), ofrep_(shard) {}

  // The shard has taken up another table.
  void on_new_table() { ofrep_.streams().on_new_table(); }
  void begin_drain() { ofrep_.streams().begin_drain(); }

  core::Result<void> on_head(net::ServerSession& session, const net::RequestHead& head, const uint8_t* base) override;
  void on_request(net::ServerSession& session, const net::Request& request) override;
  void on_refused(net::ServerSession& session, core::Error error) override;
  void on_client_gone(net::ServerSession& session, core::Error error) override;
  void on_send_queue_low(net::ServerSession& session) override;

 private:
  enum class Path : uint8_t { chat_completions, completions, embeddings, responses, models, health, ready, unknown };
  static Path path_of(std::string_view target);

  // What the head says that steers routing; views into the request.
  struct Steering {
    std::string_view scenario, conversation, user, tenant;
    AttributeValues attributes;
  };
  core::Result<void> read_steering(const net::RequestHead& head, const uint8_t* base, Steering& steering) const;
  core::Result<KeyIndex> identify(const net::RequestHead& head, const uint8_t* base);
  core::Result<void> decide_and_start(net::ServerSession& session, const net::Request& request, Endpoint endpoint,
                                      Record& record);
  uint64_t find_user(const Table& table, TenantIndex tenant, KeyIndex key, std::string_view user) const;
  core::Result<void> keep_within_pilot(const Table& table, const DecideInput& input,
                                       const Inspection& inspection, Decision& decision, PilotPlaces& pilots,
                                       Record& record);
  void answer_models(net::ServerSession& session, const net::Request& request, Record& record);
  void answer_health(net::ServerSession& session, Path path, Record& record);
  void answer_error(net::ServerSession& session, core::Error error, Record& record);

  Shard& shard_;
  OfrepPlane ofrep_;
  Steering steering_;   // scratch of the request in hand
  uint64_t retry_after_ns_ = 0;  // of the refusal under way
};

}  // namespace weir::routing
