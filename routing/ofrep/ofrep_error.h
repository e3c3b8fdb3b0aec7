// Errors as clients of the OpenFeature Remote Evaluation Protocol expect them:
//
//   {"key":"support-v2","errorCode":"FLAG_NOT_FOUND","errorDetails":"There is no such flag."}
//
// `key` is missing only where no single flag was asked for. Error codes are those of the OpenFeature
// specification. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/error.h"
#include "routing/inspect/json_text.h"

namespace weir::routing {

struct OfrepError {
  core::ErrorCode code{};
  std::optional<std::string_view> key;  // none: not a matter of one flag
  std::string_view member;              // of the context, or the field, at fault; may be empty
};

// Overload is 429, with a time to wait: clients that see it pause, at any other status they come again at
// once. What an operator switched off is 400: there is nothing to wait for.
uint16_t ofrep_status(core::ErrorCode code);

// How long a client that was told 429 should wait. In whole seconds: clients read nothing else (a date they
// do not understand mutes some of them for half an hour).
inline constexpr uint32_t kOfrepRetryAfterS = 1;

void render_ofrep_error(const OfrepError& error, ScratchWriter& out);

}  // namespace weir::routing
