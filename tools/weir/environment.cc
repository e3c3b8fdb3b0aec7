#include "tools/weir/environment.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>

namespace weir::tools {
namespace {

// Read by the C library, OpenSSL and SQLite after start; none holds a secret.
constexpr std::array<std::string_view, 17> kKept = {
    "PATH",         "HOME",        "USER",        "LANG",          "LANGUAGE",      "LC_ALL",
    "TZ",           "TZDIR",       "TMPDIR",      "SQLITE_TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "OPENSSL_CONF", "RES_OPTIONS", "LOCALDOMAIN", "HOSTALIASES",   "NOTIFY_SOCKET"};

using Variables = std::map<std::string, std::string, std::less<>>;

// Nothing until wipe_environment().
std::optional<Variables>& copy() {
  static std::optional<Variables> variables;
  return variables;
}

}  // namespace

Environment process_environment() {
  return [](std::string_view name) -> std::optional<std::string> {
    if (copy()) {
      const auto found = copy()->find(name);
      return found == copy()->end() ? std::nullopt : std::optional(found->second);
    }
    const char* value = std::getenv(std::string(name).c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
}

void wipe_environment() {
  Variables& variables = copy().emplace();
  char** kept = environ;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t end_of_name = std::min(text.find('='), text.size());
    const std::string_view name = text.substr(0, end_of_name);
    variables.emplace(name, text.substr(std::min(end_of_name + 1, text.size())));
    if (std::ranges::find(kKept, name) != kKept.end()) {
      *kept++ = *entry;
    } else {
      ::explicit_bzero(*entry, text.size());
    }
  }
  *kept = nullptr;
}

}  // namespace weir::tools
