#include "routing/admin/control.h"

#include <fmt/format.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <utility>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/strong.h"
#include "routing/table/objects.h"
#include "routing/table/tenant_image.h"

namespace weir::routing {
namespace {

// How often records are taken in: seldom enough to cost little, often enough that a queue never fills at any
// rate a shard can reach.
constexpr uint64_t kMinTickMs = 1;
constexpr uint64_t kBusyTickMs = 10;  // the longest while there is traffic
constexpr uint64_t kIdleTickMs = 50;
constexpr int kLogPatienceMs = 1000;  // at the end, with a slow reader of the access log
constexpr uint64_t kFullPercent = 25;

constexpr uint64_t kWaitTickMs = 10;  // a shard that takes a table says so; this is for one that hangs

constinit core::RateLimitedLog publish_log(5);

CompileOptions without_source(CompileOptions options) {
  options.keep_source = false;
  return options;
}

std::string to_hex(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : bytes) fmt::format_to(std::back_inserter(text), "{:02x}", byte);
  return text;
}

// What tells whether a file is the one that was imported or applied.
std::string digest_of(std::string_view text) {
  std::array<uint8_t, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(), digest.data());
  return to_hex(digest);
}

}  // namespace

std::string document_detail(std::string_view text) {
  return fmt::format(R"({{"document_sha256":"{}"}})", digest_of(text));
}

ControlThread::ControlThread(core::Loop& loop, const ControlParts& parts, ControlOptions options)
    : loop_(loop),
      gateway_(parts.gateway),
      addresses_(parts.addresses),
      log_(parts.log),
      worker_(parts.worker),
      registry_(parts.registry),
      everyone_timeout_ms_(options.everyone_timeout_ms),
      image_from_tenants_(options.image_from_tenants),
      alive_(std::make_shared<char>()),
      loader_(std::make_shared<TableLoader>(
          without_source(std::move(options.compile)),
          [&worker = worker_, alive = std::weak_ptr<char>(alive_)](std::function<void()> job) {
            if (alive.expired()) return job();
            worker.run(std::move(job));
          },
          parts.gateway.arena)),
      images_(parts.registry.path(), std::move(options.build)),
      tick_ms_(kBusyTickMs),
      tick_(on_tick, this),
      wait_(on_wait, this) {
  gateway_.control = &loop_;
  loop_.on_turn(on_turn, this);
  loop_.timers().schedule(tick_, core::deadline_after(loop_.now_ns(), core::milliseconds(tick_ms_)));
}

ControlThread::~ControlThread() {
  loop_.on_turn(nullptr, nullptr);
  worker_.finish();  // a change that is being worked out reads the registry, which may end before the worker does
  flush();
}

// ---- start ------------------------------------------------------------------------------------------

std::expected<uint64_t, StartFailure> ControlThread::start(
    const std::function<std::expected<TableText, std::string>()>& read_table) {
  WEIR_ASSERT(revision_ == 0);
  Registry& registry = registry_.registry();
  const bool is_new = registry.revision() == 0;
  auto begun = is_new ? import_table(read_table) : resume();
  if (!begun) return std::unexpected(std::move(begun.error()));
  revision_ = registry.revision();
  table_revision_ = registry.table_revision();
  addresses_.add_hosts(current_.hosts);
  publish(is_new ? "import" : "start");
  tend_image(0, is_new);
  return revision_;
}

std::expected<void, StartFailure> ControlThread::import_table(
    const std::function<std::expected<TableText, std::string>()>& read_table) {
  auto table = read_table();
  if (!table)
    return std::unexpected(StartFailure{.problems = {{.path = "", .message = std::move(table.error())}}});
  Commit change{.actor = {.name = "weir", .role = "weir"},
                .action = "import",
                .target = std::move(table->name),
                .reason = "the first start with this registry",
                .detail = document_detail(table->text),
                .wall_ns = loop_.wall_now_ns()};
  auto document = Document::parse(std::move(table->text), table->format);
  if (!document) return std::unexpected(StartFailure{.problems = std::move(document.error())});
  split_document(document->root(), [&](const ObjectView& object) {
    change.objects.push_back({.kind = object.kind,
                              .name = std::string(object.name),
                              .before = std::nullopt,
                              .after = std::string(object.body)});
  });
  auto loaded = loader_->load(*std::move(document));
  if (!loaded) return std::unexpected(StartFailure{.problems = std::move(loaded.error())});
  auto committed = registry_.registry().commit(change);
  if (!committed) return std::unexpected(StartFailure{.registry = std::move(committed.error())});
  current_ = std::move(*loaded);
  return {};
}

std::expected<void, StartFailure> ControlThread::resume() {
  const Registry& registry = registry_.registry();
  auto resumed = images_.load(registry, *loader_);
  if (resumed) {
    current_ = std::move(resumed->table);
    changed_since_image_ = resumed->changed;
  } else {
    auto text = registry.document(0);
    if (!text) return std::unexpected(StartFailure{.registry = std::move(text.error())});
    auto loaded = loader_->load(*std::move(text), TableFormat::json);
    if (!loaded) {
      return std::unexpected(
          StartFailure{.problems = std::move(loaded.error()), .revision = registry.table_revision()});
    }
    current_ = std::move(*loaded);
    changed_since_image_ = kChangesPerTenantImage;
    if (current_.tenants->tenant_count() >= image_from_tenants_) {
      core::log_info("tenants_compiled", {{"reason", resumed.error()}});
    }
  }
  auto kills = registry.kills();
  if (!kills) return std::unexpected(StartFailure{.registry = std::move(kills.error())});
  for (Kill& kill : *kills) {
    registered_kills_.emplace_back(kill.scope, kill.name);
    kills_.add(std::move(kill));
  }
  return {};
}

void ControlThread::tend_image(uint64_t changed, bool tenants_compiled) {
  changed_since_image_ = tenants_compiled ? kChangesPerTenantImage : changed_since_image_ + changed;
  if (changed_since_image_ < kChangesPerTenantImage || image_under_way_) return;
  if (current_.tenants->tenant_count() < image_from_tenants_ || registry_.path().empty()) return;
  changed_since_image_ = 0;
  image_under_way_ = true;
  read(
      [images = images_, tenants = current_.tenants,
       revision = table_revision_](const Registry& registry) mutable {
        auto written = images.write(registry, *tenants, revision);
        tenants.reset();  // not on the loop
        return written;
      },
      [this](const std::expected<void, std::string>& written) {
        image_under_way_ = false;
        if (!written) core::log_warning("tenant_image_not_written", {{"reason", written.error()}});
      });
}

void ControlThread::compare_with_file(std::string path) {
  read(
      [path](const Registry& registry) -> std::string {
        const auto text = core::read_file(path, core::limits::kMaxTableBytes);
        if (!text) return {};  // it may be gone
        const auto changes = registry.audit({.limit = core::limits::kMaxAuditRows, .with_bodies = false});
        if (!changes) return {};
        const std::string detail = document_detail(*text);
        for (const Change& change : *changes) {
          if (change.action == "replace" || change.action == "import")
            return change.detail == detail ? "" : change.action;
        }
        return {};
      },
      [this, path](const std::string& action) {
        if (action.empty()) return;
        core::log_warning(
            "table_file_not_served",
            {{"file", path},
             {"revision", revision_},
             {"remedy", "the registry's table is served; weirctl apply puts the file in its place"}});
      });
}

// ---- reading and publishing -------------------------------------------------------------------------

void ControlThread::validate(TableText table, std::function<void(std::vector<Problem>)> done) {
  in_background(
      worker_,
      [loader = loader_, table = std::move(table)]() mutable -> std::vector<Problem> {
        auto loaded = loader->load(std::move(table.text), table.format);
        return loaded ? std::vector<Problem>() : std::move(loaded.error());
      },
      [done = std::move(done)](std::vector<Problem> problems) { done(std::move(problems)); });
}

void ControlThread::reload_trust() {
  in_background(
      worker_, [loader = loader_, table = current_]() { return loader->reload_trust(table); },
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
        ++trust_reloads_;
        publish("trust anchors read again");
      });
}

uint64_t ControlThread::publish(std::string_view reason) {
  WEIR_ASSERT(current_.tenants->basis() == current_.body->basis);
  auto table = std::make_unique<Table>();
  table->revision = revision_;
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

void ControlThread::when_everyone_uses(uint64_t version, ChangeOutcome outcome, uint64_t began_ns,
                                       ChangeDone done) {
  const uint64_t deadline_ns = core::deadline_after(loop_.now_ns(), core::milliseconds(everyone_timeout_ms_));
  Waiting item{version, deadline_ns, began_ns, std::move(outcome), std::move(done)};
  if (answer_if_live(item)) return;
  waiting_.push_back(std::move(item));
  loop_.timers().schedule(wait_, core::deadline_after(loop_.now_ns(), core::milliseconds(kWaitTickMs)));
}

bool ControlThread::answer_if_live(Waiting& item) {
  if (!gateway_.tables.everyone_uses(item.version)) return false;
  item.outcome.live_ns = core::monotonic_now_ns() - item.began_ns;
  if (item.outcome.durable_ns == 0) item.outcome.durable_ns = item.outcome.live_ns;  // it was so already
  item.done(std::move(item.outcome));
  return true;
}

// A shard that has taken a table wakes this loop.
void ControlThread::on_turn(void* self_pointer) {
  auto& self = *static_cast<ControlThread*>(self_pointer);
  if (!self.waiting_.empty()) self.answer_waiting();
}

void ControlThread::answer_waiting() {
  std::vector<Waiting> waiting = std::exchange(waiting_, {});
  for (Waiting& item : waiting) {
    if (answer_if_live(item)) continue;
    if (loop_.now_ns() < item.deadline_ns) {
      waiting_.push_back(std::move(item));
      continue;
    }
    item.done(std::unexpected(Refusal{
        .kind = Refusal::Kind::slow_shards,
        .message = fmt::format("Revision {} is published, but not every shard has taken it up in time.",
                               item.outcome.revision),
        .revision = item.outcome.revision}));
  }
}

void ControlThread::on_wait(core::Timer& timer) {
  auto& self = timer.owner<ControlThread>();
  self.answer_waiting();
  if (self.waiting_.empty()) return;
  self.loop_.timers().schedule(timer,
                               core::deadline_after(self.loop_.now_ns(), core::milliseconds(kWaitTickMs)));
}

void ControlThread::on_tick(core::Timer& timer) {
  auto& self = timer.owner<ControlThread>();
  const uint64_t drained_before = self.records_drained_;
  const uint64_t percent = self.drain_records();
  const uint64_t written_before = self.log_.lines_written();
  self.log_.flush(self.loop_.now_ns());
  self.reclaim();
  self.gateway_.calendar.tick(self.loop_.now_ns(), self.loop_.wall_now_ns());
  // A pipe takes little at once, and its reader reads.
  if (self.log_.pending() && self.log_.lines_written() != written_before) {
    self.tick_ms_ = kMinTickMs;
  } else if (percent >= kFullPercent) {
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
  // While an exchange is on an earlier table, or a change is on its way, their hosts stay in the book.
  if (!hosts_dirty_ || !changes_.empty() || gateway_.tables.live_versions() > 1) return;
  hosts_dirty_ = false;
  addresses_.set_hosts(current_.hosts);
}

void ControlThread::flush() {
  drain_records();
  log_.finish(loop_.now_ns(), kLogPatienceMs);
}

void ControlThread::reopen_access_log() {
  drain_records();
  if (auto reopened = log_.reopen(loop_.now_ns()); !reopened) {
    core::log_error("access_log_not_reopened", {{"reason", reopened.error()}});
  }
}

}  // namespace weir::routing
