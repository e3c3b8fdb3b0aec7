#include "routing/ofrep/event_ticket.h"

#include <openssl/crypto.h>

#include <array>
#include <charconv>
#include <optional>

#include "core/limits.h"

namespace weir::routing {
namespace {

constexpr int64_t kNsPerUtcDay = 86'400'000'000'000;
constexpr size_t kMacDigits = 32;

// No key is hashed to the same: keys hold no line feed.
std::array<char, kMacDigits> mac_of(const KeyHasher& hasher, std::string_view day, std::string_view tenant) {
  std::array<uint8_t, 128 + core::limits::kMaxNameBytes> room;
  ScratchWriter text(room);
  text.append("ofrep-events\n");
  text.append(day);
  text.append('\n');
  text.append(tenant);
  WEIR_ASSERT(!text.overflowed());
  const Digest digest = hasher.hash(text.text(0, text.size()));
  std::array<char, kMacDigits> mac;
  static constexpr char kHex[] = "0123456789abcdef";
  for (size_t i = 0; i < mac.size(); i += 2) {
    mac[i] = kHex[digest[i / 2] >> 4];
    mac[i + 1] = kHex[digest[i / 2] & 15];
  }
  return mac;
}

}  // namespace

void render_event_ticket(const KeyHasher& hasher, std::string_view tenant, int64_t wall_now_ns,
                         ScratchWriter& out) {
  char room[24];
  const auto end = std::to_chars(room, room + sizeof room, wall_now_ns / kNsPerUtcDay).ptr;
  const std::string_view day(room, static_cast<size_t>(end - room));
  out.append(day);
  out.append('.');
  out.append(tenant);
  out.append('.');
  const auto mac = mac_of(hasher, day, tenant);
  out.append(std::string_view(mac.data(), mac.size()));
}

bool is_event_ticket(const KeyHasher& hasher, const TenantTable& tenants, std::string_view ticket,
                     int64_t wall_now_ns) {
  const size_t first = ticket.find('.');
  const size_t last = ticket.rfind('.');
  if (first == last || ticket.size() - last - 1 != kMacDigits) return false;
  const std::string_view day_text = ticket.substr(0, first);
  const std::string_view tenant = ticket.substr(first + 1, last - first - 1);
  if (day_text.size() > 10 || !tenants.find(tenant)) return false;
  int64_t day = 0;
  const auto [end, error] = std::from_chars(day_text.data(), day_text.data() + day_text.size(), day);
  const int64_t today = wall_now_ns / kNsPerUtcDay;
  if (error != std::errc{} || end != day_text.data() + day_text.size() ||
      (day != today && day != today - 1)) {
    return false;
  }
  const auto mac = mac_of(hasher, day_text, tenant);
  return CRYPTO_memcmp(mac.data(), ticket.data() + last + 1, kMacDigits) == 0;
}

}  // namespace weir::routing
