// A tenant table on disk, so that a restart need not compile a million tenants: the blocks as they stand in
// memory.
//
//   write   TenantTable ─▶ PATH.new ─ fsync, rename ─▶ PATH        in the background; the blocks are
//   immutable start   document without tenants and keys ─ compile() ─▶ TableBody
//           PATH ─ read_tenant_image(its basis) ─▶ TenantTable, revision R
//           objects changed since R ─ change_tenants() ─▶ TenantTable of now
//   file    header │ lines of each block │ blocks
//
// When to write one: after a table was compiled whole, and when kChangesPerTenantImage objects have changed
// since the last one, so that a start has no more than that to catch up with.
//
// Invariants
//   1. An image is a cache. One that is damaged, older or newer in format, of another build or registry, or
//   of a body
//      with another basis is refused with a sentence, and the caller compiles the table instead.
//   2. No credential of a provider is in it, and of clients' keys only their keyed hashes. The file is its
//   owner's
//      alone (0600).
//   3. Whoever can write the file can change the table, as with the registry beside it: the checksum finds
//   damage, not
//      forgery.
//
// Thread: any one, not the control loop: a million tenants take a tenth of a second, and a disk takes its
// time.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "routing/table/tenant_table.h"

namespace weir::routing {

inline constexpr uint32_t kChangesPerTenantImage = 5'000;

// What an image is good for, besides a basis.
struct TenantImageOrigin {
  std::string_view build;     // of the program: blocks are laid out as it likes
  std::string_view registry;  // whose revisions the image counts: the hash of the log at its revision
};

// Replaces the file. The error is one sentence.
std::expected<void, std::string> write_tenant_image(const std::string& path, const TenantImageOrigin& origin,
                                                    const TenantTable& tenants, uint64_t revision);

struct TenantImage {
  std::unique_ptr<TenantTable> tenants;
  uint64_t revision = 0;  // that it was written at
};
// What TenantImageOrigin::registry is at a revision; empty = there is none such. A copy of a registry that
// was put back and went on differently is another one from there on.
using RegistryAt = std::function<std::string(uint64_t revision)>;
// `basis` of the body that the tenants are for. The error is one sentence with the path.
std::expected<TenantImage, std::string> read_tenant_image(const std::string& path, std::string_view build,
                                                          const RegistryAt& registry_at, const Digest& basis);

}  // namespace weir::routing
