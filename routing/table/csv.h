// The registry as CSV (RFC 4180, with a header line): for spreadsheets and auditors.
//
// A field that a spreadsheet would take for a formula (it begins with = + - @, a tab or a line end, also
// after blanks) gets an apostrophe in front, as OWASP's "CSV Injection" advises. Fields are quoted where they
// must be. Pure; any thread.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "routing/table/objects.h"

namespace weir::routing {

// One field; no separator.
void append_csv_field(std::string& out, std::string_view text);

// Every row of every tenant on every flag, one line each:
//   flag,scenario,candidate,tenant,state,percent,segments,start,expires,on_expiry,review,owner,approver,reason,
//   previous,rpm,total_requests,until,on_rollback,tpm,concurrency
// `candidate` is the unit's name, or the layer as JSON; segments are separated by blanks.
class LaunchCsv {
 public:
  static std::string_view header();
  // Objects in the order split_document() gives them; appends the lines of a tenant.
  void add(const ObjectView& object, std::string& out);

 private:
  struct FlagColumns {
    std::string scenario, candidate;
  };
  std::map<std::string, FlagColumns, std::less<>> flags_;
};

// Every object, one line each: kind,name,body.
class ObjectCsv {
 public:
  static std::string_view header();
  static void add(const ObjectView& object, std::string& out);
};

}  // namespace weir::routing
