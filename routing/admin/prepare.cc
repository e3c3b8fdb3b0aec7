// From a request to something that can be committed and published: control.h has the picture.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "core/log.h"
#include "routing/admin/change.h"
#include "routing/table/approvals.h"
#include "routing/table/edit.h"

namespace weir::routing {
namespace {

// What makes the newest objects those of `root`.
RegistryResult<std::vector<ObjectChange>> changes_to(const Newest& newest, simdjson::dom::element root) {
  std::unordered_map<std::string, std::string> wanted[kObjectKindCount];
  split_document(root, [&](const ObjectView& object) {
    wanted[static_cast<size_t>(object.kind)].insert_or_assign(std::string(object.name),
                                                              std::string(object.body));
  });
  std::vector<ObjectChange> changes;
  auto read = newest.registry.read_objects(newest.revision, [&](const ObjectView& object) {
    auto& kind = wanted[static_cast<size_t>(object.kind)];
    auto found = kind.extract(std::string(object.name));
    if (found && found.mapped() == object.body) return;
    ObjectChange& change = changes.emplace_back(ObjectChange{.kind = object.kind,
                                                             .name = std::string(object.name),
                                                             .before = std::string(object.body),
                                                             .after = std::nullopt});
    if (found) change.after = std::move(found.mapped());
  });
  if (!read) return std::unexpected(std::move(read.error()));
  for (size_t kind = 0; kind < kObjectKindCount; ++kind) {
    for (auto& [name, body] : wanted[kind]) {
      changes.push_back({.kind = static_cast<ObjectKind>(kind),
                         .name = name,
                         .before = std::nullopt,
                         .after = std::move(body)});
    }
  }
  return changes;
}

RegistryResult<void> fill_in_before(const Newest& newest, std::vector<ObjectChange>& changes) {
  for (ObjectChange& change : changes) {
    auto body = newest.object(change.kind, change.name);
    if (!body) return std::unexpected(std::move(body.error()));
    change.before = *std::move(body);
  }
  return {};
}

// The document of the newest objects with `changes` made, without the kinds after `last`.
RegistryResult<std::string> changed_document(const Newest& newest, const std::vector<ObjectChange>& changes,
                                             ObjectKind last) {
  std::map<std::pair<ObjectKind, std::string_view>, const ObjectChange*> by_name;
  for (const ObjectChange& change : changes) by_name[{change.kind, change.name}] = &change;
  DocumentBuilder builder;
  auto read = newest.registry.read_objects(
      newest.revision,
      [&](const ObjectView& object) {
        const auto found = by_name.find({object.kind, object.name});
        if (found == by_name.end()) return builder.add(object);
        if (found->second->after) builder.add({object.kind, object.name, *found->second->after});
      },
      last);
  if (!read) return std::unexpected(std::move(read.error()));
  for (const ObjectChange& change : changes) {
    if (!change.before && change.after && change.kind <= last)
      builder.add({change.kind, change.name, *change.after});
  }
  return builder.take();
}

// Tenants and keys change without compiling anything else.
bool only_tenants(const std::vector<ObjectChange>& changes) {
  return std::ranges::all_of(changes, [](const ObjectChange& change) {
    return change.kind == ObjectKind::tenant || change.kind == ObjectKind::key;
  });
}

bool no_tenants(const std::vector<ObjectChange>& changes) {
  return std::ranges::none_of(changes, [](const ObjectChange& change) {
    return change.kind == ObjectKind::tenant || change.kind == ObjectKind::key;
  });
}

// What is not of tenants and keys, compiled around those of now, where they fit; none where all has to be
// compiled.
RegistryResult<std::optional<LoadedTable>> load_around_tenants(const Newest& newest,
                                                               const std::vector<ObjectChange>& changes,
                                                               const LoadedTable& current,
                                                               TableLoader& loader) {
  auto text = changed_document(newest, changes, ObjectKind::flag);
  if (!text) return std::unexpected(std::move(text.error()));
  auto document = Document::parse(*std::move(text), TableFormat::json);
  if (!document) return std::nullopt;
  return loader.load_around(
      *std::move(document), [&](const TableBody&) { return current.tenants; }, current.guards.get());
}

std::optional<Refusal> check_immutable(const std::vector<ObjectChange>& changes) {
  for (const ObjectChange& change : changes) {
    if (!is_immutable(change.kind) || !change.before || !change.after) continue;
    return Refusal{
        .kind = Refusal::Kind::conflict_immutable,
        .message = fmt::format("{} {} exists with another body, and never changes: use another name.",
                               to_string(change.kind), change.name),
        .param = fmt::format("{} {}", to_string(change.kind), change.name)};
  }
  return std::nullopt;
}

// Where prompts live in version control, the whole table brings them; so does nobody switch that off on the
// side.
std::optional<Refusal> check_prompt_source(const ChangeRequest& request, const Newest& newest,
                                           const std::vector<ObjectChange>& changes) {
  if (request.deploys || newest.body.prompt_source != PromptSource::git) return std::nullopt;
  for (const ObjectChange& change : changes) {
    const bool settings = change.kind == ObjectKind::settings;
    const bool stays = change.after && change.after->find(R"("prompt_source":"git")") != std::string::npos;
    if (change.kind == ObjectKind::prompt || (settings && !stays)) {
      return Refusal{.kind = Refusal::Kind::prompt_source_git, .param = "prompt_source"};
    }
  }
  return std::nullopt;
}

std::optional<Refusal> check_frozen(const std::vector<ObjectChange>& changes, int64_t wall_now_ns) {
  const std::vector<FrozenRow> frozen = frozen_rows(changes, wall_now_ns);
  if (frozen.empty()) return std::nullopt;
  return Refusal{
      .kind = Refusal::Kind::frozen,
      .message = fmt::format("The row of tenant {} on flag {} has expired and is frozen: switch it off, or "
                             "renew its expires.",
                             frozen[0].tenant, frozen[0].flag),
      .param = "expires"};
}

std::vector<std::string> roles_needed(const std::vector<ObjectChange>& changes, const Newest& newest) {
  const ObjectSource objects{
      .find = [&](ObjectKind kind, std::string_view name) -> std::optional<std::string> {
        return newest.object(kind, name).value_or(std::nullopt);
      },
      .for_each =
          [&](const std::function<void(const ObjectView&)>& each) {
            if (!newest.registry.read_objects(newest.revision, each)) core::log_error("registry_not_read");
          }};
  return needed_approvals(changes, objects).roles;
}

// The rules may ask for more than they did when the change was proposed.
std::optional<Refusal> check_given(const ChangeRequest& request, const std::vector<std::string>& required) {
  if (request.approvals != ChangeRequest::Approvals::given) return std::nullopt;
  auto approval = request.approved_by.begin();
  for (const std::string& wanted : required) {
    const Role role = parse_role(wanted).value_or(Role::admin);
    approval = std::find_if(approval, request.approved_by.end(), [&](const Actor& actor) {
      return parse_role(actor.role).value_or(Role::viewer) >= role;
    });
    if (approval == request.approved_by.end()) {
      return Refusal{.kind = Refusal::Kind::stale_proposal,
                     .message = "The rules for approvals have changed; the proposal is void, propose anew."};
    }
    ++approval;
  }
  return std::nullopt;
}

// A proposal that a change is to take the place of must be the caller's and open.
std::optional<Refusal> check_proposal(const ChangeRequest& request, const Newest& newest) {
  if (request.proposal == 0 || request.approvals != ChangeRequest::Approvals::needed) return std::nullopt;
  auto proposal = newest.registry.proposal(request.proposal);
  if (!proposal) return refusal_of(proposal.error());
  if (!*proposal) return Refusal{.kind = Refusal::Kind::unknown_proposal};
  if ((*proposal)->state != Proposal::State::open) return Refusal{.kind = Refusal::Kind::proposal_not_open};
  if ((*proposal)->author.name != request.caller.name) return Refusal{.kind = Refusal::Kind::not_author};
  return std::nullopt;
}

}  // namespace

std::expected<Prepared, Refusal> prepare(const ChangeRequest& request, const Newest& newest,
                                         const LoadedTable& current, TableLoader& loader) {
  if (auto refusal = check_proposal(request, newest)) return std::unexpected(*std::move(refusal));
  auto plan = request.plan(newest);
  if (!plan) return std::unexpected(std::move(plan.error()));

  Prepared prepared{.changes = {},
                    .detail = std::move(plan->detail),
                    .restored_revision = plan->restored_revision,
                    .table = {},
                    .required = {}};
  if (plan->document) {
    auto changes = changes_to(newest, plan->document->root());
    if (!changes) return std::unexpected(refusal_of(changes.error()));
    prepared.changes = *std::move(changes);
  } else {
    prepared.changes = std::move(plan->changes);
    auto filled = fill_in_before(newest, prepared.changes);
    if (!filled) return std::unexpected(refusal_of(filled.error()));
    std::erase_if(prepared.changes, [](const ObjectChange& change) { return change.before == change.after; });
    if (prepared.changes.empty()) return prepared;
  }
  if (auto refusal = check_immutable(prepared.changes)) return std::unexpected(*std::move(refusal));
  if (auto refusal = check_prompt_source(request, newest, prepared.changes)) {
    return std::unexpected(*std::move(refusal));
  }
  if (request.approvals != ChangeRequest::Approvals::not_asked) {
    if (auto refusal = check_frozen(prepared.changes, newest.wall_now_ns))
      return std::unexpected(*std::move(refusal));
    prepared.required = roles_needed(prepared.changes, newest);
    if (auto refusal = check_given(request, prepared.required)) return std::unexpected(*std::move(refusal));
  }

  if (!plan->document && only_tenants(prepared.changes)) {
    auto changed = loader.change(current, prepared.changes);
    if (!changed) return refuse(std::move(changed.error()));
    prepared.table = *std::move(changed);
    return prepared;
  }
  if (!plan->document && no_tenants(prepared.changes)) {
    auto around = load_around_tenants(newest, prepared.changes, current, loader);
    if (!around) return std::unexpected(refusal_of(around.error()));
    if (*around) {
      prepared.table = **std::move(around);
      prepared.reloaded = true;
      return prepared;
    }
  }
  if (!plan->document) {
    auto text = changed_document(newest, prepared.changes, ObjectKind::key);
    if (!text) return std::unexpected(refusal_of(text.error()));
    auto document = Document::parse(*std::move(text), TableFormat::json);
    if (!document) return refuse(std::move(document.error()));
    plan->document = *std::move(document);
  }
  auto loaded = loader.load(*std::move(plan->document));
  if (!loaded) return refuse(std::move(loaded.error()));
  prepared.table = *std::move(loaded);
  prepared.reloaded = true;
  prepared.tenants_compiled = true;
  return prepared;
}

}  // namespace weir::routing
