#include "routing/admin/control.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/log.h"
#include "core/strong.h"
#include "routing/table/canonical_json.h"

namespace weir::routing {
namespace {

// How often records are taken in: seldom enough to cost little, often enough that a queue never fills at any
// rate a shard can reach.
constexpr uint64_t kMinTickMs = 1;
constexpr uint64_t kBusyTickMs = 10;  // the longest while there is traffic
constexpr uint64_t kIdleTickMs = 50;
constexpr uint64_t kFullPercent = 25;

constexpr std::chrono::milliseconds kFirstLookupPatience{2'000};
constexpr uint64_t kWaitTickMs = 1;

constinit core::RateLimitedLog publish_log(5);

Refusal refuse(Refusal::Kind kind, uint64_t revision) {
  return {.kind = kind, .revision = revision};
}

}  // namespace

ControlThread::ControlThread(core::Loop& loop, Gateway& gateway, net::AddressBook& addresses, AccessLog& log,
                             Worker& worker, ControlOptions options)
    : loop_(loop),
      gateway_(gateway),
      addresses_(addresses),
      log_(log),
      worker_(worker),
      everyone_timeout_ms_(options.everyone_timeout_ms),
      loader_(std::make_shared<TableLoader>(
          std::move(options.compile), [&worker](std::function<void()> job) { worker.run(std::move(job)); },
          gateway.arena)),
      alive_(std::make_shared<char>()),
      tick_ms_(kBusyTickMs),
      tick_(on_tick, this),
      wait_(on_wait, this) {
  loop_.timers().schedule(tick_, core::deadline_after(loop_.now_ns(), core::milliseconds(tick_ms_)));
}

ControlThread::~ControlThread() {
  flush();
}

std::expected<uint64_t, std::vector<Problem>> ControlThread::load(std::string text, TableFormat format) {
  WEIR_ASSERT(revision_ == 0);
  auto loaded = loader_->load(std::move(text), format);
  if (!loaded) return std::unexpected(std::move(loaded.error()));
  current_ = std::move(*loaded);
  addresses_.add_hosts(current_.hosts);
  publish("start");
  return revision_;
}

template <typename Job, typename Then>
void ControlThread::in_background(Job job, Then then) {
  worker_.run([&loop = loop_, alive = std::weak_ptr<char>(alive_), job = std::move(job),
               then = std::move(then)]() mutable {
    auto result = std::make_shared<decltype(job())>(job());
    loop.post([alive, then, result] {
      if (!alive.expired()) then(std::move(*result));
    });
  });
}

void ControlThread::apply(std::string text, TableFormat format, Change change, Done done) {
  if (change.based_on && *change.based_on != revision_) {
    return done(std::unexpected(refuse(Refusal::Kind::lost_update, revision_)));
  }
  ++loads_under_way_;
  in_background(
      [loader = loader_, &addresses = addresses_, text = std::move(text), format]() mutable {
        auto loaded = loader->load(std::move(text), format);
        if (loaded) {
          addresses.add_hosts(loaded->hosts);
          addresses.wait_for_first_attempts(kFirstLookupPatience);
        }
        return loaded;
      },
      [this, change = std::move(change), done = std::move(done)](auto loaded) {
        --loads_under_way_;
        hosts_dirty_ = true;
        if (!loaded) {
          Refusal refusal = refuse(Refusal::Kind::problems, revision_);
          refusal.problems = std::move(loaded.error());
          return done(std::unexpected(std::move(refusal)));
        }
        // Another change may have come first while this one was compiled.
        if (change.based_on && *change.based_on != revision_) {
          return done(std::unexpected(refuse(Refusal::Kind::lost_update, revision_)));
        }
        current_ = std::move(*loaded);
        when_everyone_uses(publish(change.reason), done);
      });
}

void ControlThread::validate(std::string text, TableFormat format,
                             std::function<void(std::vector<Problem>)> done) {
  in_background(
      [loader = loader_, text = std::move(text), format]() mutable -> std::vector<Problem> {
        auto loaded = loader->load(std::move(text), format);
        return loaded ? std::vector<Problem>() : std::move(loaded.error());
      },
      [done = std::move(done)](std::vector<Problem> problems) { done(std::move(problems)); });
}

void ControlThread::export_table(std::function<void(uint64_t revision, const std::string& json)> done) {
  in_background(
      [body = current_.body] {
        // It was parsed when it was loaded, so it parses.
        auto document = Document::parse(body->source_json, TableFormat::json);
        return document ? canonical_json(document->root()) : body->source_json;
      },
      [done = std::move(done), revision = revision_](const std::string& json) { done(revision, json); });
}

bool ControlThread::names_something(KillScope scope, const std::string& name) const {
  const TableBody& body = *current_.body;
  switch (scope) {
    case KillScope::global:
      return name.empty();
    case KillScope::provider:
      return body.provider_names.find(name).has_value();
    case KillScope::unit:
      return body.unit_names.find(name).has_value();
    case KillScope::scenario:
      return body.scenario_names.find(name).has_value();
    case KillScope::flag:
      return body.flag_names.find(name).has_value();
    case KillScope::tenant:
      return current_.tenants->find(name).has_value();
  }
  return false;
}

void ControlThread::kill(KillScope scope, std::string name, Change change, Done done) {
  if (change.based_on && *change.based_on != revision_) {
    return done(std::unexpected(refuse(Refusal::Kind::lost_update, revision_)));
  }
  if (!names_something(scope, name))
    return done(std::unexpected(refuse(Refusal::Kind::unknown_name, revision_)));
  core::log_warning("killed", {{"scope", to_string(scope)}, {"name", name}, {"reason", change.reason}});
  const bool added = kills_.add({.scope = scope,
                                 .name = std::move(name),
                                 .reason = change.reason,
                                 .since_wall_ns = loop_.wall_now_ns()});
  // Killed already: it must still be true of every shard before it is answered.
  when_everyone_uses(added ? publish(change.reason) : gateway_.tables.newest_version(), std::move(done));
}

void ControlThread::unkill(KillScope scope, const std::string& name, Change change, Done done) {
  if (change.based_on && *change.based_on != revision_) {
    return done(std::unexpected(refuse(Refusal::Kind::lost_update, revision_)));
  }
  if (!kills_.remove(scope, name)) return done(std::unexpected(refuse(Refusal::Kind::not_killed, revision_)));
  core::log_warning("unkilled", {{"scope", to_string(scope)}, {"name", name}, {"reason", change.reason}});
  when_everyone_uses(publish(change.reason), std::move(done));
}

void ControlThread::reload_trust() {
  in_background([loader = loader_, table = current_]() { return loader->reload_trust(table); },
                [this](auto loaded) {
                  if (!loaded) {
                    for (const Problem& problem : loaded.error()) {
                      core::log_error("trust_not_reloaded", {{"problem", routing::to_string(problem)}});
                    }
                    return;
                  }
                  // A table that was published meanwhile was loaded before this, with the old anchors.
                  if (loaded->body != current_.body) return reload_trust();
                  current_.trust = std::move(loaded->trust);
                  publish("trust anchors read again");
                });
}

uint64_t ControlThread::publish(std::string_view reason) {
  WEIR_ASSERT(current_.tenants->basis() == current_.body->basis);
  auto table = std::make_unique<Table>();
  table->revision = ++revision_;
  table->published_wall_ns = loop_.wall_now_ns();
  table->body = current_.body;
  table->tenants = current_.tenants;
  table->kills = kills_.resolve(*current_.body, *current_.tenants);
  table->trust = current_.trust;
  table->guards = current_.guards;
  const uint64_t version = gateway_.tables.publish(std::move(table));
  publish_log.log(
      loop_.now_ns(), core::LogLevel::info, "table_published",
      {{"revision", revision_}, {"tenants", current_.tenants->tenant_count()}, {"reason", reason}});
  return version;
}

void ControlThread::when_everyone_uses(uint64_t version, Done done) {
  if (gateway_.tables.everyone_uses(version)) return done(revision_);
  const uint64_t deadline_ns = core::deadline_after(loop_.now_ns(), core::milliseconds(everyone_timeout_ms_));
  waiting_.push_back({version, revision_, deadline_ns, std::move(done)});
  loop_.timers().schedule(wait_, core::deadline_after(loop_.now_ns(), core::milliseconds(kWaitTickMs)));
}

void ControlThread::on_wait(core::Timer& timer) {
  auto& self = timer.owner<ControlThread>();
  std::vector<Waiting> waiting = std::exchange(self.waiting_, {});
  for (Waiting& item : waiting) {
    if (self.gateway_.tables.everyone_uses(item.version)) {
      item.done(item.revision);
    } else if (self.loop_.now_ns() >= item.deadline_ns) {
      item.done(std::unexpected(refuse(Refusal::Kind::slow_shards, item.revision)));
    } else {
      self.waiting_.push_back(std::move(item));
    }
  }
  if (self.waiting_.empty()) return;
  self.loop_.timers().schedule(timer,
                               core::deadline_after(self.loop_.now_ns(), core::milliseconds(kWaitTickMs)));
}

void ControlThread::on_tick(core::Timer& timer) {
  auto& self = timer.owner<ControlThread>();
  const uint64_t drained_before = self.records_drained_;
  const uint64_t percent = self.drain_records();
  self.log_.flush(self.loop_.now_ns());
  self.reclaim();
  if (percent >= kFullPercent) {
    self.tick_ms_ = std::max(self.tick_ms_ / 2, kMinTickMs);
  } else if (self.records_drained_ != drained_before) {
    self.tick_ms_ = std::min(self.tick_ms_ + 1, kBusyTickMs);
  } else {
    self.tick_ms_ = std::min(self.tick_ms_ * 2, kIdleTickMs);
  }
  self.loop_.timers().schedule(timer,
                               core::deadline_after(self.loop_.now_ns(), core::milliseconds(self.tick_ms_)));
}

uint64_t ControlThread::drain_records() {
  size_t most = 0;
  for (const auto& queue : gateway_.records) {
    const size_t count = queue->drain([this](const Record& record) {
      log_.add(record);
      if (on_record_) on_record_(record);
    });
    records_drained_ += count;
    most = std::max(most, count * 100 / queue->capacity());
  }
  for (const auto& pairs : gateway_.shadows) {
    pairs->drain([this](const ShadowPair& pair) {
      if (on_shadow_) on_shadow_(pair);
    });
  }
  return most;
}

void ControlThread::reclaim() {
  if (gateway_.tables.live_versions() > 1) gateway_.tables.reclaim([this] { drain_records(); });
  // While an exchange is on an earlier table, its hosts stay in the book.
  if (!hosts_dirty_ || loads_under_way_ != 0 || gateway_.tables.live_versions() > 1) return;
  hosts_dirty_ = false;
  addresses_.set_hosts(current_.hosts);
}

void ControlThread::flush() {
  drain_records();
  log_.flush(loop_.now_ns());
}

void ControlThread::reopen_access_log() {
  drain_records();
  if (auto reopened = log_.reopen(loop_.now_ns()); !reopened) {
    core::log_error("access_log_not_reopened", {{"reason", reopened.error()}});
  }
}

}  // namespace weir::routing
