#include "routing/admin/alert_book.h"

#include <algorithm>
#include <utility>

#include "core/limits.h"
#include "core/timestamp.h"

namespace weir::routing {

using core::limits::kMaxAlertThings;

// Null: there is no room.
AlertBook::Entry* AlertBook::entry_of(const AlertThing& thing, const std::string& key) {
  if (const auto known = entries_.find(key); known != entries_.end()) return &known->second;
  if (entries_.size() >= (thing.pages ? 2 : 1) * size_t{kMaxAlertThings}) return nullptr;
  return &entries_.emplace(key, Entry{.about = thing.about, .details = {}, .pages = thing.pages})
              .first->second;
}

bool AlertBook::is_open(const std::string& key) const {
  const auto known = entries_.find(key);
  return known != entries_.end() && known->second.open;
}

bool AlertBook::rule(const AlertThing& thing, uint64_t opened, bool open, const Details& details,
                     const GuardTime& now) {
  Entry* entry = entry_of(thing, thing.key);
  if (entry == nullptr) return false;
  if (opened != 0 || open != entry->open) entry->details = details();
  // One that another process has opened is new here.
  if (open && !entry->told_open && entry->opened == 0 && opened == 0) opened = 1;
  entry->opened += opened;
  entry->open = open;
  entry->pass = pass_;
  entry->seen_ns = now.now_ns;
  tell(*entry, now);
  return true;
}

bool AlertBook::event(const AlertThing& thing, const Event& event, const Details& details,
                      const GuardTime& now) {
  const std::string key = event.state == nullptr ? thing.key : thing.key + " " + event.state;
  Entry* entry = entry_of(thing, key);
  if (entry == nullptr) return false;
  entry->state = event.state;
  entry->seen_ns = now.now_ns;
  if (event.whom == Whom::user) {
    if (std::ranges::find(entry->known, event.user) != entry->known.end()) return true;
    if (entry->known.size() < kMaxKnownUsers) entry->known.push_back(event.user);
    ++entry->users;
  }
  entry->more_users |= event.whom == Whom::others;
  if (event.whom != Whom::others || entry->users == 0) entry->details = details();
  ++entry->happened;
  tell(*entry, now);
  return true;
}

// What is due of it, as far as there is room.
void AlertBook::tell(Entry& entry, const GuardTime& now) {
  const bool quiet = entry.told && now.now_ns - entry.told_ns < kQuietNs;
  const auto begin = [&](uint64_t& count, const char* state) {
    entry.suppressed += count - 1;
    if (!send(entry, state, entry.pages, now)) {
      entry.suppressed -= count - 1;
      return false;
    }
    entry.told = true;
    entry.told_ns = now.now_ns;
    count = 0;
    return true;
  };
  if (entry.told_open) {
    entry.suppressed += std::exchange(entry.opened, 0);
  } else if (entry.opened != 0 && !quiet) {
    entry.told_open = begin(entry.opened, "open");
  }
  if (entry.told_open && !entry.open) entry.told_open = !send(entry, "closed", false, now);
  if (entry.happened != 0 && !quiet && begin(entry.happened, entry.state)) {
    entry.users = 0;
    entry.more_users = false;
  }
}

bool AlertBook::send(Entry& entry, const char* state, bool pages, const GuardTime& now) {
  if (!queue_.has_room(pages)) return false;
  Json body{{"suppressed", std::exchange(entry.suppressed, 0)}};
  body.update(entry.about);
  body["severity"] = pages ? "page" : "warn";
  body["time"] = core::timestamp(now.wall_ns).view();
  if (state != nullptr) body["state"] = state;
  if (entry.users != 0) body["users"] = entry.users;
  if (entry.more_users) body["more_users"] = true;
  body.update(entry.details);
  queue_.add(body.dump(-1, ' ', false, Json::error_handler_t::replace));
  return true;
}

void AlertBook::end_pass(bool whole, const GuardTime& now) {
  for (auto at = entries_.begin(); at != entries_.end();) {
    Entry& entry = at->second;
    if (whole && entry.open && entry.pass != pass_) {
      entry.open = false;
      entry.details = Json::object();
    }
    tell(entry, now);
    const bool pending = entry.open || entry.told_open || entry.opened != 0 || entry.happened != 0;
    const bool quiet = now.now_ns - std::max(entry.seen_ns, entry.told_ns) < kQuietNs;
    at = pending || quiet ? std::next(at) : entries_.erase(at);
  }
  ++pass_;
}

}  // namespace weir::routing
