// Whom limits let in and whom they refused, against a slow reference made of the records: when each request was
// admitted, when it was settled, and what it had used by then. Amounts may change from table to table; each request
// counts by its own table's.
//
//   never more than fits      what surely counted at a moment leaves room for who was admitted then
//   nothing refused that fits what may have counted leaves no room for who was refused
//   nothing held              a word of tokens is within both bounds at the end of every round
//
// Of what happens at one moment the order is not known: for the first it did not count yet, unless by the same
// table; for the second it did. Of tokens only those used are known, not what they were thought to be at admission:
// the first counts them at admission, and only once they are settled (earlier is less), the second at the end, and on
// top what time may have refilled of the estimate meanwhile, which is not given back.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "routing/guard/guard_plan.h"
#include "tests/sim/swarm_checks.h"

namespace weir::sim {
namespace {

using routing::Record;

constexpr double kMinuteNs = 60e9;
constexpr double kSlackNs = 1e3;    // of what is rounded
constexpr uint64_t kMostDebt = 16;  // routing/guard/rate_limiter.h
constexpr uint64_t kMostWords = 300;
constexpr double kMostOutput = 16'384;  // of a model that does not say

// One request under the limits of one holder.
struct Use {
  uint64_t begin_ns = 0, end_ns = 0, revision = 0;
  uint32_t rpm = 0, tpm = 0, concurrency = 0;  // its table's; 0: none
  bool soft = false;                           // past them something else answers
  bool took = false;                           // it counts under all of them
  bool may_have = false;                       // it may count under some
  bool asked_tokens = false;                   // one at least
  std::string_view refused = {};               // "rpm", "tpm", "concurrency"
  bool never = false;                          // for it asks for more than is ever free
  double tokens = 0, more = 0;                 // used; of attempts whose answers nobody got, at most
  double expected = 0;                         // at most
};
using Uses = std::vector<Use>;

// The word of GCRA in nanoseconds.
struct Word {
  double at = 0;
  void add(double now, double units, double interval) { at = std::max(at, now) + units * interval; }
  bool fits(double now, double units, double interval, double limit) const {
    return std::max(at, now) + units * interval <= now + limit * interval + kSlackNs;
  }
};

double token_interval(const Use& use) {
  return kMinuteNs / use.tpm;
}
// Of what it was thought to use, by the time it was settled.
double refilled(const Use& use) {
  return std::min(use.expected * token_interval(use), static_cast<double>(use.end_ns - use.begin_ns));
}

// The least the word can be at `now`: what was settled before, counted from when it was admitted. With `counted_at_end`
// also what was settled at that moment. Since the limit was last unused, each that was settled may have been given back
// what time had refilled meanwhile (rate_limiter.h says when).
Word least_tokens(const Uses& uses, uint64_t now_ns, bool counted_at_end) {
  const auto counts = [&](const Use& use) {
    return use.took && use.tpm != 0 && (counted_at_end ? use.end_ns <= now_ns : use.end_ns < now_ns);
  };
  Word word;
  double unused_until = 0, given_back = 0;
  for (const Use& use : uses) {  // by begin_ns
    if (!counts(use)) continue;
    const auto begin = static_cast<double>(use.begin_ns);
    if (word.at < begin) unused_until = begin;
    const double units = std::min(use.tokens, double{kMostDebt} * use.tpm);
    Word next = word;
    next.add(begin, units, token_interval(use));
    word.at = std::max(word.at, std::min(next.at, begin + kMostDebt * kMinuteNs));
  }
  for (const Use& use : uses) {
    if (counts(use) && static_cast<double>(use.end_ns) > unused_until) given_back += refilled(use);
  }
  word.at -= given_back;
  return word;
}

// The most it can be.
Word most_tokens(Uses uses, uint64_t now_ns, const Use* but) {
  std::erase_if(uses, [&](const Use& use) {
    return !use.may_have || use.tpm == 0 || use.begin_ns > now_ns ||
           (but != nullptr && use.begin_ns == but->begin_ns && use.end_ns == but->end_ns &&
            !use.refused.empty());
  });
  const auto at = [&](const Use& use) { return std::min(use.end_ns, now_ns); };
  std::ranges::sort(uses, {}, at);
  Word word;
  for (const Use& use : uses) {
    const double interval = token_interval(use), now = static_cast<double>(at(use));
    if (use.end_ns > now_ns) {
      word.add(now, std::max(use.expected, use.tokens) + use.more, interval);
      continue;
    }
    word.add(now, use.tokens + use.more, interval);
    word.at += refilled(use);
  }
  return word;
}

std::string refusal_of(const Use& use, const char* holder) {
  return fmt::format("{}'s {} refused what fits", holder, use.refused);
}

// `uses` of one holder, sorted by begin_ns.
void check_holder(Findings& findings, const char* holder, const Uses& uses) {
  Word rpm;
  for (size_t i = 0; i < uses.size();) {
    size_t end = i;
    while (end < uses.size() && uses[end].begin_ns == uses[i].begin_ns) ++end;
    const double now = static_cast<double>(uses[i].begin_ns);
    for (size_t j = i; j < end; ++j) {
      const Use& use = uses[j];
      if (!use.took) continue;
      double at_once = 0, in_flight = 0;  // by the same table at this moment; and those from before
      for (size_t k = i; k < end; ++k) at_once += uses[k].took && uses[k].revision == use.revision;
      for (const Use& other : uses) {
        in_flight += other.took && other.concurrency != 0 && other.end_ns > use.begin_ns &&
                     (other.begin_ns < use.begin_ns ||
                      (other.begin_ns == use.begin_ns && other.revision == use.revision));
      }
      if (use.rpm != 0 && !rpm.fits(now, at_once, kMinuteNs / use.rpm, use.rpm))
        findings.add(fmt::format("{}'s rpm let in more than fits", holder));
      if (use.concurrency != 0 && use.end_ns > use.begin_ns && in_flight > use.concurrency)
        findings.add(fmt::format("{}'s concurrency: {} at once", holder, in_flight));
      if (use.tpm != 0 && use.asked_tokens &&
          !least_tokens(uses, use.begin_ns, false).fits(now, 1, token_interval(use), use.tpm)) {
        findings.add(fmt::format("{}'s tpm let in more than fits", holder));
      }
    }
    for (size_t j = i; j < end; ++j) {
      if (uses[j].took && uses[j].rpm != 0) rpm.add(now, 1, kMinuteNs / uses[j].rpm);
    }
    i = end;
  }
  for (const Use& use : uses) {
    if (use.refused.empty() || use.soft) continue;
    const double now = static_cast<double>(use.begin_ns);
    if (use.refused == "rpm") {
      Word most;
      for (const Use& other : uses) {
        if (other.may_have && other.rpm != 0 && other.begin_ns <= use.begin_ns)
          most.add(static_cast<double>(other.begin_ns), 1, kMinuteNs / other.rpm);
      }
      if (most.fits(now, 1, kMinuteNs / use.rpm, use.rpm - 1e-6)) findings.add(refusal_of(use, holder));
    }
    if (use.refused == "concurrency") {
      const auto others = std::ranges::count_if(uses, [&](const Use& other) {
        return other.may_have && other.begin_ns <= use.begin_ns && other.end_ns >= use.begin_ns;
      });
      if (others < static_cast<ptrdiff_t>(use.concurrency)) findings.add(refusal_of(use, holder));
    }
    if (use.refused == "tpm") {
      const bool room =
          most_tokens(uses, use.begin_ns, &use).fits(now, use.expected, token_interval(use), use.tpm - 1e-6);
      if (use.never ? use.expected <= use.tpm : room) findings.add(refusal_of(use, holder));
    }
  }
}

class LimitUses {
 public:
  LimitUses(const SwarmConfig& config, const TableMaker& tables) : config_(config), tables_(tables) {}

  void add(const Settled& settled, const Asked* asked) {
    const Record& record = settled.record;
    if (settled.revision == 0 || record.tenant == Record::kNone || record.decided_unit == Record::kNone)
      return;
    const PublishedTable& published = tables_.at(settled.revision);
    const uint32_t tenant = published.tenant_number(record.tenant);
    const TenantLimits& limits = published.limits[tenant];
    Use use{.begin_ns = settled.begin_ns(), .end_ns = settled.end_ns, .revision = settled.revision};
    const std::string_view limit = is_limited(record) ? record.limit : "";
    // A budget has its say after all limits have been asked.
    const bool by_budget = limit.ends_with(".budget");
    use.took = limit.empty() && record.error != core::ErrorCode::too_many_exchanges;
    use.never = record.error == core::ErrorCode::request_over_limit;
    // What acts instead of refusing holds what fits.
    const bool acted = limit.starts_with("tenant.") && std::string_view(limits.limits_on_exceed) != "reject";
    use.may_have = use.took || acted || by_budget || record.attempts > 0 || record.status == 200;
    use.asked_tokens = record.attempts > 0 || record.cache == routing::CacheUse::hit;
    use.tokens = static_cast<double>(record.input_tokens + record.output_tokens);
    use.expected = expected(record, asked);
    // The last attempt's tokens are the record's, unless it was given up too.
    if (record.attempts > 1 || use.tokens == 0)
      use.more = (use.expected + cut_short(record)) * record.attempts;
    const auto under = [&](const char* scope, uint32_t rpm, uint32_t tpm, uint32_t concurrency) {
      Use here = use;
      here.rpm = rpm;
      here.tpm = tpm;
      here.concurrency = concurrency;
      if (limit.starts_with(scope)) here.refused = limit.substr(limit.find('.') + 1);
      return here;
    };
    Use own = under("tenant.", limits.rpm, limits.tpm, limits.concurrency);
    own.soft = std::string_view(limits.limits_on_exceed) != "reject";
    by_holder_[fmt::format("t{}", tenant)].push_back(own);
    by_holder_[fmt::format("k{}", tenant)].push_back(under("key.", limits.key_rpm, limits.key_tpm, 0));
    const Use user = under("user.", limits.user_rpm, limits.user_tpm, limits.user_concurrency);
    if (asked != nullptr) {
      by_holder_[fmt::format("u{} {}", tenant, asked->user)].push_back(user);
    } else {
      nobodys_[tenant].push_back(user);
    }
    for (uint32_t flag = 0; flag < config_.flags; ++flag) {
      for (const routing::TenantFlag& row : published.tenants[record.tenant].flags) {
        const std::string& name = published.table.body->flags[static_cast<uint32_t>(row.flag)].name;
        if (name != fmt::format("f{}", flag) || row.limits.tpm == 0) continue;
        Use pilot = use;
        pilot.tpm = row.limits.tpm;
        by_holder_[fmt::format("p{} {}", tenant, flag)].push_back(pilot);
      }
    }
  }
  // Whose user is not known may be anybody's of the tenant, for the upper bound.
  void end() {
    for (const auto& [tenant, uses] : nobodys_) {
      for (const char* user : {"", "user0", "user1", "user2"})
        by_holder_[fmt::format("u{} {}", tenant, user)];
    }
    for (auto& [name, uses] : by_holder_) {
      if (name[0] == 'u') {
        for (Use use : nobodys_[static_cast<uint32_t>(name[1] - '0')]) {
          use.took = false;
          use.refused = {};
          uses.push_back(use);
        }
      }
      std::ranges::stable_sort(uses, {}, &Use::begin_ns);
    }
  }
  const std::map<std::string, Uses>& by_holder() const { return by_holder_; }
  const Uses& of(const TokenWord& word) const {
    static const Uses kNone;
    std::string name;
    switch (word.holder) {
      case TokenWord::Holder::tenant:
        name = fmt::format("t{}", word.tenant);
        break;
      case TokenWord::Holder::key:
        name = fmt::format("k{}", word.tenant);
        break;
      case TokenWord::Holder::user:
        name = fmt::format("u{} {}", word.tenant, word.user);
        break;
      case TokenWord::Holder::pilot:
        name = fmt::format("p{} {}", word.tenant, word.flag);
        break;
    }
    const auto found = by_holder_.find(name);
    return found == by_holder_.end() ? kNone : found->second;
  }

 private:
  // What a unit's max_tokens does not bound.
  static bool unbounded(const Record& record) {
    return record.scenario == Record::kNone || record.endpoint == routing::Endpoint::responses;
  }
  // The most tokens that a request is thought to use: its text is never thought to be more than a token a byte.
  double expected(const Record& record, const Asked* asked) const {
    const double prompt = config_.prompts ? 120 : 0, output = unbounded(record) ? 256 : kSwarmOutputTokens;
    const double text = asked != nullptr ? asked->body_bytes : static_cast<double>(record.request_bytes);
    return text + prompt + output + 2;
  }
  // The most beyond it that an answer is thought to have used of which nobody has said so.
  static double cut_short(const Record& record) { return unbounded(record) ? kMostOutput : 0; }

  const SwarmConfig& config_;
  const TableMaker& tables_;
  std::map<std::string, Uses> by_holder_;
  std::map<uint32_t, Uses> nobodys_;  // users that are not known, by tenant
};

}  // namespace

void SwarmChecks::check_limits() {
  LimitUses uses(config_, tables_);
  for (const Settled& settled : journal_.records) uses.add(settled, asked_of(settled));
  uses.end();
  for (const auto& [name, list] : uses.by_holder()) {
    if (name[0] == 'p')
      continue;  // who counts under a pilot's is not known: check_token_words() is content with less
    const char* const holder = name[0] == 't' ? "a tenant" : name[0] == 'k' ? "a key" : "a user";
    check_holder(journal_.findings, holder, list);
  }
}

// What the lines of limits of tokens say, when somebody has just been settled.
void SwarmChecks::note_token_words(const routing::Table& newest, routing::UserGuards& users) {
  if (journal_.records.size() == std::exchange(records_seen_, journal_.records.size())) return;
  if (journal_.token_words.size() > kMostWords) return;
  const routing::GuardPlan& plan = *newest.guards;
  const PublishedTable& published = tables_.at(newest.revision);
  const uint64_t now_ns = World::now().monotonic_ns;
  constexpr auto kTokens = static_cast<unsigned>(routing::RateKind::tokens);
  const auto note = [&](const routing::ScopeGuard* guard, const routing::LimitLine* line, TokenWord word) {
    if (guard == nullptr || line == nullptr || !guard->limits.rates[kTokens].any()) return;
    word.at_ns = now_ns;
    word.word = line->rates[kTokens].load() / routing::kTicksPerNs;
    journal_.token_words.push_back(std::move(word));
  };
  for (const routing::ScopeGuard& guard : plan.scopes()) {
    using enum routing::GuardScope;
    if (guard.scope == tenant) {
      note(&guard, guard.line,
           {.holder = TokenWord::Holder::tenant, .tenant = published.tenant_number(guard.owner)});
    }
    if (guard.scope == key) {
      const uint32_t of = static_cast<uint32_t>(newest[routing::KeyIndex{guard.owner}].tenant());
      note(&guard, guard.line, {.holder = TokenWord::Holder::key, .tenant = published.tenant_number(of)});
    }
    if (guard.scope == pilot) {
      const std::string& flag = newest.body->flags[static_cast<uint32_t>(guard.flag)].name;
      note(&guard, guard.line,
           {.holder = TokenWord::Holder::pilot,
            .tenant = published.tenant_number(guard.owner),
            .flag = static_cast<uint32_t>(flag.back() - '0')});
    }
    if (guard.scope == user) {
      for (const char* name : {"user0", "user1", "user2"}) {
        const routing::UserLook look(guard, published.tenants[guard.owner].id, name, users);
        note(&guard, look.limits(),
             {.holder = TokenWord::Holder::user,
              .tenant = published.tenant_number(guard.owner),
              .user = name});
      }
    }
  }
}

// Nothing is held that nobody has used, and nothing that was used is forgotten.
void SwarmChecks::check_token_words() {
  LimitUses uses(config_, tables_);
  for (const Settled& settled : journal_.records) uses.add(settled, asked_of(settled));
  uses.end();
  static constexpr const char* kHolders[] = {"a tenant", "a key", "a user", "a pilot"};
  for (const TokenWord& word : journal_.token_words) {
    const char* const holder = kHolders[static_cast<unsigned>(word.holder)];
    const double now = static_cast<double>(word.at_ns), said = static_cast<double>(word.word);
    const Word most = most_tokens(uses.of(word), word.at_ns, nullptr);
    journal_.findings.check(
        said <= std::max(most.at, now) + kSlackNs,
        fmt::format(
            "tokens are held that nobody used: {} ({:.3f} s where {:.3f} s are explained, {} requests)",
            holder, (said - now) / 1e9, (most.at - now) / 1e9, uses.of(word).size()));
    if (word.holder == TokenWord::Holder::pilot) continue;
    const Word least = least_tokens(uses.of(word), word.at_ns, true);
    journal_.findings.check(
        least.at <= now || said + kSlackNs >= least.at,
        fmt::format("tokens that were used are not counted: {} ({:.3f} s where {:.3f} s were used)", holder,
                    (said - now) / 1e9, (least.at - now) / 1e9));
  }
}

}  // namespace weir::sim
