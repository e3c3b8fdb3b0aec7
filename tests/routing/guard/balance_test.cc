#include "routing/guard/balance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

namespace weir::routing {
namespace {

template <size_t count>
std::array<int, count> shares(const std::array<HostLoad, count>& hosts,
                              std::optional<uint32_t> failed = std::nullopt) {
  std::mt19937 random(7);
  std::array<int, count> chosen{};
  for (int i = 0; i < 10'000; ++i) ++chosen[*choose_host(hosts, static_cast<uint32_t>(random()), failed)];
  return chosen;
}

TEST(Balance, LeavesOutWhatIsNotUsableAndWhatHasJustFailed) {
  const std::array<HostLoad, 3> hosts = {{{.usable = false}, {}, {}}};
  EXPECT_EQ(shares(hosts)[0], 0);
  EXPECT_EQ(shares(hosts, 1)[1], 0);
  EXPECT_EQ(shares(std::array<HostLoad, 2>{{{}, {.usable = false}}}, 0)[0], 10'000) << "there is no other";
  EXPECT_FALSE(choose_host(std::array<HostLoad, 1>{{{.usable = false}}}, 0).has_value());
}

TEST(Balance, OfTwoTheLessLoadedByWeightIsTaken) {
  EXPECT_EQ(shares(std::array<HostLoad, 2>{{{.in_flight = 5}, {.in_flight = 9}}})[0], 10'000);
  // Ten under way at a host of weight 10 is less than five at one of weight 1.
  EXPECT_EQ(
      shares(std::array<HostLoad, 2>{{{.weight = 10, .in_flight = 10}, {.weight = 1, .in_flight = 5}}})[0],
      10'000);
}

// Requests that end at random: hosts of weights 3, 1 and 1 get three fifths and a fifth each.
TEST(Balance, SharesFollowTheWeights) {
  std::mt19937 random(1);
  std::array<HostLoad, 3> hosts = {{{.weight = 3}, {.weight = 1}, {.weight = 1}}};
  std::array<double, 3> chosen{};
  std::vector<uint32_t> open;
  for (int i = 0; i < 50'000; ++i) {
    const uint32_t host = *choose_host(hosts, static_cast<uint32_t>(random()));
    ++chosen[host];
    ++hosts[host].in_flight;
    open.push_back(host);
    if (open.size() < 50) continue;
    std::swap(open[random() % open.size()], open.back());
    --hosts[open.back()].in_flight;
    open.pop_back();
  }
  EXPECT_NEAR(chosen[0] / 50'000, 0.6, 0.03);
  EXPECT_NEAR(chosen[1] / 50'000, 0.2, 0.03);
}

// A slow host keeps what it has longer, so less of what comes goes there.
TEST(Balance, ASlowHostGetsLess) {
  std::mt19937 random(1);
  std::array<HostLoad, 2> hosts;
  std::array<int, 2> chosen{};
  for (int i = 0; i < 10'000; ++i) {
    const uint32_t host = *choose_host(hosts, static_cast<uint32_t>(random()));
    ++chosen[host];
    ++hosts[host].in_flight;
    if (hosts[0].in_flight > 0) --hosts[0].in_flight;
    if (i % 10 == 0 && hosts[1].in_flight > 0) --hosts[1].in_flight;
  }
  EXPECT_GT(chosen[0], 5 * chosen[1]);
}

// For any hosts: whoever is chosen is usable, and has not just failed if another one is usable.
TEST(Balance, NeverChoosesWhomItMayNot) {
  std::mt19937 random(11);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<HostLoad> hosts(1 + random() % 8);
    uint32_t usable = 0;
    for (HostLoad& host : hosts) {
      host = {.weight = static_cast<uint32_t>(1 + random() % 1'000'000),
              .in_flight = static_cast<uint32_t>(random() % 5 == 0 ? UINT32_MAX : random() % 50),
              .usable = random() % 3 != 0};
      usable += host.usable;
    }
    std::optional<uint32_t> just_failed;
    if (random() % 2 == 0) just_failed = static_cast<uint32_t>(random() % hosts.size());
    const auto chosen = choose_host(hosts, static_cast<uint32_t>(random()), just_failed);
    ASSERT_EQ(chosen.has_value(), usable > 0);
    if (!chosen) continue;
    ASSERT_TRUE(hosts[*chosen].usable);
    const bool other = usable > 1 || (just_failed && !hosts[*just_failed].usable);
    if (other) {
      ASSERT_NE(chosen, just_failed);
    }
  }
}

// The point of two choices: hosts that are alike never drift far apart, where one at random would.
TEST(Balance, KeepsHostsThatAreAlikeEvenlyLoaded) {
  std::mt19937 random(5);
  std::vector<HostLoad> two(8), one(8);
  for (int i = 0; i < 8'000; ++i) {
    ++two[*choose_host(two, static_cast<uint32_t>(random()))].in_flight;
    ++one[random() % one.size()].in_flight;
  }
  const auto spread = [](const std::vector<HostLoad>& hosts) {
    const auto [least, most] = std::ranges::minmax(hosts, {}, &HostLoad::in_flight);
    return most.in_flight - least.in_flight;
  };
  EXPECT_LE(spread(two), 10u);
  EXPECT_GT(spread(one), 2 * spread(two));
}

}  // namespace
}  // namespace weir::routing
