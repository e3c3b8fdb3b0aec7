#include "routing/admin/bodies.h"

#include <gtest/gtest.h>

namespace weir::routing {
namespace {

// The member at fault; "none" for a body that is accepted.
template <typename T>
std::string fault(const BodyResult<T>& read) {
  return read ? "none" : '"' + read.error().param + '"';
}

TEST(AdminBodies, RefuseAMemberThatIsGivenTwice) {
  EXPECT_EQ(fault(read_kill(R"({"scope":"tenant","name":"acme","reason":"r"})")), "none");
  EXPECT_EQ(fault(read_kill(R"({"scope":"tenant","name":"acme","name":"solo","reason":"r"})")), "\"\"");
  EXPECT_EQ(fault(read_kill(R"({"scope":"tenant","name":"acme","n\u0061me":"solo","reason":"r"})")), "\"\"");
  EXPECT_EQ(fault(read_rollback(R"({"scope":"all","to":1,"reason":"r","evidence":{"a":1,"a":2}})")), "\"\"");
}

// json's own writer recurses: what comes here is as deep as the sender likes.
TEST(AdminBodies, RefuseWhatIsNestedTooDeeply) {
  constexpr size_t kLevels = 1'000'000;
  const std::string deep = std::string(kLevels, '[') + std::string(kLevels, ']');
  EXPECT_EQ(fault(read_rollback(R"({"scope":"all","to":1,"reason":"r","evidence":{"a":)" + deep + "}}")),
            "\"\"");
  EXPECT_EQ(fault(read_decision("{\"reason\":" + deep + "}")), "\"\"");
}

TEST(AdminBodies, TakeNullForAbsent) {
  const auto killed = read_kill(R"({"scope":"global","name":null,"reason":"stop"})");
  ASSERT_TRUE(killed.has_value());
  EXPECT_EQ(killed->name, "");
  EXPECT_EQ(fault(read_kill(R"({"scope":"tenant","name":null,"reason":"stop"})")), "\"name\"");
  EXPECT_EQ(fault(read_decision(R"({"reason":null})")), "\"reason\"");
}

TEST(AdminBodies, KeepEvidenceInItsCanonicalForm) {
  const auto read = read_rollback(
      R"({"scope":"tenant","name":"acme","to":"known_good","reason":"r","evidence":{"b":1.50,"a":[ ]}})");
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->rollback.evidence, R"({"a":[],"b":1.5})");
  EXPECT_EQ(read->rollback.label, "known_good");
  EXPECT_EQ(fault(read_rollback(R"({"scope":"all","to":1,"reason":"r","evidence":[]})")), "\"evidence\"");
}

}  // namespace
}  // namespace weir::routing
