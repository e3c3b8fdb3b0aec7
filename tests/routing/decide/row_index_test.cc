#include "routing/decide/row_index.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/routing/decide/table_builder.h"

namespace weir::routing {
namespace {

class RowIndex : public ::testing::Test {
 protected:
  RowIndex() {
    for (const char* name : {"a", "b", "c"}) scenarios.push_back(build.scenario(name, build.unit(name)));
    // Declared in turns: a0 b0 a1 c0 b1
    for (const int s : {0, 1, 0, 2, 1}) {
      flags.push_back(build.flag("flag" + std::to_string(flags.size()), scenarios[s]));
    }
  }

  std::vector<int> bits(TenantIndex tenant, int scenario) const {
    std::vector<int> found;
    for (const PackedRow& row : find_rows(*table.body, table[tenant], scenarios[scenario]).rows) {
      if (row.present != 0) found.push_back(row.bit);
    }
    return found;
  }

  TableBuilder build;
  std::vector<ScenarioIndex> scenarios;
  std::vector<FlagIndex> flags;
  Table table;
};

TEST_F(RowIndex, GroupsATenantsRowsByScenario) {
  const TenantIndex dense = build.tenant("dense");
  for (const FlagIndex flag : flags) build.row(dense, flag, FlagState::pilot);
  const TenantIndex none = build.tenant("none");
  const TenantIndex sparse = build.tenant("sparse");
  build.row(sparse, flags[4], FlagState::pilot);
  table = build.build();
  EXPECT_EQ(bits(dense, 0), (std::vector{0, 1}));
  EXPECT_EQ(bits(dense, 1), (std::vector{0, 1}));
  EXPECT_EQ(bits(dense, 2), (std::vector{0}));
  for (const int s : {0, 1, 2}) EXPECT_TRUE(bits(none, s).empty());
  EXPECT_TRUE(bits(sparse, 0).empty());
  EXPECT_EQ(bits(sparse, 1), (std::vector{1}));
  EXPECT_TRUE(bits(sparse, 2).empty());
}

TEST_F(RowIndex, KeepsWhatARowSays) {
  const SegmentIndex first = build.segment("first", {join(ConditionStep::Kind::all, 0)});
  const SegmentIndex second = build.segment("second", {join(ConditionStep::Kind::any, 0)});
  const TenantIndex tenant = build.tenant("t");
  build.row(tenant, flags[0], FlagState::off).segments = {first};
  TenantFlag& row = build.row(tenant, flags[3], FlagState::production, 12'345);
  row.segments = {second, first};
  row.start_ns = 11;
  row.expires_ns = 22;
  row.on_expiry = ExpiryAction::alert;
  row.on_rollback = OnRollback::finish;
  row.limits = {.rpm = 5, .tpm = 6, .concurrency = 7, .total_requests = 8};
  row.until_ns = 21;
  table = build.build();
  const ScenarioRows rows = find_rows(*table.body, table[tenant], scenarios[2]);
  const PackedRow& packed = rows.rows[0];
  EXPECT_EQ(packed.milli_percent, 12'345u);
  EXPECT_EQ(packed.state, std::to_underlying(FlagState::production));
  EXPECT_EQ(packed.on_rollback, std::to_underlying(OnRollback::finish));
  EXPECT_TRUE(packed.limited);
  EXPECT_EQ(find_row(*table.body, table[tenant], flags[3])->limits, row.limits);
  EXPECT_TRUE(packed.timed);
  const RowTerms& terms = rows.terms(packed);
  EXPECT_EQ(terms.start_ns, 11);
  EXPECT_EQ(terms.expires_ns, 22);
  EXPECT_EQ(terms.until_ns, 21);
  EXPECT_EQ(terms.on_expiry, ExpiryAction::alert);
  ASSERT_EQ(terms.segments().size(), 2u);
  EXPECT_EQ(terms.segments()[0], second);
  EXPECT_EQ(terms.segments()[1], first);
}

TEST_F(RowIndex, KeepsTermsThatRowsOfATenantShareOnce) {
  const TenantIndex tenant = build.tenant("t");
  build.row(tenant, flags[0], FlagState::pilot).expires_ns = 50;
  build.row(tenant, flags[1], FlagState::pilot).expires_ns = 60;
  build.row(tenant, flags[2], FlagState::pilot).expires_ns = 50;
  build.row(tenant, flags[3], FlagState::pilot);
  table = build.build();
  const auto terms_of = [&](int scenario, size_t row) {
    const ScenarioRows rows = find_rows(*table.body, table[tenant], scenarios[scenario]);
    return &rows.terms(rows.rows[row]);
  };
  EXPECT_EQ(terms_of(0, 0), terms_of(0, 1));
  EXPECT_NE(terms_of(0, 0), terms_of(1, 0));
  EXPECT_EQ(terms_of(1, 0)->expires_ns, 60);
  EXPECT_EQ(terms_of(2, 0), &kAlways);
}

// Both layouts and their border: a tenant with rows on any subset of the flags finds exactly those.
TEST_F(RowIndex, FindsExactlyTheRowsOfEverySubset) {
  for (unsigned subset = 0; subset < 1u << flags.size(); subset++) {
    const TenantIndex tenant = build.tenant("t" + std::to_string(subset));
    for (uint32_t f = 0; f < flags.size(); f++) {
      if ((subset >> f & 1) != 0) build.row(tenant, flags[f], FlagState::pilot, 1 + f);
    }
  }
  table = build.build();
  for (unsigned subset = 0; subset < 1u << flags.size(); subset++) {
    unsigned found = 0;
    for (const ScenarioIndex scenario : scenarios) {
      for (const PackedRow& row : find_rows(*table.body, table[TenantIndex{subset}], scenario).rows) {
        if (row.present == 0) continue;
        ASSERT_EQ(table.body->scenarios[static_cast<uint32_t>(scenario)].flags[row.bit],
                  flags[row.milli_percent - 1]);
        found |= 1u << (row.milli_percent - 1);
      }
    }
    EXPECT_EQ(found, subset);
  }
}

TEST_F(RowIndex, FindsTheWholeRowOfAFlag) {
  const TenantIndex tenant = build.tenant("t");
  build.row(tenant, flags[1], FlagState::pilot, 1);
  build.row(tenant, flags[3], FlagState::pilot, 3);
  table = build.build();
  EXPECT_EQ(find_row(*table.body, table[tenant], flags[3])->milli_percent, 3u);
  EXPECT_EQ(find_row(*table.body, table[tenant], flags[1])->milli_percent, 1u);
  for (const int f : {0, 2, 4}) EXPECT_EQ(find_row(*table.body, table[tenant], flags[f]), std::nullopt);
}

}  // namespace
}  // namespace weir::routing
