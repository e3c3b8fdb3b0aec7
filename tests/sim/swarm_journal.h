// What the actors of a run write down for the checks: what was asked, what reached providers, what was
// settled, and what they found wrong by themselves.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "routing/exchange/record.h"
#include "routing/exchange/shadow_pair.h"

namespace weir::sim {

// The first thing that was wrong is what matters; later ones are often its consequences.
class Findings {
 public:
  void add(const std::string& what) {
    if (first_.empty()) first_ = what;
  }
  void check(bool good, const std::string& what) {
    if (!good) add(what);
  }
  bool any() const { return !first_.empty(); }
  const std::string& first() const { return first_; }

 private:
  std::string first_;
};

// The head of an answer and what its body said, as a client saw it.
struct Answer {
  int status = 0;
  bool whole = false;  // ended as its framing says
  bool stream = false;
  bool done = false;  // the stream's end mark was seen
  std::string request_id, unit, arm, flag, reason, fallback, cache;
  uint64_t revision = 0;  // 0: not said
  std::string body;       // without transfer coding
};

// One request of one client, from the first byte sent to its end.
struct Asked {
  enum class End : uint8_t {
    open,
    answered,
    cut,
    lost
  };  // cut: a head came, no whole answer; lost: not even that
  enum class Kind : uint8_t { completion, models, probe };  // probe: has a record only if it is refused
  uint32_t number = 0;
  uint32_t subject =
      0;  // what it is about, and its tag: tag_of(); its own number, unless others ask that too
  uint32_t tenant = 0;
  uint32_t body_bytes = 0;
  bool short_answer = false;  // says so itself, with max_tokens
  std::string path, scenario, model, user, conversation;
  std::optional<bool> staff;
  std::string region;  // empty: not sent
  bool stream = false;
  bool hostile = false;  // must be refused
  bool repeats() const { return subject != number; }
  // By its tenant, of one endpoint, it is the same to the cache; what the unit's prompt says of its user apart.
  bool same_as(const Asked& other) const {
    return tenant == other.tenant && path == other.path && stream == other.stream &&
           subject == other.subject && short_answer == other.short_answer;
  }
  Kind kind = Kind::completion;
  End end = End::open;
  Answer answer;
};

inline constexpr const char* kStrayBody = "{}";

inline std::string tag_of(uint32_t number) {
  return "tag-" + std::to_string(10'000'000 + number);
}
inline constexpr uint32_t kFirstSharedSubject = 900'000;

// One request as it reached a provider.
struct Attempt {
  uint32_t subject = 0;  // of what was asked
  uint64_t at_ns = 0;    // monotonic
  uint32_t provider = 0;
  uint32_t model = 0;  // that was asked for: m…
  std::string request_id;
  size_t padding = 0;
  bool vectors = false;      // embeddings: no output to pay for
  bool whole = false;        // the provider said all of it, its end mark included
  bool in_one_event = false;  // its padding, which is more than an event may be
  bool contentless = false;  // a whole answer that says nothing, tags neither
};

struct Settled {
  routing::Record record;  // its `table` is null
  uint64_t revision = 0;   // 0: no table was asked
  uint64_t end_ns = 0;     // monotonic, as all times here but those of records
  uint64_t begin_ns() const { return end_ns - record.total_ns; }
};

// Cached answers of this tenant, unit or scenario are not to be given again.
struct Purge {
  enum class Scope : uint8_t { tenant, unit, scenario };
  uint64_t at_ns = 0;
  Scope scope = Scope::tenant;
  std::string name;
};

// A copy to a candidate, and the answer beside which it stands.
struct Paired {
  routing::ShadowPair pair;  // `table` and the bytes of its sides are null
  uint64_t revision = 0;
  std::string id, primary, shadow;
};

// What the line of a limit of tokens said at the end of a round.
struct TokenWord {
  enum class Holder : uint8_t { tenant, key, user, pilot };
  uint64_t at_ns = 0, word = 0, revision = 0;
  Holder holder = Holder::tenant;
  uint32_t tenant = 0, flag = 0;  // by number
  std::string user = {};
};

struct Journal {
  std::vector<Attempt> attempts;
  std::vector<Settled> records;
  std::vector<Purge> purges;
  std::vector<Paired> pairs;
  std::vector<TokenWord> token_words;
  bool usage_lied = false;  // a provider reported more than it was allowed to produce
  bool strayed = false;     // a provider sent an answer that nobody had asked for
  bool draining = false;    // the gateway has been told to end
  Findings findings;
};

}  // namespace weir::sim
