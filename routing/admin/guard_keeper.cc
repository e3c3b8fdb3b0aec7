#include "routing/admin/guard_keeper.h"

#include <span>
#include <utility>

#include "core/file.h"
#include "core/log.h"
#include "routing/guard/guard_state.h"

namespace weir::routing {
namespace {

constexpr uint64_t kMaxStateBytes = uint64_t{1} << 30;  // kMaxGuardLines of them are less
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
  worker_ = std::make_unique<Worker>();
  write_in_background();
  worker_.reset();
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
  const auto found =
      restore_guards(counted(), *text, calendar_.at(loop_.now_ns(), gateway_.calendar.point()));
  if (!found)
    return refused(path_ + " holds nothing that this version can read; move it away to begin with nothing counted");
  return *found;
}

void GuardKeeper::start() {
  loop_.timers().schedule(tick_, core::deadline_after(loop_.now_ns(), core::milliseconds(kPeriodMs)));
}

void GuardKeeper::write_in_background() {
  if (writing_.exchange(true, std::memory_order_acquire)) return;  // the disk is slow
  const GuardTime now = calendar_.at(loop_.now_ns(), gateway_.calendar.point());
  worker_->run([this, table = counted(), now] {
    std::string text = save_guards(table, now);
    if (text != written_) {
      if (auto done = replace_file(path_, text); done) {
        written_ = std::move(text);
        writes_.fetch_add(1, std::memory_order_relaxed);
      } else {
        write_failures.log(now.now_ns, core::LogLevel::error, "guard_state_not_written",
                        {{"reason", done.error()}});
      }
    }
    writing_.store(false, std::memory_order_release);
  });
}

void GuardKeeper::on_tick(core::Timer& timer) {
  auto& self = timer.owner<GuardKeeper>();
  self.write_in_background();
  self.start();
}

}  // namespace weir::routing
