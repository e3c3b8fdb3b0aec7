#include "tools/weir/inherited_sockets.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/support/process.h"
#include "tools/weir/service_manager.h"

namespace weir::tools {
namespace {

using core::SocketAddress;
using ::testing::ExitedWithCode;

constexpr int kHeld = 42;
const SocketAddress kAnyPort = *SocketAddress::parse("127.0.0.1:0");

// What a process finds that was started with these sockets; as a rule in a process of its own.
std::expected<InheritedSockets, std::string> started_with(const std::vector<int>& sockets,
                                                          const std::string& names) {
  std::vector<int> copies;
  for (const int socket : sockets) copies.push_back(::fcntl(socket, F_DUPFD, 100));
  for (size_t i = 0; i < copies.size(); ++i) ::dup2(copies[i], static_cast<int>(3 + i));
  ::setenv("LISTEN_FDS", std::to_string(sockets.size()).c_str(), 1);
  ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
  ::setenv("LISTEN_FDNAMES", names.c_str(), 1);
  return InheritedSockets::take();
}

[[noreturn]] void end(bool held) {
  ::_exit(held ? kHeld : 1);
}

TEST(InheritedSockets, AreNoneWithoutTheVariables) {
  const auto taken = InheritedSockets::take();
  ASSERT_TRUE(taken.has_value());
  EXPECT_TRUE(taken->empty());
}

TEST(InheritedSockets, OfAnotherProcessAreNotOurs) {
  EXPECT_EXIT(
      {
        ::setenv("LISTEN_FDS", "1", 1);
        ::setenv("LISTEN_PID", "1", 1);
        const auto taken = InheritedSockets::take();
        end(taken && taken->empty() && std::getenv("LISTEN_FDS") == nullptr &&
            std::getenv("LISTEN_PID") == nullptr);
      },
      ExitedWithCode(kHeld), "");
}

TEST(InheritedSockets, BelongToTheAddressTheyAreBoundTo) {
  const int first = *core::listen_tcp(kAnyPort), second = *core::listen_tcp(kAnyPort);
  EXPECT_EXIT(
      {
        auto taken = started_with({first, second}, "unknown:names");
        const auto found = taken->take_tcp(core::bound_address(second), kPlainSocket);
        end(found == std::vector{4} && (::fcntl(4, F_GETFD) & FD_CLOEXEC) != 0 && !taken->empty());
      },
      ExitedWithCode(kHeld), "inherited_socket_closed|^$");
  core::close_socket(first);
  core::close_socket(second);
}

TEST(InheritedSockets, WithAnyPortBelongToTheFirstOfTheirName) {
  const int plain = *core::listen_tcp(kAnyPort), tls = *core::listen_tcp(kAnyPort);
  const int beside = *core::listen_tcp(core::bound_address(tls));
  EXPECT_EXIT(
      {
        auto taken = started_with({plain, tls, beside}, "http:https:https");
        end(taken->take_tcp(kAnyPort, kTlsSocket) == std::vector{4, 5} &&
            taken->take_tcp(kAnyPort, kPlainSocket) == std::vector{3} &&
            taken->take_tcp(kAnyPort, kPlainSocket).empty());
      },
      ExitedWithCode(kHeld), "");
  for (const int socket : {plain, tls, beside}) core::close_socket(socket);
}

TEST(InheritedSockets, AreSharedWhenTheyAreFewerThanTheirUsers) {
  const int one = *core::listen_tcp(kAnyPort);
  const SocketAddress address = core::bound_address(one);
  InheritedSockets inherited({{.name = "", .descriptor = one, .address = address}});
  const auto sockets = listening_sockets(inherited, address, kPlainSocket, 3);
  ASSERT_TRUE(sockets.has_value()) << sockets.error();
  EXPECT_EQ(sockets->size(), 3u);
  for (const int socket : *sockets) {
    EXPECT_EQ(core::bound_address(socket), address);
    core::close_socket(socket);
  }
}

TEST(InheritedSockets, ThatAreMoreThanTheirUsersAreAllTaken) {
  const int one = *core::listen_tcp(kAnyPort);
  const SocketAddress address = core::bound_address(one);
  const int other = *core::listen_tcp(address);
  InheritedSockets inherited({{.name = "", .descriptor = one, .address = address},
                              {.name = "", .descriptor = other, .address = address}});
  const auto sockets = listening_sockets(inherited, address, kPlainSocket, 1);
  ASSERT_TRUE(sockets.has_value()) << sockets.error();
  EXPECT_EQ(*sockets, (std::vector{one, other}));
  for (const int socket : *sockets) core::close_socket(socket);
}

TEST(InheritedSockets, AreOpenedWhereThereAreNone) {
  InheritedSockets none;
  const auto sockets = listening_sockets(none, kAnyPort, kPlainSocket, 2);
  ASSERT_TRUE(sockets.has_value()) << sockets.error();
  ASSERT_EQ(sockets->size(), 2u);
  EXPECT_EQ(core::bound_address((*sockets)[0]), core::bound_address((*sockets)[1]));
  // And nobody else's place is taken.
  const auto taken = listening_sockets(none, core::bound_address((*sockets)[0]), kPlainSocket, 1);
  ASSERT_FALSE(taken.has_value());
  EXPECT_NE(taken.error().find("is in use"), std::string::npos) << taken.error();
  for (const int socket : *sockets) core::close_socket(socket);
}

TEST(InheritedSockets, OfTheAdminApiAreFoundByPath) {
  const weir::testing::TemporaryFolder folder;
  const std::string path = folder.file("admin.sock");
  const int socket = *core::listen_unix(path, 0600);
  EXPECT_EXIT(
      {
        auto taken = started_with({socket}, std::string(kOwnAdminSocket));
        const bool other = taken->take_unix(path + "2").has_value();
        const auto found = taken->take_unix(path);
        end(!other && found && found->descriptor == 3 && found->name == kOwnAdminSocket && taken->empty());
      },
      ExitedWithCode(kHeld), "");
  core::close_socket(socket);
}

TEST(InheritedSockets, ThatDoNotListenAreAProblem) {
  const int unbound = core::open_tcp_socket(AF_INET);
  EXPECT_EXIT(
      {
        const auto taken = started_with({unbound}, "web");
        end(!taken && taken.error().find("(web) is not listening") != std::string::npos);
      },
      ExitedWithCode(kHeld), "");
  EXPECT_EXIT(
      {
        const auto taken = started_with({::open("/dev/null", O_RDONLY)}, "web");
        end(!taken && taken.error().find("is no socket") != std::string::npos);
      },
      ExitedWithCode(kHeld), "");
  core::close_socket(unbound);
}

TEST(ServiceManager, HearsWhatTheServiceDoes) {
  const weir::testing::TemporaryFolder folder;
  const std::string path = folder.file("notify");
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const SocketAddress address = *SocketAddress::unix_path(path);
  ASSERT_EQ(::bind(socket, address.get(), address.size()), 0);
  const auto heard = [&] {
    char text[256];
    const ssize_t size = ::recv(socket, text, sizeof text, 0);
    return std::string(text, static_cast<size_t>(std::max<ssize_t>(size, 0)));
  };
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  const ServiceManager manager;
  ::unsetenv("NOTIFY_SOCKET");
  manager.ready();
  EXPECT_EQ(heard(), "MAINPID=" + std::to_string(::getpid()) + "\nREADY=1");
  manager.reloading();
  EXPECT_TRUE(heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
  manager.stopping();
  EXPECT_EQ(heard(), "STOPPING=1");
  ServiceManager().ready();  // nobody is told
  core::close_socket(socket);
  manager.stopping();  // and nobody need listen
}

}  // namespace
}  // namespace weir::tools
