// The keys that seal session tickets (RFC 5077, RFC 8446 section 4.6.1): one set for the whole process, so
// that a client which comes back to another shard, or after a certificate reload, still resumes.
//
//   rotate()      newest ── seals and opens ──▶ older ── only opens ──▶ ... ──▶ forgotten
//                                                (and asks for a fresh ticket)
//
// Invariants
//   1. A ticket stays valid through at least kTlsTicketKeysKept - 1 rotations.
//   2. Keys exist only in this object's memory, are random, and are wiped when forgotten: a restart forgets
//      all tickets, which costs clients one full handshake.
//
// Any thread may call anything. The lock is taken once per handshake and per rotation, for one copy of a key.
#pragma once

#include <openssl/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>

#include "core/limits.h"

namespace weir::net {

class TlsTicketKeys {
 public:
  // Fresh random keys, or null if the system has no randomness to give.
  static std::shared_ptr<TlsTicketKeys> create();
  ~TlsTicketKeys();
  TlsTicketKeys(const TlsTicketKeys&) = delete;
  TlsTicketKeys& operator=(const TlsTicketKeys&) = delete;

  // Makes a new key the newest and forgets the oldest. Called every kTlsTicketRotationMs. False (and nothing
  // has changed) if the system has no randomness to give.
  bool rotate();

  // OpenSSL's ticket callback (SSL_CTX_set_tlsext_ticket_key_evp_cb): prepares `cipher` and `mac` to seal a
  // new ticket (`encrypt` = 1) or to open the one named by `name`. Returns what that callback returns: -1
  // error, 0 unknown key (full handshake), 1 ready, 2 ready but give the client a fresh ticket.
  int prepare(unsigned char name[16], unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
              int encrypt);

 private:
  struct Key {
    std::array<unsigned char, 16> name;
    std::array<unsigned char, 32> cipher_key;
    std::array<unsigned char, 32> mac_key;
  };

  explicit TlsTicketKeys(EVP_CIPHER* cipher) : cipher_(cipher) {}

  EVP_CIPHER* const cipher_;  // fetched once: a fetch per handshake takes locks inside OpenSSL
  std::mutex mutex_;
  std::array<Key, core::limits::kTlsTicketKeysKept> keys_{};  // newest first; guarded by mutex_
  uint32_t count_ = 0;                                        // guarded by mutex_
};

}  // namespace weir::net
