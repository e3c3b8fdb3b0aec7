// Sends alerts (routing/admin/alert_sender.h) to a URL with libcurl. Any one thread at a time.
//
// libcurl brings thirty other libraries along: they are loaded where there is somebody to alert, and not into every
// gateway.
#pragma once

#include <expected>
#include <string>

#include "routing/admin/alert_sender.h"

namespace weir::tools {

// Answers true when the target said 2xx within ten seconds. Redirects are not followed. The error is one sentence:
// libcurl cannot be loaded. Before the sandbox, which lets no library be opened.
std::expected<routing::AlertSender::Post, std::string> webhook_post(std::string url);

}  // namespace weir::tools
