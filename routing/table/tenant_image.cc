#include "routing/table/tenant_image.h"

#include <array>
#include <bit>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "core/file.h"
#include "core/fold.h"
#include "routing/table/block.h"
#include "routing/table/name_index.h"

namespace weir::routing {
namespace {

// Changed with every change of what blocks hold.
constexpr uint32_t kFormat = 2;
constexpr std::array<char, 16> kMagic = {'w', 'e', 'i', 'r', ' ', 't', 'e', 'n', 'a', 'n', 't', 's', '\n'};
constexpr size_t kLists = 5;  // tenants, keys, tenant ids, key ids, key hashes
constexpr size_t kLineBytes = sizeof(BlockLine);
constexpr uint32_t kMaxBlockLines = UINT32_MAX / kLineBytes;

// All lines of the file are covered: by `header_checksum` this one, by `checksum` the rest.
struct Header {
  std::array<char, 16> magic = kMagic;
  uint32_t format = kFormat;
  uint32_t byte_order = 0x01020304;
  uint64_t revision = 0;
  Digest basis{};
  uint64_t origin = 0;
  std::array<uint32_t, kLists> blocks{};
  uint32_t tenant_end = 0, key_end = 0, tenant_count = 0, key_count = 0;
  uint32_t unused = 0;
  uint64_t checksum = 0;
  uint64_t header_checksum = 0;
};
static_assert(sizeof(Header) == 2 * kLineBytes && std::has_unique_object_representations_v<Header>);

// A checksum over lines, in four lanes so that it is as fast as memory. Finds damage.
class LineChecksum {
 public:
  void add(std::span<const BlockLine> lines) {
    for (const BlockLine& line : lines) {
      std::array<uint64_t, kLineBytes / 8> words;
      std::memcpy(words.data(), &line, kLineBytes);
      for (size_t i = 0; i < words.size(); i++) {
        uint64_t& lane = lanes_[i % lanes_.size()];
        lane = core::fold(lane ^ words[i], 0x9e3779b97f4a7c15) + words[i];
      }
    }
    count_ += lines.size();
  }
  uint64_t value() const {
    uint64_t sum = count_;
    for (const uint64_t lane : lanes_) sum = core::fold(sum ^ lane, 0xd1b54a32d192ed03) + lane;
    return sum;
  }

 private:
  std::array<uint64_t, 4> lanes_ = {0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0,
                                    0x082efa98ec4e6c89};
  uint64_t count_ = 0;
};

uint64_t checksum_of(Header header) {
  header.header_checksum = 0;
  return hash_name({reinterpret_cast<const char*>(&header), sizeof(header)});
}

uint64_t hash_origin(const TenantImageOrigin& origin) {
  return core::fold(hash_name(origin.build), 0x9e3779b97f4a7c15) ^ hash_name(origin.registry);
}

std::span<const BlockLine> lines_of(const BlockPtr& block) {
  return {block.get(), reinterpret_cast<const BlockHeader*>(block.get())->lines};
}

// Calls each(number, blocks) for every list of blocks, in the order of the file.
template <typename Parts, typename Each>
void for_each_list(Parts& parts, Each&& each) {
  each(0, parts.tenants);
  each(1, parts.keys);
  each(2, parts.tenant_ids.parts());
  each(3, parts.key_ids.parts());
  each(4, parts.key_hashes.parts());
}

// The header, then the directory, filled up to whole lines.
std::vector<BlockLine> front_of(const std::vector<uint32_t>& directory) {
  const size_t bytes = sizeof(Header) + directory.size() * 4;
  std::vector<BlockLine> front((bytes + kLineBytes - 1) / kLineBytes);
  if (!directory.empty()) {
    std::memcpy(reinterpret_cast<std::byte*>(front.data()) + sizeof(Header), directory.data(),
                directory.size() * 4);
  }
  return front;
}

// Whether the parts of a block fit into it. Its own bytes say so, and the checksum said that they are as
// written; this is for an image that a faulty program wrote.
bool is_sound(const BlockPtr& block, size_t list, bool is_last) {
  const auto& head = *reinterpret_cast<const BlockHeader*>(block.get());
  constexpr std::array<uint32_t, kLists> kRecordSizes = {sizeof(TenantRecord), sizeof(KeyRecord),
                                                         sizeof(HashIndex::Entry), sizeof(HashIndex::Entry),
                                                         sizeof(HashIndex::Entry)};
  if (head.record_size != kRecordSizes[list]) return false;
  const uint64_t bytes =
      kLineBytes + uint64_t{head.count} * head.record_size + uint64_t{head.words} * 8 + head.text;
  if (bytes > uint64_t{head.lines} * kLineBytes) return false;
  if (list >= 2) return head.used < head.count;
  return is_last ? head.count != 0 && head.count <= TenantTable::kPerBlock
                 : head.count == TenantTable::kPerBlock;
}

bool is_sound(const Header& header) {
  const auto blocks_for = [](uint32_t objects) {
    return (uint64_t{objects} + TenantTable::kPerBlock - 1) / TenantTable::kPerBlock;
  };
  for (size_t list = 2; list < kLists; list++) {
    if (header.blocks[list] != 0 && !std::has_single_bit(header.blocks[list])) return false;
  }
  return header.blocks[0] == blocks_for(header.tenant_end) &&
         header.blocks[1] == blocks_for(header.key_end) && header.tenant_count <= header.tenant_end &&
         header.key_count <= header.key_end;
}

std::span<std::byte> bytes_of(std::span<BlockLine> lines) {
  return std::as_writable_bytes(lines);
}

}  // namespace

std::expected<void, std::string> write_tenant_image(const std::string& path, const TenantImageOrigin& origin,
                                                    const TenantTable& tenants, uint64_t revision) {
  const TenantTable::Parts& parts = tenants.parts();
  Header header{.revision = revision,
                .basis = parts.basis,
                .origin = hash_origin(origin),
                .tenant_end = parts.tenant_end,
                .key_end = parts.key_end,
                .tenant_count = parts.tenant_count,
                .key_count = parts.key_count};
  std::vector<uint32_t> directory;
  for_each_list(parts, [&](size_t list, const auto& blocks) {
    header.blocks[list] = static_cast<uint32_t>(blocks.size());
    for (size_t i = 0; i < blocks.size(); i++) {
      directory.push_back(static_cast<uint32_t>(lines_of(blocks.block(i)).size()));
    }
  });
  std::vector<BlockLine> front = front_of(directory);
  LineChecksum checksum;
  checksum.add(front);
  for_each_list(parts, [&](size_t, const auto& blocks) {
    for (size_t i = 0; i < blocks.size(); i++) checksum.add(lines_of(blocks.block(i)));
  });
  header.checksum = checksum.value();
  header.header_checksum = checksum_of(header);
  std::memcpy(front.data(), &header, sizeof(header));

  auto file = core::ReplacementFile::create(path);
  if (!file) return std::unexpected(std::move(file.error()));
  std::expected<void, std::string> written = (*file)->write(std::as_bytes(std::span(front)));
  for_each_list(parts, [&](size_t, const auto& blocks) {
    for (size_t i = 0; i < blocks.size() && written; i++) {
      written = (*file)->write(std::as_bytes(lines_of(blocks.block(i))));
    }
  });
  return written ? (*file)->commit() : written;
}

std::expected<TenantImage, std::string> read_tenant_image(const std::string& path, std::string_view build,
                                                          const RegistryAt& registry_at,
                                                          const Digest& basis) {
  const auto refuse = [&](std::string_view why) {
    return std::unexpected("the tenant image " + path + " is not used: " + std::string(why));
  };
  auto file = core::InputFile::open(path);
  if (!file) return std::unexpected(std::move(file.error()));
  Header header;
  if ((*file)->size() < sizeof(header)) return refuse("it is too short");
  if (auto read = (*file)->read(std::as_writable_bytes(std::span(&header, 1))); !read) {
    return std::unexpected(std::move(read.error()));
  }
  if (header.magic != kMagic || header.byte_order != Header().byte_order)
    return refuse("it is no tenant image");
  if (header.format != kFormat) return refuse("it has another format");
  if (header.header_checksum != checksum_of(header) || !is_sound(header))
    return refuse("its header is damaged");
  const std::string registry = registry_at(header.revision);
  if (registry.empty() || header.origin != hash_origin({.build = build, .registry = registry}))
    return refuse("it is of another build or registry");
  if (header.basis != basis) return refuse("it is of a table with other names");

  uint64_t block_count = 0;
  for (const uint32_t count : header.blocks) block_count += count;
  if (block_count > (*file)->size() / kLineBytes) return refuse("it is too short");
  std::vector<uint32_t> directory(block_count);
  std::vector<BlockLine> front = front_of(directory);
  if (auto read = (*file)->read(bytes_of(front).subspan(sizeof(header))); !read) {
    return std::unexpected(std::move(read.error()));
  }
  if (block_count != 0) {
    std::memcpy(directory.data(), reinterpret_cast<const std::byte*>(front.data()) + sizeof(header),
                block_count * 4);
  }
  uint64_t bytes = front.size() * kLineBytes;
  for (const uint32_t lines : directory) bytes += uint64_t{lines} * kLineBytes;
  if (bytes != (*file)->size()) return refuse("its size is not what its header says");

  LineChecksum checksum;
  checksum.add(front);  // where the header was is zero, as when it was written
  std::array<std::vector<BlockPtr>, kLists> lists;
  auto lines = directory.begin();
  for (size_t list = 0; list < kLists; list++) {
    lists[list].reserve(header.blocks[list]);
    for (uint32_t i = 0; i < header.blocks[list]; i++, ++lines) {
      if (*lines == 0 || *lines > kMaxBlockLines) return refuse("it is damaged");
      std::shared_ptr<BlockLine[]> block(new BlockLine[*lines]);
      const std::span whole(block.get(), *lines);
      if (auto read = (*file)->read(bytes_of(whole)); !read) return std::unexpected(std::move(read.error()));
      checksum.add(whole);
      // Before anything else is believed of it; the checksum comes at the end.
      if (reinterpret_cast<const BlockHeader*>(block.get())->lines != *lines) return refuse("it is damaged");
      lists[list].push_back(std::move(block));
    }
  }
  if (checksum.value() != header.checksum) return refuse("its checksum is wrong");
  for (size_t list = 0; list < kLists; list++) {
    for (const BlockPtr& block : lists[list]) {
      if (!is_sound(block, list, &block == &lists[list].back())) return refuse("it is damaged");
    }
  }

  TenantTable::Parts parts{.tenants = BlockList<TenantBlock>(lists[0]),
                           .keys = BlockList<KeyBlock>(lists[1]),
                           .tenant_ids = HashIndex::restore(lists[2]),
                           .key_ids = HashIndex::restore(lists[3]),
                           .key_hashes = HashIndex::restore(lists[4]),
                           .tenant_end = header.tenant_end,
                           .key_end = header.key_end,
                           .tenant_count = header.tenant_count,
                           .key_count = header.key_count,
                           .basis = header.basis};
  return TenantImage{std::make_unique<TenantTable>(std::move(parts)), header.revision};
}

}  // namespace weir::routing
