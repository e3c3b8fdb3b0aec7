// Recomputing what the log says was written. Whoever reads the faults looks for one bad byte in a file of
// gigabytes, so each names its row or object.
#include <map>

#include "routing/registry/database.h"

namespace weir::routing {
namespace {

constexpr size_t kMaxFaults = 100;  // a file that is damaged throughout is known by then
constexpr uint64_t kProgressEvery = 10'000;

// What kills, labels and proposals must be, as the log tells it.
struct Replayed {
  std::map<std::pair<KillScope, std::string>, std::string> kills;  // reasons
  std::map<std::string, uint64_t> labels;
  std::map<uint64_t, std::string> proposals;  // digests in hex
};

class Verifier {
 public:
  Verifier(Registry::Database& db, const std::function<void(uint64_t, uint64_t)>& progress)
      : db_(db), progress_(progress) {}

  RegistryResult<Verification> run() {
    const auto changes = db_.connection.integer("SELECT count(*) FROM change");
    const auto touches = db_.connection.integer("SELECT count(*) FROM touch");
    const auto objects = db_.connection.integer("SELECT count(*) FROM object");
    if (!changes || !touches || !objects) return stopped();
    all_ = static_cast<uint64_t>(*changes) + static_cast<uint64_t>(*touches);
    if (!pages() || !log() || !bodies() || !state()) return stopped();
    if (*touches != *objects && result_.faults.empty()) {
      fault("there are " + std::to_string(*objects) + " versions of objects, but the log knows of " +
            std::to_string(*touches));
    }
    return std::move(result_);
  }

 private:
  // A damaged page is a finding; a disk that does not answer is not.
  RegistryResult<Verification> stopped() {
    const RegistryError error = db_.error();
    if (error.kind != RegistryError::Kind::corrupt) return std::unexpected(error);
    fault("the file cannot be read on: " + db_.connection.failure().message);
    return std::move(result_);
  }

  void fault(std::string text) {
    if (result_.faults.size() < kMaxFaults) result_.faults.push_back(std::move(text));
  }

  void step() {
    if (progress_ && ++done_ % kProgressEvery == 0) progress_(done_, all_);
  }

  // What SQLite knows of its own structure.
  bool pages() {
    sqlite::Statement check(db_.connection, "PRAGMA quick_check(20)");
    auto rows = check.with();
    while (rows.next()) {
      if (rows.text(0) != "ok") fault("the file's structure: " + std::string(rows.text(0)));
    }
    return !rows.failed();
  }

  bool log() {
    sqlite::Statement all(db_.connection,
                          "SELECT sequence, revision, wall_ns, record, hash FROM change ORDER BY sequence");
    auto rows = all.with();
    // A row holds if it follows the hash that is stored before it, or the one that should be: so a hash that
    // was changed is one fault, not two.
    std::string stored(32, '\0'), expected(32, '\0');
    while (rows.next()) {
      step();
      result_.changes++;
      const uint64_t sequence = rows.number(0);
      const std::string row = "row " + std::to_string(sequence) + " of the log";
      if (sequence != ++last_sequence_) {
        fault("rows " + std::to_string(last_sequence_) + " to " + std::to_string(sequence - 1) +
              " of the log are missing");
        last_sequence_ = sequence;
      }
      const Sha256Digest now = hash_.add(stored).add(rows.text(3)).finish();
      if (bytes_of(now) != rows.text(4) &&
          bytes_of(hash_.add(expected).add(rows.text(3)).finish()) != rows.text(4)) {
        fault(row + " is not what was written (its hash does not fit)");
      }
      expected = bytes_of(now);
      stored = rows.text(4);
      const auto parsed = parse_record(rows.text(3));
      if (!parsed) {
        fault(row + " is no record");
        continue;
      }
      const Change& change = parsed->change;
      if (change.sequence != sequence || change.revision != (rows.is_null(1) ? 0 : rows.number(1)) ||
          change.wall_ns != rows.integer(2)) {
        fault(row + " is not what its record says");
      }
      replay(*parsed);
      if (change.revision != 0) touched_[change.revision] = {change.object_count, parsed->objects};
    }
    if (rows.failed()) return false;
    if (!db_.reader && last_sequence_ != db_.head.sequence) {
      fault("the log ends at row " + std::to_string(last_sequence_) + ", not " +
            std::to_string(db_.head.sequence));
    }
    return true;
  }

  void replay(const ParsedRecord& parsed) {
    const Change& change = parsed.change;
    for (const Kill& kill : change.unkilled) replayed_.kills.erase({kill.scope, kill.name});
    for (const Kill& kill : change.killed)
      replayed_.kills.emplace(std::pair(kill.scope, kill.name), kill.reason);
    if (change.proposal != 0) replayed_.proposals[change.proposal] = parsed.proposal;
    if (const auto label = parse_label(change)) replayed_.labels[label->first] = label->second;
  }

  // Holds each body to its digest, and the digests of each change to its row.
  bool bodies() {
    sqlite::Statement all(db_.connection,
                          "SELECT touch.revision, touch.kind, touch.name, touch.digest, object.body, "
                          "object.revision IS NULL FROM touch LEFT JOIN object USING (kind, name, revision) "
                          "ORDER BY touch.revision, touch.kind, touch.name");
    auto rows = all.with();
    uint64_t revision = 0, count = 0;
    const auto end_revision = [&] {
      const std::string digest = to_hex(bytes_of(objects_.finish()));
      if (revision == 0) return;
      const auto logged = touched_.find(revision);
      if (logged == touched_.end() || logged->second.first != count || logged->second.second != digest) {
        fault("what the log says revision " + std::to_string(revision) +
              " changed is not what is listed for it: names or digests");
      }
      if (logged != touched_.end()) touched_.erase(logged);
    };
    while (rows.next()) {
      step();
      if (rows.number(0) != revision) {
        end_revision();
        revision = rows.number(0);
        count = 0;
      }
      count++;
      result_.objects++;
      const int64_t kind = rows.integer(1);
      if (kind < 0 || kind >= kObjectKindCount) {
        fault("revision " + std::to_string(revision) + " lists an object of no known kind");
        continue;
      }
      const auto object_kind = static_cast<ObjectKind>(kind);
      objects_.add(object_kind, rows.text(2), rows.text(3));
      const bool same =
          rows.is_null(3) ? rows.is_null(4) : bytes_of(hash_.add(rows.text(4)).finish()) == rows.text(3);
      const std::string object = std::string(to_string(object_kind)) + " " + std::string(rows.text(2)) +
                                 " of revision " + std::to_string(revision);
      if (rows.integer(5) != 0) {
        fault(object + " is missing");
      } else if (!same) {
        fault(object + " is not what was written");
      }
    }
    if (rows.failed()) return false;
    end_revision();
    for (const auto& [missing, logged] : touched_) {
      if (logged.first != 0) fault("what revision " + std::to_string(missing) + " changed is missing");
    }
    return true;
  }

  bool state() {
    auto kills = db_.all_kills.with();
    std::map<std::pair<KillScope, std::string>, std::string> killed;
    while (kills.next()) {
      killed.emplace(std::pair(static_cast<KillScope>(kills.integer(0)), std::string(kills.text(1))),
                     kills.text(2));
    }
    if (kills.failed()) return false;
    compare(killed, replayed_.kills, [](const auto& kill) {
      const std::string scope =
          kill.first <= KillScope::tenant ? std::string(to_string(kill.first)) : "unknown";
      return "the kill of " + scope + " " + kill.second;
    });

    sqlite::Statement all_labels(db_.connection, "SELECT name, revision FROM label");
    auto labels = all_labels.with();
    std::map<std::string, uint64_t> labelled;
    while (labels.next()) labelled.emplace(labels.text(0), labels.number(1));
    if (labels.failed()) return false;
    compare(labelled, replayed_.labels, [](const std::string& name) { return "label " + name; });

    sqlite::Statement all_proposals(db_.connection, "SELECT id, record FROM proposal");
    auto proposals = all_proposals.with();
    std::map<uint64_t, std::string> proposed;
    while (proposals.next()) {
      proposed.emplace(proposals.number(0), to_hex(bytes_of(hash_.add(proposals.text(1)).finish())));
    }
    if (proposals.failed()) return false;
    compare(proposed, replayed_.proposals, [](uint64_t id) { return "proposal " + std::to_string(id); });
    return true;
  }

  template <typename Map, typename Name>
  void compare(const Map& there, const Map& logged, Name name) {
    for (const auto& [key, value] : there) {
      const auto found = logged.find(key);
      if (found == logged.end() || found->second != value) fault(name(key) + " is not what the log says");
    }
    for (const auto& [key, value] : logged) {
      if (!there.contains(key)) fault(name(key) + " is in the log, but not there");
    }
  }

  Registry::Database& db_;
  const std::function<void(uint64_t, uint64_t)>& progress_;
  Verification result_;
  uint64_t done_ = 0, all_ = 0, last_sequence_ = 0;
  Sha256 hash_;
  ObjectsDigest objects_;
  Replayed replayed_;
  std::map<uint64_t, std::pair<uint64_t, std::string>> touched_;  // revision: count, digest in hex
};

}  // namespace

RegistryResult<Verification> Registry::verify(
    const std::function<void(uint64_t done, uint64_t all)>& progress) const {
  // Not Reading: that refuses a log whose last row is damaged, which is to be named here.
  sqlite::Transaction transaction(database_->connection, sqlite::Transaction::Kind::read);
  if (!transaction.begun()) return database_->failed();
  return Verifier(*database_, progress).run();
}

}  // namespace weir::routing
