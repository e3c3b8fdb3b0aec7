#include "routing/admin/tenant_images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "routing/table/tenant_image.h"
#include "tests/routing/admin/admin_fixture.h"
#include "tests/routing/table/tenant_world.h"

namespace weir::routing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

struct TenantImagesTest : ::testing::Test {
  AdminSetup setup() {
    return {.control = {.compile = {}, .build = "1.0", .image_from_tenants = 1}, .registry = registry_path};
  }
  static void set_percent(AdminHost& weir, int percent) {
    EXPECT_EQ(weir.post("/v1/flags/v2/tenants/acme", {{"percent", percent}, {"reason", "r"}}).status, 200);
  }
  static json percent(AdminHost& weir) {
    return weir.get("/v1/tenants/acme").json()["flags"]["v2"]["percent"];
  }
  // A process that has written an image, and has changed a tenant and made one since.
  void run_once() {
    AdminHost weir(setup());
    EXPECT_TRUE(tests::run_until(*weir.loop, [&] { return std::filesystem::exists(image_path); }));
    set_percent(weir, 60);
    EXPECT_EQ(weir.put("/v1/tenants/new?reason=r", {{"name", "New"}}).status, 200);
    EXPECT_EQ(weir.put("/v1/models/m-1?reason=r",
                       {{"provider", "local"}, {"tier", "economy"}, {"price", {{"input", 3}, {"output", 4}}}})
                  .status,
              200);
  }
  std::expected<TenantImages::Resumed, std::string> load(const std::string& build = "1.0") {
    auto registry = Registry::open({.path = registry_path});
    if (!registry) return std::unexpected(registry.error().message);
    return TenantImages(registry_path, build).load(**registry, loader);
  }
  std::string why_not(const std::string& build = "1.0") {
    auto loaded = load(build);
    return loaded ? "" : loaded.error();
  }
  void spoil_image() {
    std::string bytes;
    {
      std::ifstream file(image_path, std::ios::binary);
      bytes.assign(std::istreambuf_iterator<char>(file), {});
    }
    bytes[bytes.size() / 2] ^= 1;
    std::ofstream(image_path, std::ios::binary) << bytes;
  }

  testing::TemporaryFolder folder;
  const std::string registry_path = folder.file("registry.db");
  const std::string image_path = registry_path + "-tenants";
  TableLoader loader{{}, {}, nullptr};
};

TEST_F(TenantImagesTest, AStartTakesTheTenantsFromItAndCatchesUp) {
  run_once();
  const auto loaded = load();
  ASSERT_TRUE(loaded.has_value()) << loaded.error();
  EXPECT_EQ(loaded->changed, 2u) << "acme's row and the new tenant; not the model";
  auto registry = Registry::open({.path = registry_path});
  ASSERT_TRUE(registry.has_value());
  auto whole = loader.load((*registry)->document(0).value(), TableFormat::json);
  ASSERT_TRUE(whole.has_value());
  EXPECT_EQ(describe(*loaded->table.body, *loaded->table.tenants), describe(*whole->body, *whole->tenants));
  EXPECT_EQ(loaded->table.body->models[0].price.input, whole->body->models[0].price.input);
}

TEST_F(TenantImagesTest, AProcessServesTheSameWithItAndWithout) {
  run_once();
  for (const bool with : {true, false}) {
    if (!with) spoil_image();
    AdminHost weir(setup());
    EXPECT_EQ(percent(weir), 60);
    EXPECT_EQ(weir.control.table().tenants->tenant_count(), 3u);
    EXPECT_EQ(weir.get("/v1/explain?tenant=acme&scenario=chat&attr.plan=pro").json()["unit"], "big");
  }
  // The one that was spoilt has been put right.
  EXPECT_EQ(why_not(), "");
}

TEST_F(TenantImagesTest, IsNotUsedWhereItDoesNotBelong) {
  EXPECT_THAT(why_not(), HasSubstr("there is no tenant image"));
  run_once();
  EXPECT_THAT(why_not("1.1"), HasSubstr("another build or registry"));
  EXPECT_EQ(why_not(), "");
  spoil_image();
  EXPECT_THAT(why_not(), HasSubstr(image_path));
}

// The image counts revisions of the registry that it was written for. A copy that was put back and went on
// has the same numbers for other changes.
TEST_F(TenantImagesTest, OfAPutBackRegistryIsNotUsed) {
  const std::string copy = folder.file("copy.db");
  {
    AdminHost weir(setup());
  }
  std::filesystem::copy(registry_path, copy);
  {
    AdminHost weir(setup());
    set_percent(weir, 70);
  }
  {  // Whole, so that an image of revision 3 is written.
    AdminHost weir(setup());
    std::filesystem::remove(image_path);
    EXPECT_EQ(weir.put_table(table_text(71)).status, 200);
    EXPECT_TRUE(tests::run_until(*weir.loop, [&] { return std::filesystem::exists(image_path); }));
  }
  EXPECT_EQ(why_not(), "");
  std::filesystem::copy(copy, registry_path, std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(why_not(), HasSubstr("another build or registry")) << "it has no revision 3";
  std::filesystem::rename(image_path, image_path + ".kept");
  {
    AdminHost weir(setup());
    for (const int step : {80, 81, 82}) set_percent(weir, step);
  }
  std::filesystem::rename(image_path + ".kept", image_path);
  EXPECT_THAT(why_not(), HasSubstr("another build or registry")) << "its revision 3 is another one";
  AdminHost weir(setup());
  EXPECT_EQ(percent(weir), 82);
}

TEST_F(TenantImagesTest, AFolderThatTakesNoneCostsNothingElse) {
  std::filesystem::create_directory(image_path);
  std::filesystem::create_directory(image_path + "/in-the-way");
  AdminHost weir(setup());
  set_percent(weir, 61);
  EXPECT_EQ(percent(weir), 61);
}

// What is not of tenants is compiled around those there are.
TEST_F(TenantImagesTest, AChangeOfAModelLeavesTheTenantsAsTheyAre) {
  AdminHost weir(setup());
  const TenantTable* const tenants = weir.control.table().tenants.get();
  const TableBody* const body = weir.control.table().body.get();
  EXPECT_EQ(weir.patch("/v1/models/m-1?reason=r", {{"tier", "standard"}}).status, 200);
  EXPECT_EQ(weir.patch("/v1/flags/v2?reason=r", {{"owner", "u-9"}}).status, 200);
  EXPECT_NE(weir.control.table().body.get(), body);
  EXPECT_EQ(weir.control.table().tenants.get(), tenants);
  // Another order of names: every index is another one.
  EXPECT_EQ(weir.put("/v1/segments/a-first?reason=r", {{"plan", "free"}}).status, 200);
  EXPECT_NE(weir.control.table().tenants.get(), tenants);
  EXPECT_EQ(weir.get("/v1/explain?tenant=acme&scenario=chat&attr.plan=pro").json()["reason"], "segment");
  EXPECT_EQ(weir.del("/v1/segments/paying?reason=r").status, 422) << "a tenant's row names it";
}

}  // namespace
}  // namespace weir::routing
