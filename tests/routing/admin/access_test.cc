#include "routing/admin/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "routing/decide/identify.h"

namespace weir::routing {
namespace {

using core::ErrorCode;
using Who = AccessRules::Who;

constexpr std::string_view kSecret = "a secret of some length";

AccessRules rules() {
  return {.peers = {{.role = Role::admin, .who = Who::user, .id = 0},
                    {.role = Role::operator_role, .who = Who::group, .id = 500},
                    {.role = Role::approver, .who = Who::user, .id = 1000},
                    {.role = Role::viewer, .who = Who::everybody}},
          .tokens = {{.id = "ci",
                      .hash = hash_key(kSecret, "t-1"),
                      .role = Role::admin,
                      .scopes = bit(Scope::read)},
                     {.id = "prometheus", .hash = hash_key(kSecret, "t-2")}},
          .user_names = {{1000, "alice"}},
          .token_secret = std::string(kSecret)};
}

TEST(Access, APeerHasTheHighestRoleThatListsThem) {
  const Access access(rules());
  EXPECT_EQ(access.of_peer({.uid = 0, .gid = 0, .groups = {}})->role, Role::admin);
  EXPECT_EQ(access.of_peer({.uid = 7, .gid = 500, .groups = {}})->role, Role::operator_role);
  EXPECT_EQ(access.of_peer({.uid = 7, .gid = 7, .groups = {4, 500}})->role, Role::operator_role);
  EXPECT_EQ(access.of_peer({.uid = 1000, .gid = 500, .groups = {}})->role, Role::approver);
  EXPECT_EQ(access.of_peer({.uid = 7, .gid = 7, .groups = {}})->role, Role::viewer);
  EXPECT_EQ(access.of_peer({.uid = 1000, .gid = 7, .groups = {}})->name, "alice");
  EXPECT_EQ(access.of_peer({.uid = 7, .gid = 7, .groups = {}})->name, "uid 7");
}

TEST(Access, APeerThatNoRoleListsMayNothing) {
  const Access access({.peers = {{.role = Role::admin, .who = Who::user, .id = 0}}});
  const auto refused = access.of_peer({.uid = 7, .gid = 7, .groups = {}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::forbidden);
}

TEST(Access, ATokenIsWhoItsRowSays) {
  const Access access(rules());
  const auto caller = access.of_token("Bearer t-1", 1);
  ASSERT_TRUE(caller);
  EXPECT_EQ(caller->name, "token ci");
  EXPECT_EQ(caller->role, Role::admin);
  EXPECT_EQ(caller->scopes, bit(Scope::read));
  EXPECT_EQ(access.of_token("bearer t-2", 1)->role, Role::viewer);
}

TEST(Access, ATokenThatIsNotListedIsNobody) {
  const Access access(rules());
  const auto code = [&](std::string_view authorization) -> std::optional<ErrorCode> {
    const auto caller = access.of_token(authorization, 1);
    return caller ? std::nullopt : std::optional(caller.error().code);
  };
  EXPECT_EQ(code(""), ErrorCode::missing_key);
  EXPECT_EQ(code("Basic t-1"), ErrorCode::malformed_authorization);
  EXPECT_EQ(code("Bearer "), ErrorCode::unknown_key);
  EXPECT_EQ(code("Bearer t-3"), ErrorCode::unknown_key);
  EXPECT_EQ(code("Bearer t-1 "), ErrorCode::unknown_key);
}

TEST(Access, TheKernelSaysWhoIsAtTheOtherEndOfAUnixSocket) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  const auto peer = core::peer_credentials(pair[0]);
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->uid, ::geteuid());
  EXPECT_EQ(peer->gid, ::getegid());
  const int tcp = ::socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_FALSE(core::peer_credentials(tcp)) << "nobody vouches for a TCP peer";
  for (const int descriptor : {pair[0], pair[1], tcp}) ::close(descriptor);
}

}  // namespace
}  // namespace weir::routing
