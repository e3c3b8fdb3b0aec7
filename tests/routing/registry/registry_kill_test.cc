// A process that is killed in the middle of a storm of changes, again and again, and the registry that it
// leaves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <random>

#include "tests/routing/registry/registry_fixture.h"

namespace weir::routing {
namespace {

using ::testing::IsEmpty;
using Clock = std::chrono::steady_clock;

// Three objects and a kill that all say which revision made them: half a change would be seen.
Commit change_for(uint64_t revision) {
  const std::string number = std::to_string(revision);
  Commit commit = changing({set(ObjectKind::tenant, "a", number), set(ObjectKind::tenant, "b", number),
                            set(ObjectKind::flag, "f" + std::to_string(revision % 50), number)});
  commit.reason = number;
  if (revision % 2 == 1) commit.killed = {{KillScope::tenant, "a", number, 0}};
  if (revision % 2 == 0) commit.unkilled = {{KillScope::tenant, "a", "", 0}};
  return commit;
}

struct Acknowledgement {
  uint64_t revision;
  std::array<char, 64> hash;
};

// Commits until it is killed; says what is acknowledged when it is.
[[noreturn]] void commit_for_ever(const std::string& path, int pipe) {
  auto registry = Registry::open({.path = path});
  if (!registry) _exit(1);
  while (true) {
    const auto made = (*registry)->commit(change_for((*registry)->revision() + 1));
    if (!made) _exit(2);
    Acknowledgement acknowledgement{.revision = *made, .hash = {}};
    (*registry)->head_hash().copy(acknowledgement.hash.data(), acknowledgement.hash.size());
    if (write(pipe, &acknowledgement, sizeof acknowledgement) != sizeof acknowledgement) _exit(3);
  }
}

// Starts a child and kills it `delay` after so many of its acknowledgements, however slow the machine is. The last
// acknowledgement, if any.
std::optional<Acknowledgement> storm(const std::string& path, unsigned acknowledgements,
                                     std::chrono::microseconds delay) {
  std::array<int, 2> ends;
  EXPECT_EQ(pipe(ends.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ends[0]);
    commit_for_ever(path, ends[1]);
  }
  close(ends[1]);
  std::optional<Acknowledgement> last;
  Acknowledgement next{};
  const auto read_one = [&] {
    if (read(ends[0], &next, sizeof next) != sizeof next) return false;
    last = next;
    return true;
  };
  while (acknowledgements > 0 && read_one()) --acknowledgements;
  const auto deadline = Clock::now() + delay;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - Clock::now()).count();
    if (left <= 0) break;
    pollfd ready{ends[0], POLLIN, 0};
    const timespec patience{0, left};
    if (ppoll(&ready, 1, &patience, nullptr) <= 0 || !read_one()) break;
  }
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "it ended by itself: " << WEXITSTATUS(status);
  while (read_one()) {
  }
  close(ends[0]);
  return last;
}

TEST(RegistryKill, AProcessKilledAtAnyPointLosesNothingItAcknowledged) {
  constexpr int kKills = 500;
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("registry.db");
  std::mt19937_64 random(7);
  uint64_t acknowledged = 0, ahead = 0;
  for (int i = 0; i < kKills; i++) {
    const auto last = storm(path, random() % 3, std::chrono::microseconds(random() % 3'000));
    auto opened = Registry::open({.path = path});
    ASSERT_TRUE(opened) << opened.error().message;
    const Registry& registry = **opened;
    if (last) {
      ASSERT_GE(last->revision, acknowledged);
      acknowledged = last->revision;
      ASSERT_EQ(registry.change_of(acknowledged).value()->hash,
                std::string_view(last->hash.data(), last->hash.size()));
    }
    const uint64_t revision = registry.revision();
    ASSERT_GE(revision, acknowledged) << "kill " << i;
    ahead += revision - acknowledged;
    acknowledged = revision;  // it was there when we looked: from now on it stays
    if (revision == 0) continue;
    const std::string number = std::to_string(revision);
    ASSERT_EQ(registry.read_object(0, ObjectKind::tenant, "a").value(), number);
    ASSERT_EQ(registry.read_object(0, ObjectKind::tenant, "b").value(), number);
    ASSERT_EQ(registry.kills().value().size(), revision % 2);
    if (i % 5 == 0 || i == kKills - 1) {
      ASSERT_THAT(registry.verify({}).value().faults, IsEmpty());
    }
  }
  EXPECT_GT(acknowledged, 100u);
  EXPECT_GT(ahead, 0u) << "some were killed between the sync and the acknowledgement";
}

}  // namespace
}  // namespace weir::routing
