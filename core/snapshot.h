// Immutable snapshots of the table, published by the control thread and read by every shard without locks,
// atomic read-modify-writes or waiting.
//
//     control thread                                    shard, once per loop turn
//       publish(v7) ─▶ versions_: v5 v6 v7 ◀── latest_ ◀── refresh(): one acquire load; if it changed, say
//       wake every shard                                     so in position_[shard]
//       everyone_uses(7)? ◀─ position_[*] >= 7             current(): v7, valid until the next refresh()
//       reclaim(): frees v5, v6 once nobody can read them  pin(): keeps v7 for longer (a stream)
//
// Readers are quiescent at refresh(): nothing taken from current() before may be used after, unless pinned. A
// pin is a plain count in the version, one per shard, written by that shard only.
//
// When is version n unreadable? A reader r reads n either as its current version or through pins. With
// position[r] = the number of r's current version, and pins[n][r] = the count of r's pins on n:
//
//     n is freed  ⇔  n is not the newest, and for every r:  position[r] > n,  and then  pins[n][r] == 0
//
// Proof that nobody uses n after it is freed, nor the version's memory:
//  1. r takes n as current only from latest_, and stores position[r] = n before refresh() returns. latest_
//     only moves to higher numbers, and r reads one atomic in coherence order: once position[r] > n, n is
//     never again r's current version.
//  2. Pins on n are made from current() only (a pin can be moved, not copied). By 1 pins[n][r] can only fall
//     once position[r] > n. r's pins precede, in program order, its release store of that position; the
//     acquire load that reads it therefore makes them visible: pins[n][r] is then read at its value of that
//     moment or a later one, and 0 is final.
//  3. Every use of n by r precedes either the release store of position[r] > n (uses through current()) or
//     the release store of the count that dropped to 0 (uses through pins). Both were read with acquire
//     before the free, so the uses happen before it.
//  4. Between loading latest_ and storing its position, r holds a version m that no position admits to yet.
//     But position[r] is still that of the older one, < m, so m is not freed.
//  5. A freed version's address may be given to a new one. refresh() compares addresses, but only against its
//     own current version, which is not freed (position[r] = its number): equal means unchanged.
//
// An earlier design linked the versions and let each reader walk from its old one to the newest, marking what
// it passed as done. The position says the same in one store, whatever the number of publishes slept through.
//
// A reader that never refreshes keeps every later version alive: shards must take a turn now and then. `wake`
// is called by publish() to make sleeping shards do so.
//
// Threads: SnapshotPublisher the control thread; SnapshotReader and its SnapshotRefs one shard, the same one
// for their whole life. Destroy readers and refs before the publisher.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "core/assert.h"
#include "core/cache_line.h"

namespace weir::core {

// What one reader writes for the publisher to read. A line each: shards must not slow each other down.
struct alignas(kCacheLineBytes) SnapshotPins {
  std::atomic<uint32_t> count{0};
};
struct alignas(kCacheLineBytes) SnapshotPosition {
  static constexpr uint64_t kNone = 0;           // has not refreshed since the first publish
  static constexpr uint64_t kGone = UINT64_MAX;  // will read nothing any more
  std::atomic<uint64_t> version{kNone};
};

template <typename T>
struct SnapshotVersion {
  SnapshotVersion(std::unique_ptr<const T> v, uint64_t n, size_t readers)
      : value(std::move(v)), number(n), pins(readers) {}

  const std::unique_ptr<const T> value;
  const uint64_t number;           // 1 for the first published, then counting up
  std::vector<SnapshotPins> pins;  // by reader
};

template <typename T>
class SnapshotReader;

// Keeps a version readable beyond the loop turn: held by what outlives a turn, such as a stream. Movable, not
// copyable; must be destroyed on the shard that made it.
template <typename T>
class SnapshotRef {
 public:
  SnapshotRef() = default;  // refers to nothing
  SnapshotRef(SnapshotRef&& other) noexcept
      : value_(std::exchange(other.value_, nullptr)), pins_(std::exchange(other.pins_, nullptr)) {}
  SnapshotRef& operator=(SnapshotRef&& other) noexcept {
    std::swap(value_, other.value_);
    std::swap(pins_, other.pins_);
    other.reset();
    return *this;
  }
  ~SnapshotRef() { reset(); }

  explicit operator bool() const { return value_ != nullptr; }
  const T& operator*() const { return *value_; }
  const T* operator->() const { return value_; }
  const T* get() const { return value_; }

  // Lets go; refers to nothing afterwards.
  void reset() {
    if (pins_ == nullptr) return;
    const uint32_t count = pins_->count.load(std::memory_order_relaxed);  // this shard is the only writer
    WEIR_ASSERT(count > 0);
    pins_->count.store(count - 1, std::memory_order_release);  // after the last use: proof, 3
    value_ = nullptr;
    pins_ = nullptr;
  }

 private:
  friend class SnapshotReader<T>;
  SnapshotRef(const T* value, SnapshotPins* pins) : value_(value), pins_(pins) {}

  const T* value_ = nullptr;
  SnapshotPins* pins_ = nullptr;
};

template <typename T>
class SnapshotPublisher {
 public:
  // For readers 0 ... readers - 1, each of which must be constructed and refresh now and then, or nothing is
  // ever freed. `wake` runs at the end of every publish() and must not call back into the publisher.
  SnapshotPublisher(size_t readers, std::function<void()> wake)
      : positions_(readers), wake_(std::move(wake)) {}

  // Frees all versions. No reader and no ref may be left.
  ~SnapshotPublisher() {
    for (const SnapshotPosition& position : positions_) {
      const uint64_t version = position.version.load(std::memory_order_acquire);
      WEIR_ASSERT(version == SnapshotPosition::kGone || version == SnapshotPosition::kNone);
    }
    for (const auto& version : versions_) WEIR_ASSERT(!pinned(*version));
  }

  SnapshotPublisher(const SnapshotPublisher&) = delete;
  SnapshotPublisher& operator=(const SnapshotPublisher&) = delete;

  // Makes `value` what every reader finds at its next refresh(), and answers its version number: 1 for the
  // first, then counting up. Never waits.
  uint64_t publish(std::unique_ptr<const T> value) {
    WEIR_ASSERT(value != nullptr);
    ++newest_;
    versions_.push_back(std::make_unique<Version>(std::move(value), newest_, positions_.size()));
    latest_.store(versions_.back().get(), std::memory_order_release);  // after the value is complete
    if (wake_) wake_();
    return newest_;
  }

  // Whether every reader has refreshed to this version or a newer one (or has gone). Pins on older ones do
  // not count: they are what open streams began with.
  bool everyone_uses(uint64_t version) const { return oldest_position() >= version; }

  // Frees the versions that nobody can read any more and answers how many. T's destructor runs here, on the
  // control thread. `before_free` runs between the finding and the freeing, if there is anything to free: what
  // the readers handed over before they dropped their pins, and still points into a version, is used up there.
  size_t reclaim(const std::function<void()>& before_free = {}) {
    const uint64_t oldest = oldest_position();  // first the positions, then the pins: proof, 2
    std::vector<std::unique_ptr<Version>> unused;
    for (auto& version : versions_) {
      if (version->number < newest_ && version->number < oldest && !pinned(*version)) unused.push_back(std::move(version));
    }
    if (unused.empty()) return 0;
    std::erase(versions_, nullptr);
    if (before_free) before_free();
    return unused.size();
  }

  // How many versions have not been freed, the newest included.
  size_t live_versions() const { return versions_.size(); }
  uint64_t newest_version() const { return newest_; }
  // The newest value, for the control thread's own use; nullptr before the first publish.
  const T* newest() const { return versions_.empty() ? nullptr : versions_.back()->value.get(); }

 private:
  friend class SnapshotReader<T>;
  using Version = SnapshotVersion<T>;

  uint64_t oldest_position() const {
    uint64_t oldest = SnapshotPosition::kGone;
    for (const SnapshotPosition& position : positions_) {
      oldest = std::min(oldest, position.version.load(std::memory_order_acquire));  // proof, 2 and 3
    }
    return oldest;
  }
  static bool pinned(const Version& version) {
    return std::any_of(version.pins.begin(), version.pins.end(), [](const SnapshotPins& pins) {
      return pins.count.load(std::memory_order_acquire) != 0;  // proof, 3
    });
  }

  alignas(kCacheLineBytes) std::atomic<Version*> latest_{nullptr};  // alone on its line: read every turn
  alignas(kCacheLineBytes) uint64_t newest_ = 0;
  std::vector<SnapshotPosition> positions_;         // by reader; never resized
  std::vector<std::unique_ptr<Version>> versions_;  // in order of number; the newest is last
  std::function<void()> wake_;
};

template <typename T>
class SnapshotReader {
 public:
  // Becomes reader `index` of a publisher that outlives it. One reader per index, ever.
  SnapshotReader(SnapshotPublisher<T>& publisher, size_t index)
      : publisher_(publisher), position_(publisher.positions_.at(index)), index_(index) {
    WEIR_ASSERT(position_.version.load(std::memory_order_relaxed) == SnapshotPosition::kNone);
  }
  // Reads nothing any more. Refs may still be around; they keep their versions.
  ~SnapshotReader() { position_.version.store(SnapshotPosition::kGone, std::memory_order_release); }

  SnapshotReader(const SnapshotReader&) = delete;
  SnapshotReader& operator=(const SnapshotReader&) = delete;

  // Takes the newest version as current and answers whether it is another than before. Once per loop turn:
  // everything obtained from current() earlier is void from here on.
  bool refresh() {
    SnapshotVersion<T>* latest = publisher_.latest_.load(std::memory_order_acquire);  // with publish()
    if (latest == current_) [[likely]] {
      return false;
    }
    current_ = latest;
    position_.version.store(latest->number, std::memory_order_release);  // after the old one's last use: 3
    return true;
  }

  // Whether a version has been published and seen.
  bool has_current() const { return current_ != nullptr; }

  // The current version's value; void after the next refresh(). has_current() only.
  const T& current() const {
    WEIR_ASSERT(current_ != nullptr);
    return *current_->value;
  }
  // Its number; 0 when there is none.
  uint64_t current_version() const { return current_ == nullptr ? 0 : current_->number; }

  // A reference that keeps the current version beyond the turn. has_current() only.
  SnapshotRef<T> pin() {
    WEIR_ASSERT(current_ != nullptr);
    SnapshotPins& pins = current_->pins[index_];
    // Relaxed: made visible by the position's release store when this version stops being current (proof, 2).
    pins.count.store(pins.count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return SnapshotRef<T>(current_->value.get(), &pins);
  }

 private:
  SnapshotPublisher<T>& publisher_;
  SnapshotPosition& position_;
  const size_t index_;
  SnapshotVersion<T>* current_ = nullptr;
};

}  // namespace weir::core
