#include "routing/admin/refusal.h"

#include <array>

namespace weir::routing {
namespace {

constexpr auto kRows = std::to_array<RefusalRow>({
#define X(enumerator, status, code, sentence) {status, code, sentence},
    WEIR_REFUSALS(X)
#undef X
});

Refusal::Kind kind_of(RegistryError::Kind kind) {
  switch (kind) {
    case RegistryError::Kind::disk_full:
      return Refusal::Kind::registry_full;
    case RegistryError::Kind::conflict_immutable:
      return Refusal::Kind::conflict_immutable;
    case RegistryError::Kind::not_found:
      return Refusal::Kind::unknown_revision;
    case RegistryError::Kind::stale:
      return Refusal::Kind::lost_update;
    case RegistryError::Kind::unavailable:
    case RegistryError::Kind::corrupt:
    case RegistryError::Kind::newer:
      return Refusal::Kind::registry_unavailable;
  }
  return Refusal::Kind::registry_unavailable;
}

}  // namespace

const RefusalRow& describe(Refusal::Kind kind) {
  return kRows[static_cast<size_t>(kind)];
}

Refusal refusal_of(const RegistryError& error) {
  return {.kind = kind_of(error.kind), .message = error.message, .param = error.object};
}

}  // namespace weir::routing
