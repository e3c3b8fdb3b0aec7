// A table as people keep it: one file, stdin, or a folder of files that each hold a part.
//
//   table.d/                      providers.yaml   { providers: {…}, models: {…} }
//                                 support.yaml     { scenarios: {…}, flags: {…} }
//                                 tenants/a.yaml   { tenants: { bank-17: {…} } }
//
// A folder's files (.yaml, .yml, .json; also in folders within; those that begin with a dot are left out) are
// put together object by object. A name that two of them define is an error that names both.
#pragma once

#include <expected>
#include <map>
#include <string>
#include <string_view>

namespace weir::tools {

struct TableText {
  std::string text;
  std::string content_type;
  // Of a folder: the file of every object, by its path in the document: 'prompts["support@2.1.0"]'.
  std::map<std::string, std::string> files = {};

  // The file that holds what is at `path`, or something within; empty when it is not known.
  std::string file_of(std::string_view path) const;
};

// "-" = stdin. The error is for people; it says which file.
std::expected<TableText, std::string> read_table(const std::string& path);

}  // namespace weir::tools
