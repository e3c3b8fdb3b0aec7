// What has been told of each thing, and what is still to be told: everything that happens is, once, and nothing by
// the thousand.
//
//                          seen open                             seen closed
//   rule:   told closed ──────────────▶ tell "open" ─▶ told open ────────────▶ tell "closed" ─▶ told closed
//                          not within kQuietNs of the last "open": then it waits, and is told when that is over
//   event:  happened ─▶ told, at most once in kQuietNs; what happens meanwhile is told when that is over
//
// So what somebody was told last of a rule is true, but for kQuietNs at most, and a closing is always told. While the
// queue is full everything waits here. A rule that is in no table any more is closed.
//
// Of rules of users each user is told of once, until the rule has not acted on it for kQuietNs.
//
// It remembers kMaxAlertThings things, and as many again that page. Of more it takes nothing, and says so: whoever looks
// keeps what it has seen.
//
// Pure. Thread: its owner's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "routing/admin/alert.h"
#include "routing/admin/alert_queue.h"
#include "routing/guard/guard_time.h"

namespace weir::routing {

class AlertBook {
 public:
  using Json = nlohmann::ordered_json;
  // What is known of a thing beyond its name; asked only when something is new.
  using Details = std::function<Json()>;

  static constexpr uint64_t kQuietNs = 600'000'000'000;
  static constexpr size_t kMaxKnownUsers = 64;

  explicit AlertBook(AlertQueue& queue) : queue_(queue) {}

  // A rule stands so, and has opened so often since the last look. To be called in every pass while it is open. False:
  // not taken.
  bool rule(const AlertThing& thing, uint64_t opened, bool open, const Details& details,
            const GuardTime& now);
  bool is_open(const std::string& key) const;

  enum class Whom : uint8_t { nobody, user, others };
  struct Event {
    const char* state = nullptr;  // of the alert; null: it has none
    Whom whom = Whom::nobody;     // of users: one of them, or some that are not known
    uint64_t user = 0;            // what tells one from others
  };
  // Something has happened. False: not taken.
  bool event(const AlertThing& thing, const Event& event, const Details& details, const GuardTime& now);

  // All rules have been looked at; `whole`: those of one table, so that those not seen are gone.
  void end_pass(bool whole, const GuardTime& now);

  size_t things() const { return entries_.size(); }

 private:
  struct Entry {
    Json about;
    Json details;
    bool pages = false;
    bool open = false;
    bool told_open = false;
    bool more_users = false;
    const char* state = nullptr;  // of events
    uint64_t opened = 0;          // not told yet
    uint64_t happened = 0;        // the same of events
    uint64_t suppressed = 0;
    uint64_t users = 0;  // not told yet
    uint64_t pass = 0;   // in which it was seen last
    uint64_t seen_ns = 0;
    uint64_t told_ns = 0;
    bool told = false;  // ever; told_ns
    std::vector<uint64_t> known = {};
  };
  Entry* entry_of(const AlertThing& thing, const std::string& key);
  void tell(Entry& entry, const GuardTime& now);
  bool send(Entry& entry, const char* state, bool pages, const GuardTime& now);

  AlertQueue& queue_;
  std::map<std::string, Entry> entries_;
  uint64_t pass_ = 1;
};

}  // namespace weir::routing
