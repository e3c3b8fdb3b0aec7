// The control thread's work: it owns what the shards read (the table, what is killed) and takes in what they
// write (records). Everything here runs on its own core::Loop, which also carries the admin API.
//
//   apply(text) ─▶ [worker: compile, trust, first look-up of new names] ─▶ publish() ─▶ every shard's next
//   turn
//                        │ problems: nothing changes                          │
//   kill(), unkill() ────┼──────────── same body, other kills ───────────────▶┤
//                        ▼                                                    ▼
//                   done(refusal)                     everyone_uses(version) ─▶ done(revision)
//
//   timer, 1 to 50 ms: records of all shards ─▶ access log;   old versions ─▶ freed
//
// Invariants
//   1. A table with any problem changes nothing. What is published is complete: names resolved or tried,
//   trust
//      loaded.
//   2. Each publish has the next revision; a change is answered only when every shard uses it, or after
//      everyone_timeout_ms with an answer that says so.
//   3. Records name tables by pointer, so all queues are drained before a version is freed.
//   4. Kills outlive tables: each publish resolves them against its own body.
//   5. The loop is never blocked by a compile: a kill takes effect while a large table is being compiled.
//
// Thread: the control loop's, all of it. Make before that loop's first turn, destroy after its last and after
// the shards have ended. The worker frees bodies for as long as the gateway has any, so it outlives the
// gateway:
//
//   core::Loop  >  Worker, net::AddressBook, AccessLog  >  Gateway  >  ControlThread  >  AdminApi
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/loop.h"
#include "net/address_book.h"
#include "routing/admin/access_log.h"
#include "routing/admin/table_loader.h"
#include "routing/admin/worker.h"
#include "routing/exchange/gateway.h"
#include "routing/table/compile.h"
#include "routing/table/kills.h"

namespace weir::routing {

// Why a change was not made.
struct Refusal {
  enum class Kind : uint8_t {
    problems,      // the table is wrong
    lost_update,   // another revision serves than the one the change was based on
    unknown_name,  // there is nothing of that name to kill
    not_killed,    // there is nothing to take back
    slow_shards,   // the change was made, but a shard has not taken it up in time
  };
  Kind kind;
  uint64_t revision;  // that serves now
  std::vector<Problem> problems = {};
};

struct ControlOptions {
  CompileOptions compile;
  uint64_t everyone_timeout_ms = 5'000;  // how long a change waits for the shards before it is answered
};

class ControlThread {
 public:
  ControlThread(core::Loop& loop, Gateway& gateway, net::AddressBook& addresses, AccessLog& log,
                Worker& worker, ControlOptions options);
  ~ControlThread();
  ControlThread(const ControlThread&) = delete;
  ControlThread& operator=(const ControlThread&) = delete;

  // Publishes the first table, at once and without a worker. For start-up, once.
  std::expected<uint64_t, std::vector<Problem>> load(std::string text, TableFormat format);

  // Called on the loop: with the revision that every shard uses now, or why not.
  using Done = std::function<void(std::expected<uint64_t, Refusal>)>;

  struct Change {
    std::string reason;                     // for people
    std::optional<uint64_t> based_on = {};  // refuse unless this revision serves
  };
  void apply(std::string text, TableFormat format, Change change, Done done);
  // All problems; none = the table would be accepted.
  void validate(std::string text, TableFormat format, std::function<void(std::vector<Problem>)> done);

  // The table that serves, as canonical JSON (routing/table/canonical_json.h), with its revision.
  void export_table(std::function<void(uint64_t revision, const std::string& json)> done);

  // A name that the table does not hold is refused; one killed already is answered as done.
  void kill(KillScope scope, std::string name, Change change, Done done);
  void unkill(KillScope scope, const std::string& name, Change change, Done done);

  // Reads the providers' trust anchors again and publishes if all are good. Logs what happened.
  void reload_trust();
  // Called with every record that is drained, and with every pair of shadow mode; none at first.
  void watch_records(std::function<void(const Record&)> watch) { on_record_ = std::move(watch); }
  void watch_shadows(std::function<void(const ShadowPair&)> watch) { on_shadow_ = std::move(watch); }
  // Moves every record that waits to the access log, and that to its file.
  void flush();
  // After the access log was rotated away. Logs a failure.
  void reopen_access_log();

  const Table& table() const { return *gateway_.tables.newest(); }
  const std::vector<Kill>& kills() const { return kills_.kills(); }
  Gateway& gateway() const { return gateway_; }
  const net::AddressBook& addresses() const { return addresses_; }
  const AccessLog& access_log() const { return log_; }
  core::Loop& loop() const { return loop_; }
  uint64_t records_drained() const { return records_drained_; }

 private:
  struct Waiting {
    uint64_t version;
    uint64_t revision;
    uint64_t deadline_ns;
    Done done;
  };

  uint64_t publish(std::string_view reason);  // the version
  void when_everyone_uses(uint64_t version, Done done);
  bool names_something(KillScope scope, const std::string& name) const;
  uint64_t drain_records();  // how full the fullest queue was, in percent
  void reclaim();
  // Runs `job` on the worker, then `then` with its result on the loop, unless this is gone by then.
  template <typename Job, typename Then>
  void in_background(Job job, Then then);
  static void on_tick(core::Timer& timer);
  static void on_wait(core::Timer& timer);

  core::Loop& loop_;
  Gateway& gateway_;
  net::AddressBook& addresses_;
  AccessLog& log_;
  Worker& worker_;
  const uint64_t everyone_timeout_ms_;
  const std::shared_ptr<TableLoader> loader_;  // the worker's, once load() is over
  const std::shared_ptr<char> alive_;          // results that come later look at it
  LoadedTable current_;
  KillList kills_;
  uint64_t revision_ = 0;
  uint64_t records_drained_ = 0;
  uint64_t tick_ms_;
  uint32_t loads_under_way_ = 0;
  bool hosts_dirty_ = false;  // the address book may hold hosts that no table names any more
  std::function<void(const Record&)> on_record_;
  std::function<void(const ShadowPair&)> on_shadow_;
  std::vector<Waiting> waiting_;
  core::Timer tick_;
  core::Timer wait_;
};

}  // namespace weir::routing
