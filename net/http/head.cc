#include "net/http/head.h"

#include <utility>

namespace weir::net {

std::string_view method_name(Method method) {
  static constexpr std::string_view kNames[] = {"GET",    "POST", "PUT",     "PATCH",
                                                "DELETE", "HEAD", "OPTIONS", ""};
  static_assert(std::size(kNames) == std::to_underlying(Method::other) + 1);
  return kNames[std::to_underlying(method)];
}

}  // namespace weir::net
