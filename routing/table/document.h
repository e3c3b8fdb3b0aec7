// A table as text, read into one document model whether it came as YAML or as JSON.
//
//   YAML --yaml_to_json--> JSON text --simdjson--> tree of simdjson::dom::element
//   JSON ------------------------^
//
// JSON takes no detour: a table of a million tenants is parsed in place.
// Control thread only.
#pragma once

#include <simdjson.h>

#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "routing/table/problem.h"

namespace weir::routing {

enum class TableFormat : uint8_t { json, yaml };

// By the file's extension (.json, .yaml, .yml), else by the text: JSON begins with '{'.
TableFormat detect_format(std::string_view file_name, std::string_view text);

class Document {
 public:
  // Takes the text over. A problem here is of syntax, size or encoding, with line and column where known.
  static std::expected<Document, std::vector<Problem>> parse(std::string text, TableFormat format);

  // Lives as long as the Document, wherever that is moved to.
  simdjson::dom::element root() const { return root_; }

  // The document as JSON, as it was written or converted. root() stays valid after it was taken.
  const std::string& json() const { return json_; }
  std::string take_json() { return std::move(json_); }

 private:
  Document() = default;

  std::unique_ptr<simdjson::dom::parser> parser_;  // owns the tree
  std::string json_;
  simdjson::dom::element root_;
};

}  // namespace weir::routing
