#include "routing/admin/table_loader.h"

#include <gtest/gtest.h>

#include "tests/routing/table/example.h"

namespace weir::routing {
namespace {

// Runs what is to be freed when it is told to, as the worker does.
class TableLoaderTest : public ::testing::Test {
 protected:
  void TearDown() override {
    for (const auto& dispose : disposals) dispose();
  }

  LoadedTable load() {
    auto loaded = loader.load(example(), TableFormat::yaml);
    EXPECT_TRUE(loaded.has_value()) << print(loaded.error());
    return loaded ? *std::move(loaded) : LoadedTable();
  }

  std::vector<std::function<void()>> disposals;
  std::shared_ptr<GuardArena> arena = std::make_shared<GuardArena>(64);
  TableLoader loader{test_options(),
                     [this](std::function<void()> job) { disposals.push_back(std::move(job)); }, arena};
};

TEST_F(TableLoaderTest, ChangesATenantOverTheSameBody) {
  const LoadedTable before = load();
  const std::vector changes = {
      ObjectChange{ObjectKind::tenant, "bank-17", std::nullopt, R"({"name":"New","limits":{"rpm":9}})"}};
  const auto after = loader.change(before, changes);
  ASSERT_TRUE(after.has_value()) << print(after.error());
  EXPECT_EQ(after->body, before.body);
  EXPECT_EQ(after->trust, before.trust);
  EXPECT_EQ(after->hosts.size(), before.hosts.size());
  const TenantIndex bank = after->tenants->find("bank-17").value();
  EXPECT_EQ((*after->tenants)[bank].display_name(), "New");
  EXPECT_EQ((*before.tenants)[bank].display_name(), "Bank Seventeen");
  EXPECT_EQ(after->guards->of(bank)->limits.rates[static_cast<unsigned>(RateKind::minute)].limit, 9u);
  EXPECT_EQ(after->guards->of(bank)->line, before.guards->of(bank)->line) << "what was counted stays";
}

TEST_F(TableLoaderTest, SaysWhatIsWrongWithAChange) {
  const LoadedTable before = load();
  const std::vector changes = {
      ObjectChange{ObjectKind::tenant, "bank-17", std::nullopt, R"({"nmae":"New"})"}};
  const auto after = loader.change(before, changes);
  ASSERT_FALSE(after.has_value());
  EXPECT_EQ(print(after.error()), "tenants.bank-17.nmae: unknown field; did you mean \"name\"?\n");
}

TEST_F(TableLoaderTest, SaysWhenThereIsNoMemoryForTheLimitsOfAChange) {
  const LoadedTable before = load();
  std::vector<ObjectChange> changes;
  for (int i = 0; i < 100; ++i) {
    changes.push_back(
        {ObjectKind::tenant, "t-" + std::to_string(i), std::nullopt, R"({"limits":{"rpm":9}})"});
  }
  const auto after = loader.change(before, changes);
  ASSERT_FALSE(after.has_value());
  EXPECT_EQ(print(after.error()), "declares more limits and budgets than the 64 there is memory for\n");
}

TEST_F(TableLoaderTest, HandsWhatNobodyUsesToWhoeverFreesIt) {
  {
    const LoadedTable table = load();
    EXPECT_TRUE(disposals.empty());
  }
  EXPECT_EQ(disposals.size(), 2u) << "the body, and the tenants";
}

}  // namespace
}  // namespace weir::routing
