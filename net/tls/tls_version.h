// The protocol versions weir speaks. Older ones are not accepted (RFC 8996).
#pragma once

#include <cstdint>

namespace weir::net {

enum class TlsVersion : uint8_t { tls_1_2, tls_1_3 };

}  // namespace weir::net
