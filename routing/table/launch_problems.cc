#include "routing/table/launch_problems.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/timestamp.h"
#include "routing/decide/row_index.h"
#include "routing/table/canonical_json.h"
#include "routing/table/problem.h"

namespace weir::routing {
namespace {

constexpr std::string_view kTokens[] = {
#define X(name, sentence) #name,
    WEIR_LAUNCH_PROBLEM_TABLE(X)
#undef X
};

// "2027-01-15T00:00Z", as people write it in tables.
std::string print_time(int64_t wall_ns) {
  const core::Timestamp time = core::timestamp(wall_ns);
  return std::string(time.view().substr(0, 16)) + 'Z';
}

class Finder {
 public:
  Finder(const Table& table, const LaunchQuery& query) : table_(table), body_(*table.body), query_(query) {}

  LaunchFindings find(const ObjectSource& objects) {
    counts_.resize(body_.flags.size());
    used_.resize(body_.units.size());
    for (uint32_t i = 0; i < table_.tenants->tenant_end(); i++) {
      const Tenant tenant = table_[TenantIndex{i}];
      if (!tenant.exists()) continue;
      for_each_flag(body_, tenant, [&](FlagIndex flag) {
        if (const auto row = find_row(body_, tenant, flag)) judge_row(tenant, *row);
      });
    }
    for (size_t i = 0; i < body_.flags.size(); i++) judge_flag(body_.flags[i], counts_[i]);
    judge_units();

    LaunchFindings findings;
    for (std::vector<LaunchFinding>& list : found_) {
      const size_t room = query_.limit - findings.listed.size();
      std::ranges::move(list.begin(), list.begin() + static_cast<ptrdiff_t>(std::min(room, list.size())),
                        std::back_inserter(findings.listed));
    }
    findings.count = count_;
    name_owners(findings.listed, objects);
    return findings;
  }

 private:
  struct RowCounts {
    size_t off = 0, pilot = 0, production = 0;
  };

  bool wants(LaunchProblem problem) const { return (query_.wanted >> std::to_underlying(problem) & 1) != 0; }

  template <typename Detail>
  void add(LaunchProblem problem, ObjectKind kind, std::string_view name, std::string_view tenant,
           int64_t since, Detail&& detail) {
    if (!wants(problem)) return;
    count_++;
    std::vector<LaunchFinding>& list = found_[std::to_underlying(problem)];
    if (list.size() >= query_.limit) return;
    list.push_back({.problem = problem,
                    .kind = kind,
                    .name = std::string(name),
                    .tenant = std::string(tenant),
                    .owner = {},
                    .since_wall_ns = since,
                    .detail = fmt::format("{} ({})", sentence(problem), detail())});
  }

  std::optional<int64_t> changed_at(std::string_view flag, std::string_view tenant) const {
    return query_.changed_at ? query_.changed_at(flag, tenant) : std::nullopt;
  }

  bool is_old(int64_t since, uint64_t after_ns) const {
    return query_.wall_now_ns >= since && static_cast<uint64_t>(query_.wall_now_ns - since) >= after_ns;
  }

  void judge_row(const Tenant& tenant, const TenantRow& row) {
    using enum LaunchProblem;
    const int64_t now = query_.wall_now_ns;
    RowCounts& counts = counts_[static_cast<size_t>(row.flag)];
    used_[static_cast<size_t>(row.previous)] = true;
    if (row.state == FlagState::off) {
      counts.off++;
      return;
    }
    const bool pilot = row.state == FlagState::pilot;
    (pilot ? counts.pilot : counts.production)++;
    const std::string& flag = body_[row.flag].name;
    const auto tell = [&](LaunchProblem problem, int64_t since, auto&& detail) {
      add(problem, ObjectKind::flag, flag, tenant.id(), since, detail);
    };
    const bool is_expired = row.expires_ns <= now;
    if (is_expired) {
      tell(expired, row.expires_ns, [&] {
        return fmt::format("at {}; {}", print_time(row.expires_ns),
                           row.on_expiry == ExpiryAction::off ? "stable answers" : "it goes on as before");
      });
      if (row.on_expiry == ExpiryAction::freeze)
        tell(frozen, row.expires_ns, [&] { return fmt::format("since {}", print_time(row.expires_ns)); });
    }
    if (row.review_ns <= now)
      tell(overdue_review, row.review_ns,
           [&] { return fmt::format("it was {}", print_time(row.review_ns)); });
    const bool is_over = pilot && row.until_ns <= now;
    if (is_over) {
      tell(pilot_over, row.until_ns, [&] {
        return fmt::format("since {}: unit {}", print_time(row.until_ns), body_[row.previous].name);
      });
    }
    const bool ended = is_over || (is_expired && row.on_expiry == ExpiryAction::off);
    // A row that began lately is no finding whenever it was changed: its change is not looked up.
    const bool may_last = row.start_ns == INT64_MIN || is_old(row.start_ns, query_.partial_after_ns);
    if (pilot && !ended && may_last && wants(partial_too_long)) {
      const int64_t since = std::max(row.start_ns, changed_at(flag, tenant.id()).value_or(INT64_MIN));
      if (since != INT64_MIN && is_old(since, query_.partial_after_ns)) {
        tell(partial_too_long, since, [&] {
          return fmt::format("at {:g} % since {}", row.milli_percent / 1000.0, print_time(since));
        });
      }
    }
    if (is_unit_killed(table_, row.previous))
      tell(no_previous, 0, [&] { return fmt::format("unit {}", body_[row.previous].name); });
  }

  void judge_flag(const Flag& flag, const RowCounts& counts) {
    using enum LaunchProblem;
    if (flag.owner.empty()) {
      add(no_owner, ObjectKind::flag, flag.name, "", 0,
          [&] { return fmt::format("{} rows in pilot, {} in production", counts.pilot, counts.production); });
    }
    if (!wants(stale)) return;
    const Scenario& scenario = body_[flag.scenario];
    std::string_view why;
    if (scenario.combinations[size_t{1} << flag.bit] == scenario.stable) {
      why = "its candidate is the stable unit already";
    } else if (counts.pilot > 0) {
      return;
    } else if (counts.production == 0) {
      why = counts.off == 0 ? "no tenant has a row on it" : "it is off for every tenant";
    } else if (counts.off == 0) {
      why = "every tenant that has a row on it is in production";
    } else {
      return;
    }
    const std::optional<int64_t> since = changed_at(flag.name, "");
    if (since && !is_old(*since, query_.stale_after_ns)) return;
    add(stale, ObjectKind::flag, flag.name, "", since.value_or(0), [&] { return why; });
  }

  void judge_units() {
    for (const Scenario& scenario : body_.scenarios) {
      for (const UnitIndex unit : scenario.combinations) {
        used_[static_cast<size_t>(unit)] = true;
        used_[static_cast<size_t>(body_[unit].base)] = true;
      }
      for (const FallbackHop& hop : scenario.fallback) {
        if (hop.kind == FallbackHop::Kind::unit) used_[static_cast<size_t>(hop.unit)] = true;
      }
    }
    for (size_t i = 0; i < body_.declared_units; i++) {
      const Unit& unit = body_.units[i];
      if (used_[i]) continue;
      add(LaunchProblem::unused_unit, ObjectKind::unit, unit.name, "", 0,
          [&] { return fmt::format("model {}", body_[unit.model].name); });
    }
  }

  // The row's own, from its tenant's object.
  void name_owners(std::vector<LaunchFinding>& findings, const ObjectSource& objects) const {
    simdjson::dom::parser parser;
    for (LaunchFinding& finding : findings) {
      if (finding.kind != ObjectKind::flag) continue;
      if (const auto flag = body_.flag_names.find(finding.name)) finding.owner = body_.flags[*flag].owner;
      if (finding.tenant.empty() || !objects.find) continue;
      const auto tenant = objects.find(ObjectKind::tenant, finding.tenant);
      std::string_view owner;
      if (tenant &&
          parser.parse(*tenant)["flags"][finding.name]["owner"].get_string().get(owner) == simdjson::SUCCESS)
        finding.owner = owner;
    }
  }

  const Table& table_;
  const TableBody& body_;
  const LaunchQuery& query_;
  std::vector<RowCounts> counts_;  // by FlagIndex
  std::vector<bool> used_;         // by UnitIndex
  std::array<std::vector<LaunchFinding>, kLaunchProblemCount> found_;
  size_t count_ = 0;
};

}  // namespace

std::string_view token(LaunchProblem problem) {
  return kTokens[std::to_underlying(problem)];
}

std::string_view sentence(LaunchProblem problem) {
  static constexpr std::string_view kSentences[] = {
#define X(name, sentence) sentence,
      WEIR_LAUNCH_PROBLEM_TABLE(X)
#undef X
  };
  return kSentences[std::to_underlying(problem)];
}

std::expected<uint32_t, std::string> parse_launch_problems(std::string_view list) {
  uint32_t wanted = 0;
  while (true) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view word = list.substr(0, comma);
    const auto found = std::ranges::find(kTokens, word);
    if (word == "all") {
      wanted |= (1u << kLaunchProblemCount) - 1;
    } else if (found != std::end(kTokens)) {
      wanted |= 1u << (found - std::begin(kTokens));
    } else {
      return std::unexpected(fmt::format("{} is no problem; all, or some of {}{}", quote(word),
                                         list_names(kTokens), did_you_mean(word, kTokens)));
    }
    if (comma == list.size()) return wanted;
    list.remove_prefix(comma + 1);
  }
}

LaunchFindings find_launch_problems(const Table& table, const ObjectSource& objects,
                                    const LaunchQuery& query) {
  return Finder(table, query).find(objects);
}

void append_json(std::string& out, const LaunchFinding& finding) {
  const auto text_or_null = [&](std::string_view text) {
    if (text.empty()) {
      out += "null";
    } else {
      append_json_string(out, text);
    }
  };
  out +=
      fmt::format(R"({{"problem":"{}","kind":"{}","name":)", token(finding.problem), to_string(finding.kind));
  append_json_string(out, finding.name);
  out += R"(,"tenant":)";
  text_or_null(finding.tenant);
  out += R"(,"owner":)";
  text_or_null(finding.owner);
  out += R"(,"since":)";
  text_or_null(finding.since_wall_ns == 0 ? std::string_view()
                                          : core::timestamp(finding.since_wall_ns).view());
  out += R"(,"detail":)";
  append_json_string(out, finding.detail);
  out += '}';
}

}  // namespace weir::routing
