// A row of the log as text: canonical JSON, the same bytes wherever it is made, which the hash chain runs
// over.
//
//   {"action":"row","actor":{"name":"alice","role":"operator"},"approved_by":[],"based_on":41,"detail":null,
//    "killed":[],"objects":{"count":1,"sha256":"…"},"proposal":null,"reason":"…","revision":42,"sequence":42,
//    "target":"…","unkilled":[],"wall_ns":…}
//
// All members are always there. Bytes that are no UTF-8 become '?'; a detail that is no JSON becomes a
// string. objects.sha256 is over one line per object, by kind and name: "9 bank-17 <hex SHA-256 of its body,
// or ->\n". A row that made or changed a proposal has {"id":7,"sha256":"…"} of its text, which is made in the
// same way.
//
// Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "routing/registry/registry.h"
#include "routing/registry/sha256.h"

namespace weir::routing {

struct RecordDigests {
  Sha256Digest objects;
  Sha256Digest proposal;  // where change.proposal is set
};
// Of change.objects only the count counts, in change.object_count.
std::string write_record(const Change& change, const RecordDigests& digests);

struct ParsedRecord {
  Change change;                  // without objects and hash
  std::string objects, proposal;  // digests in hex; the second may be empty
};
// None: this is no record.
std::optional<ParsedRecord> parse_record(std::string_view text);

// What a row that set a label holds as its detail.
std::string write_label(std::string_view name, uint64_t revision);
std::optional<std::pair<std::string, uint64_t>> parse_label(const Change& change);

std::string write_proposal(const Proposal& proposal);
std::optional<Proposal> parse_proposal(std::string_view text);

// Takes in what a change touched, in the order of kinds and names; an empty digest means gone.
class ObjectsDigest {
 public:
  void add(ObjectKind kind, std::string_view name, std::string_view digest);
  Sha256Digest finish() { return hash_.finish(); }

 private:
  Sha256 hash_;
  std::string line_;
};

}  // namespace weir::routing
