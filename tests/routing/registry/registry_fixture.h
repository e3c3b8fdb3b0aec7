// Small verbs for tests of the registry: a change in one line, a registry in memory or in a folder of its
// own.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "routing/registry/registry.h"
#include "tests/support/process.h"

namespace weir::routing {

constexpr int64_t kSecond = 1'000'000'000;

inline ObjectChange set(ObjectKind kind, std::string name, std::string body) {
  return {.kind = kind, .name = std::move(name), .after = std::move(body)};
}
inline ObjectChange gone(ObjectKind kind, std::string name) {
  return {.kind = kind, .name = std::move(name)};
}

inline Actor alice() {
  return {.name = "alice", .role = "operator"};
}
inline Deed deed(std::string action) {
  return {.actor = alice(), .action = std::move(action), .reason = "because", .wall_ns = kSecond};
}

inline Commit changing(std::vector<ObjectChange> objects) {
  return {.actor = alice(),
          .action = "put",
          .target = "tenant bank-17",
          .reason = "a test",
          .objects = std::move(objects),
          .wall_ns = kSecond};
}

inline std::string tenant_body(const std::string& rows) {
  return "{\"flags\":{" + rows + "},\"name\":\"Bank\"}";
}

struct RegistryFixture : ::testing::Test {
  void SetUp() override { open(":memory:"); }

  void open(const std::string& path) {
    registry.reset();
    auto opened = Registry::open({.path = path});
    ASSERT_TRUE(opened) << opened.error().message;
    registry = std::move(*opened);
  }

  // The revision it made.
  uint64_t commit(const Commit& change) {
    auto made = registry->commit(change);
    EXPECT_TRUE(made) << made.error().message;
    return made.value_or(0);
  }
  uint64_t commit(std::vector<ObjectChange> objects) { return commit(changing(std::move(objects))); }
  RegistryError refused(const Commit& change) {
    auto made = registry->commit(change);
    EXPECT_FALSE(made) << "made revision " << *made;
    return made ? RegistryError{} : made.error();
  }

  // "tenant a={...} unit b={...}", as they stood at a revision.
  std::string objects(uint64_t revision = 0) {
    std::string all;
    auto read = registry->read_objects(revision, [&](const ObjectView& object) {
      all += (all.empty() ? "" : " ") + std::string(to_string(object.kind)) + " " + std::string(object.name) +
             "=" + std::string(object.body);
    });
    return read ? all : read.error().message;
  }
  std::vector<std::string> faults() {
    auto verified = registry->verify({});
    return verified ? verified->faults : std::vector{verified.error().message};
  }

  std::unique_ptr<Registry> registry;
};

}  // namespace weir::routing
