#include "net/address_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

namespace weir::net {
namespace {

using core::SocketAddress;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr milliseconds kPatience{20'000};

// A name server whose zone the test writes, and that can be made to wait.
class Names {
 public:
  AddressBook::Resolve resolver() {
    return [this](const std::string& host,
                  uint16_t port) -> std::expected<std::vector<SocketAddress>, std::string> {
      std::unique_lock lock(mutex_);
      ++asked_[host];
      changed_.notify_all();
      changed_.wait(lock, [this] { return !held_; });
      const auto found = zone_.find(host);
      if (found == zone_.end()) return std::unexpected(host + " does not exist");
      std::vector<SocketAddress> addresses;
      for (const std::string& text : found->second)
        addresses.push_back(*SocketAddress::parse(text + ":" + std::to_string(port)));
      return addresses;
    };
  }
  void set(const std::string& host, std::vector<std::string> addresses) {
    const std::lock_guard guard(mutex_);
    zone_[host] = std::move(addresses);
  }
  void forget(const std::string& host) {
    const std::lock_guard guard(mutex_);
    zone_.erase(host);
  }
  void hold(bool held) {
    const std::lock_guard guard(mutex_);
    held_ = held;
    changed_.notify_all();
  }
  bool wait_until_asked(const std::string& host, int times) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return asked_[host] >= times; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::vector<std::string>> zone_;
  std::map<std::string, int> asked_;
  bool held_ = false;
};

std::vector<std::string> lookup(AddressBook& book, const std::string& host, uint16_t port = 443,
                                size_t most = 8) {
  std::vector<SocketAddress> room(most);
  const size_t count = book.addresses(host, port, room.data(), most);
  std::vector<std::string> found;
  for (size_t i = 0; i < count; ++i) found.push_back(room[i].to_string());
  return found;
}

class AddressBookTest : public ::testing::Test {
 protected:
  Names names;
  AddressBook book{{.refresh = milliseconds(3'600'000), .resolve = names.resolver()}};

  // Waits for attempt number `times` at `host`, and for what came of it.
  void wait_for_attempt(const std::string& host, int times, uint64_t attempts) {
    ASSERT_TRUE(names.wait_until_asked(host, times));
    ASSERT_TRUE(book.wait_for_attempts(attempts, kPatience));
  }
};

TEST_F(AddressBookTest, AnswersNumericHostsOnTheSpotRegisteredOrNot) {
  EXPECT_THAT(lookup(book, "10.1.2.3", 8080), ElementsAre("10.1.2.3:8080"));
  EXPECT_THAT(lookup(book, "::1", 8080), ElementsAre("[::1]:8080"));
  book.add_hosts({{"10.1.2.3", 8080}});
  EXPECT_THAT(lookup(book, "10.1.2.3", 8080), ElementsAre("10.1.2.3:8080"));
  EXPECT_EQ(book.attempts(), 0u);
}

TEST_F(AddressBookTest, ResolvesWhatIsRegisteredAtOnce) {
  names.set("api.test", {"10.0.0.1", "10.0.0.2"});
  EXPECT_THAT(lookup(book, "api.test"), IsEmpty());
  book.add_hosts({{"api.test", 443}});
  ASSERT_TRUE(book.wait_for_first_attempts(kPatience));
  EXPECT_THAT(lookup(book, "api.test"), ElementsAre("10.0.0.1:443", "10.0.0.2:443"));
  EXPECT_THAT(lookup(book, "api.test", 443, 1), ElementsAre("10.0.0.1:443"));
  EXPECT_THAT(lookup(book, "api.test", 444), IsEmpty());
}

TEST_F(AddressBookTest, IsReadyOnceEachNameWasTriedThoughOneFailed) {
  names.set("good.test", {"10.0.0.1"});
  names.hold(true);
  book.add_hosts({{"good.test", 443}, {"gone.test", 443}});
  EXPECT_FALSE(book.wait_for_first_attempts(milliseconds(0)));
  names.hold(false);
  ASSERT_TRUE(book.wait_for_first_attempts(kPatience));
  EXPECT_THAT(lookup(book, "good.test"), ElementsAre("10.0.0.1:443"));
  EXPECT_THAT(lookup(book, "gone.test"), IsEmpty());
  ASSERT_EQ(book.failures().size(), 1u);
  EXPECT_EQ(book.failures()[0].host, "gone.test");
  EXPECT_EQ(book.failures()[0].reason, "gone.test does not exist");
}

TEST_F(AddressBookTest, KeepsTheLastGoodAnswerWhenARefreshFails) {
  names.set("api.test", {"10.0.0.1"});
  book.add_hosts({{"api.test", 443}});
  ASSERT_TRUE(book.wait_for_first_attempts(kPatience));
  names.forget("api.test");
  book.refresh_now();
  wait_for_attempt("api.test", 2, 2);
  EXPECT_THAT(lookup(book, "api.test"), ElementsAre("10.0.0.1:443"));
  EXPECT_EQ(book.failures().size(), 1u);
  names.set("api.test", {"10.0.0.9"});
  book.refresh_now();
  wait_for_attempt("api.test", 3, 3);
  EXPECT_THAT(lookup(book, "api.test"), ElementsAre("10.0.0.9:443"));
  EXPECT_THAT(book.failures(), IsEmpty());
}

TEST(AddressBook, RefreshesByItself) {
  Names names;
  names.set("api.test", {"10.0.0.1"});
  AddressBook book({.refresh = milliseconds(1), .resolve = names.resolver()});
  book.add_hosts({{"api.test", 443}});
  EXPECT_TRUE(names.wait_until_asked("api.test", 3));
}

TEST_F(AddressBookTest, SetHostsForgetsTheOthers) {
  names.set("a.test", {"10.0.0.1"});
  names.set("b.test", {"10.0.0.2"});
  book.add_hosts({{"a.test", 443}});
  book.add_hosts({{"b.test", 443}});
  ASSERT_TRUE(book.wait_for_first_attempts(kPatience));
  book.set_hosts({{"b.test", 443}});
  EXPECT_THAT(lookup(book, "a.test"), IsEmpty());
  EXPECT_THAT(lookup(book, "b.test"), ElementsAre("10.0.0.2:443"));
  EXPECT_EQ(book.attempts(), 2u);  // what is known stays
}

TEST_F(AddressBookTest, NeverLeadsToTheMachinesOwnCredentials) {
  names.set("sly.test", {"169.254.169.254", "[fe80::1]", "[::ffff:169.254.1.1]", "[fd00:ec2::254]",
                         "100.100.100.200", "10.0.0.1"});
  book.add_hosts({{"sly.test", 80}});
  ASSERT_TRUE(book.wait_for_first_attempts(kPatience));
  EXPECT_THAT(lookup(book, "sly.test", 80), ElementsAre("10.0.0.1:80"));
  EXPECT_THAT(lookup(book, "169.254.169.254", 80), IsEmpty());
}

TEST_F(AddressBookTest, AnswersLinkLocalAddressesToWhoAskedForThem) {
  names.set("local.test", {"169.254.1.1"});
  book.add_hosts({{"local.test", 80, true}, {"169.254.7.7", 80, true}});
  ASSERT_TRUE(book.wait_for_first_attempts(kPatience));
  EXPECT_THAT(lookup(book, "local.test", 80), ElementsAre("169.254.1.1:80"));
  EXPECT_THAT(lookup(book, "169.254.7.7", 80), ElementsAre("169.254.7.7:80"));
  book.set_hosts({{"local.test", 80, false}});  // the next table does not allow it any more
  EXPECT_THAT(lookup(book, "local.test", 80), IsEmpty());
}

TEST_F(AddressBookTest, DropsAnAnswerForAHostThatIsNoLongerWanted) {
  names.set("late.test", {"10.0.0.1"});
  names.hold(true);
  book.add_hosts({{"late.test", 443}});
  ASSERT_TRUE(names.wait_until_asked("late.test", 1));
  book.set_hosts({});
  names.hold(false);
  ASSERT_TRUE(book.wait_for_attempts(1, kPatience));
  EXPECT_THAT(lookup(book, "late.test"), IsEmpty());
}

TEST(Resolver, FindsThisMachine) {
  const auto addresses = core::resolve_host("localhost", 80);
  ASSERT_TRUE(addresses.has_value()) << addresses.error();
  ASSERT_FALSE(addresses->empty());
  EXPECT_EQ(addresses->front().port(), 80);
}

TEST(Resolver, SaysWhyANameCannotBeResolved) {
  const auto addresses = core::resolve_host("not a host name", 80);
  ASSERT_FALSE(addresses.has_value());
  EXPECT_THAT(addresses.error(), ::testing::StartsWith("not a host name cannot be resolved: "));
}

}  // namespace
}  // namespace weir::net
