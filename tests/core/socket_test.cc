#include "core/socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/process.h"

namespace weir::core {
namespace {

TEST(SocketAddress, ParsesWhatItPrints) {
  for (const char* text : {"127.0.0.1:8080", "0.0.0.0:0", "[::1]:443", "[2001:db8::1]:65535", "[::]:0"}) {
    const auto address = SocketAddress::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->to_string(), text);
    EXPECT_EQ(*SocketAddress::parse(address->to_string()), *address);
  }
}

TEST(SocketAddress, SaysWhatIsWrong) {
  for (const char* text : {"", "127.0.0.1", "127.0.0.1:", ":", ":80", "127.0.0.1:65536", "127.0.0.1:-1",
                           "127.0.0.1:+1", "127.0.0.1: 1", "127.0.0.1:80x", "localhost:80", "::1:80",
                           "[::1:80", "[127.0.0.1]:80", "1.2.3:80", "[]:80"}) {
    const auto address = SocketAddress::parse(text);
    ASSERT_FALSE(address) << text;
    EXPECT_NE(address.error().find("'" + std::string(text) + "'"), std::string::npos) << address.error();
  }
}

TEST(SocketAddress, ChangesItsPort) {
  auto address = *SocketAddress::parse("[::1]:1");
  address.set_port(77);
  EXPECT_EQ(address.port(), 77);
  EXPECT_EQ(address.to_string(), "[::1]:77");
}

TEST(SocketAddress, RefusesAUnixPathThatDoesNotFit) {
  EXPECT_FALSE(SocketAddress::unix_path(""));
  EXPECT_FALSE(SocketAddress::unix_path(std::string(108, 'x')));
  ASSERT_TRUE(SocketAddress::unix_path(std::string(107, 'x')));
  EXPECT_EQ(SocketAddress::unix_path("/run/weir.sock")->to_string(), "/run/weir.sock");
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

int option(int socket, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  ::getsockopt(socket, level, name, &value, &size);
  return value;
}

TEST(ListenTcp, SharesItsPortBetweenShards) {
  const Descriptor first(listen_tcp(*SocketAddress::parse("127.0.0.1:0")).value());
  const SocketAddress bound = bound_address(first.get());
  EXPECT_NE(bound.port(), 0);
  const auto second = listen_tcp(bound);
  ASSERT_TRUE(second) << second.error();
  const Descriptor closer(*second);
  EXPECT_NE(option(first.get(), IPPROTO_TCP, TCP_NODELAY), 0);
  EXPECT_NE(::fcntl(first.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(ListenTcp, SaysThatTheAddressIsInUse) {
  const Descriptor taken(::socket(AF_INET, SOCK_STREAM, 0));
  const auto any = *SocketAddress::parse("127.0.0.1:0");
  ASSERT_EQ(::bind(taken.get(), any.get(), any.size()), 0);
  ASSERT_EQ(::listen(taken.get(), 1), 0);
  const auto listener = listen_tcp(bound_address(taken.get()));
  ASSERT_FALSE(listener);
  EXPECT_NE(listener.error().find("is in use"), std::string::npos) << listener.error();
}

TEST(ListenTcp, SaysThatTheAddressIsNotOurs) {
  const auto listener = listen_tcp(*SocketAddress::parse("192.0.2.1:0"));
  ASSERT_FALSE(listener);
  EXPECT_NE(listener.error().find("not an address of this machine"), std::string::npos) << listener.error();
}

TEST(OpenTcpSocket, SendsWithoutDelay) {
  const Descriptor socket(open_tcp_socket(AF_INET));
  ASSERT_GE(socket.get(), 0);
  EXPECT_NE(option(socket.get(), IPPROTO_TCP, TCP_NODELAY), 0);
  EXPECT_NE(option(socket.get(), SOL_SOCKET, SO_KEEPALIVE), 0);
  EXPECT_LT(open_tcp_socket(12345), 0);
}

class ListenUnix : public ::testing::Test {
 protected:
  weir::testing::TemporaryFolder folder;
  std::string path = folder.file("admin.sock");
};

TEST_F(ListenUnix, HasTheModeAskedFor) {
  const auto listener = listen_unix(path, 0660);
  ASSERT_TRUE(listener) << listener.error();
  const Descriptor closer(*listener);
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0660u);
  remove_unix_socket(path);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(ListenUnix, ReplacesASocketNobodyListensOn) {
  ::close(listen_unix(path, 0600).value());
  ASSERT_TRUE(std::filesystem::exists(path));
  const auto listener = listen_unix(path, 0600);
  ASSERT_TRUE(listener) << listener.error();
  ::close(*listener);
}

TEST_F(ListenUnix, LeavesALiveSocketAlone) {
  const Descriptor first(listen_unix(path, 0600).value());
  const auto second = listen_unix(path, 0600);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().find("running process"), std::string::npos) << second.error();
}

TEST_F(ListenUnix, LeavesAFileAlone) {
  folder.write("admin.sock", "precious");
  const auto listener = listen_unix(path, 0600);
  ASSERT_FALSE(listener);
  EXPECT_NE(listener.error().find("not a socket"), std::string::npos) << listener.error();
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST_F(ListenUnix, NamesTheFolderThatIsMissing) {
  const auto listener = listen_unix(folder.file("none/admin.sock"), 0600);
  ASSERT_FALSE(listener);
  EXPECT_NE(listener.error().find("none/admin.sock"), std::string::npos) << listener.error();
}

}  // namespace
}  // namespace weir::core
