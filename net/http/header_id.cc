#include "net/http/header_id.h"

#include <utility>

#include "net/http/header_id_table.h"

namespace weir::net {

HeaderId header_id(const uint8_t* name, size_t size) {
  return look_up_header_id(name, size);
}

HeaderId header_id(std::string_view name) {
  return header_id(reinterpret_cast<const uint8_t*>(name.data()), name.size());
}

std::string_view header_name(HeaderId id) {
  return kHeaderNames[std::to_underlying(id)];
}

}  // namespace weir::net
