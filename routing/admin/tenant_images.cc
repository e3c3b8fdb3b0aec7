#include "routing/admin/tenant_images.h"

#include <utility>

#include "core/file.h"
#include "routing/table/tenant_image.h"

namespace weir::routing {

std::expected<TenantImages::Resumed, std::string> TenantImages::load(const Registry& registry,
                                                                     TableLoader& loader) const {
  if (path_.empty() || !core::exists(path_)) return std::unexpected("there is no tenant image");
  auto text = registry.document(0, ObjectKind::flag);
  if (!text) return std::unexpected(std::move(text.error().message));
  std::string why = "the table has problems";
  auto document = Document::parse(*std::move(text), TableFormat::json);
  if (!document) return std::unexpected(why);

  uint64_t changed = 0;
  const auto tenants_of = [&](const TableBody& body) -> std::shared_ptr<const TenantTable> {
    const auto hash_at = [&](uint64_t revision) { return registry.hash_of(revision).value_or(""); };
    auto image = read_tenant_image(path_, build_, hash_at, body.basis);
    if (!image) {
      why = std::move(image.error());
      return nullptr;
    }
    auto changes = registry.changed_between(image->revision, 0);
    if (!changes) {
      why = std::move(changes.error().message);
      return nullptr;
    }
    std::erase_if(*changes, [](const ObjectChange& change) {
      return change.kind != ObjectKind::tenant && change.kind != ObjectKind::key;
    });
    changed = changes->size();
    if (changes->empty()) return loader.adopt(std::move(image->tenants));
    auto now = change_tenants(body, *image->tenants, *changes);
    if (!now) return nullptr;
    return loader.adopt(*std::move(now));
  };
  auto loaded = loader.load_around(*std::move(document), tenants_of);
  if (!loaded) return std::unexpected(std::move(why));
  return Resumed{*std::move(loaded), changed};
}

std::expected<void, std::string> TenantImages::write(const Registry& registry, const TenantTable& tenants,
                                                     uint64_t revision) const {
  auto hash = registry.hash_of(revision);
  if (!hash) return std::unexpected(std::move(hash.error().message));
  return write_tenant_image(path_, {.build = build_, .registry = *hash}, tenants, revision);
}

}  // namespace weir::routing
