#include "net/tls/tls_ticket_keys.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>

#include "net/tls/openssl.h"

namespace weir::tests {
namespace {

using net::TlsTicketKeys;
using CipherContextPtr = std::unique_ptr<EVP_CIPHER_CTX, net::OpensslDeleter<EVP_CIPHER_CTX_free>>;

class TlsTicketKeysTest : public ::testing::Test {
 protected:
  struct Ticket {
    std::array<unsigned char, 16> name;
    std::array<unsigned char, EVP_MAX_IV_LENGTH> iv;
  };

  static int prepare(TlsTicketKeys& keys, Ticket& ticket, int encrypt) {
    const CipherContextPtr cipher(EVP_CIPHER_CTX_new());
    EVP_MAC* const hmac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    EVP_MAC_CTX* const mac = EVP_MAC_CTX_new(hmac);
    const int result = keys.prepare(ticket.name.data(), ticket.iv.data(), cipher.get(), mac, encrypt);
    EVP_MAC_CTX_free(mac);
    EVP_MAC_free(hmac);
    return result;
  }

  static Ticket seal(TlsTicketKeys& keys) {
    Ticket ticket{};
    EXPECT_EQ(prepare(keys, ticket, 1), 1);
    return ticket;
  }

  static int open(TlsTicketKeys& keys, Ticket ticket) { return prepare(keys, ticket, 0); }

  std::shared_ptr<TlsTicketKeys> keys_ = TlsTicketKeys::create();
};

TEST_F(TlsTicketKeysTest, OpensWhatTheNewestKeySealed) {
  EXPECT_EQ(open(*keys_, seal(*keys_)), 1);
}

TEST_F(TlsTicketKeysTest, OpensOlderTicketsAndAsksForFreshOnesUntilTheirKeyIsForgotten) {
  const Ticket ticket = seal(*keys_);
  for (uint32_t rotation = 1; rotation < core::limits::kTlsTicketKeysKept; ++rotation) {
    ASSERT_TRUE(keys_->rotate());
    EXPECT_EQ(open(*keys_, ticket), 2);
  }
  ASSERT_TRUE(keys_->rotate());
  EXPECT_EQ(open(*keys_, ticket), 0);
}

TEST_F(TlsTicketKeysTest, DoesNotOpenStrangeTickets) {
  EXPECT_EQ(open(*TlsTicketKeys::create(), seal(*keys_)), 0);
  EXPECT_EQ(open(*keys_, Ticket{}), 0) << "a key slot not used yet has a name of zeros";
}

TEST_F(TlsTicketKeysTest, OlderTicketsOutliveTheirLifetime) {
  // A ticket sealed just before a rotation must stay good for all of its life.
  static_assert((core::limits::kTlsTicketKeysKept - 1) * uint64_t{core::limits::kTlsTicketRotationMs} >=
                core::limits::kTlsTicketLifetimeS * uint64_t{1000});
}

}  // namespace
}  // namespace weir::tests
