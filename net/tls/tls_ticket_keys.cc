#include "net/tls/tls_ticket_keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>

#include "net/tls/openssl.h"

namespace weir::net {

std::shared_ptr<TlsTicketKeys> TlsTicketKeys::create() {
  EVP_CIPHER* cipher = EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr);
  if (cipher == nullptr) return nullptr;
  std::shared_ptr<TlsTicketKeys> keys(new TlsTicketKeys(cipher));
  if (!keys->rotate()) return nullptr;
  return keys;
}

TlsTicketKeys::~TlsTicketKeys() {
  OPENSSL_cleanse(keys_.data(), sizeof(keys_));
  EVP_CIPHER_free(cipher_);
}

bool TlsTicketKeys::rotate() {
  Key fresh;
  const bool random =
      RAND_bytes(fresh.name.data(), static_cast<int>(fresh.name.size())) == 1 &&
      RAND_priv_bytes(fresh.cipher_key.data(), static_cast<int>(fresh.cipher_key.size())) == 1 &&
      RAND_priv_bytes(fresh.mac_key.data(), static_cast<int>(fresh.mac_key.size())) == 1;
  if (random) {
    const std::lock_guard lock(mutex_);
    std::shift_right(keys_.begin(), keys_.end(), 1);
    keys_.front() = fresh;
    count_ = std::min<uint32_t>(count_ + 1, keys_.size());
  }
  OPENSSL_cleanse(&fresh, sizeof(fresh));
  return random;
}

int TlsTicketKeys::prepare(unsigned char name[16], unsigned char* iv, EVP_CIPHER_CTX* cipher,
                           EVP_MAC_CTX* mac, int encrypt) {
  constexpr int kError = -1;
  constexpr int kUnknownKey = 0;
  constexpr int kReady = 1;
  constexpr int kReadyButRenew = 2;

  Key key;
  int result = kUnknownKey;
  {
    const std::lock_guard lock(mutex_);
    if (encrypt == 1) {
      key = keys_.front();
      result = kReady;
    } else {
      for (uint32_t index = 0; index < count_; ++index) {
        // The name is public (it travels in the ticket): no need for a comparison in constant time.
        if (std::memcmp(keys_[index].name.data(), name, keys_[index].name.size()) != 0) continue;
        key = keys_[index];
        result = index == 0 ? kReady : kReadyButRenew;
        break;
      }
    }
  }
  if (result == kUnknownKey) return kUnknownKey;

  if (encrypt == 1) {
    std::memcpy(name, key.name.data(), key.name.size());
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(cipher_)) != 1) result = kError;
  }
  char digest[] = "SHA256";
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac_key.data(), key.mac_key.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
  if (EVP_MAC_CTX_set_params(mac, parameters) != 1 ||
      EVP_CipherInit_ex(cipher, cipher_, nullptr, key.cipher_key.data(), iv, encrypt) != 1) {
    result = kError;
  }
  OPENSSL_cleanse(&key, sizeof(key));
  return result;
}

}  // namespace weir::net
