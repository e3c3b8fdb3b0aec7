#include "tools/mock-provider/journal.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tools/mock-provider/text.h"

namespace weir::tools {
namespace {

bool is_credential(std::string_view name) {
  constexpr std::string_view kNames[] = {"authorization", "proxy-authorization", "x-api-key", "api-key",
                                         "cookie"};
  return std::ranges::any_of(kNames, [&](std::string_view known) {
    return std::ranges::equal(known, name,
                              [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b + 32 : b); });
  });
}

// The scheme stays, what follows is digested.
std::string without_secret(std::string_view value) {
  const size_t space = value.find(' ');
  const size_t begin = space == std::string_view::npos ? 0 : space + 1;
  return std::string(value.substr(0, begin)) + "sha256:" + short_digest(value.substr(begin));
}

}  // namespace

uint64_t Journal::note(const net::ServerSession& session, const net::Request& request, int64_t time_ns) {
  JournalEntry entry;
  entry.id = next_id_++;
  entry.connection = session.number;
  entry.time_ns = time_ns;
  entry.method = request.head.method_text.view(request.base);
  entry.target = request.head.target.view(request.base);
  for (const net::Field& field : request.head.fields) {
    const std::string_view name = field.name(request.base), value = field.value(request.base);
    entry.headers.emplace_back(name, is_credential(name) ? without_secret(value) : std::string(value));
  }
  entry.body_bytes = request.body.size();
  entry.body.assign(reinterpret_cast<const char*>(request.body.data()),
                    std::min(request.body.size(), kMaxBodyBytes));
  body_bytes_ += entry.body.size();
  entries_.push_back(std::move(entry));
  make_room();
  return next_id_ - 1;
}

void Journal::make_room() {
  while (entries_.size() > kMaxEntries || body_bytes_ > kMaxTotalBytes) {
    body_bytes_ -= entries_.front().body.size();
    entries_.pop_front();
  }
}

JournalEntry* Journal::find(uint64_t id) {
  if (entries_.empty() || id < entries_.front().id || id > entries_.back().id) return nullptr;
  return &entries_[id - entries_.front().id];
}

void Journal::clear() {
  entries_.clear();
  body_bytes_ = 0;
}

std::string Journal::to_json() const {
  using nlohmann::json;
  json list = json::array();
  for (const JournalEntry& entry : entries_) {
    json headers = json::array();
    for (const auto& [name, value] : entry.headers) headers.push_back({name, value});
    list.push_back({{"id", entry.id},
                    {"connection", entry.connection},
                    {"time_ns", entry.time_ns},
                    {"method", entry.method},
                    {"target", entry.target},
                    {"headers", std::move(headers)},
                    {"body", entry.body},
                    {"body_bytes", entry.body_bytes},
                    {"model", entry.model},
                    {"status", entry.status},
                    {"fault", entry.fault},
                    {"answered_bytes", entry.answered_bytes},
                    {"complete", entry.complete},
                    {"aborted", entry.aborted}});
  }
  return list.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace weir::tools
