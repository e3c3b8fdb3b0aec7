// What the primitives of core cost on their own, with warm caches. Run with
// --benchmark_repetitions=10 --benchmark_report_aggregates_only=true and read the median.
// The loop itself costs about 0.3 ns per iteration, included in every figure.
#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/counter.h"
#include "core/histogram.h"
#include "core/json_text.h"
#include "core/murmur3.h"
#include "core/siphash.h"
#include "core/slab.h"
#include "core/snapshot.h"
#include "core/spsc_queue.h"
#include "core/timer_wheel.h"
#include "core/timestamp.h"

namespace weir::core {
namespace {

void counter_add(benchmark::State& state) {
  Counter counter;
  for (auto _ : state) {
    counter.add();
    benchmark::ClobberMemory();
  }
}
BENCHMARK(counter_add);

// Latencies of realistic spread, drawn beforehand.
void histogram_record(benchmark::State& state) {
  const auto histogram = std::make_unique<Histogram>();
  std::mt19937_64 random(1);
  std::array<uint64_t, 1024> values;
  for (uint64_t& value : values) value = 200'000 + random() % 3'000'000;
  size_t i = 0;
  for (auto _ : state) {
    histogram->record(values[i++ % values.size()]);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(histogram_record);

void histogram_merge(benchmark::State& state) {
  const auto histogram = std::make_unique<Histogram>();
  histogram->record(5);
  HistogramSnapshot snapshot;
  for (auto _ : state) {
    histogram->merge_into(snapshot);
    benchmark::DoNotOptimize(snapshot);
  }
}
BENCHMARK(histogram_merge);

struct Object {
  Object() {}  // leaves the bytes alone: the slab is measured, not memset
  std::array<char, 512> bytes;
};

void slab_acquire_release(benchmark::State& state) {
  Slab<Object> slab(1024);
  for (auto _ : state) {
    Object* object = slab.acquire();
    benchmark::DoNotOptimize(object);
    slab.release(object);
  }
}
BENCHMARK(slab_acquire_release);

void slab_get(benchmark::State& state) {
  Slab<Object> slab(1024);
  const Handle<Object> handle = slab.handle_of(slab.acquire());
  for (auto _ : state) {
    uint64_t packed = handle.packed();
    benchmark::DoNotOptimize(packed);
    benchmark::DoNotOptimize(slab.get(Handle<Object>::from_packed(packed)));
  }
}
BENCHMARK(slab_get);

struct Armed {
  explicit Armed(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      timers.push_back(std::make_unique<Timer>([](Timer&) {}, nullptr));
      wheel.schedule(*timers.back(), seconds(1 + i % 60));
    }
  }
  TimerWheel wheel{0};
  std::vector<std::unique_ptr<Timer>> timers;
};

// Among 1,000 others: arm for 30 s and disarm, as a request's deadline.
void timer_schedule_cancel(benchmark::State& state) {
  Armed others(1000);
  Timer timer([](Timer&) {}, nullptr);
  for (auto _ : state) {
    others.wheel.schedule(timer, seconds(30));
    timer.cancel();
  }
}
BENCHMARK(timer_schedule_cancel);

// Pushes a deadline out on every event, as an idle timeout.
void timer_reschedule_later(benchmark::State& state) {
  Armed others(1000);
  Timer timer([](Timer&) {}, nullptr);
  uint64_t now_ns = 0;
  for (auto _ : state) others.wheel.schedule(timer, (now_ns += 1000) + seconds(300));
}
BENCHMARK(timer_reschedule_later);

// What a loop turn pays when nothing is due.
void timer_turn(benchmark::State& state) {
  Armed others(1000);
  uint64_t now_ns = 0;
  for (auto _ : state) {
    others.wheel.advance(now_ns = (now_ns + 7000) % kNsPerSecond);
    benchmark::DoNotOptimize(others.wheel.next_deadline_ns());
  }
}
BENCHMARK(timer_turn);

// Whole life of a timer that does fire: 10,000 timers of up to 10 s, per timer.
void timer_schedule_fire(benchmark::State& state) {
  constexpr size_t kTimers = 10'000;
  TimerWheel wheel(0);
  std::vector<std::unique_ptr<Timer>> timers;
  for (size_t i = 0; i < kTimers; ++i) timers.push_back(std::make_unique<Timer>([](Timer&) {}, nullptr));
  uint64_t now_ns = 0;
  for (auto _ : state) {
    for (size_t i = 0; i < kTimers; ++i)
      wheel.schedule(*timers[i], now_ns + milliseconds(1 + i * 7919 % 10'000));
    for (const uint64_t end_ns = now_ns + seconds(11); now_ns < end_ns; now_ns += kNsPerMs)
      wheel.advance(now_ns);
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kTimers));
}
BENCHMARK(timer_schedule_fire);

struct Record {
  std::array<char, 512> bytes;
};

void spsc_push_pop_one_thread(benchmark::State& state) {
  SpscQueue<uint64_t> queue(1024);
  uint64_t value = 0;
  for (auto _ : state) {
    queue.try_push(++value);
    benchmark::DoNotOptimize(*queue.front());
    queue.pop();
  }
}
BENCHMARK(spsc_push_pop_one_thread);

// Producer's cost per 512-byte record while another thread drains; refused pushes are not counted.
void spsc_push_two_threads(benchmark::State& state) {
  SpscQueue<Record> queue(8192);
  std::atomic<bool> stop{false};
  std::thread consumer([&] {
    uint64_t sum = 0;
    while (!stop.load(std::memory_order_relaxed)) {
      if (queue.drain([&](Record& record) { sum += static_cast<uint64_t>(record.bytes[7]); }, 256) == 0) {
        std::this_thread::yield();
      }
    }
    benchmark::DoNotOptimize(sum);
  });
  for (auto _ : state) {
    Record* slot = queue.begin_push();
    while (slot == nullptr) {
      std::this_thread::yield();
      slot = queue.begin_push();
    }
    slot->bytes.fill('x');
    queue.commit_push();
  }
  stop.store(true, std::memory_order_relaxed);
  consumer.join();
}
BENCHMARK(spsc_push_two_threads)->UseRealTime();

struct Published {
  Published() : publisher(1, nullptr), reader(publisher, 0) {
    publisher.publish(std::make_unique<int>(1));
    reader.refresh();
  }
  SnapshotPublisher<int> publisher;
  SnapshotReader<int> reader;
};

// Per loop turn.
void snapshot_refresh_unchanged(benchmark::State& state) {
  Published snapshots;
  for (auto _ : state) {
    benchmark::DoNotOptimize(snapshots.reader.refresh());
    benchmark::ClobberMemory();
  }
}
BENCHMARK(snapshot_refresh_unchanged);

// Per stream.
void snapshot_pin_release(benchmark::State& state) {
  Published snapshots;
  for (auto _ : state) {
    SnapshotRef<int> pinned = snapshots.reader.pin();
    benchmark::DoNotOptimize(pinned);
  }
}
BENCHMARK(snapshot_pin_release);

// Publish, take up, free: the machinery of a swap without its table.
void snapshot_swap(benchmark::State& state) {
  Published snapshots;
  for (auto _ : state) {
    snapshots.publisher.publish(std::make_unique<int>(2));
    snapshots.reader.refresh();
    snapshots.publisher.reclaim();
  }
}
BENCHMARK(snapshot_swap);

// 51 bytes: an API key of today's usual length.
void siphash128_of(benchmark::State& state) {
  const std::string text(static_cast<size_t>(state.range(0)), 'k');
  const SipKey key{1, 2};
  for (auto _ : state) {
    const char* bytes = text.data();
    benchmark::DoNotOptimize(bytes);
    benchmark::DoNotOptimize(siphash128(key, {bytes, text.size()}));
  }
}
BENCHMARK(siphash128_of)->Arg(12)->Arg(51)->Arg(164);

void siphash64_of(benchmark::State& state) {
  const std::string text(static_cast<size_t>(state.range(0)), 'k');
  const SipKey key{1, 2};
  for (auto _ : state) {
    const char* bytes = text.data();
    benchmark::DoNotOptimize(bytes);
    benchmark::DoNotOptimize(siphash64(key, {bytes, text.size()}));
  }
}
BENCHMARK(siphash64_of)->Arg(12)->Arg(51);

// A sticky key after a salted state, as in a decision.
void murmur3_sticky_key(benchmark::State& state) {
  const std::string key = "conv_0123456789abcdef0123";
  Murmur3 salted;
  salted.update("support-v2:");
  for (auto _ : state) {
    const char* bytes = key.data();
    benchmark::DoNotOptimize(bytes);
    Murmur3 hash = salted;
    hash.update({bytes, key.size()});
    benchmark::DoNotOptimize(hash.finish());
  }
}
BENCHMARK(murmur3_sticky_key);

void json_string_of_40_bytes(benchmark::State& state) {
  const std::string text = "gpt-4o-mini-2024-07-18 for support-chat!";
  std::array<char, 256> room;
  for (auto _ : state) {
    JsonText out(room);
    out.string(text);
    benchmark::DoNotOptimize(room);
  }
}
BENCHMARK(json_string_of_40_bytes);

void timestamp_text(benchmark::State& state) {
  int64_t now_ns = 1'796'115'600'000'000'000;
  for (auto _ : state) benchmark::DoNotOptimize(timestamp(now_ns += 1'000'000));
}
BENCHMARK(timestamp_text);

}  // namespace
}  // namespace weir::core
