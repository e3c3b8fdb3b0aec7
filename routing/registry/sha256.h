// SHA-256 of text that comes in pieces, used again and again: setting OpenSSL's context up costs more than
// hashing a tenant.
//
// Thread: one at a time.
#pragma once

#include <openssl/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::routing {

using Sha256Digest = std::array<char, 32>;

inline std::string_view bytes_of(const Sha256Digest& digest) {
  return {digest.data(), digest.size()};
}

// 64 lower-case hex digits.
std::string to_hex(std::string_view bytes);

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  Sha256& add(std::string_view text);
  // Of all that was added since the last finish().
  Sha256Digest finish();

 private:
  EVP_MD_CTX* context_;
};

}  // namespace weir::routing
