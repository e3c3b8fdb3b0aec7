#include "routing/registry/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/limits.h"
#include "tests/routing/registry/registry_fixture.h"

namespace weir::routing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = RegistryError::Kind;

using RegistryTest = RegistryFixture;

// ---- revisions ----

TEST_F(RegistryTest, IsEmptyAtFirst) {
  EXPECT_EQ(registry->revision(), 0u);
  EXPECT_EQ(registry->table_revision(), 0u);
  EXPECT_EQ(objects(), "");
  EXPECT_EQ(registry->document(0), "{}");
  EXPECT_THAT(faults(), IsEmpty());
}

TEST_F(RegistryTest, EachCommitMakesTheNextRevision) {
  EXPECT_EQ(commit({set(ObjectKind::tenant, "a", "{}")}), 1u);
  EXPECT_EQ(commit({set(ObjectKind::tenant, "b", "{}")}), 2u);
  EXPECT_EQ(registry->revision(), 2u);
}

TEST_F(RegistryTest, ARevisionHoldsWhatItHeldWhenItWasMade) {
  commit({set(ObjectKind::tenant, "a", "1"), set(ObjectKind::flag, "f", "2")});
  commit({set(ObjectKind::tenant, "a", "3")});
  commit({gone(ObjectKind::flag, "f"), set(ObjectKind::tenant, "b", "4")});
  commit({set(ObjectKind::flag, "f", "5")});
  EXPECT_EQ(objects(1), "flag f=2 tenant a=1");
  EXPECT_EQ(objects(2), "flag f=2 tenant a=3");
  EXPECT_EQ(objects(3), "tenant a=3 tenant b=4");
  EXPECT_EQ(objects(4), "flag f=5 tenant a=3 tenant b=4");
  EXPECT_EQ(objects(0), objects(4));
  EXPECT_EQ(registry->read_object(2, ObjectKind::flag, "f").value(), "2");
  EXPECT_EQ(registry->read_object(3, ObjectKind::flag, "f").value(), std::nullopt);
  EXPECT_EQ(registry->read_object(0, ObjectKind::flag, "f").value(), "5");
  EXPECT_EQ(registry->read_object(0, ObjectKind::flag, "unknown").value(), std::nullopt);
  EXPECT_THAT(registry->revisions_of(ObjectKind::flag, "f", 10).value(), ElementsAre(4u, 3u, 1u));
}

TEST_F(RegistryTest, ObjectsComeByKindAndName) {
  commit({set(ObjectKind::key, "k", "1"), set(ObjectKind::tenant, "b", "2"),
          set(ObjectKind::tenant, "a", "3"), set(ObjectKind::settings, "table", "4"),
          set(ObjectKind::provider, "p", "5")});
  EXPECT_EQ(objects(), "settings table=4 provider p=5 tenant a=3 tenant b=2 key k=1");
}

TEST_F(RegistryTest, WhatIsThereAlreadyIsNoChange) {
  commit({set(ObjectKind::tenant, "a", "1")});
  commit({set(ObjectKind::tenant, "a", "1"), gone(ObjectKind::tenant, "b")});
  EXPECT_EQ(registry->revision(), 2u);
  EXPECT_EQ(registry->table_revision(), 1u);
  EXPECT_THAT(registry->change_of(2).value()->objects, IsEmpty());
  EXPECT_THAT(faults(), IsEmpty());
}

TEST_F(RegistryTest, AnObjectNamedTwiceIsWhatTheLastSays) {
  commit({set(ObjectKind::tenant, "a", "1"), set(ObjectKind::tenant, "a", "2")});
  EXPECT_EQ(objects(), "tenant a=2");
  EXPECT_THAT(faults(), IsEmpty());
}

TEST_F(RegistryTest, AChangeOnAnOldBaseIsStale) {
  commit({set(ObjectKind::tenant, "a", "1")});
  commit({set(ObjectKind::tenant, "a", "2")});
  Commit late = changing({set(ObjectKind::tenant, "a", "3")});
  late.based_on = 1;
  const RegistryError error = refused(late);
  EXPECT_EQ(error.kind, Kind::stale);
  EXPECT_THAT(error.message, HasSubstr("newest is 2"));
  late.based_on = 2;
  EXPECT_EQ(commit(late), 3u);
}

TEST_F(RegistryTest, ARevisionThatWasNotMadeIsNotFound) {
  commit({set(ObjectKind::tenant, "a", "1")});
  EXPECT_EQ(registry->document(2).error().kind, Kind::not_found);
  EXPECT_EQ(registry->read_object(7, ObjectKind::tenant, "a").error().kind, Kind::not_found);
  EXPECT_EQ(registry->changed_between(1, 9).error().kind, Kind::not_found);
  EXPECT_EQ(registry->change_of(2).value(), std::nullopt);
}

TEST_F(RegistryTest, ADocumentHoldsItsSections) {
  commit({set(ObjectKind::settings, "table", R"({"prompt_source":"git"})"),
          set(ObjectKind::tenant, "b", "{}"), set(ObjectKind::tenant, "a", R"({"name":"A"})"),
          set(ObjectKind::key, "k", R"({"id":"k"})")});
  EXPECT_EQ(registry->document(0).value(),
            R"({"keys":[{"id":"k"}],"prompt_source":"git","tenants":{"a":{"name":"A"},"b":{}}})");
}

TEST_F(RegistryTest, DifferencesHaveBothBodiesInBothDirections) {
  commit({set(ObjectKind::tenant, "a", "1"), set(ObjectKind::tenant, "same", "1")});
  commit({set(ObjectKind::tenant, "a", "2"), set(ObjectKind::tenant, "same", "2")});
  commit({gone(ObjectKind::tenant, "a"), set(ObjectKind::tenant, "b", "3"),
          set(ObjectKind::tenant, "same", "1")});
  const auto forth = registry->changed_between(1, 0).value();
  ASSERT_EQ(forth.size(), 2u);
  EXPECT_EQ(forth[0].name, "a");
  EXPECT_EQ(forth[0].before, "1");
  EXPECT_EQ(forth[0].after, std::nullopt);
  EXPECT_EQ(forth[1].name, "b");
  EXPECT_EQ(forth[1].before, std::nullopt);
  EXPECT_EQ(forth[1].after, "3");
  EXPECT_THAT(registry->changed_between(2, 2).value(), IsEmpty());

  const std::string then = objects(1);
  commit(registry->changed_between(0, 1).value());  // taken back
  EXPECT_EQ(objects(), then);
  EXPECT_THAT(faults(), IsEmpty());
}

TEST_F(RegistryTest, ATimeNamesTheRevisionThatWasNewestThen) {
  for (const int64_t seconds : {10, 20, 30}) {
    Commit change = changing({set(ObjectKind::tenant, "a", std::to_string(seconds))});
    change.wall_ns = seconds * kSecond;
    commit(change);
  }
  EXPECT_EQ(registry->revision_at(9 * kSecond).error().kind, Kind::not_found);
  EXPECT_EQ(registry->revision_at(10 * kSecond), 1u);
  EXPECT_EQ(registry->revision_at(29 * kSecond), 2u);
  EXPECT_EQ(registry->revision_at(999 * kSecond), 3u);
}

// ---- what never changes ----

TEST_F(RegistryTest, AUnitNeverChangesUnderItsName) {
  commit({set(ObjectKind::unit, "u", "1"), set(ObjectKind::prompt, "p", "1")});
  for (const ObjectKind kind : {ObjectKind::unit, ObjectKind::prompt}) {
    const std::string name = kind == ObjectKind::unit ? "u" : "p";
    const RegistryError error = refused(changing({set(ObjectKind::tenant, "a", "1"), set(kind, name, "2")}));
    EXPECT_EQ(error.kind, Kind::conflict_immutable);
    EXPECT_EQ(error.object, std::string(to_string(kind)) + " " + name);
  }
  EXPECT_EQ(registry->revision(), 1u);
  EXPECT_EQ(objects(), "prompt p=1 unit u=1") << "nothing of a refused change is there";
}

TEST_F(RegistryTest, AUnitThatWasDeletedComesBackAsItWasOrNotAtAll) {
  commit({set(ObjectKind::unit, "u", "1")});
  commit({gone(ObjectKind::unit, "u")});
  EXPECT_EQ(refused(changing({set(ObjectKind::unit, "u", "2")})).kind, Kind::conflict_immutable);
  commit({set(ObjectKind::unit, "u", "1")});
  EXPECT_EQ(objects(), "unit u=1");
}

// ---- kills ----

TEST_F(RegistryTest, KillsStayInTheirOrderUntilTheyAreLifted) {
  Commit kill = changing({});
  kill.killed = {{KillScope::unit, "u", "broken", 5}, {KillScope::global, "", "all", 6}};
  commit(kill);
  kill.killed = {{KillScope::tenant, "a", "abuse", 7}, {KillScope::unit, "u", "again", 8}};
  commit(kill);
  EXPECT_EQ(registry->table_revision(), 0u) << "kills change no table";
  auto kills = registry->kills().value();
  ASSERT_EQ(kills.size(), 3u);
  EXPECT_EQ(kills[0].reason, "broken") << "killed already";
  EXPECT_EQ(kills[1].scope, KillScope::global);
  EXPECT_EQ(kills[2].since_wall_ns, 7);
  const Change second = *registry->change_of(2).value();
  ASSERT_EQ(second.killed.size(), 1u);
  EXPECT_EQ(second.killed[0].name, "a");

  Commit lift = changing({});
  lift.unkilled = {{KillScope::unit, "u", "", 0}, {KillScope::unit, "other", "", 0}};
  commit(lift);
  EXPECT_EQ(registry->kills().value().size(), 2u);
  const Change third = *registry->change_of(3).value();
  ASSERT_EQ(third.unkilled.size(), 1u);
  EXPECT_EQ(third.unkilled[0].reason, "broken");
  EXPECT_THAT(faults(), IsEmpty());
}

// ---- labels and proposals ----

TEST_F(RegistryTest, ALabelNamesARevisionAndIsInTheLog) {
  commit({set(ObjectKind::tenant, "a", "1")});
  commit({set(ObjectKind::tenant, "a", "2")});
  EXPECT_EQ(registry->label("known_good").value(), std::nullopt);
  ASSERT_TRUE(registry->set_label("known_good", 1, deed("label")));
  EXPECT_EQ(registry->label("known_good").value(), 1u);
  ASSERT_TRUE(registry->set_label("known_good", 0, deed("label")));
  EXPECT_EQ(registry->label("known_good").value(), 2u);
  EXPECT_EQ(registry->set_label("known_good", 3, deed("label")).error().kind, Kind::not_found);
  EXPECT_EQ(registry->revision(), 2u);
  const Change row = registry->audit({.limit = 1}).value().at(0);
  EXPECT_EQ(row.sequence, 4u);
  EXPECT_EQ(row.revision, 0u);
  EXPECT_EQ(row.target, "label known_good");
  EXPECT_EQ(row.actor, alice());
  EXPECT_THAT(faults(), IsEmpty());
}

Proposal proposing(std::vector<ObjectChange> objects) {
  return {.author = alice(),
          .wall_ns = 5,
          .based_on = 1,
          .action = "row",
          .target = "tenant a",
          .reason = "wider",
          .objects = std::move(objects),
          .required = {"approver", "admin"}};
}

TEST_F(RegistryTest, ListsNoMoreThanTheNewestKMaxAuditRowsOfProposals) {
  using core::limits::kMaxAuditRows;
  for (uint32_t i = 0; i <= kMaxAuditRows; ++i) ASSERT_TRUE(registry->add_proposal(proposing({}), deed("propose")));
  for (const bool open_only : {false, true}) {
    const std::vector<Proposal> listed = registry->proposals(open_only).value();
    ASSERT_EQ(listed.size(), kMaxAuditRows);
    EXPECT_EQ(listed.front().id, 2u);
    EXPECT_EQ(listed.back().id, kMaxAuditRows + 1);
  }
}

TEST_F(RegistryTest, AProposalWaitsUntilItIsApplied) {
  commit({set(ObjectKind::tenant, "a", "1")});
  ObjectChange wider = set(ObjectKind::tenant, "a", R"({"x":"2"})");
  wider.before = "1";
  EXPECT_EQ(registry->add_proposal(proposing({wider}), deed("propose")), 1u);
  EXPECT_EQ(registry->add_proposal(proposing({}), deed("propose")), 2u);
  Proposal first = *registry->proposal(1).value();
  EXPECT_EQ(first.objects.at(0).before, "1");
  EXPECT_EQ(first.objects.at(0).after, wider.after);
  EXPECT_THAT(first.required, ElementsAre("approver", "admin"));
  EXPECT_EQ(first.author, alice());
  first.approvals.push_back({.name = "bob", .role = "approver"});
  ASSERT_TRUE(registry->update_proposal(first, deed("approve")));
  EXPECT_EQ(registry->proposal(1).value()->approvals.size(), 1u);

  Commit carried_out = changing({wider});
  carried_out.proposal = 1;
  carried_out.approved_by = first.approvals;
  commit(carried_out);
  EXPECT_EQ(registry->proposal(1).value()->state, Proposal::State::applied);
  EXPECT_EQ(registry->change_of(2).value()->proposal, 1u);
  EXPECT_EQ(registry->change_of(2).value()->approved_by, first.approvals);
  ASSERT_EQ(registry->proposals(true).value().size(), 1u);
  EXPECT_EQ(registry->proposals(true).value()[0].id, 2u);
  EXPECT_EQ(registry->proposals(false).value().size(), 2u);
  EXPECT_EQ(refused(carried_out).kind, Kind::stale) << "applied once";
  EXPECT_EQ(registry->revision(), 2u);
  EXPECT_THAT(faults(), IsEmpty());
}

TEST_F(RegistryTest, AProposalThatIsNotThereCannotBeChanged) {
  Proposal unknown = proposing({});
  unknown.id = 9;
  EXPECT_EQ(registry->update_proposal(unknown, deed("approve")).error().kind, Kind::not_found);
  EXPECT_EQ(registry->proposal(9).value(), std::nullopt);
  Commit change = changing({});
  change.proposal = 9;
  EXPECT_EQ(refused(change).kind, Kind::not_found);
}

// ---- the log ----

TEST_F(RegistryTest, AChangeIsReadBackAsItWasMade) {
  commit({set(ObjectKind::tenant, "a", "1")});
  Commit change{.actor = {.name = "carol \"x\"\n", .role = "admin"},
                .action = "rollback",
                .target = "flag f",
                .reason = "grüße",
                .based_on = 1,
                .approved_by = {{.name = "bob", .role = "approver"}},
                .objects = {set(ObjectKind::tenant, "a", "2"), gone(ObjectKind::tenant, "a2")},
                .killed = {{KillScope::flag, "f", "why", 3}},
                .detail = R"({ "note": "n", "before": {"b": 1, "a": 2} })",
                .wall_ns = 17};
  commit(change);
  const Change read = *registry->change_of(2).value();
  EXPECT_EQ(read.sequence, 2u);
  EXPECT_EQ(read.revision, 2u);
  EXPECT_EQ(read.wall_ns, 17);
  EXPECT_EQ(read.actor, change.actor);
  EXPECT_EQ(read.action, "rollback");
  EXPECT_EQ(read.target, "flag f");
  EXPECT_EQ(read.reason, "grüße");
  EXPECT_EQ(read.based_on, 1u);
  EXPECT_EQ(read.approved_by, change.approved_by);
  ASSERT_EQ(read.objects.size(), 1u);
  EXPECT_EQ(read.object_count, 1u);
  EXPECT_EQ(read.objects[0].before, "1");
  EXPECT_EQ(read.objects[0].after, "2");
  EXPECT_EQ(read.killed.at(0).reason, "why");
  EXPECT_EQ(read.detail, R"({"before":{"a":2,"b":1},"note":"n"})");
  EXPECT_EQ(read.hash, registry->head_hash());
  EXPECT_EQ(read.hash.size(), 64u);
}

TEST_F(RegistryTest, TextThatIsNoUtf8OrNoJsonDoesNotSpoilTheLog) {
  Commit change = changing({});
  change.actor.name = "caf\xe9";
  change.detail = "no {json";
  commit(change);
  const Change read = *registry->change_of(1).value();
  EXPECT_EQ(read.actor.name, "caf?");
  EXPECT_EQ(read.detail, "\"no {json\"");
  EXPECT_THAT(faults(), IsEmpty());
}

struct AuditTest : RegistryFixture {
  // Sequences of the changes found, newest first.
  std::vector<uint64_t> found(const AuditQuery& query) {
    std::vector<uint64_t> sequences;
    auto changes = registry->audit(query);
    EXPECT_TRUE(changes);
    for (const Change& change : changes.value()) sequences.push_back(change.sequence);
    return sequences;
  }
};

TEST_F(AuditTest, AFlagsChangesAreItsOwnItsRowsAndItsKills) {
  commit({set(ObjectKind::flag, "f", "{}"), set(ObjectKind::flag, "g", "{}")});
  commit({set(ObjectKind::tenant, "a", tenant_body(R"("f":{"p":1},"g":{"p":1})"))});
  commit({set(ObjectKind::tenant, "a", tenant_body(R"("f":{"p":1},"g":{"p":2})"))});  // g alone
  commit({set(ObjectKind::tenant, "a", tenant_body(R"("g":{"p":2})"))});              // f's row goes
  Commit kill = changing({});
  kill.killed = {{KillScope::flag, "f", "", 0}};
  commit(kill);
  commit({gone(ObjectKind::flag, "f")});
  commit({gone(ObjectKind::tenant, "a")});
  EXPECT_THAT(found({.flag = "f"}), ElementsAre(6u, 5u, 4u, 2u, 1u));
  EXPECT_THAT(found({.flag = "g"}), ElementsAre(7u, 3u, 2u, 1u));
  EXPECT_THAT(found({.flag = "f", .tenant = "a"}), ElementsAre(4u, 2u));
  EXPECT_THAT(found({.kind = ObjectKind::flag, .name = "f"}), ElementsAre(6u, 5u, 4u, 2u, 1u));
  EXPECT_THAT(found({.kind = ObjectKind::tenant}), ElementsAre(7u, 4u, 3u, 2u));
  EXPECT_THAT(found({.flag = "unknown"}), IsEmpty());
}

TEST_F(AuditTest, ATenantsChangesAreItsOwnAndThoseOfItsKeys) {
  commit({set(ObjectKind::tenant, "a", "{}"), set(ObjectKind::key, "k", R"({"id":"k","tenant":"a"})")});
  commit({set(ObjectKind::key, "k", R"({"id":"k","tenant":"b"})")});
  commit({set(ObjectKind::tenant, "c", "{}")});
  EXPECT_THAT(found({.tenant = "a"}), ElementsAre(2u, 1u));
  EXPECT_THAT(found({.tenant = "b"}), ElementsAre(2u));
}

TEST_F(AuditTest, AProposalIsFoundByWhatItWouldChange) {
  commit({set(ObjectKind::tenant, "a", "{}")});
  ASSERT_TRUE(registry->add_proposal(proposing({set(ObjectKind::tenant, "a", tenant_body(R"("f":{})"))}),
                                     deed("propose")));
  EXPECT_THAT(found({.tenant = "a"}), ElementsAre(2u, 1u));
  EXPECT_THAT(found({.flag = "f"}), ElementsAre(2u));
}

TEST_F(AuditTest, PagesGoFromTheNewestBack) {
  for (int i = 1; i <= 5; i++) {
    Commit change = changing({set(ObjectKind::tenant, i % 2 == 0 ? "even" : "odd", std::to_string(i))});
    change.wall_ns = i * kSecond;
    commit(change);
  }
  EXPECT_THAT(found({.limit = 2}), ElementsAre(5u, 4u));
  EXPECT_THAT(found({.before_sequence = 4, .limit = 2}), ElementsAre(3u, 2u));
  EXPECT_THAT(found({.tenant = "odd", .limit = 2}), ElementsAre(5u, 3u));
  EXPECT_THAT(found({.tenant = "odd", .before_sequence = 3, .limit = 2}), ElementsAre(1u));
  EXPECT_THAT(found({.since_wall_ns = 4 * kSecond}), ElementsAre(5u, 4u));
  EXPECT_THAT(found({.tenant = "odd", .since_wall_ns = 3 * kSecond}), ElementsAre(5u, 3u));
  EXPECT_THAT(registry->audit({.limit = 1, .with_bodies = false}).value()[0].objects, IsEmpty());
}

TEST_F(AuditTest, AnAnswerIsBounded) {
  for (uint32_t i = 0; i < core::limits::kMaxAuditRows + 5; i++) commit(changing({}));
  EXPECT_EQ(found({.limit = core::limits::kMaxAuditRows + 3}).size(), core::limits::kMaxAuditRows);
}

TEST_F(AuditTest, OfALargeChangeTheObjectsAskedForAreShown) {
  const uint32_t many = core::limits::kMaxChangeObjects + 1;
  std::vector<ObjectChange> tenants = {set(ObjectKind::flag, "f", "{}")};
  for (uint32_t i = 0; i < many; i++)
    tenants.push_back(set(ObjectKind::tenant, "t" + std::to_string(i), "{}"));
  commit(tenants);
  const Change all = *registry->change_of(1).value();
  EXPECT_EQ(all.objects.size(), core::limits::kMaxChangeObjects);
  EXPECT_EQ(all.object_count, many + 1);
  const auto of = [&](const AuditQuery& query) { return registry->audit(query).value().at(0).objects; };
  ASSERT_EQ(of({.tenant = "t77"}).size(), 1u);
  EXPECT_EQ(of({.tenant = "t77"})[0].name, "t77");
  EXPECT_EQ(of({.flag = "f"}).at(0).kind, ObjectKind::flag);
  EXPECT_EQ(of({.kind = ObjectKind::tenant}).size(), core::limits::kMaxChangeObjects);
  EXPECT_EQ(of({.kind = ObjectKind::tenant, .name = "t5"}).size(), 1u);
}

TEST_F(AuditTest, OfASmallChangeOnlyTheObjectsAskedForAreShown) {
  commit({set(ObjectKind::tenant, "a", tenant_body(R"("f":{"p":1})")), set(ObjectKind::tenant, "b", "{}"),
          set(ObjectKind::flag, "g", "{}")});
  const auto objects = registry->audit({.flag = "f"}).value().at(0).objects;
  ASSERT_EQ(objects.size(), 1u);
  EXPECT_EQ(objects[0].name, "a");
}

// ---- a second look ----

TEST_F(RegistryTest, AReaderSeesWhatWasCommittedWhenItsCallBegins) {
  for (const bool file : {false, true}) {
    const testing::TemporaryFolder folder;
    open(file ? folder.file("registry.db") : ":memory:");
    commit({set(ObjectKind::tenant, "a", "1")});
    auto opened = registry->reader();
    ASSERT_TRUE(opened) << opened.error().message;
    const Registry& reader = **opened;
    EXPECT_EQ(reader.read_object(0, ObjectKind::tenant, "a").value(), "1");
    commit({set(ObjectKind::tenant, "a", "2")});
    EXPECT_EQ(reader.read_object(0, ObjectKind::tenant, "a").value(), "2");
    EXPECT_EQ(reader.revision(), 2u);
    EXPECT_THAT(reader.verify({}).value().faults, IsEmpty());
  }
}

TEST_F(RegistryTest, ACommitDoesNotWaitForAReader) {
  const testing::TemporaryFolder folder;
  open(folder.file("registry.db"));
  commit({set(ObjectKind::tenant, "a", "1"), set(ObjectKind::tenant, "b", "1")});
  auto reader = std::move(registry->reader().value());
  std::string seen;
  ASSERT_TRUE(reader->read_objects(0, [&](const ObjectView& object) {
    commit({set(ObjectKind::tenant, "a", "2"), set(ObjectKind::tenant, "b", "2")});
    seen += std::string(object.name) + std::string(object.body) + " ";
  }));
  EXPECT_EQ(seen, "a1 b1 ") << "of one revision";
  EXPECT_EQ(registry->revision(), 3u);
}

}  // namespace
}  // namespace weir::routing
