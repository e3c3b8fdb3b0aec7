#include "core/error.h"

#include <utility>

namespace weir::core {

const ErrorInfo& describe(ErrorCode code) {
  constexpr bool yes = true;
  constexpr bool no = false;
  static constexpr ErrorInfo kTable[] = {
#define X(name, side, retry, status, type, code, sentence) \
  {#name, Side::side, retry, status, type, code, sentence},
      WEIR_ERROR_TABLE(X)
#undef X
  };
  return kTable[std::to_underlying(code)];
}

}  // namespace weir::core
