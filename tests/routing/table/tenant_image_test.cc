#include "routing/table/tenant_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>

#include "tests/routing/table/tenant_world.h"
#include "tests/support/process.h"

namespace weir::routing {
namespace {

using ::testing::HasSubstr;

constexpr TenantImageOrigin kOrigin{.build = "1.0 abc", .registry = "r-17"};

std::expected<TenantImage, std::string> read_image(const std::string& path, const TenantImageOrigin& origin,
                                                   const Digest& basis) {
  const auto registry_at = [&](uint64_t) { return std::string(origin.registry); };
  return read_tenant_image(path, origin.build, registry_at, basis);
}

class TenantImageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int t = 0; t < 3'000; t++) world.tenants[fmt::format("t-{}", t)] = world.random_tenant();
    for (int k = 0; k < 1'500; k++) {
      const std::string id = fmt::format("k-{}", k);
      world.keys[id] = world.random_key(id, fmt::format("t-{}", k), static_cast<uint64_t>(k) + 1);
    }
    compiled = compile_json(world.document());
    ASSERT_TRUE(compiled.has_value()) << print(compiled.error());
    ASSERT_EQ(write_tenant_image(path, kOrigin, *compiled->tenants, 41),
              (std::expected<void, std::string>()));
  }

  std::string why_not(const TenantImageOrigin& origin, const Digest& basis) const {
    const auto image = read_image(path, origin, basis);
    return image ? "" : image.error();
  }
  std::string why_not() const { return why_not(kOrigin, compiled->body->basis); }

  std::string bytes() const {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  TenantWorld world{7};
  CompileResult compiled;
  weir::testing::TemporaryFolder folder;
  const std::string path = folder.file("tenants.image");
};

TEST_F(TenantImageTest, ComesBackAsItWas) {
  const auto image = read_image(path, kOrigin, compiled->body->basis);
  ASSERT_TRUE(image.has_value()) << image.error();
  EXPECT_EQ(image->revision, 41u);
  EXPECT_EQ(image->tenants->basis(), compiled->body->basis);
  EXPECT_EQ(describe(*compiled->body, *image->tenants), describe(*compiled->body, *compiled->tenants));
}

TEST_F(TenantImageTest, IsGoodForABodyCompiledWithoutTenants) {
  const CompileResult small = compile_json(std::string(kWorldHead) + "}");
  ASSERT_TRUE(small.has_value()) << print(small.error());
  const auto image = read_image(path, kOrigin, small->body->basis);
  ASSERT_TRUE(image.has_value()) << image.error();
  EXPECT_EQ(describe(*small->body, *image->tenants), describe(*compiled->body, *compiled->tenants));
}

TEST_F(TenantImageTest, GoesOnWithChanges) {
  auto image = read_image(path, kOrigin, compiled->body->basis);
  ASSERT_TRUE(image.has_value()) << image.error();
  world.tenants["t-5"] = R"({"name":"New"})";
  world.tenants["t-new"] = "{}";
  const auto changed = change_tenants(*compiled->body, *image->tenants,
                                      std::vector{put(ObjectKind::tenant, "t-5", world.tenants["t-5"]),
                                                  put(ObjectKind::tenant, "t-new", "{}")});
  ASSERT_TRUE(changed.has_value()) << print(changed.error());
  const CompileResult whole = compile_json(world.document());
  EXPECT_EQ(describe(*compiled->body, **changed), describe(*whole->body, *whole->tenants));
}

TEST_F(TenantImageTest, OfAnEmptyTableIsEmpty) {
  const CompileResult none = compile_json("{}");
  ASSERT_EQ(write_tenant_image(path, kOrigin, *none->tenants, 1), (std::expected<void, std::string>()));
  const auto image = read_image(path, kOrigin, none->body->basis);
  ASSERT_TRUE(image.has_value()) << image.error();
  EXPECT_EQ(image->tenants->tenant_count(), 0u);
  EXPECT_EQ(image->tenants->find("t"), std::nullopt);
}

TEST_F(TenantImageTest, SameTableMakesSameBytes) {
  const std::string once = bytes();
  const CompileResult again = compile_json(world.document());
  ASSERT_TRUE(write_tenant_image(path, kOrigin, *again->tenants, 41).has_value());
  EXPECT_TRUE(bytes() == once);
}

TEST_F(TenantImageTest, OfAnotherOriginIsNotUsed) {
  EXPECT_THAT(why_not({.build = "1.1 def", .registry = "r-17"}, compiled->body->basis),
              HasSubstr("another build or registry"));
  EXPECT_THAT(why_not({.build = "1.0 abc", .registry = "r-18"}, compiled->body->basis),
              HasSubstr("another build or registry"));
}

TEST_F(TenantImageTest, OfATableWithOtherNamesIsNotUsed) {
  const CompileResult other = compile_json(replaced(std::string(kWorldHead) + "}", "\"f-4\":", "\"f-5\":"));
  EXPECT_THAT(why_not(kOrigin, other->body->basis), HasSubstr("a table with other names"));
}

TEST_F(TenantImageTest, PricesAndSaltsLeaveItUsable) {
  const CompileResult other =
      compile_json(replaced(replaced(std::string(kWorldHead) + "}", "\"input\":1", "\"input\":1.5"),
                            R"("exclude":["eu"])", R"("exclude":[],"salt":"s")"));
  ASSERT_TRUE(other.has_value()) << print(other.error());
  EXPECT_EQ(other->body->basis, compiled->body->basis);
}

TEST_F(TenantImageTest, WithAnyByteChangedIsNotUsed) {
  const std::string good = bytes();
  for (size_t i = 0; i < 400; i++) {
    const size_t at = i < 200 ? i : world.below(good.size());
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << world.below(8)));
    folder.write("tenants.image", bad);
    ASSERT_THAT(why_not(), HasSubstr(path)) << at;
  }
  folder.write("tenants.image", good);
  EXPECT_EQ(why_not(), "");
}

TEST_F(TenantImageTest, CutOrProlongedIsNotUsed) {
  const std::string good = bytes();
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{127}, size_t{128}, size_t{129}, good.size() / 2, good.size() - 1}) {
    folder.write("tenants.image", good.substr(0, size));
    ASSERT_THAT(why_not(), HasSubstr(path)) << size;
  }
  folder.write("tenants.image", good + std::string(64, '\0'));
  EXPECT_THAT(why_not(), HasSubstr("its size"));
}

TEST_F(TenantImageTest, MissingIsOneSentence) {
  EXPECT_EQ(read_image(folder.file("none"), kOrigin, {}).error(),
            "cannot read " + folder.file("none") + ": No such file or directory");
  EXPECT_THAT(write_tenant_image(folder.file("no/folder"), kOrigin, *compiled->tenants, 1).error(),
              HasSubstr("No such file or directory"));
}

TEST_F(TenantImageTest, IsItsOwnersAlone) {
  struct stat status{};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(TenantImageTest, HoldsNoProvidersCredential) {
  const Compiled table = must_compile(example());
  ASSERT_TRUE(write_tenant_image(path, kOrigin, *table.tenants, 1).has_value());
  EXPECT_EQ(bytes().find("sk-test"), std::string::npos);
  EXPECT_NE(bytes().find("bank-17"), std::string::npos);
}

}  // namespace
}  // namespace weir::routing
