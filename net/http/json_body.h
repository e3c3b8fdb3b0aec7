// What a request must look like to bring a JSON body: the rules of HTTP that hold on every path that takes
// one.
#pragma once

#include <cstdint>

#include "core/error.h"
#include "net/http/head.h"

namespace weir::net {

// Checks that the request announces a body (length_required) and says once that it is application/json,
// without parameters or with charset=utf-8 (unsupported_media_type). RFC 9110 sections 8.3 and 15.5.12.
core::Result<void> require_json_body(const RequestHead& head, const uint8_t* base);

}  // namespace weir::net
