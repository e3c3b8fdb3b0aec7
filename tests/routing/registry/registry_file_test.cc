// The registry as a file: who may have it, what is no registry, what a flipped byte looks like.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "routing/registry/schema.h"
#include "tests/routing/registry/registry_fixture.h"

namespace weir::routing {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Kind = RegistryError::Kind;

struct RegistryFileTest : RegistryFixture {
  void SetUp() override { open(path); }

  RegistryError open_refused(const std::string& file) {
    auto opened = Registry::open({.path = file});
    EXPECT_FALSE(opened);
    return opened ? RegistryError{} : opened.error();
  }
  void reopen() { open(path); }

  // Somebody else's hands in the file, while it is closed.
  void tamper(const std::string& sql) {
    registry.reset();
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
    char* problem = nullptr;
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, &problem), SQLITE_OK) << problem;
    sqlite3_close(database);
  }
  static std::string read(const std::string& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  const testing::TemporaryFolder folder;
  const std::string path = folder.file("registry.db");
};

TEST_F(RegistryFileTest, ServesAfterARestartWhatItHeldBefore) {
  commit({set(ObjectKind::tenant, "a", "1"), set(ObjectKind::unit, "u", "2")});
  Commit kill = changing({});
  kill.killed = {{KillScope::unit, "u", "broken", 5}};
  commit(kill);
  const std::string hash = registry->head_hash();
  reopen();
  EXPECT_EQ(registry->revision(), 2u);
  EXPECT_EQ(registry->table_revision(), 1u);
  EXPECT_EQ(registry->head_hash(), hash);
  EXPECT_EQ(objects(), "unit u=2 tenant a=1");
  EXPECT_EQ(registry->kills().value().at(0).name, "u");
  EXPECT_THAT(faults(), IsEmpty());
}

TEST_F(RegistryFileTest, OnlyOneAtATimeMayHaveIt) {
  const RegistryError error = open_refused(path);
  EXPECT_EQ(error.kind, Kind::unavailable);
  EXPECT_THAT(error.message, HasSubstr("process " + std::to_string(getpid()) + " holds " + path));
  registry.reset();
  reopen();
  EXPECT_NE(registry, nullptr);
}

TEST_F(RegistryFileTest, MakesItsFolderAndKeepsOthersOut) {
  const std::string inside = folder.file("new") + "/r?#%.db";
  open(inside);
  ASSERT_NE(registry, nullptr);
  commit({set(ObjectKind::tenant, "a", "1")});
  struct stat status{};
  for (const char* suffix : {"", "-wal", "-lock"}) {
    ASSERT_EQ(stat((inside + suffix).c_str(), &status), 0) << suffix;
    EXPECT_EQ(status.st_mode & 0007, 0u) << suffix;
  }
}

TEST_F(RegistryFileTest, AFileThatIsNotThereIsNotMadeUnasked) {
  const std::string other = folder.file("other.db");
  const auto opened = Registry::open({.path = other, .create = false});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, Kind::not_found);
  EXPECT_FALSE(std::filesystem::exists(other));
  EXPECT_FALSE(std::filesystem::exists(other + "-lock"));
  registry.reset();
  EXPECT_TRUE(Registry::open({.path = path, .create = false}));
}

TEST_F(RegistryFileTest, AFolderThatCannotBeMadeIsASentence) {
  EXPECT_EQ(open_refused(folder.file("a/b/registry.db")).kind, Kind::unavailable);
  EXPECT_EQ(open_refused(folder.write("file", "x") + "/registry.db").kind, Kind::unavailable);
  const RegistryError error = open_refused("/proc/registry.db");
  EXPECT_EQ(error.kind, Kind::unavailable);
  EXPECT_THAT(error.message, HasSubstr("/proc/registry.db"));
}

TEST_F(RegistryFileTest, AFileOrFolderThatIsNotOursToWriteIsASentence) {
  commit({set(ObjectKind::tenant, "a", "1")});
  registry.reset();
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
  std::filesystem::permissions(path, std::filesystem::perms(0644));
  std::filesystem::permissions(path + "-lock", std::filesystem::perms(0666));
  const pid_t child = fork();
  if (child == 0) {
    if (getuid() == 0 && setuid(65534) != 0) _exit(9);
    if (getuid() != 65534) std::filesystem::permissions(path, std::filesystem::perms(0444));
    const auto opened = Registry::open({.path = path});
    if (opened) _exit(1);
    const bool clear = opened.error().message.find(path) != std::string::npos &&
                       opened.error().message.find("right to write") != std::string::npos;
    _exit(opened.error().kind != Kind::unavailable ? 2 : clear ? 0 : 3);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(RegistryFileTest, WhatIsNoRegistryIsLeftAsItIs) {
  for (const std::string& text : {std::string("hello\n"), std::string(100'000, 'x')}) {
    const std::string file = folder.write("text", text);
    const RegistryError error = open_refused(file);
    EXPECT_EQ(error.kind, Kind::corrupt);
    EXPECT_THAT(error.message, HasSubstr(file + " is no registry"));
    EXPECT_EQ(read(file), text);
  }
  tamper("PRAGMA application_id=7");
  const std::string before = read(path);
  const RegistryError error = open_refused(path);
  EXPECT_EQ(error.kind, Kind::corrupt);
  EXPECT_THAT(error.message, HasSubstr("another program"));
  EXPECT_EQ(read(path), before);
}

TEST_F(RegistryFileTest, AFileOfANewerWeirIsLeftAsItIs) {
  commit({set(ObjectKind::tenant, "a", "1")});
  tamper("PRAGMA user_version=" + std::to_string(schema_steps().size() + 1));
  const RegistryError error = open_refused(path);
  EXPECT_EQ(error.kind, Kind::newer);
  EXPECT_THAT(error.message, HasSubstr("newer weir"));
}

TEST_F(RegistryFileTest, AnEmptyFileBecomesARegistry) {
  open(folder.write("empty.db", ""));
  ASSERT_NE(registry, nullptr);
  EXPECT_EQ(commit({set(ObjectKind::tenant, "a", "1")}), 1u);
}

TEST_F(RegistryFileTest, AFileWithoutItsTablesIsDamaged) {
  commit({set(ObjectKind::tenant, "a", "1")});
  tamper("DROP TABLE change");
  EXPECT_EQ(open_refused(path).kind, Kind::corrupt);
}

TEST_F(RegistryFileTest, AFileThatWasCutShortIsDamaged) {
  commit({set(ObjectKind::tenant, "a", std::string(100'000, 'x'))});
  registry.reset();
  std::filesystem::resize_file(path, 8192);
  auto opened = Registry::open({.path = path});
  if (opened) {
    registry = std::move(*opened);
    EXPECT_THAT(faults(), Not(IsEmpty()));
  } else {
    EXPECT_EQ(opened.error().kind, Kind::corrupt);
    EXPECT_THAT(opened.error().message, HasSubstr("put a copy back"));
  }
}

// ---- verify ----

struct VerifyTest : RegistryFileTest {
  void SetUp() override {
    RegistryFileTest::SetUp();
    commit({set(ObjectKind::tenant, "a", R"({"name":"A"})"), set(ObjectKind::unit, "u", "{}")});
    Commit change = changing({set(ObjectKind::tenant, "a", R"({"name":"B"})")});
    change.killed = {{KillScope::tenant, "x", "abuse", 7}};
    commit(change);
    ASSERT_TRUE(registry->set_label("known_good", 1, deed("label")));
    ASSERT_TRUE(registry->add_proposal({.author = alice(), .reason = "r"}, deed("propose")));
    commit({gone(ObjectKind::unit, "u")});
    ASSERT_THAT(faults(), IsEmpty());
  }

  std::vector<std::string> faults_after(const std::string& sql) {
    tamper(sql);
    reopen();
    return registry ? faults() : std::vector<std::string>();
  }
};

TEST_F(VerifyTest, CountsWhatItChecked) {
  const Verification verification = registry->verify({}).value();
  EXPECT_EQ(verification.changes, 5u);
  EXPECT_EQ(verification.objects, 4u);
}

TEST_F(VerifyTest, NamesARowOfTheLogThatWasChanged) {
  EXPECT_THAT(faults_after("UPDATE change SET record=replace(record,'alice','mallo') WHERE sequence=2"),
              ElementsAre(HasSubstr("row 2 of the log")));
}

TEST_F(VerifyTest, NamesAHashThatWasChanged) {
  EXPECT_THAT(faults_after("UPDATE change SET hash=zeroblob(32) WHERE sequence=2"),
              ElementsAre(HasSubstr("row 2 of the log")));
}

TEST_F(VerifyTest, NamesARowWhoseColumnsDifferFromItsRecord) {
  EXPECT_THAT(faults_after("UPDATE change SET wall_ns=1 WHERE sequence=2"),
              ElementsAre(HasSubstr("row 2 of the log")));
}

TEST_F(VerifyTest, NamesRowsThatAreMissing) {
  EXPECT_THAT(faults_after("DELETE FROM change WHERE sequence=2"),
              Contains(HasSubstr("rows 2 to 2 of the log are missing")));
}

TEST_F(VerifyTest, NamesABodyThatWasChanged) {
  EXPECT_THAT(faults_after("UPDATE object SET body='{\"name\":\"C\"}' WHERE kind=9 AND revision=1"),
              ElementsAre("tenant a of revision 1 is not what was written"));
}

TEST_F(VerifyTest, NamesABodyThatWasChangedWithItsDigest) {
  EXPECT_THAT(faults_after("UPDATE object SET body=NULL WHERE kind=9 AND revision=1;"
                           "UPDATE touch SET digest=NULL WHERE kind=9 AND revision=1"),
              ElementsAre(HasSubstr("revision 1 changed is not what is listed")));
}

TEST_F(VerifyTest, NamesAnObjectThatIsMissingOrOneTooMany) {
  EXPECT_THAT(faults_after("DELETE FROM object WHERE kind=9 AND revision=1"),
              ElementsAre("tenant a of revision 1 is missing"));
  EXPECT_THAT(faults_after("INSERT INTO object VALUES (9, 'a', 1, '{\"name\":\"A\"}')"), IsEmpty());
  EXPECT_THAT(faults_after("INSERT INTO object VALUES (9, 'b', 1, '{}')"),
              ElementsAre(HasSubstr("5 versions")));
}

TEST_F(VerifyTest, NamesAKillLabelOrProposalThatIsNotWhatTheLogSays) {
  EXPECT_THAT(faults_after("DELETE FROM kill"), ElementsAre(HasSubstr("the kill of tenant x")));
  EXPECT_THAT(faults_after("UPDATE label SET revision=2"), Contains(HasSubstr("label known_good")));
  EXPECT_THAT(faults_after("UPDATE proposal SET record=replace(record,'alice','mallo')"),
              Contains(HasSubstr("proposal 1")));
}

TEST_F(VerifyTest, ALastRowThatWasChangedIsSeenAtOpen) {
  tamper("UPDATE change SET record=replace(record,'alice','mallo') WHERE sequence=5");
  const RegistryError error = open_refused(path);
  EXPECT_EQ(error.kind, Kind::corrupt);
  EXPECT_THAT(error.message, HasSubstr("the last row of its log"));
}

// Whatever byte it is: it is refused at open, named, or one that says nothing (free space in a page).
TEST_F(VerifyTest, AFlippedByteAnywhereIsFoundOrMeansNothing) {
  const std::string all = objects(1) + objects(2) + objects(3);
  const std::string hash = registry->head_hash();
  registry.reset();
  const std::string good = read(path);
  ASSERT_GT(good.size(), 20'000u);
  size_t refused = 0, named = 0, harmless = 0;
  std::vector<size_t> places;
  for (size_t at = 0; at < good.size(); at += 97) places.push_back(at);
  for (const char* text :
       {"\"name\":\"A\"", "\"name\":\"B\"", "a test"}) {  // and certainly in what was decided
    const size_t found = good.find(text);
    ASSERT_NE(found, std::string::npos);
    places.push_back(found + 3);
  }
  for (const size_t at : places) {
    SCOPED_TRACE("byte " + std::to_string(at));
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    folder.write("registry.db", bad);
    auto opened = Registry::open({.path = path});
    if (!opened) {
      refused++;
      EXPECT_THAT(opened.error().kind, AnyOf(Kind::corrupt, Kind::newer, Kind::unavailable))
          << opened.error().message;
      continue;
    }
    registry = std::move(*opened);
    const auto verification = registry->verify({});
    if (!verification || !verification->faults.empty()) {
      named++;
    } else {
      harmless++;
      EXPECT_EQ(registry->head_hash(), hash);
      EXPECT_EQ(objects(1) + objects(2) + objects(3), all);
    }
    registry.reset();
  }
  EXPECT_GT(refused, 0u);
  EXPECT_GE(named, 3u);
  EXPECT_GT(harmless, 0u);
}

}  // namespace
}  // namespace weir::routing
