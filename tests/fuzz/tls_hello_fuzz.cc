// A TLS server session fed with a stranger's bytes: it waits, or it fails and stays failed. The handshake is
// never done, for nobody can finish one by chance.
#include <memory>

#include "net/tls/tls_session.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/net/tls/tls_pair.h"
#include "tests/support/test_certificates.h"

namespace weir::fuzz {
namespace {

std::shared_ptr<const net::TlsServerContext> make_context() {
  tests::TestAuthority authority;  // its files are read once
  auto context =
      net::TlsServerContext::load({.certificates = {authority.issue({.dns_names = {"api.test"}})}});
  EXPECT_TRUE(context.has_value());
  return *std::move(context);
}

}  // namespace
}  // namespace weir::fuzz

WEIR_FUZZ_TARGET(tls_hello) {
  using namespace weir;
  static const std::shared_ptr<const net::TlsServerContext> context = fuzz::make_context();
  fuzz::Choices choices(input);
  const size_t step = 1 + choices.below(200);
  const fuzz::Input bytes = choices.rest();
  tests::MemorySink sink;
  auto session = net::TlsSession::accept(context, sink);
  ASSERT_TRUE(session.has_value());
  bool failed = false;
  for (size_t at = 0; at < bytes.size(); at += step) {
    const std::vector<uint8_t> piece(
        bytes.begin() + static_cast<std::ptrdiff_t>(at),
        bytes.begin() + static_cast<std::ptrdiff_t>(std::min(bytes.size(), at + step)));
    (*session)->feed(piece);
    const auto outcome = (*session)->handshake();
    if (failed) {
      EXPECT_FALSE(outcome.has_value()) << "a failed session recovered";
    }
    failed = !outcome.has_value();
    if (failed) {
      EXPECT_NE((*session)->failure_reason(), nullptr);
    } else {
      EXPECT_EQ(*outcome, net::TlsSession::HandshakeStep::want_more);
    }
    if (!(*session)->release_input()) return;
  }
  (*session)->feed_end();
  EXPECT_FALSE((*session)->handshake().has_value());
}
