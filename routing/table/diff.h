// What differs between two tables, for people and machines: object by object, member by member.
//
//   ~ tenant bank-17
//       flags.support-v2.percent: 5 -> 25
//       flags.support-v2.segments: ["internal"] -> (none)
//   + unit support-42 {"model":"gpt-4.1-2025-04-14"}
//   - segment beta {"staff":true}
//   1 added, 1 removed, 1 changed
//
// Mappings are compared by member, everything else as a whole. The order of objects says nothing.
// Pure; any thread.
#pragma once

#include <simdjson.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "routing/table/objects.h"

namespace weir::routing {

struct MemberChange {
  std::string
      path;  // inside the object, as problems write it: flags.support-v2.percent; empty: the object itself
  std::string before;  // JSON; empty = not there
  std::string after;

  friend bool operator==(const MemberChange&, const MemberChange&) = default;
};

// What changed inside one object. Of one that came or went: the whole body, under the empty path.
std::vector<MemberChange> diff_object(const ObjectChange& change);

// The objects that differ between two documents: kinds in the order of the enum, names in the order of
// `after`, then those that are gone.
std::vector<ObjectChange> diff_documents(simdjson::dom::element before, simdjson::dom::element after);

// [{"kind":"tenant","name":"bank-17","change":"changed","members":[{"path":…,"before":…,"after":…}]}]; absent
// values are left out. For one change, appended without the brackets.
void append_diff_json(std::string& out, const ObjectChange& change);
std::string diff_json(std::span<const ObjectChange> changes);

// The text above; every value displayable and shortened. Objects past `max_objects` are only counted.
std::string diff_text(std::span<const ObjectChange> changes, size_t max_objects = SIZE_MAX);

}  // namespace weir::routing
