// Where the providers are: names to addresses, so that no shard ever waits for a name server.
//
//   control thread                        resolver thread                          shards
//     add_hosts() at each publish ──▶ resolves new names at once, ──▶ book ──▶ addresses(), when a
//                                     all names every 30 s                     connection is opened
//
// Invariants
//   1. addresses() never waits for a name server. A numeric host needs none and is answered at once.
//   2. A refresh that fails keeps the last good answer; a name that has never resolved has no addresses.
//   3. A link-local address (RFC 3927, RFC 4291 section 2.5.6) or a cloud's metadata service is never
//      answered, unless the host was registered with allow_link_local: a name must not lead a gateway to the
//      machine's own credentials, whatever its zone says today.
//
// Thread: any. A mutex guards the book; it is taken for
// a look-up and never across a resolution.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/resolver.h"
#include "net/upstream_pool.h"

namespace weir::net {

class AddressBook final : public AddressSource {
 public:
  struct Host {
    std::string name;  // or an address, without brackets
    uint16_t port = 0;
    bool allow_link_local = false;
  };
  using Resolve = std::function<std::expected<std::vector<core::SocketAddress>, std::string>(
      const std::string& host, uint16_t port)>;
  struct Options {
    std::chrono::milliseconds refresh{30'000};
    Resolve resolve = core::resolve_host;  // called on the resolver thread only
  };

  AddressBook() : AddressBook(Options{}) {}
  explicit AddressBook(Options options);
  // Waits for a resolution under way.
  ~AddressBook();
  AddressBook(const AddressBook&) = delete;
  AddressBook& operator=(const AddressBook&) = delete;

  // These hosts are kept up to date too from now on.
  void add_hosts(const std::vector<Host>& hosts);
  // These and no others; what is known of them stays.
  void set_hosts(const std::vector<Host>& hosts);

  size_t addresses(const std::string& host, uint16_t port, core::SocketAddress* out, size_t count) override;

  // Waits until every registered name has been tried once; false when the time is over first.
  bool wait_for_first_attempts(std::chrono::milliseconds timeout);

  struct Failure {
    std::string host;
    std::string reason;
  };
  // The registered names whose last attempt failed.
  std::vector<Failure> failures() const;

  // How many resolutions have ended.
  uint64_t attempts() const;
  // Waits until so many have; false when the time is over first.
  bool wait_for_attempts(uint64_t count, std::chrono::milliseconds timeout);
  // Tries all names again now instead of at the next refresh.
  void refresh_now();

 private:
  using Key = std::pair<std::string, uint16_t>;
  struct Entry {
    std::vector<core::SocketAddress> addresses;
    std::string failure;
    bool allow_link_local = false;
    bool numeric = false;
    bool tried = false;
    bool wanted = true;  // by the last set_hosts()
    uint64_t due_ns = 0;
  };

  void run();
  void add(const Host& host);
  bool all_tried() const;

  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Key, Entry> book_;  // guarded by mutex_, as all below
  uint64_t attempts_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace weir::net
