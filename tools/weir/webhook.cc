#include "tools/weir/webhook.h"

#include <curl/curl.h>
#include <dlfcn.h>

#include <memory>
#include <stop_token>
#include <type_traits>
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

// The functions of libcurl that are used; it stays loaded.
struct Library {
  decltype(&curl_easy_init) easy_init = nullptr;
  decltype(&curl_easy_cleanup) easy_cleanup = nullptr;
  decltype(&::curl_easy_setopt) easy_setopt = nullptr;
  decltype(&curl_easy_perform) easy_perform = nullptr;
  decltype(&::curl_easy_getinfo) easy_getinfo = nullptr;
  decltype(&curl_slist_append) slist_append = nullptr;
  decltype(&curl_slist_free_all) slist_free_all = nullptr;

  // Why not, or nothing.
  std::string load() {
    void* const handle = ::dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(handle, name));
      return function != nullptr;
    };
    const bool found = handle != nullptr && find(easy_init, "curl_easy_init") &&
                       find(easy_cleanup, "curl_easy_cleanup") && find(easy_setopt, "curl_easy_setopt") &&
                       find(easy_perform, "curl_easy_perform") && find(easy_getinfo, "curl_easy_getinfo") &&
                       find(slist_append, "curl_slist_append") && find(slist_free_all, "curl_slist_free_all");
    return found ? std::string() : std::string(::dlerror());
  }
};

}  // namespace

std::expected<routing::AlertSender::Post, std::string> webhook_post(std::string url) {
  Library library;
  if (const std::string problem = library.load(); !problem.empty())
    return std::unexpected("alerts are sent with libcurl 4, which cannot be loaded: " + problem);
  return [library, url = std::move(url)](const routing::WebhookRequest& request, const std::stop_token& stop) {
    const std::unique_ptr<CURL, void (*)(CURL*)> curl(library.easy_init(), library.easy_cleanup);
    if (curl == nullptr) return false;
    curl_slist* list = nullptr;
    for (const std::string& field :
         {std::string("content-type: application/json"), "x-weir-alert: " + request.id,
          "x-weir-signature: " + request.signature}) {
      list = library.slist_append(list, field.c_str());
    }
    const std::unique_ptr<curl_slist, void (*)(curl_slist*)> fields(list, library.slist_free_all);
    const auto set = [&](CURLoption option, auto value) { library.easy_setopt(curl.get(), option, value); };
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
    return library.easy_perform(curl.get()) == CURLE_OK &&
           library.easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status >= 200 &&
           status < 300;
  };
}

}  // namespace weir::tools
