#include "routing/admin/refusal.h"

#include <array>
#include <utility>

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

std::unexpected<Refusal> refuse(Refusal::Kind kind, std::string message, std::string param) {
  return std::unexpected(Refusal{.kind = kind, .message = std::move(message), .param = std::move(param)});
}

std::unexpected<Refusal> refuse(std::vector<Problem> problems) {
  return std::unexpected(Refusal{.kind = Refusal::Kind::problems, .problems = std::move(problems)});
}

std::unexpected<Refusal> refuse(const RegistryError& error) {
  return std::unexpected(refusal_of(error));
}

}  // namespace weir::routing
