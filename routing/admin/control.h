// The control thread's work: it owns what the shards read (the table, what is killed) and takes in what they
// write (records). Everything here runs on its own core::Loop, which also carries the admin API; what takes
// time runs on workers.
//
//   change(request) ─▶ [queue] ─▶ If-Match still right? ─▶ [compile worker: plan against the newest objects,
//   compile,
//                                        │ 409              check; approvals?]
//                                        ▼                       │ problems, ...           │ approvals are
//                                        missing
//                                     refused ◀──────────────────┘                         ▼
//                                        ▲ disk full, ...   [registry worker: commit]   [add_proposal] ─▶
//                                        waits └──────────────────────┤ durable: revision
//                                                               ▼
//                                  publish(revision) ─▶ every shard's next turn ─▶ everyone uses it ─▶ done
//
//   kill() ─▶ publish() at once ─▶ [registry worker: commit] ─▶ publish(revision) ─▶ everyone uses it ─▶ done
//   unkill() ─▶ [registry worker: commit] ─▶ publish(revision) ─▶ ...
//
//   timer, 1 to 50 ms: records of all shards ─▶ access log;   old versions ─▶ freed
//
// Invariants
//   1. A change with any problem changes nothing. What is published is complete: names resolved or tried,
//      trust loaded.
//   2. A change is durable before a shard sees it, and answered only when every shard uses it, or after
//      everyone_timeout_ms with an answer that says so. A kill is the exception: it takes effect at once,
//      whatever the disk does, and the answer says when it is not durable.
//   3. Changes of the table are worked out one at a time, each from the newest objects, so none is ever lost
//      or rebased. A kill waits for none of them: at most for the one commit that is under way.
//   4. The revision that a shard reports is the registry's. Kills make revisions too; reading trust anchors
//      again, or credentials by putting the same table, makes none.
//   5. Records name tables by pointer, so all queues are drained before a version is freed.
//   6. Kills outlive tables and processes: each publish resolves them against its own body.
//   7. The loop never waits: not for a compile, not for the disk.
//
// Thread: the control loop's, all of it. Make before that loop's first turn, destroy after its last and after
// the shards have ended: it waits for what it has put on the worker. The worker frees bodies for as long as this
// thread is there; later they are freed where they are, so that a result which the loop never came to hear may
// end with the loop:
//
//   core::Loop  >  Worker, RegistryThreads, net::AddressBook, AccessLog  >  Gateway  >  ControlThread  >
//   AdminApi
#pragma once

#include <cstdint>
#include <deque>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/loop.h"
#include "net/address_book.h"
#include "routing/admin/access_log.h"
#include "routing/admin/change.h"
#include "routing/admin/registry_threads.h"
#include "routing/admin/table_loader.h"
#include "routing/admin/tenant_images.h"
#include "routing/admin/worker.h"
#include "routing/exchange/gateway.h"
#include "routing/table/compile.h"
#include "routing/table/kills.h"

namespace weir::routing {

struct ControlOptions {
  CompileOptions compile;                // the source is not kept: the registry has it
  std::string build = {};                // of the program: tenant images of another one are not read
  uint32_t image_from_tenants = 20'000;  // a smaller table is compiled as fast as an image is read
  uint64_t everyone_timeout_ms = 5'000;  // how long a change waits for the shards before it is answered
};

// What ControlThread is made of besides its loop; all of it outlives it.
struct ControlParts {
  Gateway& gateway;
  net::AddressBook& addresses;
  AccessLog& log;
  Worker& worker;
  RegistryThreads& registry;
};

// Why nothing can be served.
struct StartFailure {
  std::vector<Problem> problems = {};  // of the table
  uint64_t revision = 0;               // that they are in; 0 = in the file
  std::optional<RegistryError> registry = {};
};

// Kept with an import or a replacement of the whole table: which text it was, so that a file can be told from
// it.
std::string document_detail(std::string_view text);

class ControlThread {
 public:
  ControlThread(core::Loop& loop, const ControlParts& parts, ControlOptions options);
  ~ControlThread();
  ControlThread(const ControlThread&) = delete;
  ControlThread& operator=(const ControlThread&) = delete;

  struct TableText {
    std::string text;
    TableFormat format = TableFormat::json;
    std::string name = {};  // of the file, for the log
  };
  // Publishes the first table, at once and without a worker: the registry's newest one with its kills, or,
  // when nothing was ever committed, what `read_table` gives, which becomes revision 1. For start-up, once.
  std::expected<uint64_t, StartFailure> start(
      const std::function<std::expected<TableText, std::string>()>& read_table);
  // Says in the log, once, when a table file is another than the one that was imported or applied last: it is
  // not what serves. In the background.
  void compare_with_file(std::string path);

  void change(ChangeRequest request, ChangeDone done);
  // All problems; none = the table would be accepted.
  void validate(TableText table, std::function<void(std::vector<Problem>)> done);

  struct Flip {
    Caller caller;
    KillScope scope = KillScope::global;
    std::string name = {};
    std::string reason;
    uint64_t began_ns = 0;
    std::optional<uint64_t> if_match = {};
  };
  // A name that the table does not hold is refused; one killed already is answered as done.
  void kill(Flip flip, ChangeDone done);
  void unkill(Flip flip, ChangeDone done);

  // One more approval. The last one carries the proposal out; before that, `done` hears it as proposed.
  struct Approval {
    Caller caller;
    uint64_t proposal = 0;
    std::string reason;
    uint64_t began_ns = 0;
  };
  void approve(Approval approval, ChangeDone done);
  void withdraw(Approval withdrawal, ChangeDone done);

  // job(registry) on the thread for long reading, then then(result) on the loop, unless this is gone by then.
  template <typename Job, typename Then>
  void read(Job job, Then then) {
    in_background(
        registry_.reading(),
        [&registry = registry_, job = std::move(job)]() mutable { return job(registry.reader()); },
        std::move(then));
  }
  // The same on the thread that writes: for what makes no revision.
  template <typename Job, typename Then>
  void write(Job job, Then then) {
    in_background(
        registry_.writing(),
        [&registry = registry_, job = std::move(job)]() mutable { return job(registry.registry()); },
        std::move(then));
  }

  // Reads the providers' trust anchors again and publishes if all are good. Logs what happened.
  void reload_trust();
  // Called with every record that is drained, and with every pair of shadow mode; none at first.
  void watch_records(std::function<void(const Record&)> watch) { on_record_ = std::move(watch); }
  void watch_shadows(std::function<void(const ShadowPair&)> watch) { on_shadow_ = std::move(watch); }
  // Moves every record that waits to the access log, and that to its file; waits a while for a slow reader.
  void flush();
  // After the access log was rotated away. Logs a failure.
  void reopen_access_log();

  // No change is under way: the registry may be released.
  bool idle() const { return changes_.empty() && waiting_.empty() && in_background_ == 0; }

  const Table& table() const { return *gateway_.tables.newest(); }
  uint64_t revision() const { return revision_; }
  uint64_t table_revision() const { return table_revision_; }
  const std::vector<Kill>& kills() const { return kills_.kills(); }
  // False: a restart would forget the kill.
  bool is_durable(KillScope scope, std::string_view name) const;
  const std::string& registry_path() const { return registry_.path(); }
  Gateway& gateway() const { return gateway_; }
  const net::AddressBook& addresses() const { return addresses_; }
  const AccessLog& access_log() const { return log_; }
  core::Loop& loop() const { return loop_; }
  uint64_t records_drained() const { return records_drained_; }

 private:
  struct Waiting {
    uint64_t version;
    uint64_t deadline_ns;
    uint64_t began_ns;
    ChangeOutcome outcome;
    ChangeDone done;
  };
  struct Queued {
    std::shared_ptr<const ChangeRequest> request;
    ChangeDone done;
  };

  uint64_t publish(std::string_view reason);  // the version
  void when_everyone_uses(uint64_t version, ChangeOutcome outcome, uint64_t began_ns, ChangeDone done);
  bool answer_if_live(Waiting& item);
  std::expected<void, StartFailure> import_table(
      const std::function<std::expected<TableText, std::string>()>& read_table);
  std::expected<void, StartFailure> resume();
  // Writes an image of the tenants, in the background, when it is time for one.
  void tend_image(uint64_t changed, bool tenants_compiled);
  bool is_stale(const std::optional<uint64_t>& if_match) const;
  Refusal lost_update() const;
  bool names_something(KillScope scope, const std::string& name) const;
  bool is_killed(KillScope scope, std::string_view name) const;
  bool is_registered(KillScope scope, std::string_view name) const;
  uint64_t drain_records();  // how full the fullest queue was, in percent
  void reclaim();
  // Runs `job` on `worker`, then `then` with its result on the loop, unless this is gone by then.
  template <typename Job, typename Then>
  void in_background(Worker& worker, Job job, Then then) {
    ++in_background_;
    worker.run([this, &loop = loop_, alive = std::weak_ptr<char>(alive_), job = std::move(job),
                then = std::move(then)]() mutable {
      auto result = std::make_shared<decltype(job())>(job());
      loop.post([this, alive, then, result]() mutable {
        if (alive.expired()) return;
        --in_background_;
        then(std::move(*result));
      });
    });
  }
  static void on_tick(core::Timer& timer);
  static void on_turn(void* self);
  static void on_wait(core::Timer& timer);
  void answer_waiting();

  // control_changes.cc: the steps of a change, in this order.
  void begin_next_change();
  void on_prepared(std::expected<Prepared, Refusal> prepared);
  void propose(Prepared prepared);
  void commit(Prepared prepared);
  void end_change(ChangeResult result);

  void finish_flip(const Flip& flip, uint64_t revision, uint64_t commit_ns, const ChangeDone& done);
  void carry_out(Proposal proposal, const Approval& approval, ChangeDone done);

  core::Loop& loop_;
  Gateway& gateway_;
  net::AddressBook& addresses_;
  AccessLog& log_;
  Worker& worker_;
  RegistryThreads& registry_;
  const uint64_t everyone_timeout_ms_;
  const uint32_t image_from_tenants_;
  const std::shared_ptr<char> alive_;          // results that come later look at it
  const std::shared_ptr<TableLoader> loader_;  // the worker's, once start() is over
  LoadedTable current_;
  KillList kills_;
  std::vector<std::pair<KillScope, std::string>> registered_kills_;  // as far as the registry has answered
  // Of each unkill that is being written: whether a kill of the same came after it.
  struct Unkilling {
    KillScope scope;
    std::string name;
    std::shared_ptr<bool> overtaken;
  };
  std::vector<Unkilling> unkilling_;
  uint64_t revision_ = 0;        // of the newest publish
  uint64_t table_revision_ = 0;  // the newest that changed an object
  std::deque<Queued> changes_;   // the first is under way
  const TenantImages images_;
  uint64_t changed_since_image_ = 0;  // objects; a start has as many to catch up with
  bool image_under_way_ = false;
  uint64_t records_drained_ = 0;
  uint64_t tick_ms_;
  uint32_t in_background_ = 0;  // jobs whose results are not in
  uint64_t trust_reloads_ = 0;
  bool hosts_dirty_ = false;  // the address book may hold hosts that no table names any more
  std::function<void(const Record&)> on_record_;
  std::function<void(const ShadowPair&)> on_shadow_;
  std::vector<Waiting> waiting_;
  core::Timer tick_;
  core::Timer wait_;
};

}  // namespace weir::routing
