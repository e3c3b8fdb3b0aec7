// The tenant image beside a registry: REGISTRY-tenants (routing/table/tenant_image.h). With it a start reads
// a million tenants as fast as a disk gives them, instead of compiling them:
//
//   registry ─ objects but tenants and keys ─▶ compile ─▶ body
//   image, of revision R ─▶ tenants of R ─┬─▶ tenants of now
//   registry ─ changed since R ───────────┘
//
// It is a cache: lost, damaged or of somebody else, it costs a start the time to compile. Nothing is believed
// of it that its checksum, the program's build and the registry's log at R do not vouch for.
//
// Thread: any one at a time.
#pragma once

#include <expected>
#include <string>

#include "routing/admin/table_loader.h"
#include "routing/registry/registry.h"

namespace weir::routing {

class TenantImages {
 public:
  // Of the registry in that file; empty = in memory, no images.
  TenantImages(const std::string& registry_path, std::string build)
      : path_(registry_path.empty() ? "" : registry_path + "-tenants"), build_(std::move(build)) {}

  struct Resumed {
    LoadedTable table;
    uint64_t changed;  // tenants and keys since the image was written
  };
  // The registry's newest table. The error is one sentence: why it has to be compiled.
  std::expected<Resumed, std::string> load(const Registry& registry, TableLoader& loader) const;

  // `tenants` are those of that revision.
  std::expected<void, std::string> write(const Registry& registry, const TenantTable& tenants,
                                         uint64_t revision) const;

 private:
  const std::string path_, build_;
};

}  // namespace weir::routing
