#include "tests/sim/control_swarm_writers.h"

#include <fmt/format.h>

#include <utility>

#include "routing/admin/edits.h"

namespace weir::sim {

using namespace routing;  // NOLINT: a test

namespace {

const std::vector<Caller>& people() {
  static const std::vector<Caller> list = {{.name = "alice", .role = Role::operator_role},
                                           {.name = "bob", .role = Role::operator_role},
                                           {.name = "carol", .role = Role::approver},
                                           {.name = "dave", .role = Role::admin}};
  return list;
}

std::string numbered(Dice& dice, const char* prefix, uint64_t count) {
  return prefix + std::to_string(dice.below(count));
}

std::expected<Plan, Refusal> plan_of(const Ask& asked, const Newest& newest) {
  switch (asked.what) {
    case What::row:
      return plan_row(newest, asked.flag, asked.name, asked.body.dump());
    case What::put:
      return plan_put(newest, asked.kind, asked.name, asked.body.dump());
    case What::patch:
      return plan_patch(newest, asked.kind, asked.name, asked.body.dump());
    case What::remove:
      return plan_delete(newest, asked.kind, asked.name);
    case What::rollback:
      return plan_rollback(asked.rollback, newest);
    default:
      break;
  }
  auto document = Document::parse(asked.body.dump(), TableFormat::json);
  if (!document) {
    return std::unexpected(Refusal{.kind = Refusal::Kind::problems, .problems = std::move(document.error())});
  }
  return Plan{.document = *std::move(document), .detail = document_detail(asked.body.dump())};
}

}  // namespace

bool Ask::refused_by_registry() const {
  using enum Refusal::Kind;
  if (!result || *result) return false;
  const Refusal::Kind why = result->error().kind;
  return why == registry_full || why == registry_unavailable || why == not_durable || why == not_durable_full;
}

std::string Ask::to_string() const {
  std::string text = fmt::format("{} {}", mark(), sim::to_string(what));
  if (!name.empty()) text += " " + name;
  if (dry_run) text += " dry";
  if (if_match) text += fmt::format(" if-match {}", *if_match);
  if (lost) text += ": lost";
  if (!result) return text;
  if (!*result)
    return text + fmt::format(": {} {}", describe(result->error().kind).code, result->error().message);
  return text + fmt::format(": kind {} revision {} changed {}", static_cast<int>((*result)->kind),
                            (*result)->revision, (*result)->changed);
}

What ControlWriters::draw_what() {
  uint64_t sum = 0;
  for (const uint32_t weight : config_.weights) sum += weight;
  uint64_t at = dice_.below(sum);
  for (size_t i = 0;; ++i) {
    if (at < config_.weights[i]) return static_cast<What>(i);
    at -= config_.weights[i];
  }
}

void ControlWriters::draw_object(Ask& asked) {
  switch (dice_.below(6)) {
    case 0:
      asked.kind = ObjectKind::provider;
      asked.name = numbered(dice_, "p", kSwarmProviders);
      asked.body = random_provider(dice_);
      break;
    case 1:
      asked.kind = ObjectKind::unit;  // now and then one that exists, which never changes
      asked.name = dice_.one_in(4) ? numbered(dice_, "u", kSwarmModels) : "u-" + asked.mark();
      asked.body = random_unit(dice_);
      break;
    case 2: {
      const uint64_t flag = dice_.below(kSwarmFlags + 1);
      asked.kind = ObjectKind::flag;
      asked.name = "f" + std::to_string(flag);
      asked.body = random_flag(dice_, static_cast<uint32_t>(flag), config_.approvals);
      break;
    }
    case 3: {
      const uint64_t key = dice_.below(kSwarmTenants);
      asked.kind = ObjectKind::key;
      asked.name = "k" + std::to_string(key);
      asked.body = key_body(asked.name, dice_.one_in(4) ? dice_.below(kSwarmTenants) : 100 + asked.id,
                            numbered(dice_, "t", kSwarmTenants));
      break;
    }
    case 4:
      asked.kind = ObjectKind::scenario;
      asked.name = numbered(dice_, "s", kSwarmScenarios);
      asked.body = random_scenario(dice_);
      break;
    default:
      asked.kind = ObjectKind::tenant;
      asked.name = numbered(dice_, "t", kSwarmTenants);
      asked.body = random_tenant(dice_, asked.mark());
  }
}

void ControlWriters::draw_patch(Ask& asked) {
  draw_object(asked);
  switch (asked.kind) {
    case ObjectKind::provider:
      asked.body = {{"base_url", asked.body["base_url"]}};
      break;
    case ObjectKind::flag:
      asked.body = {{"owner", asked.mark()}};
      break;
    case ObjectKind::scenario:
      asked.body = {{"stable", asked.body["stable"]}};
      break;
    default:
      asked.kind = ObjectKind::tenant;
      asked.name = numbered(dice_, "t", kSwarmTenants);
      asked.body = {{"name", asked.mark()}};
  }
}

void ControlWriters::draw_flip(Ask& asked, const ControlThread& control) {
  if (asked.what == What::unkill && !control.kills().empty() && !dice_.one_in(6)) {
    const Kill& kill = control.kills()[dice_.below(control.kills().size())];
    asked.scope = kill.scope;
    asked.name = kill.name;
    return;
  }
  asked.scope = static_cast<KillScope>(dice_.below(6));
  constexpr std::pair<const char*, uint32_t> kNames[] = {{"", 0},
                                                         {"p", kSwarmProviders},
                                                         {"u", kSwarmModels},
                                                         {"s", kSwarmScenarios},
                                                         {"f", kSwarmFlags + 1},
                                                         {"t", kSwarmTenants}};
  const auto& [prefix, count] = kNames[static_cast<size_t>(asked.scope)];
  // Of few names, so that flips of one meet.
  if (count != 0) asked.name = numbered(dice_, prefix, dice_.one_in(3) ? count : 1);
}

void ControlWriters::draw_rollback(Ask& asked, const ControlThread& control) {
  Rollback& rollback = asked.rollback;
  rollback.scope = static_cast<Rollback::Scope>(dice_.below(4));
  if (rollback.scope == Rollback::Scope::tenant) {
    rollback.name = numbered(dice_, "t", kSwarmTenants);
    if (dice_.one_in(2)) rollback.flag = numbered(dice_, "f", kSwarmFlags);
  }
  if (rollback.scope == Rollback::Scope::flag) rollback.name = numbered(dice_, "f", kSwarmFlags);
  if (rollback.scope == Rollback::Scope::scenario) rollback.name = numbered(dice_, "s", kSwarmScenarios);
  switch (dice_.below(5)) {
    case 0:
    case 1:
      rollback.revision = dice_.between(1, control.revision() + (dice_.one_in(10) ? 5 : 0));
      break;
    case 2:
      rollback.wall_ns = control.table().published_wall_ns - static_cast<int64_t>(dice_.below(2'000'000'000));
      break;
    case 3:
      rollback.label = numbered(dice_, "good", 2);
      break;
    default:
      break;  // to the one before
  }
  asked.name = rollback.name;
}

void ControlWriters::draw_match(Ask& asked, const ControlThread& control) {
  if (!dice_.chance(config_.if_match)) return;
  asked.if_match = control.revision();
  if (dice_.chance(config_.old_match)) asked.if_match = dice_.between(1, control.revision() + 1);
}

void ControlWriters::draw(Ask& asked, const ControlThread& control) {
  asked.caller = dice_.pick(people());
  switch (asked.what) {
    case What::row:
      asked.name = numbered(dice_, "t", kSwarmTenants);
      asked.flag = numbered(dice_, "f", kSwarmFlags);
      asked.body = random_row(dice_, asked.mark());
      break;
    case What::put:
      draw_object(asked);
      break;
    case What::patch:
      draw_patch(asked);
      break;
    case What::remove:
      draw_object(asked);
      break;
    case What::replace:
    case What::validate:
      asked.body = random_table(dice_, config_.approvals, asked.mark());
      break;
    case What::kill:
    case What::unkill:
      draw_flip(asked, control);
      break;
    case What::rollback:
      draw_rollback(asked, control);
      break;
    case What::approve:
    case What::withdraw:
      asked.proposal = dice_.between(1, 6);
      break;
    default:
      break;
  }
  if (asked.what <= What::rollback) draw_match(asked, control);
  if (asked.what <= What::replace || asked.what == What::rollback)
    asked.dry_run = dice_.chance(config_.dry_run);
  // Now and then an edit of a proposal.
  if (asked.what == What::row && config_.approvals && dice_.one_in(8)) asked.proposal = dice_.between(1, 4);
}

ChangeDone ControlWriters::hear(Ask& asked) {
  return [this, &asked](ChangeResult result) {
    ++asked.answers;
    asked.answered_round = journal_.round;
    asked.result = std::move(result);
    answered_(asked);
  };
}

void ControlWriters::send_change(Ask& asked, ControlThread& control) {
  ChangeRequest request{.caller = asked.caller,
                        .action = sim::to_string(asked.what),
                        .target = asked.name,
                        .reason = asked.mark(),
                        .began_ns = control.loop().now_ns(),
                        .if_match = asked.if_match,
                        .dry_run = asked.dry_run,
                        .proposal = asked.what == What::row ? asked.proposal : 0,
                        .plan = [&asked](const Newest& newest) { return plan_of(asked, newest); },
                        .deploys = asked.what == What::replace};
  if (asked.what == What::rollback) request.approvals = ChangeRequest::Approvals::not_asked;
  control.change(std::move(request), hear(asked));
}

void ControlWriters::send_other(Ask& asked, ControlThread& control) {
  // What has no answer of its own is answered as a change that made nothing.
  const auto done = [hear = hear(asked)](const auto&) {
    hear(ChangeOutcome{.kind = ChangeOutcome::Kind::dry_run});
  };
  if (asked.what == What::read) {
    return control.read([](const Registry& registry) { return registry.document(0).has_value(); }, done);
  }
  if (asked.what == What::validate) {
    return control.validate({.text = asked.body.dump()},
                            [done](const std::vector<Problem>& problems) { done(problems); });
  }
  if (asked.what == What::label) {
    const Deed deed{.actor = asked.caller.actor(),
                    .action = "label",
                    .reason = asked.mark(),
                    .wall_ns = control.loop().wall_now_ns()};
    const std::string name = numbered(dice_, "good", 2);
    return control.write(
        [name, deed, revision = control.revision()](Registry& registry) {
          return registry.set_label(name, revision, deed).has_value();
        },
        done);
  }
  control.reload_trust();  // tells nobody
  done(true);
}

void ControlWriters::send(Ask& asked, ControlProcess& process) {
  ControlThread& control = process.control();
  const uint64_t began_ns = control.loop().now_ns();
  switch (asked.what) {
    case What::kill:
    case What::unkill: {
      ControlThread::Flip flip{.caller = asked.caller,
                               .scope = asked.scope,
                               .name = asked.name,
                               .reason = asked.mark(),
                               .began_ns = began_ns,
                               .if_match = asked.if_match};
      if (asked.what == What::kill) return control.kill(std::move(flip), hear(asked));
      return control.unkill(std::move(flip), hear(asked));
    }
    case What::approve:
    case What::withdraw: {
      ControlThread::Approval approval{
          .caller = asked.caller, .proposal = asked.proposal, .reason = asked.mark(), .began_ns = began_ns};
      if (asked.what == What::approve) return control.approve(std::move(approval), hear(asked));
      return control.withdraw(std::move(approval), hear(asked));
    }
    case What::label:
    case What::read:
    case What::trust:
    case What::validate:
      return send_other(asked, control);
    default:
      return send_change(asked, control);
  }
}

void ControlWriters::ask(ControlProcess& process) {
  Ask& asked = journal_.asked.emplace_back();
  asked.id = journal_.asked.size() - 1;
  asked.life = journal_.life;
  asked.began_round = journal_.round;
  asked.what = draw_what();
  draw(asked, process.control());
  began_(asked);
  send(asked, process);
}

}  // namespace weir::sim
