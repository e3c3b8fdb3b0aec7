#include "tools/weirctl/table_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <vector>

#include "routing/table/document.h"
#include "routing/table/objects.h"

namespace weir::tools {
namespace {

namespace fs = std::filesystem;
using Element = simdjson::dom::element;
using Result = std::expected<TableText, std::string>;

std::expected<std::string, std::string> read_file(const std::string& file) {
  std::string text;
  try {
    std::ifstream opened;
    if (file != "-") opened.open(file, std::ios::binary);
    std::istream& input = file == "-" ? std::cin : opened;
    text.assign(std::istreambuf_iterator<char>(input), {});
    if (file != "-" && !opened.is_open()) throw std::ios_base::failure("cannot be opened");
  } catch (const std::ios_base::failure&) {
    return std::unexpected(fmt::format("cannot read {}: {}", file, std::strerror(errno)));
  }
  return text;
}

bool is_table_file(const fs::path& path) {
  return path.extension() == ".yaml" || path.extension() == ".yml" || path.extension() == ".json";
}

// In the order of their names, so that the same folder always makes the same document.
std::expected<std::vector<std::string>, std::string> files_in(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (entry->path().filename().string().starts_with('.')) {
      if (entry->is_directory()) entry.disable_recursion_pending();
    } else if (is_table_file(entry->path()) && entry->is_regular_file(error)) {
      files.push_back(entry->path().string());
    }
  }
  if (error) return std::unexpected(fmt::format("cannot read {}: {}", folder, error.message()));
  if (files.empty()) return std::unexpected(fmt::format("{} holds no .yaml, .yml or .json file", folder));
  std::ranges::sort(files);
  return files;
}

// Comments and blank lines alone: a file that somebody has prepared.
bool is_comment_only(std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    const size_t first = line.find_first_not_of(" \t\r");
    if (first != std::string_view::npos && line[first] != '#') return false;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return true;
}

// How problems write the object's place in the document.
std::string path_of(const routing::ObjectView& object, size_t key_index) {
  const routing::Path root, section(root, routing::plural(object.kind));
  if (object.kind == routing::ObjectKind::key) return routing::Path(section, key_index).text();
  return routing::Path(section, object.name).text();
}

// What split_document() would leave out without a word.
std::optional<std::string> misshapen(Element root) {
  simdjson::dom::object members;
  if (root.get_object().get(members) != simdjson::SUCCESS) return "must be a mapping of sections";
  for (const auto [name, value] : members) {
    const auto kind = routing::parse_object_kind(name);
    if (!kind || routing::plural(*kind) != name || kind == routing::ObjectKind::settings) continue;
    if (*kind != routing::ObjectKind::key) {
      if (!value.is_object()) return fmt::format("{} must be a mapping of names", name);
      continue;
    }
    simdjson::dom::array keys;
    if (value.get_array().get(keys) != simdjson::SUCCESS) return "keys must be a list";
    for (const Element key : keys) {
      if (!key["id"].is_string()) return "every key needs an id that is text";
    }
  }
  return std::nullopt;
}

class Folder {
 public:
  std::optional<std::string> add(const std::string& file) {
    auto text = read_file(file);
    if (!text) return text.error();
    const auto format = routing::detect_format(file, *text);
    if (format == routing::TableFormat::yaml && is_comment_only(*text)) return std::nullopt;
    auto document = routing::Document::parse(*std::move(text), format);
    if (!document) return fmt::format("{}: {}", file, routing::to_string(document.error().front()));
    if (auto problem = misshapen(document->root())) return fmt::format("{}: {}", file, *problem);
    std::optional<std::string> clash;
    routing::split_document(document->root(), [&](const routing::ObjectView& object) {
      const bool is_settings = object.kind == routing::ObjectKind::settings;
      const std::string what = fmt::format("{} {}", routing::to_string(object.kind), object.name);
      const auto [place, fresh] = owners_.emplace(what, file);
      if (!fresh && !clash) {
        clash =
            fmt::format("{} and {} both hold {}", place->second, file,
                        is_settings ? "settings (members beside the sections); keep them in one file" : what);
      }
      files_.emplace(path_of(object, object.kind == routing::ObjectKind::key ? keys_++ : 0), file);
      builder_.add(object);
    });
    return clash;
  }

  TableText take() {
    return {.text = builder_.take(), .content_type = "application/json", .files = std::move(files_)};
  }

 private:
  routing::DocumentBuilder builder_;
  std::map<std::string, std::string> owners_, files_;
  size_t keys_ = 0;
};

}  // namespace

std::string TableText::file_of(std::string_view path) const {
  for (const auto& [prefix, file] : files) {
    if (!path.starts_with(prefix)) continue;
    if (path.size() == prefix.size() || path[prefix.size()] == '.' || path[prefix.size()] == '[') return file;
  }
  return {};
}

Result read_table(const std::string& path) {
  std::error_code error;
  if (path != "-" && fs::is_directory(path, error)) {
    const auto files = files_in(path);
    if (!files) return std::unexpected(files.error());
    Folder folder;
    for (const std::string& file : *files) {
      if (auto problem = folder.add(file)) return std::unexpected(*std::move(problem));
    }
    return folder.take();
  }
  auto text = read_file(path);
  if (!text) return std::unexpected(text.error());
  const bool is_json = routing::detect_format(path == "-" ? "" : path, *text) == routing::TableFormat::json;
  return TableText{.text = *std::move(text),
                   .content_type = is_json ? "application/json" : "application/yaml"};
}

}  // namespace weir::tools
