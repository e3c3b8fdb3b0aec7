// Labels, proposals and deeds: what is kept beside the table. Their log rows hold what they were set to, a
// proposal's as the digest of its text, which verify() holds them to.
#include "routing/registry/database.h"

namespace weir::routing {
namespace {

using Kind = RegistryError::Kind;

Change log_row(const Deed& deed, std::string target) {
  return {.wall_ns = deed.wall_ns,
          .actor = deed.actor,
          .action = deed.action,
          .target = std::move(target),
          .reason = deed.reason};
}

std::string shown(uint64_t proposal) {
  return "proposal " + std::to_string(proposal);
}

}  // namespace

RegistryResult<void> Registry::set_label(std::string_view name, uint64_t revision, const Deed& deed) {
  Database& db = *database_;
  const auto at = db.existing(revision);
  if (!at) return std::unexpected(at.error());
  Change change = log_row(deed, "label " + std::string(name));
  change.detail = write_label(name, *at);
  auto written = db.write(std::move(change), [&](Database::Entry&) -> RegistryResult<void> {
    return db.put_label.with(name, *at).run() ? RegistryResult<void>() : db.failed();
  });
  if (!written) return std::unexpected(std::move(written.error()));
  return {};
}

RegistryResult<void> Registry::log(ObjectKind kind, std::string_view name, std::string detail,
                                   const Deed& deed) {
  Database& db = *database_;
  Change change = log_row(deed, std::string(to_string(kind)) + " " + std::string(name));
  change.detail = std::move(detail);
  auto written = db.write(std::move(change), [&](Database::Entry& entry) -> RegistryResult<void> {
    entry.mentions.emplace(kind, name);
    return {};
  });
  if (!written) return std::unexpected(std::move(written.error()));
  return {};
}

RegistryResult<std::optional<uint64_t>> Registry::label(std::string_view name) const {
  auto rows = database_->find_label.with(name);
  if (rows.next()) return rows.number(0);
  if (rows.failed()) return database_->failed();
  return std::nullopt;
}

RegistryResult<void> Registry::Database::store_proposal(const Proposal& proposal, Entry& entry) {
  const std::string record = write_proposal(proposal);
  if (!put_proposal.with(proposal.id, static_cast<int>(proposal.state), record).run()) return failed();
  entry.change.proposal = proposal.id;
  entry.digests.proposal = body_hash.add(record).finish();
  for (const ObjectChange& object : proposal.objects) {
    mention(object.kind, object.before.value_or(""), object.after.value_or(""), entry.mentions);
    entry.mentions.emplace(object.kind, object.name);
  }
  return {};
}

RegistryResult<void> Registry::Database::mark_applied(uint64_t id, Entry& entry) {
  std::optional<Proposal> proposal;
  {
    auto rows = find_proposal.with(id);
    if (rows.next()) {
      proposal = parse_proposal(rows.text(0));
      if (!proposal) return damaged(shown(id) + " cannot be read");
    }
    if (rows.failed()) return failed();
  }
  if (!proposal) return refused(Kind::not_found, "there is no " + shown(id));
  if (proposal->state != Proposal::State::open) {
    return refused(Kind::stale,
                   shown(id) + " is not open any more: it is " + std::string(to_string(proposal->state)));
  }
  proposal->state = Proposal::State::applied;
  return store_proposal(*proposal, entry);
}

RegistryResult<uint64_t> Registry::add_proposal(const Proposal& proposal, const Deed& deed) {
  Database& db = *database_;
  Proposal added = proposal;
  {
    auto rows = db.last_proposal.with();
    if (!rows.next()) return db.failed();
    added.id = rows.number(0) + 1;
  }
  auto written = db.write(log_row(deed, shown(added.id)),
                          [&](Database::Entry& entry) { return db.store_proposal(added, entry); });
  if (!written) return std::unexpected(std::move(written.error()));
  return added.id;
}

RegistryResult<void> Registry::update_proposal(const Proposal& changed, const Deed& deed) {
  Database& db = *database_;
  auto there = proposal(changed.id);
  if (!there) return std::unexpected(std::move(there.error()));
  if (!*there) return db.refused(Kind::not_found, "there is no " + shown(changed.id));
  if ((*there)->state != Proposal::State::open) {
    return db.refused(Kind::stale, shown(changed.id) + " is not open any more: it is " +
                                       std::string(to_string((*there)->state)));
  }
  auto written = db.write(log_row(deed, shown(changed.id)),
                          [&](Database::Entry& entry) { return db.store_proposal(changed, entry); });
  if (!written) return std::unexpected(std::move(written.error()));
  return {};
}

RegistryResult<std::optional<Proposal>> Registry::proposal(uint64_t id) const {
  auto rows = database_->find_proposal.with(id);
  if (rows.next()) {
    auto proposal = parse_proposal(rows.text(0));
    if (!proposal) return database_->damaged(shown(id) + " cannot be read");
    return proposal;
  }
  if (rows.failed()) return database_->failed();
  return std::nullopt;
}

RegistryResult<std::vector<Proposal>> Registry::proposals(bool open_only) const {
  std::vector<Proposal> proposals;
  auto rows = (open_only ? database_->open_proposals : database_->all_proposals).with(core::limits::kMaxAuditRows);
  while (rows.next()) {
    auto proposal = parse_proposal(rows.text(0));
    if (!proposal) return database_->damaged("a proposal cannot be read");
    proposals.push_back(std::move(*proposal));
  }
  if (rows.failed()) return database_->failed();
  return proposals;
}

}  // namespace weir::routing
