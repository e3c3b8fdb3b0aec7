#include "routing/table/compile_change.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "routing/decide/explain.h"
#include "tests/routing/table/tenant_world.h"
#include "tests/support/sanitized.h"

namespace weir::routing {
namespace {

using ::testing::HasSubstr;

// The document compiled whole, and the table that changes made: they must agree in everything.
class ChangeTest : public ::testing::Test {
 protected:
  void start() {
    CompileResult compiled = compile_json(world.document());
    ASSERT_TRUE(compiled.has_value()) << print(compiled.error());
    body = std::move(compiled->body);
    table = std::move(compiled->tenants);
  }

  void start_with(unsigned tenants, unsigned keys_each) {
    for (unsigned t = 0; t < tenants; t++) world.tenants["t-" + std::to_string(t)] = world.random_tenant();
    for (unsigned t = 0; t < tenants; t++) {
      for (unsigned k = 0; k < keys_each; k++) add_key("t-" + std::to_string(t));
    }
    start();
  }

  std::string add_key(const std::string& tenant) {
    const std::string id = fmt::format("k-{}", world.below(1'000'000'000));
    world.keys[id] = world.random_key(id, tenant, ++last_hash);
    return id;
  }

  // A change of one to a few objects, in the world and as the call takes it; often one that is refused.
  std::vector<ObjectChange> random_change() {
    std::vector<ObjectChange> changes;
    const auto touched = [&](const std::string& name) {
      return std::ranges::find(changes, name, &ObjectChange::name) != changes.end();
    };
    for (uint64_t left = 1 + world.below(4); left != 0; left--) {
      switch (world.below(7)) {
        case 0: {  // another tenant
          const std::string id = fmt::format("t-{}", 1'000 + world.below(1'000));
          if (touched(id)) break;
          put_tenant(changes, id);
          break;
        }
        case 1:
        case 2:
          if (const std::string id = world.any(world.tenants); !touched(id)) put_tenant(changes, id);
          break;
        case 3:  // most have keys, which refuses it
          if (const std::string id = world.any(world.tenants); !touched(id) && world.tenants.size() > 3) {
            world.tenants.erase(id);
            changes.push_back(removal(ObjectKind::tenant, id));
          }
          break;
        case 4: {
          const std::string id = add_key(world.any(world.tenants));
          changes.push_back(put(ObjectKind::key, id, world.keys[id]));
          break;
        }
        case 5:  // a key that exists: another tenant, now and then another's hash
          if (const std::string id = world.any(world.keys); !touched(id)) {
            const uint64_t hash = world.one_in(8) ? 1 + world.below(last_hash) : ++last_hash;
            world.keys[id] = world.random_key(id, world.any(world.tenants), hash);
            changes.push_back(put(ObjectKind::key, id, world.keys[id]));
          }
          break;
        default:
          if (const std::string id = world.any(world.keys); !touched(id) && world.keys.size() > 3) {
            world.keys.erase(id);
            changes.push_back(removal(ObjectKind::key, id));
          }
      }
    }
    return changes;
  }

  void put_tenant(std::vector<ObjectChange>& changes, const std::string& id) {
    world.tenants[id] = world.random_tenant();
    changes.push_back(put(ObjectKind::tenant, id, world.tenants[id]));
  }

  std::string problems_of(std::vector<ObjectChange> changes) {
    const auto changed = change_tenants(*body, *table, changes);
    return changed ? "" : print(changed.error());
  }

  TenantWorld world{20'261'125};
  uint64_t last_hash = 0;
  std::shared_ptr<TableBody> body;
  std::shared_ptr<TenantTable> table;
};

// One request of a tenant's key, in both tables, in words.
std::string ask(const Table& table, std::string_view key_id, std::string_view user,
                std::string_view scenario) {
  DecideInput input;
  input.key = table.tenants->find_key(key_id).value();
  input.tenant = table[input.key].tenant();
  input.user = user;
  input.scenario_header = scenario;
  input.model = scenario.empty() ? "m-2" : "";
  input.wall_now_ns = 1'790'000'000'000'000'000;  // in autumn 2026
  const Explanation explanation = explain(table, input);
  std::string text;
  for (const ExplainStep& step : explanation.steps) {
    text += fmt::format("{} {} {}\n", step.rule, step.matched, step.detail);
  }
  if (!explanation.decision) return text + "refused";
  const Decision& decision = *explanation.decision;
  return text +
         fmt::format("{} {} {}", (*table.body)[decision.unit].name, token(decision.reason), decision.limited);
}

void expect_same_decisions(const Table& changed, const Table& compiled, TenantWorld& world) {
  for (int i = 0; i < 30; i++) {
    const std::string& key = world.any(world.keys);
    const std::string user = fmt::format("u-{}", world.below(1'000));
    for (const char* scenario : {"chat", "search", "idle", ""}) {
      ASSERT_EQ(ask(changed, key, user, scenario), ask(compiled, key, user, scenario));
    }
  }
}

TEST_F(ChangeTest, IsTheSameAsCompilingTheChangedDocument) {
  start_with(60, 2);
  int accepted = 0, refused = 0;
  for (int round = 0; round < tests::rounds(600); round++) {
    const auto tenants_before = world.tenants;
    const auto keys_before = world.keys;
    const std::vector<ObjectChange> changes = random_change();
    const CompileResult compiled = compile_json(world.document());
    const auto changed = change_tenants(*body, *table, changes);
    ASSERT_EQ(changed.has_value(), compiled.has_value())
        << (changed ? print(compiled.error()) : print(changed.error())) << world.document();
    if (!changed) {
      refused++;
      world.tenants = tenants_before;
      world.keys = keys_before;
      continue;
    }
    accepted++;
    table = std::make_shared<TenantTable>(**changed);
    ASSERT_EQ(describe(*body, *table), describe(*compiled->body, *compiled->tenants)) << round;
    if (round % 20 != 0) continue;
    Table one, other;
    one.body = body;
    one.tenants = table;
    other.body = std::make_shared<TableBody>(std::move(*compiled->body));
    other.tenants = std::make_shared<TenantTable>(*compiled->tenants);
    expect_same_decisions(one, other, world);
  }
  EXPECT_GT(accepted, tests::rounds(200));
  EXPECT_GT(refused, tests::rounds(50));
}

TEST_F(ChangeTest, LeavesTheTableItWasMadeFromAsItWas) {
  start_with(20, 1);
  const auto before = describe(*body, *table);
  std::vector<ObjectChange> changes;
  for (int i = 0; i < 20; i++) put_tenant(changes, fmt::format("t-{}", i));
  ASSERT_TRUE(change_tenants(*body, *table, changes).has_value());
  EXPECT_EQ(describe(*body, *table), before);
}

TEST_F(ChangeTest, SharesTheBlocksOfAllOtherTenants) {
  start_with(5'000, 1);
  const auto changed =
      change_tenants(*body, *table, std::vector{put(ObjectKind::tenant, "t-4999", R"({"name":"X"})")});
  ASSERT_TRUE(changed.has_value()) << print(changed.error());
  const TenantIndex index = table->find("t-4999").value();
  const size_t block = static_cast<uint32_t>(index) / TenantTable::kPerBlock;
  const auto& before = table->parts();
  const auto& after = (*changed)->parts();
  for (size_t i = 0; i < before.tenants.size(); i++) {
    EXPECT_EQ(before.tenants.block(i) == after.tenants.block(i), i != block) << i;
  }
  EXPECT_EQ(before.keys.block(0), after.keys.block(0));
  EXPECT_EQ(before.tenant_ids.parts().block(0), after.tenant_ids.parts().block(0));
  EXPECT_EQ((**changed)[index].display_name(), "X");
}

TEST_F(ChangeTest, KeepsIndicesAndNeverGivesOneAgain) {
  start_with(5, 0);
  const TenantIndex kept = table->find("t-4").value();
  const TenantIndex gone = table->find("t-2").value();
  auto changed = change_tenants(*body, *table, std::vector{removal(ObjectKind::tenant, "t-2")});
  ASSERT_TRUE(changed.has_value());
  changed = change_tenants(*body, **changed, std::vector{put(ObjectKind::tenant, "t-2", "{}")});
  ASSERT_TRUE(changed.has_value());
  EXPECT_EQ((*changed)->find("t-4"), kept);
  EXPECT_EQ((*changed)->find("t-2"), TenantIndex{5});
  EXPECT_FALSE((**changed)[gone].exists());
  EXPECT_EQ((*changed)->tenant_count(), 5u);
}

TEST_F(ChangeTest, GrowsFromNothing) {
  start();
  for (int i = 0; i < 3'000; i++) {
    const std::string id = fmt::format("t-{}", i);
    const std::string key = fmt::format("k-{}", i);
    auto changed = change_tenants(
        *body, *table,
        std::vector{put(ObjectKind::key, key, world.random_key(key, id, static_cast<uint64_t>(i) + 1)),
                    put(ObjectKind::tenant, id, "{}")});
    ASSERT_TRUE(changed.has_value()) << print(changed.error());
    table = std::move(*changed);
  }
  EXPECT_EQ(table->tenant_count(), 3'000u);
  EXPECT_GT(table->parts().tenant_ids.parts().size(), 1u);
  EXPECT_EQ(describe(*body, *table).size(), 6'000u);
}

TEST_F(ChangeTest, SaysAllThatIsWrongWithTheWordsOfCompile) {
  start_with(3, 0);
  const std::string problems = problems_of({
      put(ObjectKind::tenant, "t-1", R"({"flags":{"f-9":{}},"nmae":"x","models":["m-3"]})"),
      put(ObjectKind::tenant, "a tenant", "{}"),
      put(ObjectKind::tenant, "t-2", "{"),
      put(ObjectKind::key, "k", R"({"id":"k","tenant":"t-9","hash":"?","scenario":"chta"})"),
  });
  EXPECT_THAT(problems, HasSubstr("tenants.t-1.flags.f-9: unknown flag; did you mean"));
  EXPECT_THAT(problems, HasSubstr("tenants.t-1.nmae: unknown field; did you mean \"name\"?"));
  EXPECT_THAT(problems, HasSubstr("tenants.t-1.models[0]: unknown model \"m-3\"; did you mean"));
  EXPECT_THAT(problems, HasSubstr("tenants[\"a tenant\"]: "));
  EXPECT_THAT(problems, HasSubstr("tenants.t-2: line 1"));
  EXPECT_THAT(problems, HasSubstr("keys.k.tenant: unknown tenant \"t-9\"; did you mean"));
  EXPECT_THAT(problems, HasSubstr("keys.k.hash: must be hmac-sha256:"));
  EXPECT_THAT(problems, HasSubstr("keys.k.scenario: unknown scenario \"chta\"; did you mean \"chat\"?"));
}

TEST_F(ChangeTest, RefusesAUnitThatNobodyDeclared) {
  start_with(1, 0);
  EXPECT_THAT(
      problems_of({put(ObjectKind::tenant, "t-0",
                       R"({"flags":{"f-1":{"state":"off","owner":"u","reason":"r","review":"2027-01-01",
                                   "previous":"stable+f-2"}}})")}),
      HasSubstr("unknown unit \"stable+f-2\""));
}

TEST_F(ChangeTest, RefusesWhatDoesNotFitTogether) {
  start_with(3, 1);
  const std::string key = world.any(world.keys);
  const std::string tenant(table->operator[](table->operator[](*table->find_key(key)).tenant()).id());
  EXPECT_THAT(problems_of({removal(ObjectKind::tenant, tenant)}), HasSubstr("remove those first"));
  EXPECT_THAT(problems_of({removal(ObjectKind::tenant, "nobody")}), HasSubstr("there is no such tenant"));
  EXPECT_THAT(problems_of({removal(ObjectKind::key, "nobody")}), HasSubstr("there is no such key"));
  EXPECT_THAT(problems_of({removal(ObjectKind::key, key), removal(ObjectKind::key, key)}),
              HasSubstr("is changed twice"));
  EXPECT_THAT(problems_of({put(ObjectKind::key, "other", world.random_key("name", tenant, 99))}),
              HasSubstr("keys.other.id: must be \"other\""));
  EXPECT_THAT(problems_of({put(ObjectKind::key, "a", world.random_key("a", tenant, 99)),
                           put(ObjectKind::key, "b", world.random_key("b", tenant, 99))}),
              HasSubstr("keys.b.hash: is the hash of another key"));
  EXPECT_THAT(problems_of({put(ObjectKind::key, "a", world.random_key("a", tenant, 1))}),
              HasSubstr("keys.a.hash: is the hash of another key"));
}

TEST_F(ChangeTest, LetsKeysExchangeTheirHashes) {
  start_with(1, 0);
  world.keys["a"] = world.random_key("a", "t-0", 1);
  world.keys["b"] = world.random_key("b", "t-0", 2);
  start();
  auto changed = change_tenants(*body, *table,
                                std::vector{put(ObjectKind::key, "a", world.random_key("a", "t-0", 2)),
                                            put(ObjectKind::key, "b", world.random_key("b", "t-0", 1))});
  ASSERT_TRUE(changed.has_value()) << print(changed.error());
  Digest one{};
  one[31] = 1;
  EXPECT_EQ((**changed)[(*changed)->find_key(one).value()].id(), "b");
}

}  // namespace
}  // namespace weir::routing
