#include "routing/table/document.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/huge_pages.h"
#include "core/limits.h"
#include "routing/table/yaml.h"

namespace weir::routing {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

std::unexpected<std::vector<Problem>> one_problem(Problem problem) {
  std::vector<Problem> problems;
  problems.push_back(std::move(problem));
  return std::unexpected(std::move(problems));
}

Problem at_offset(std::string_view text, size_t offset, std::string message) {
  Problem problem{.path = "", .message = std::move(message), .line = 1, .column = 1};
  for (const char c : text.substr(0, offset)) {
    if (c == '\n') {
      problem.line++;
      problem.column = 1;
    } else if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) {
      problem.column++;
    }
  }
  return problem;
}

// Reads JSON only to learn where it goes wrong, which simdjson's tree parser does not say.
class ErrorFinder : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    offset = position == 0 ? 0 : position - 1;
    return false;
  }

  std::optional<size_t> offset;
};

Problem describe_json_error(std::string_view json, simdjson::error_code error) {
  if (error == simdjson::DEPTH_ERROR) {
    return {.path = "", .message = fmt::format("nested deeper than {} levels", core::limits::kMaxJsonDepth)};
  }
  if (error == simdjson::MEMALLOC || error == simdjson::CAPACITY) {
    return {.path = "", .message = "not enough memory to read the table"};
  }
  std::string message = fmt::format("not valid JSON: {}", simdjson::error_message(error));
  ErrorFinder finder;
  nlohmann::json::sax_parse(json, &finder);
  if (!finder.offset) return {.path = "", .message = std::move(message)};
  return at_offset(json, *finder.offset, std::move(message));
}

}  // namespace

TableFormat detect_format(std::string_view file_name, std::string_view text) {
  if (file_name.ends_with(".json")) return TableFormat::json;
  if (file_name.ends_with(".yaml") || file_name.ends_with(".yml")) return TableFormat::yaml;
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '{' ? TableFormat::json : TableFormat::yaml;
}

std::expected<Document, std::vector<Problem>> Document::parse(std::string text, TableFormat format) {
  if (text.size() > core::limits::kMaxTableBytes) {
    return one_problem({.path = "",
                        .message = fmt::format("{} bytes long; a table has at most {}", text.size(),
                                               core::limits::kMaxTableBytes)});
  }
  if (text.starts_with(kByteOrderMark)) text.erase(0, kByteOrderMark.size());
  const auto is_utf8 = [](std::string_view bytes) {
    return simdjson::get_active_implementation()->validate_utf8(bytes.data(), bytes.size());
  };
  const Problem no_utf8{.path = "", .message = "not valid UTF-8; save the file as UTF-8"};
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    return one_problem({.path = "", .message = "empty; an empty table is written {}"});
  }

  Document document;
  if (format == TableFormat::yaml) {
    if (!is_utf8(text)) return one_problem(no_utf8);
    auto json = yaml_to_json(text);
    if (!json) return one_problem(std::move(json.error()));
    document.json_ = std::move(*json);
  } else {
    document.json_ = std::move(text);
  }
  document.json_.reserve(document.json_.size() + simdjson::SIMDJSON_PADDING);
  document.parser_ = std::make_unique<simdjson::dom::parser>();
  const simdjson::error_code allocated =
      document.parser_->allocate(document.json_.size(), core::limits::kMaxJsonDepth);
  if (allocated != simdjson::SUCCESS) return one_problem(describe_json_error(document.json_, allocated));
  if (const auto error = document.parser_->doc.allocate(document.json_.size()); error != simdjson::SUCCESS) {
    return one_problem(describe_json_error(document.json_, error));
  }
  // What a large table fills for the first time: about as much as the text of each.
  core::advise_huge_pages(document.parser_->doc.tape.get(), document.json_.size());
  core::advise_huge_pages(document.parser_->doc.string_buf.get(), document.json_.size());
  core::advise_huge_pages(document.parser_->implementation->structural_indexes.get(), document.json_.size());
  const auto error =
      document.parser_->parse(document.json_.data(), document.json_.size(), false).get(document.root_);
  if (error == simdjson::SUCCESS) return document;  // the parser has checked that it is UTF-8
  return one_problem(is_utf8(document.json_) ? describe_json_error(document.json_, error) : no_utf8);
}

}  // namespace weir::routing
