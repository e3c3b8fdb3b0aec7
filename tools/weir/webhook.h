// Sends alerts (routing/admin/alert_sender.h) to a URL with libcurl. Any one thread at a time.
#pragma once

#include <string>

#include "routing/admin/alert_sender.h"

namespace weir::tools {

// Answers true when the target said 2xx within ten seconds. Redirects are not followed.
routing::AlertSender::Post webhook_post(std::string url);

}  // namespace weir::tools
