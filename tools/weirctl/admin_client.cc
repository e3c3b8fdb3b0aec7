#include "tools/weirctl/admin_client.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace weir::tools {
namespace {

constexpr long kConnectTimeoutMs = 3'000;
constexpr long kTotalTimeoutMs = 60'000;  // a table with a million tenants takes a while to arrive

size_t append_body(char* data, size_t size, size_t count, void* target) {
  static_cast<std::string*>(target)->append(data, size * count);
  return size * count;
}

std::string encode(CURL* curl, std::string_view text) {
  char* encoded = curl_easy_escape(curl, text.data(), static_cast<int>(text.size()));
  std::string result = encoded == nullptr ? "" : encoded;
  curl_free(encoded);
  return result;
}

std::string url_of(CURL* curl, const AdminRequest& request) {
  std::string url = "http://localhost" + request.path;
  char separator = '?';
  for (const auto& [name, value] : request.query) {
    if (value.empty()) continue;
    url += fmt::format("{}{}={}", separator, encode(curl, name), encode(curl, value));
    separator = '&';
  }
  return url;
}

}  // namespace

struct AdminClient::Handle {
  CURL* curl = curl_easy_init();
  ~Handle() { curl_easy_cleanup(curl); }
};

AdminClient::AdminClient(std::string socket_path)
    : socket_path_(std::move(socket_path)), handle_(std::make_unique<Handle>()) {}

AdminClient::~AdminClient() = default;

std::expected<AdminReply, std::string> AdminClient::call(const AdminRequest& request) {
  CURL* curl = handle_->curl;
  if (curl == nullptr) return std::unexpected("libcurl could not be initialised");
  curl_easy_reset(curl);  // keeps the connection

  AdminReply reply;
  const std::string url = url_of(curl, request);
  curl_slist* headers = curl_slist_append(nullptr, "accept: application/json");
  headers = curl_slist_append(headers, "expect:");  // a unix socket has no round trip worth asking first
  const bool has_body = request.method != "GET";
  if (has_body) headers = curl_slist_append(headers, ("content-type: " + request.content_type).c_str());
  if (!request.if_match.empty()) {
    headers = curl_slist_append(headers, fmt::format("if-match: \"{}\"", request.if_match).c_str());
  }
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_path_.c_str());
  curl_easy_setopt(curl, CURLOPT_PROXY, "");  // http_proxy does not concern a unix socket
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, kTotalTimeoutMs);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, append_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply.body);
  if (has_body) {
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  }
  const CURLcode code = curl_easy_perform(curl);
  curl_slist_free_all(headers);
  if (code == CURLE_OK) {
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply.status);
    return reply;
  }
  long system_error = 0;
  curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &system_error);
  const char* reason =
      system_error != 0 ? std::strerror(static_cast<int>(system_error)) : curl_easy_strerror(code);
  return std::unexpected(
      fmt::format("cannot reach weir at {}: {} (is `weir serve` running, is this its admin.socket, may you "
                  "open it? --socket names another)",
                  socket_path_, reason));
}

}  // namespace weir::tools
