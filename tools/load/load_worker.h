// One thread of load: a loop, its share of the connections and of the rate, and what it measured.
//
//   open all ─▶ [others ready] ─▶ warm-up ─▶ window (recorded) ─▶ drain (answers under way, no new requests)
//   ─▶ end
//
// Closed loop: every connection asks again as soon as it is answered (or has thought). Open loop: requests
// begin at times drawn beforehand, whatever the other side does; one that finds no connection free waits, and
// its latency counts from when it was meant to begin. So a stall shows in full (no coordinated omission).
//
// Invariants
//   1. Latency and service time are recorded for every request meant to begin in the window, also if its
//      answer comes after it. One that has none by the end of the drain is an error, "unanswered"; one that
//      has not even found a connection by then, "never_sent".
//   2. Times are those of the loop's turns: sent = the end of the turn that queued the request, received =
//      the beginning of the turn that brought the bytes.
//
// Threads: run() on the worker's own; progress() and stop() from any; result() after run() has returned.
#pragma once

#include <simdjson.h>

#include <atomic>
#include <barrier>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/counter.h"
#include "core/loop.h"
#include "core/socket.h"
#include "net/http/head_parser.h"
#include "net/tls/tls_client_context.h"
#include "tools/load/load_histogram.h"
#include "tools/load/load_mix.h"
#include "tools/load/load_options.h"

namespace weir::tools {

// Read while the worker runs.
struct LoadProgress {
  core::Counter answers, errors, frames;
  core::Gauge open, in_flight;
};

struct LoadResult {
  std::string problem;          // why it could not run at all; then nothing else counts
  LoadHistogram latency;        // from the intended start to the last byte
  LoadHistogram service;        // from the send
  LoadHistogram first_token;    // streams: from the intended start to the first content frame
  LoadHistogram frame_gap;      // between the frames of a stream
  uint64_t window_answers = 0;  // that ended within the window
  uint64_t window_frames = 0;   // that came within it
  uint64_t window_ns = 0;
  uint64_t all_answers = 0;  // of the whole run
  uint64_t all_frames = 0;
  uint64_t all_bytes = 0;  // of bodies received, in the whole run
  uint64_t sent_bytes = 0;
  uint64_t reconnects = 0;
  uint64_t most_waiting = 0;  // open loop: requests that were due and had no connection, at most
  uint64_t cpu_ns = 0;
  uint64_t watched_cpu_ns = 0;  // within the window
  uint64_t watched_kib = 0;     // at its end
  std::map<int, uint64_t> statuses;
  std::map<std::string, uint64_t> errors;
  std::string example;  // of the first error
  uint64_t error_count() const;
  void merge(const LoadResult& other);
};

class LoadConnection;

class LoadWorker {
 public:
  using Ready = std::barrier<>;
  // `addresses`: of each URL. `tls`: this worker's own, null for plain URLs.
  LoadWorker(const LoadOptions& options, uint32_t index, std::vector<core::SocketAddress> addresses,
             std::shared_ptr<net::TlsClientContext> tls, Ready& ready);
  ~LoadWorker();
  LoadWorker(const LoadWorker&) = delete;
  LoadWorker& operator=(const LoadWorker&) = delete;

  void run();
  void stop();
  const LoadProgress& progress() const { return progress_; }
  const LoadResult& result() const { return result_; }

 private:
  friend class LoadConnection;
  enum class Phase : uint8_t { opening, warm_up, window, drain, closing };

  void work();
  void open_more();
  void begin_schedule();
  void on_turn();
  void begin_window();
  void close_window();
  void advance(uint64_t now_ns);
  enum class End : uint8_t { by_time, by_count };
  void end_window(uint64_t now_ns, End end);
  uint64_t wait_ns() const;
  void stamp_sent();

  // The connections' side.
  void on_opened(LoadConnection& connection);
  void on_open_failed(LoadConnection& connection, core::Error error);
  void on_free(LoadConnection& connection);
  bool starting() const { return phase_ == Phase::warm_up || phase_ == Phase::window; }
  bool open_loop() const { return rate_ > 0; }
  bool owed() const { return in_flight_ > 0 || !due_.empty(); }
  bool in_window(uint64_t at_ns) const { return at_ns >= window_begin_ns_ && at_ns < window_end_ns_; }
  bool take_request(uint64_t intended_ns);
  void count_error(std::string_view name, std::string_view example);
  uint64_t draw_interval_ns();

  const LoadOptions& options_;
  const uint32_t index_;
  const std::vector<core::SocketAddress> addresses_;
  const std::shared_ptr<net::TlsClientContext> tls_;
  Ready& ready_;
  LoadMix mix_;
  Random arrivals_;
  net::ResponseHeadParser parser_;
  simdjson::dom::parser json_;
  std::unique_ptr<core::Loop> loop_;
  std::atomic<core::Loop*> wakeable_{nullptr};
  std::atomic<bool> stopping_{false};

  std::vector<std::unique_ptr<LoadConnection>> connections_;
  std::vector<LoadConnection*> just_sent_;  // in this turn
  std::deque<LoadConnection*> free_;        // open loop: used in turn, so that all stay in use
  std::deque<uint64_t> due_;                // open loop: intended starts that wait for a connection
  uint64_t next_due_ns_ = UINT64_MAX;
  double rate_ = 0;                      // of this worker
  uint64_t requests_left_ = UINT64_MAX;  // in the window
  uint64_t window_begin_ns_ = UINT64_MAX, window_end_ns_ = UINT64_MAX, grace_end_ns_ = UINT64_MAX;
  uint32_t to_open_ = 0;  // not begun
  uint32_t opening_ = 0;  // under way
  uint32_t opened_once_ = 0;
  uint32_t refused_opens_ = 0;  // in a row
  uint32_t in_flight_ = 0;
  Phase phase_ = Phase::opening;
  LoadProgress progress_;
  LoadResult result_;
};

}  // namespace weir::tools
