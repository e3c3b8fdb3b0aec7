#include "net/address_book.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "core/clock.h"
#include "core/log.h"

namespace weir::net {
namespace {

using core::SocketAddress;

std::optional<SocketAddress> parse_numeric(const std::string& host, uint16_t port) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    return SocketAddress::from(reinterpret_cast<const sockaddr*>(&v4), sizeof v4);
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    return SocketAddress::from(reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
  }
  return std::nullopt;
}

// 169.254.0.0/16 (RFC 3927), which holds the metadata services of the large clouds, and one that has another.
bool is_link_local_v4(const uint8_t* bytes) {
  constexpr uint8_t kOtherMetadata[] = {100, 100, 100, 200};
  return (bytes[0] == 169 && bytes[1] == 254) || std::memcmp(bytes, kOtherMetadata, 4) == 0;
}

bool is_link_local(const SocketAddress& address) {
  if (address.family() == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, address.get(), sizeof v4);
    return is_link_local_v4(reinterpret_cast<const uint8_t*>(&v4.sin_addr));
  }
  sockaddr_in6 v6;
  std::memcpy(&v6, address.get(), sizeof v6);
  const uint8_t* bytes = v6.sin6_addr.s6_addr;
  constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};  // RFC 4291 section 2.5.5.2
  constexpr uint8_t kMetadata[16] = {0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54};
  if (std::memcmp(bytes, kMapped, sizeof kMapped) == 0) return is_link_local_v4(bytes + 12);
  return (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80) ||
         std::memcmp(bytes, kMetadata, sizeof kMetadata) == 0;
}

}  // namespace

AddressBook::AddressBook(Options options) : options_(std::move(options)), thread_([this] { run(); }) {}

AddressBook::~AddressBook() {
  {
    const std::lock_guard guard(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void AddressBook::add(const Host& host) {
  Entry& entry = book_[{host.name, host.port}];
  entry.wanted = true;
  entry.allow_link_local |= host.allow_link_local;
  if (const auto address = parse_numeric(host.name, host.port)) {
    entry.numeric = entry.tried = true;
    entry.addresses = {*address};
  }
}

void AddressBook::add_hosts(const std::vector<Host>& hosts) {
  {
    const std::lock_guard guard(mutex_);
    for (const Host& host : hosts) add(host);
  }
  changed_.notify_all();
}

void AddressBook::set_hosts(const std::vector<Host>& hosts) {
  {
    const std::lock_guard guard(mutex_);
    for (auto& [key, entry] : book_) entry.wanted = entry.allow_link_local = false;
    for (const Host& host : hosts) add(host);
    std::erase_if(book_, [](const auto& item) { return !item.second.wanted; });
  }
  changed_.notify_all();
}

size_t AddressBook::addresses(const std::string& host, uint16_t port, SocketAddress* out, size_t count) {
  const std::lock_guard guard(mutex_);
  const auto found = book_.find({host, port});
  const bool allow_link_local = found != book_.end() && found->second.allow_link_local;
  std::vector<SocketAddress> numeric;
  if (found == book_.end()) {
    if (const auto address = parse_numeric(host, port)) numeric = {*address};
  }
  size_t copied = 0;
  for (const SocketAddress& address : found != book_.end() ? found->second.addresses : numeric) {
    if (copied == count) break;
    if (allow_link_local || !is_link_local(address)) out[copied++] = address;
  }
  return copied;
}

bool AddressBook::all_tried() const {
  return std::ranges::all_of(book_, [](const auto& item) { return item.second.tried; });
}

bool AddressBook::wait_for_first_attempts(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [this] { return all_tried(); });
}

std::vector<AddressBook::Failure> AddressBook::failures() const {
  const std::lock_guard guard(mutex_);
  std::vector<Failure> failures;
  for (const auto& [key, entry] : book_) {
    if (!entry.failure.empty()) failures.push_back({key.first, entry.failure});
  }
  return failures;
}

uint64_t AddressBook::attempts() const {
  const std::lock_guard guard(mutex_);
  return attempts_;
}

bool AddressBook::wait_for_attempts(uint64_t count, std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] { return attempts_ >= count; });
}

void AddressBook::refresh_now() {
  {
    const std::lock_guard guard(mutex_);
    for (auto& [key, entry] : book_) entry.due_ns = 0;
  }
  changed_.notify_all();
}

void AddressBook::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const uint64_t now_ns = core::monotonic_now_ns();
    auto next = book_.end();
    for (auto at = book_.begin(); at != book_.end(); ++at) {
      if (at->second.numeric) continue;
      if (next == book_.end() || at->second.due_ns < next->second.due_ns) next = at;
    }
    if (next == book_.end()) {
      changed_.wait(lock);
      continue;
    }
    if (next->second.due_ns > now_ns) {
      changed_.wait_for(lock, std::chrono::nanoseconds(next->second.due_ns - now_ns));
      continue;
    }
    const Key key = next->first;
    lock.unlock();
    auto resolved = options_.resolve(key.first, key.second);
    lock.lock();
    ++attempts_;
    const auto found = book_.find(key);  // set_hosts() may have dropped it meanwhile
    if (found != book_.end()) {
      Entry& entry = found->second;
      entry.due_ns = core::monotonic_now_ns() +
                     static_cast<uint64_t>(std::chrono::nanoseconds(options_.refresh).count());
      entry.tried = true;
      if (resolved) {
        entry.addresses = std::move(*resolved);
        entry.failure.clear();
      } else {
        // Said once per change, not every refresh.
        if (entry.failure.empty())
          core::log_warning("name_not_resolved", {{"host", key.first}, {"reason", resolved.error()}});
        entry.failure = std::move(resolved.error());
      }
    }
    changed_.notify_all();
  }
}

}  // namespace weir::net
