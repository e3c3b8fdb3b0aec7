// One connection of a worker: asks, reads the answer, records, and opens itself again when it was closed.
//
//   open() ─▶ opening ─▶ free ──start()──▶ busy ──answer──▶ free (or thinking, or opening again)
//
// Thread: its worker's.
#pragma once

#include <cstdint>
#include <optional>

#include "net/client_session.h"
#include "tools/load/answer_reader.h"
#include "tools/load/load_worker.h"

namespace weir::tools {

class LoadConnection final : private net::ResponseHandler, private net::ClientSessionOwner {
 public:
  LoadConnection(LoadWorker& worker, size_t url)
      : worker_(worker),
        reader_(worker.options_.verify ? Verify::yes : Verify::no, worker.json_),
        timer_(on_timer, this),
        url_(url) {}
  LoadConnection(const LoadConnection&) = delete;
  LoadConnection& operator=(const LoadConnection&) = delete;

  void open();
  // `intended_ns` 0: when it is sent. `recorded`: it counts.
  void start(uint64_t intended_ns, bool recorded);
  // Tells the worker that it is free, later.
  void free_after(uint64_t wait_ns);
  // The turn that queued the request is over.
  void sent(uint64_t now_ns);
  void close();
  bool closed() const { return !session_; }

 private:
  void on_session_open(net::ClientSession& session) override;
  void on_session_failed(net::ClientSession& session, core::Error error) override;
  void on_session_closed(net::ClientSession& session) override;
  void on_response_head(const net::ResponseHead& head, const uint8_t* base) override;
  void on_response_body(net::BodyPiece piece) override;
  void on_response_end(Reuse reuse) override;
  void on_response_failed(core::Error error) override;
  static void on_timer(core::Timer& timer);

  bool has_headers(const net::ResponseHead& head, const uint8_t* base) const;
  void end_request();

  LoadWorker& worker_;
  std::optional<net::ClientSession> session_;
  AnswerReader reader_;
  core::Timer timer_;  // until it is free, or opened again
  const size_t url_;
  uint64_t intended_ns_ = 0;  // 0 until sent, in a closed loop
  uint64_t sent_ns_ = 0;
  uint64_t last_frame_ns_ = 0;  // of this answer; 0 = none yet
  Verdict head_verdict_ = Verdict::ok;
  uint16_t status_ = 0;
  bool recorded_ = false;
  bool opened_ = false;
  bool token_seen_ = false;
};

}  // namespace weir::tools
