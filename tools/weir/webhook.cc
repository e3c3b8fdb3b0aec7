#include "tools/weir/webhook.h"

#include <curl/curl.h>

#include <memory>
#include <stop_token>
#include <utility>

namespace weir::tools {
namespace {

constexpr long kConnectTimeoutMs = 5'000;
constexpr long kTimeoutMs = 10'000;

// curl asks at least once a second.
int give_up(void* stop, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const std::stop_token*>(stop)->stop_requested() ? 1 : 0;
}

size_t forget(char*, size_t size, size_t count, void*) {
  return size * count;
}

}  // namespace

routing::AlertSender::Post webhook_post(std::string url) {
  return [url = std::move(url)](const routing::WebhookRequest& request, const std::stop_token& stop) {
    const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
    if (curl == nullptr) return false;
    curl_slist* list = nullptr;
    for (const std::string& field :
         {std::string("content-type: application/json"), "x-weir-alert: " + request.id,
          "x-weir-signature: " + request.signature}) {
      list = curl_slist_append(list, field.c_str());
    }
    const std::unique_ptr<curl_slist, void (*)(curl_slist*)> fields(list, curl_slist_free_all);
    const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl.get(), option, value); };
    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_HTTPHEADER, fields.get());
    set(CURLOPT_POSTFIELDS, request.body.c_str());
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set(CURLOPT_WRITEFUNCTION, forget);
    set(CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
    set(CURLOPT_TIMEOUT_MS, kTimeoutMs);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_XFERINFOFUNCTION, give_up);
    set(CURLOPT_XFERINFODATA, &stop);
    long status = 0;
    return curl_easy_perform(curl.get()) == CURLE_OK &&
           curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status >= 200 &&
           status < 300;
  };
}

}  // namespace weir::tools
