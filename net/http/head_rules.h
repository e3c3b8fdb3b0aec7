// What a whole head must satisfy: the rules that need more than one line to decide (net/http/head_parser.h
// says which). Internal to the parsers; a unit of its own so that the policy reads apart from the scanning.
#pragma once

#include <cstdint>

#include "core/error.h"
#include "net/http/head.h"

namespace weir::net {

// Checks Host, framing, Connection, Expect and Content-Encoding of a request and fills in what follows from
// them.
core::Result<void> apply_request_rules(RequestHead& head, const uint8_t* base);

// The same for a response. Errors are those of requests; the parser maps them.
core::Result<void> apply_response_rules(ResponseHead& head, const uint8_t* base, Method request_method);

// Compares with a lower-case ASCII text whose letters, digits and '-' are all it holds.
bool equals_ignoring_case(std::string_view value, std::string_view lower_case);

}  // namespace weir::net
