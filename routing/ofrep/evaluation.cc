#include "routing/ofrep/evaluation.h"

#include <bit>
#include <charconv>
#include <optional>
#include <utility>

#include "core/strong.h"
#include "routing/decide/row_index.h"
#include "routing/guard/admission.h"
#include "routing/ofrep/ofrep_error.h"

namespace weir::routing {
namespace {

using core::ErrorCode;

template <typename Number>
void append_number(Number number, ScratchWriter& out) {
  char room[24];
  const auto [end, error] = std::to_chars(room, room + sizeof room, number);
  out.append(std::string_view(room, static_cast<size_t>(end - room)));
}

// "name": with what stands before it.
void member(std::string_view before, std::string_view name, ScratchWriter& out) {
  out.append(before);
  out.append('"');
  out.append(name);
  out.append("\":");
}

void text_member(std::string_view before, std::string_view name, std::string_view value, ScratchWriter& out) {
  member(before, name, out);
  render_json_string(value, out);
}

// A scenario as the router would decide it for this request, and what is said of it.
class ScenarioAnswer {
 public:
  ScenarioAnswer(const EvaluationInput& input, ScenarioIndex scenario)
      : input_(input), body_(*input.table.body), scenario_(scenario) {
    question_.key = input.key;
    question_.tenant = input.tenant;
    question_.conversation = input.context.conversation;
    question_.user = input.context.user;
    question_.attributes = &input.context.attributes;
    question_.wall_now_ns = input.wall_now_ns;
    if (!question_.conversation.empty()) {
      const uint64_t key =
          input.pins.key(input.table[input.tenant].id(), body_[scenario].name, question_.conversation);
      question_.pinned_unit = input.pins.peek(key, input.now_ns);
    }
    auto decided = decide(input.table, {.scenario = scenario, .model = std::nullopt}, question_);
    if (decided) decision_ = *decided;
    const bool bound = decision_ && decision_->limited != 0 && decision_->reason != Reason::pinned;
    if (bound && input.table.guards != nullptr) keep_within_pilot();
  }

  core::Result<void> has_value(const FlagKey& asked) const {
    const bool needs_unit =
        asked.view != FlagView::enabled && asked.view != FlagView::state && asked.view != FlagView::percent;
    if (!needs_unit) return {};
    if (!decision_) return core::fail(ErrorCode::killed);
    if (!answers()) return core::fail(ErrorCode::no_unit_answers);
    const bool missing = (asked.view == FlagView::prompt && unit().prompt.empty()) ||
                         (asked.view == FlagView::param && param(asked.param) == nullptr);
    if (missing) return core::fail(ErrorCode::flag_not_found);
    return {};
  }

  core::Result<void> render(const FlagKey& asked, std::string_view key, ScratchWriter& out) const {
    if (auto has = has_value(asked); !has) return has;
    const std::optional<FlagStanding> standing = standing_of(asked);
    text_member("{", "key", key, out);
    member(",", "value", out);
    value(asked, standing, out);
    const Reason reason = reason_of(asked, standing);
    text_member(",", "reason", openfeature_reason(reason), out);
    if (decision_) text_member(",", "variant", unit().name, out);
    member(",", "metadata", out);
    metadata(asked, standing, reason, out);
    out.append('}');
    return {};
  }

  const Unit* unit_if_any() const { return answers() ? &unit() : nullptr; }

 private:
  // As the data plane does, without counting.
  void keep_within_pilot() {
    const Decision decision = *decision_;
    const Scenario& scenario = body_[scenario_];
    for (uint32_t left = decision.limited; left != 0; left &= left - 1) {
      const FlagIndex flag = scenario.flags[static_cast<uint32_t>(std::countr_zero(left))];
      const ScopeGuard* pilot = input_.table.guards->pilot(decision.tenant, flag);
      if (pilot == nullptr || would_be_within_pilot(*pilot, input_.now_ns)) continue;
      const auto previous = past_pilot_limit(input_.table, question_, decision, flag);
      decision_ = previous ? std::optional(*previous) : std::nullopt;
      return;
    }
  }

  const Unit& unit() const { return body_[decision_->unit]; }

  // A unit does, not a static text.
  bool answers() const {
    return decision_ &&
           (!decision_->hop || body_[scenario_].fallback[*decision_->hop].kind == FallbackHop::Kind::unit);
  }

  // The one asked for; of a scenario, the one that explains its decision.
  std::optional<FlagIndex> told_flag(const FlagKey& asked) const {
    if (asked.flag || !decision_) return asked.flag;
    return decision_->flag;
  }

  std::optional<FlagStanding> standing_of(const FlagKey& asked) const {
    const std::optional<FlagIndex> flag = told_flag(asked);
    if (!flag) return std::nullopt;
    return flag_standing(input_.table, question_, decision_ ? &*decision_ : nullptr, *flag);
  }

  // The flag's own reason if one was asked for, else the scenario's.
  Reason reason_of(const FlagKey& asked, const std::optional<FlagStanding>& standing) const {
    if (asked.flag) return standing->reason;
    return decision_ ? decision_->reason : Reason::killed;
  }

  const ParamRewrite* param(std::string_view name) const {
    for (const ParamRewrite& param : unit().rewrite.params) {
      if (param.key == name) return &param;
    }
    return nullptr;
  }

  void value(const FlagKey& asked, const std::optional<FlagStanding>& standing, ScratchWriter& out) const {
    switch (asked.view) {
      case FlagView::object:
        return whole_unit(out);
      case FlagView::unit:
        return render_json_string(unit().name, out);
      case FlagView::model:
        return render_json_string(body_[unit().model].name, out);
      case FlagView::arm:
        return render_json_string(token(decision_->arm), out);
      case FlagView::prompt:
        return render_json_string(unit().prompt, out);
      case FlagView::param:
        return out.append(param(asked.param)->value_json);
      case FlagView::enabled:
        return out.append(standing->applies ? "true" : "false");
      case FlagView::state:
        return render_json_string(token(standing->state), out);
      case FlagView::percent:
        return percent(*standing, out);
    }
  }

  void whole_unit(ScratchWriter& out) const {
    text_member("{", "name", unit().name, out);
    text_member(",", "hash", unit().hash_hex, out);
    text_member(",", "model", body_[unit().model].name, out);
    if (!unit().prompt.empty()) text_member(",", "prompt", unit().prompt, out);
    member(",", "params", out);
    std::string_view before = "{";
    for (const ParamRewrite& param : unit().rewrite.params) {
      out.append(std::exchange(before, ","));
      out.append(param.key_json);
      out.append(':');
      out.append(param.value_json);
    }
    out.append(unit().rewrite.params.empty() ? "{}" : "}");
    if (unit().rewrite.filter_tools) {
      member(",", "tools", out);
      before = "[";
      for (const std::string_view tool : unit().rewrite.tools) {
        out.append(std::exchange(before, ","));
        render_json_string(tool, out);
      }
      out.append(unit().rewrite.tools.empty() ? "[]" : "]");
    }
    const Timeouts& timeouts = unit().timeouts;
    const auto milliseconds = [&](std::string_view at, std::string_view name, uint64_t ns) {
      member(at, name, out);
      append_number(ns / core::kNsPerMs, out);
    };
    member(",", "timeouts", out);
    milliseconds("{", "connect_ms", timeouts.connect_ns);
    milliseconds(",", "header_ms", timeouts.header_ns);
    milliseconds(",", "first_token_ms", timeouts.first_token_ns);
    milliseconds(",", "idle_ms", timeouts.idle_ns);
    milliseconds(",", "total_ms", timeouts.total_ns);
    text_member("},", "arm", token(decision_->arm), out);
    out.append('}');
  }

  static void percent(const FlagStanding& standing, ScratchWriter& out) {
    const uint32_t milli_percent = standing.state == FlagState::pilot        ? standing.milli_percent
                                   : standing.state == FlagState::production ? 100'000
                                                                             : 0;
    append_number(milli_percent / 1000, out);
    uint32_t rest = milli_percent % 1000;
    if (rest == 0) return;
    out.append('.');
    for (uint32_t digit = 100; rest != 0; rest %= digit, digit /= 10) {
      out.append(static_cast<char>('0' + rest / digit));
    }
  }

  void metadata(const FlagKey& asked, const std::optional<FlagStanding>& standing, Reason reason,
                ScratchWriter& out) const {
    text_member("{", "tenant", input_.table[input_.tenant].id(), out);
    text_member(",", "scenario", body_[scenario_].name, out);
    const std::optional<FlagIndex> flag = told_flag(asked);
    if (flag) text_member(",", "flag", body_[*flag].name, out);
    if (standing) text_member(",", "state", token(standing->state), out);
    text_member(",", "weirReason", token(reason), out);
    if (decision_) text_member(",", "arm", token(decision_->arm), out);
    member(",", "revision", out);
    append_number(input_.table.revision, out);
    out.append('}');
  }

  const EvaluationInput& input_;
  const TableBody& body_;
  const ScenarioIndex scenario_;
  DecideInput question_;
  std::optional<Decision> decision_;  // none: killed
};

// Renders all views of flags and scenarios, one after the other.
class AllEvaluations {
 public:
  AllEvaluations(const EvaluationInput& input, ScratchWriter& out)
      : input_(input), body_(*input.table.body), out_(out) {}

  void flag(FlagIndex index) {
    const Flag& flag = body_[index];
    add(flag.name, {.scenario = flag.scenario, .flag = index, .param = {}});
  }
  void scenario(ScenarioIndex index) { add(body_[index].name, {.scenario = index, .flag = {}, .param = {}}); }

 private:
  void add(std::string_view name, FlagKey asked) {
    const ScenarioAnswer answer(input_, asked.scenario);
    for (uint8_t view = 0; view <= std::to_underlying(FlagView::percent); view++) {
      asked.view = FlagView{view};
      if (asked.view == FlagView::param) {
        const Unit* unit = answer.unit_if_any();
        if (unit == nullptr) continue;
        for (const ParamRewrite& param : unit->rewrite.params) {
          asked.param = param.key;
          one(answer, name, asked);
        }
        asked.param = {};
      } else {
        one(answer, name, asked);
      }
    }
  }

  void one(const ScenarioAnswer& answer, std::string_view name, const FlagKey& asked) {
    char room[3 * core::limits::kMaxNameBytes];
    ScratchWriter key_out({reinterpret_cast<uint8_t*>(room), sizeof room});
    key_out.append(name);
    if (asked.view != FlagView::object) {
      key_out.append('.');
      key_out.append(token(asked.view));
    }
    if (asked.view == FlagView::param) {
      key_out.append('.');
      key_out.append(asked.param);
    }
    const std::string_view key = key_out.text(0, key_out.size());
    // Names that cannot be asked for, or that stand for something else, are left out. So are views that a
    // scenario does not have.
    if (find_flag_key(body_, key) != asked) return;
    const auto has = answer.has_value(asked);
    if (!has && has.error().code == ErrorCode::flag_not_found) return;
    out_.append(std::exchange(before_, ","));
    if (has) {
      (void)answer.render(asked, key, out_);
    } else {
      render_ofrep_error({.code = has.error().code, .key = key, .member = {}}, out_);
    }
  }

  const EvaluationInput& input_;
  const TableBody& body_;
  ScratchWriter& out_;
  std::string_view before_;
};

}  // namespace

std::string_view openfeature_reason(Reason reason) {
  switch (reason) {
    case Reason::production:
    case Reason::no_flag:
    case Reason::direct:
      return "STATIC";
    case Reason::segment:
    case Reason::excluded:
    case Reason::pinned:
      return "TARGETING_MATCH";
    case Reason::split_in:
    case Reason::split_out:
      return "SPLIT";
    case Reason::off:
    case Reason::not_started:
    case Reason::expired:
    case Reason::killed:
      return "DISABLED";
    case Reason::no_row:
    case Reason::no_sticky_key:
    case Reason::pilot_limit:
    case Reason::economy:
    case Reason::fallback:
      return "DEFAULT";
  }
  return "UNKNOWN";
}

core::Result<void> render_evaluation(const EvaluationInput& input, const FlagKey& flag, std::string_view key,
                                     ScratchWriter& out) {
  return ScenarioAnswer(input, flag.scenario).render(flag, key, out);
}

void render_all_evaluations(const EvaluationInput& input, std::string_view events_target,
                            ScratchWriter& out) {
  const TableBody& body = *input.table.body;
  const Tenant tenant = input.table[input.tenant];
  // The first of the tenant's rows on the scenario, by bit; none if it has none.
  const auto first_bit = [&](ScenarioIndex scenario) -> std::optional<uint8_t> {
    for (const PackedRow& row : find_rows(body, tenant, scenario).rows) {
      if (row.present != 0) return static_cast<uint8_t>(row.bit);
    }
    return std::nullopt;
  };
  out.append("{\"flags\":[");
  AllEvaluations all(input, out);
  for_each_flag(body, tenant, [&](FlagIndex flag) { all.flag(flag); });
  for_each_flag(body, tenant, [&](FlagIndex index) {
    const Flag& flag = body[index];
    if (first_bit(flag.scenario) == flag.bit) all.scenario(flag.scenario);
  });
  const std::optional<ScenarioIndex> own = input.table[input.key].scenario();
  if (own && !first_bit(*own)) all.scenario(*own);
  member("],", "metadata", out);
  text_member("{", "tenant", tenant.id(), out);
  member(",", "revision", out);
  append_number(input.table.revision, out);
  text_member("},\"eventStreams\":[{\"type\":\"sse\",\"endpoint\":{", "requestUri", events_target, out);
  out.append("}}]}");
}

}  // namespace weir::routing
