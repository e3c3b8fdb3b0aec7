// The registry on a disk that fails and loses its power: what was acknowledged is there, nothing is there by
// half.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/routing/registry/registry_fixture.h"
#include "tests/support/sanitized.h"
#include "tests/support/simulated_disk.h"

namespace weir::routing::registry_disk_test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = RegistryError::Kind;
using weir::testing::SimulatedDisk;

constexpr const char* kPath = "r.db";

RegistryResult<std::unique_ptr<Registry>> open_on(const SimulatedDisk& disk) {
  return Registry::open({.path = kPath, .vfs = disk.name()});
}

// A storm: the same for the same seed.
std::vector<Commit> storm(uint64_t seed, size_t count) {
  std::mt19937_64 random(seed);
  const auto below = [&](uint64_t bound) { return random() % bound; };
  std::vector<Commit> commits;
  for (size_t i = 0; i < count; i++) {
    Commit commit = changing({});
    commit.wall_ns = static_cast<int64_t>(i) * kSecond;
    commit.reason = "change " + std::to_string(i);
    const uint64_t objects = below(4);
    for (uint64_t k = 0; k < objects; k++) {
      const auto kind = static_cast<ObjectKind>(below(2) == 0 ? 9 : 8);
      const std::string name = "n" + std::to_string(below(12));
      if (below(5) == 0) {
        commit.objects.push_back(gone(kind, name));
      } else {
        // Now and then more than a page: overflow pages take part.
        commit.objects.push_back(set(
            kind, name, std::string(below(8) == 0 ? below(20'000) : below(300), 'x') + std::to_string(i)));
      }
    }
    if (below(6) == 0) commit.killed = {{KillScope::tenant, "n" + std::to_string(below(5)), "storm", 0}};
    if (below(6) == 0) commit.unkilled = {{KillScope::tenant, "n" + std::to_string(below(5)), "", 0}};
    commits.push_back(std::move(commit));
  }
  return commits;
}

std::string objects_of(const Registry& registry) {
  std::string all;
  EXPECT_TRUE(registry.read_objects(0, [&](const ObjectView& object) {
    all += std::string(to_string(object.kind)) + " " + std::string(object.name) + "=" +
           std::string(object.body) + "\n";
  }));
  return all;
}

// What a storm leaves behind after each of its commits, on a disk without faults. The hash of a row vouches
// for all before it.
struct Course {
  std::vector<Commit> commits;
  std::vector<std::string> hashes, objects;  // [revision]
  uint64_t operations = 0;
};

Course course_of(uint64_t seed, size_t count) {
  Course course{.commits = storm(seed, count), .hashes = {}, .objects = {}};
  SimulatedDisk disk(seed);
  {
    auto registry = std::move(open_on(disk).value());
    course.hashes.push_back(registry->head_hash());
    course.objects.emplace_back();
    for (const Commit& commit : course.commits) {
      EXPECT_TRUE(registry->commit(commit));
      course.hashes.push_back(registry->head_hash());
      course.objects.push_back(objects_of(*registry));
    }
  }
  course.operations = disk.operations();
  return course;
}

TEST(RegistryDisk, AfterACutAtAnyWriteAllThatWasAcknowledgedIsThereAndNothingByHalf) {
  constexpr size_t kCommits = 120;  // past a checkpoint or two
  constexpr uint64_t kStorms = tests::rounds(8), kCuts = 60;
  uint64_t with_ghost = 0, at_open = 0;
  for (uint64_t seed = 1; seed <= kStorms; seed++) {
    const Course course = course_of(seed, kCommits);
    std::mt19937_64 random(seed);
    for (uint64_t cut = 0; cut < kCuts; cut++) {
      // Some close together at the beginning, where the file is made.
      const uint64_t at = cut < 20 ? cut + 1 : 1 + random() % course.operations;
      SCOPED_TRACE("storm " + std::to_string(seed) + ", power cut at operation " + std::to_string(at));
      SimulatedDisk disk(seed * 1000 + cut);
      disk.cut_power_at(at);
      uint64_t acknowledged = 0;
      if (auto registry = open_on(disk)) {
        for (const Commit& commit : course.commits) {
          const auto made = (*registry)->commit(commit);
          if (!made) break;
          acknowledged = *made;
        }
      } else {
        at_open++;
      }
      disk.restore_power();

      auto reopened = open_on(disk);
      ASSERT_TRUE(reopened) << reopened.error().message;
      Registry& registry = **reopened;
      const uint64_t revision = registry.revision();
      // The one under way may be there, since nobody was told that it is not: but then it is there whole.
      ASSERT_TRUE(revision == acknowledged || revision == acknowledged + 1)
          << revision << ", not " << acknowledged;
      with_ghost += revision != acknowledged;
      ASSERT_EQ(registry.head_hash(), course.hashes[revision]);
      ASSERT_EQ(objects_of(registry), course.objects[revision]);
      ASSERT_THAT(registry.verify({}).value().faults, IsEmpty());
      ASSERT_TRUE(revision == kCommits || registry.commit(course.commits[revision]));
      ASSERT_TRUE(revision == kCommits || registry.head_hash() == course.hashes[revision + 1]);
    }
  }
  EXPECT_GT(with_ghost, 0u) << "cuts between the last write and its acknowledgement are among them";
  EXPECT_GT(at_open, 0u);
}

TEST(RegistryDisk, AChangeThatTheDiskRefusesLeavesNothingAndTheNextOneWorks) {
  constexpr size_t kCommits = 14;
  const std::vector<Commit> commits = storm(5, kCommits);
  const uint64_t operations = course_of(5, kCommits).operations;
  uint64_t refused = 0;
  for (const int code : {SQLITE_FULL, SQLITE_IOERR}) {
    for (uint64_t at = 1; at <= operations; at++) {
      SCOPED_TRACE("operation " + std::to_string(at) + " fails with " + std::to_string(code));
      SimulatedDisk disk(at);
      auto opened = open_on(disk);
      ASSERT_TRUE(opened);
      Registry& registry = **opened;
      disk.fail_at(disk.operations() + at, 1, code);
      for (const Commit& commit : commits) {
        const std::string before = objects_of(registry), hash = registry.head_hash();
        const uint64_t revision = registry.revision();
        if (const auto made = registry.commit(commit); !made) {
          refused++;
          const bool full = made.error().kind == Kind::disk_full;
          EXPECT_TRUE(full || (made.error().kind == Kind::unavailable)) << made.error().message;
          EXPECT_THAT(made.error().message, HasSubstr(kPath));
          ASSERT_EQ(registry.revision(), revision);
          ASSERT_EQ(registry.head_hash(), hash);
          ASSERT_EQ(objects_of(registry), before);
          ASSERT_EQ(registry.commit(commit), revision + 1) << "once the disk works again";
        }
      }
      ASSERT_EQ(registry.revision(), kCommits);
      ASSERT_THAT(registry.verify({}).value().faults, IsEmpty());
    }
  }
  EXPECT_GT(refused, operations / 2);
}

TEST(RegistryDisk, AChangeThatWasRefusedDoesNotComeBackAfterACrash) {
  // Where its sync fails, all of the change is in the file by then, and may survive.
  uint64_t refused = 0;
  for (uint64_t seed = 0; seed < 400; seed++) {
    const uint64_t at = 1 + seed % 20;
    SimulatedDisk disk(seed);
    {
      auto opened = open_on(disk);
      ASSERT_TRUE(opened);
      ASSERT_TRUE((*opened)->commit(changing({set(ObjectKind::tenant, "a", "1")})));
      disk.fail_at(disk.operations() + at, 1, SQLITE_IOERR);
      if ((*opened)->commit(changing({set(ObjectKind::tenant, "a", "2")}))) continue;
      refused++;
      disk.cut_power_at(disk.operations() + 1);
      EXPECT_FALSE((*opened)->commit(changing({set(ObjectKind::tenant, "a", "3")})));
    }
    disk.restore_power();
    auto reopened = open_on(disk);
    ASSERT_TRUE(reopened);
    EXPECT_NE((*reopened)->read_object(0, ObjectKind::tenant, "a").value(), "2")
        << "seed " << seed << ", operation " << at;
    EXPECT_THAT((*reopened)->verify({}).value().faults, IsEmpty());
  }
  EXPECT_GT(refused, 100u);
}

TEST(RegistryDisk, WhatTheDiskRefusedToUndoIsUndoneWhenTheFileIsClosed) {
  uint64_t refused = 0;
  for (uint64_t at = 1; at <= 20; at++) {
    SimulatedDisk disk(at);
    {
      auto opened = open_on(disk);
      ASSERT_TRUE(opened);
      ASSERT_TRUE((*opened)->commit(changing({set(ObjectKind::tenant, "a", "1")})));
      disk.fail_at(disk.operations() + at, 1'000'000, SQLITE_IOERR);
      if ((*opened)->commit(changing({set(ObjectKind::tenant, "a", "2")}))) continue;
      refused++;
      disk.fail_at(0, 0, SQLITE_OK);
    }
    auto reopened = open_on(disk);
    ASSERT_TRUE(reopened);
    EXPECT_EQ((*reopened)->read_object(0, ObjectKind::tenant, "a").value(), "1") << "operation " << at;
  }
  EXPECT_GT(refused, 5u);
}

TEST(RegistryDisk, WhatAStartFindsSurvivesAPowerCutRightAfterIt) {
  // Killed between writing a change and syncing it: the next process finds it, and serves it.
  uint64_t found = 0;
  for (uint64_t seed = 0; seed < 200; seed++) {
    SimulatedDisk disk(seed);
    {
      auto opened = open_on(disk);
      ASSERT_TRUE(opened);
      ASSERT_TRUE((*opened)->commit(changing({set(ObjectKind::tenant, "a", "1")})));
      disk.cut_power_at(disk.operations() + 1 + seed % 20);
      if ((*opened)->commit(changing({set(ObjectKind::tenant, "a", "2")}))) disk.cut_power();
    }
    disk.restart_process();
    std::string seen;
    {
      auto opened = open_on(disk);
      ASSERT_TRUE(opened);
      seen = (*opened)->read_object(0, ObjectKind::tenant, "a").value().value_or("");
      disk.cut_power();
    }
    disk.restore_power();
    auto opened = open_on(disk);
    ASSERT_TRUE(opened);
    EXPECT_EQ((*opened)->read_object(0, ObjectKind::tenant, "a").value(), seen) << "seed " << seed;
    found += seen == "2";
  }
  EXPECT_GT(found, 10u);
}

TEST(RegistryDisk, AFullDiskIsNamedAndReadingGoesOn) {
  SimulatedDisk disk(1);
  auto registry = std::move(open_on(disk).value());
  ASSERT_TRUE(registry->commit(changing({set(ObjectKind::tenant, "a", "1")})));
  disk.fail_at(disk.operations() + 1, 1'000'000, SQLITE_FULL);
  const auto made = registry->commit(changing({set(ObjectKind::tenant, "a", "2")}));
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().kind, Kind::disk_full);
  EXPECT_THAT(made.error().message, HasSubstr("free some space"));
  EXPECT_EQ(registry->set_label("known_good", 1, deed("label")).error().kind, Kind::disk_full);
  EXPECT_EQ(registry->read_object(0, ObjectKind::tenant, "a").value(), "1");
  disk.fail_at(0, 0, SQLITE_OK);
  EXPECT_EQ(registry->commit(changing({set(ObjectKind::tenant, "a", "2")})), 2u);
  EXPECT_THAT(registry->verify({}).value().faults, IsEmpty());
}

TEST(RegistryDisk, ADiskThatFailsWhileTheRegistryIsMadeIsASentence) {
  for (const int code : {SQLITE_FULL, SQLITE_IOERR}) {
    for (uint64_t at = 1; at < 30; at++) {
      SimulatedDisk disk(at);
      disk.fail_at(at, 1'000'000, code);
      if (const auto opened = open_on(disk); !opened) {
        EXPECT_TRUE(opened.error().kind == Kind::disk_full || opened.error().kind == Kind::unavailable)
            << opened.error().message;
      }
      disk.fail_at(0, 0, SQLITE_OK);
      const auto opened = open_on(disk);
      ASSERT_TRUE(opened) << opened.error().message;
      EXPECT_EQ((*opened)->revision(), 0u);
    }
  }
}

}  // namespace
}  // namespace weir::routing::registry_disk_test
