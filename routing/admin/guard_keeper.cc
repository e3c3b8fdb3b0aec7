#include "routing/admin/guard_keeper.h"

#include <algorithm>
#include <span>
#include <utility>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"

namespace weir::routing {
namespace {

// More than kMaxGuardLines and kMaxUserMemoryBytes come to.
constexpr uint64_t kMaxStateBytes = uint64_t{4} << 30;
constinit core::RateLimitedLog write_failures(1);

std::expected<void, std::string> replace_file(const std::string& path, std::string_view text) {
  auto file = core::ReplacementFile::create(path);
  if (!file) return std::unexpected(std::move(file.error()));
  if (auto written = (*file)->write(std::as_bytes(std::span(text))); !written) return written;
  return (*file)->commit();
}

}  // namespace

GuardKeeper::GuardKeeper(core::Loop& loop, Gateway& gateway, std::string path)
    : loop_(loop),
      gateway_(gateway),
      path_(std::move(path)),
      tick_(on_tick, this),
      worker_(std::make_unique<Worker>()) {}

GuardKeeper::~GuardKeeper() {
  tick_.cancel();
  worker_.reset();  // the file under way is written
  if (!keeps_) return;
  if (handed_) {
    write_late();
  } else {
    write(counted(), now());
  }
}

const GuardTime& GuardKeeper::now() {
  return calendar_.at(loop_.now_ns(), gateway_.calendar.point());
}

std::string GuardKeeper::late_path(uint64_t id) const {
  return path_ + ".late-" + std::to_string(id);
}

// The newest table's guards, without the table: they share its memory.
Table GuardKeeper::counted() const {
  const Table& newest = *gateway_.tables.newest();
  Table copy;
  copy.body = newest.body;
  copy.tenants = newest.tenants;
  copy.guards = newest.guards;
  return copy;
}

std::expected<size_t, std::string> GuardKeeper::restore() {
  if (!core::file_exists(path_)) return 0;
  const auto refused = [this](std::string reason) {
    keeps_ = false;
    return std::unexpected(std::move(reason));
  };
  auto text = core::read_file(path_, kMaxStateBytes);
  if (!text) return refused(std::move(text.error()));
  const auto found = restore_guards(counted(), gateway_.users, *text, now());
  if (!found)
    return refused(path_ + " holds nothing that this version can read; move it away to begin with nothing counted");
  for (const LateMark& mark : late_marks(*text)) late_.push_back({mark});
  return *found;
}

void GuardKeeper::start() {
  loop_.timers().schedule(tick_, core::deadline_after(loop_.now_ns(), core::milliseconds(kPeriodMs)));
}

bool GuardKeeper::hand_over() {
  tick_.cancel();
  worker_.reset();
  const GuardTime then = now();
  late_.push_back({{.id = static_cast<uint64_t>(then.wall_ns)}});
  if (!write(counted(), then)) {
    go_on(then);
    return false;
  }
  handed_.emplace(Handed{.then = then, .state = written_});
  return true;
}

void GuardKeeper::take_back() {
  if (!handed_) return;
  add_successors();
  const GuardTime then = handed_->then;
  handed_.reset();
  go_on(then);
}

// A successor takes clients a while before it says that it is ready. What it has written goes on from what we have.
void GuardKeeper::add_successors() {
  const auto text = core::read_file(path_, kMaxStateBytes);
  if (text && *text == handed_->state) return;
  if (!text || !is_guard_state(*text)) {
    const std::string reason = text ? path_ + " holds nothing that this version can read" : text.error();
    core::log_error("successors_guards_not_read", {{"reason", reason}});
    return;
  }
  const std::string since = guards_since(handed_->state, *text, handed_->then, now(), SavedBy::restored);
  const auto rules = add_guards(counted(), gateway_.users, since, now());
  core::log_info("successors_guards_added", {{"rules", rules.value_or(0)}});
}

// Writes again, though a handover has begun at `then`.
void GuardKeeper::go_on(const GuardTime& then) {
  std::erase_if(late_, [&](const Late& late) { return late.id == static_cast<uint64_t>(then.wall_ns); });
  written_.clear();  // the other one may have written, or it is in place and was not called written
  worker_ = std::make_unique<Worker>();
  start();
}

// False: it could not be written.
bool GuardKeeper::write(const Table& table, const GuardTime& now) {
  const uint64_t began_ns = core::monotonic_now_ns();
  std::string text = save_guards(table, gateway_.users, now);
  const uint64_t ended_ns = core::monotonic_now_ns();
  rests_until_ns_.store(ended_ns + kRestPerWork * (ended_ns - began_ns), std::memory_order_relaxed);
  for (const Late& late : late_) append_late_mark(text, late);
  if (text == written_) return true;
  if (auto done = replace_file(path_, text); !done) {
    write_failures.log(now.now_ns, core::LogLevel::error, "guard_state_not_written",
                       {{"reason", done.error()}});
    return false;
  }
  written_ = std::move(text);
  writes_.fetch_add(1, std::memory_order_relaxed);
  std::erase_if(late_, [this](const Late& late) {
    if (late.added) core::remove_file(late_path(late.id));
    return late.added;
  });
  return true;
}

void GuardKeeper::write_late() {
  const std::string all = save_guards(counted(), gateway_.users, handed_->then, SavedRules::all);
  const std::string path = late_path(static_cast<uint64_t>(handed_->then.wall_ns));
  if (auto done = replace_file(path, guards_since(handed_->state, all, handed_->then, now())); !done)
    core::log_error("late_guards_not_written", {{"reason", done.error()}});
}

void GuardKeeper::add_late(const Table& table, const GuardTime& now) {
  for (Late& late : late_) {
    const std::string path = late_path(late.id);
    if (late.added || late.unreadable || !core::file_exists(path)) continue;
    std::optional<size_t> rules;
    auto text = core::read_file(path, kMaxStateBytes);
    if (text) rules = add_guards(table, gateway_.users, *text, now);
    late.added = rules.has_value();
    late.unreadable = !late.added;
    if (late.added) {
      core::log_info("late_guards_added", {{"rules", *rules}});
    } else {
      const std::string reason = text ? path + " holds nothing that this version can read" : text.error();
      core::log_error("late_guards_not_read", {{"reason", reason}});
    }
  }
  std::erase_if(late_, [&](const Late& late) {
    return !late.added && static_cast<uint64_t>(now.wall_ns) > late.id + kAwaitNs;
  });
}

void GuardKeeper::write_in_background() {
  if (writing_.exchange(true, std::memory_order_acquire)) return;  // the disk is slow
  worker_->run([this, table = counted(), now = GuardTime(now()), takes_late = takes_late_] {
    if (takes_late) add_late(table, now);
    write(table, now);
    writing_.store(false, std::memory_order_release);
  });
}

void GuardKeeper::on_tick(core::Timer& timer) {
  auto& self = timer.owner<GuardKeeper>();
  if (self.loop_.now_ns() >= self.rests_until_ns_.load(std::memory_order_relaxed)) self.write_in_background();
  self.start();
}

}  // namespace weir::routing
