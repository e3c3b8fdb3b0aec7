// What the mock provider was asked, for tests to look at: the last requests, oldest first. Credentials are
// kept as digests only ("Bearer sha256:0123456789abcdef").
//
// Thread: the loop's. Limits: kMaxEntries, kMaxBodyBytes per entry, kMaxTotalBytes; the oldest makes room.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "net/server_session.h"

namespace weir::tools {

struct JournalEntry {
  uint64_t id = 0;
  uint64_t connection = 0;  // from 1, in the order of acceptance
  int64_t time_ns = 0;      // since 1970, when the request was whole
  std::string method;
  std::string target;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;  // verbatim up to kMaxBodyBytes
  uint64_t body_bytes = 0;
  std::string model;
  int status = 0;               // of the answer; 0 = none was begun
  uint64_t fault = 0;           // the id of the one that applied
  uint64_t answered_bytes = 0;  // of the answer's body
  bool complete = false;        // the answer has been handed over whole
  bool aborted = false;         // the client was gone before
};

class Journal {
 public:
  static constexpr size_t kMaxEntries = 10'000;
  static constexpr size_t kMaxBodyBytes = 256 * 1024;
  static constexpr size_t kMaxTotalBytes = 256u << 20;

  // Notes a request; the id finds its entry for as long as it is kept.
  uint64_t note(const net::ServerSession& session, const net::Request& request, int64_t time_ns);
  // Null once it has made room.
  JournalEntry* find(uint64_t id);
  void clear();

  // A JSON array. Bytes of a body that are not UTF-8 become U+FFFD.
  std::string to_json() const;

 private:
  void make_room();

  std::deque<JournalEntry> entries_;
  uint64_t next_id_ = 1;
  size_t body_bytes_ = 0;
};

}  // namespace weir::tools
