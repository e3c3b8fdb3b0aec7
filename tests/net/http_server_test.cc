#include "net/http_server.h"

#include "tests/net/net_fixture.h"

namespace weir::tests {
namespace {

class HttpServerTest : public testing::Test {
 protected:
  std::unique_ptr<core::Loop> loop = make_loop();
};

TEST_F(HttpServerTest, AnswersARequest) {
  EchoServer echo(*loop);
  Peer client = Peer::connect(echo.port);
  client.write(*loop, post("hello"));
  const SeenResponse response = next_response(*loop, client);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "hello");
  EXPECT_EQ(echo.server.connections(), 1u);
}

}  // namespace
}  // namespace weir::tests
