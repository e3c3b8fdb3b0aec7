// The house rules that a machine can check, over the sources as they stand. Each failure names the file, the
// line and what to do instead.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace weir {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFileLines = 600;

struct SourceFile {
  std::string path;                // from the repository's root
  std::vector<std::string> lines;  // as written
  std::vector<std::string> code;   // without comments and the inside of literals; same numbering
};

// The layers, lowest first: a file may include its own layer and those before it.
const std::vector<std::string> kLayers = {"core", "net", "routing", "tools"};

bool in(const SourceFile& file, std::string_view folder) {
  return file.path.starts_with(std::string(folder) + "/");
}
bool is_header(const SourceFile& file) {
  return file.path.ends_with(".h");
}

// Blanks out comments and literals, so that a rule about code does not trip over text.
std::vector<std::string> code_of(const std::vector<std::string>& lines) {
  std::vector<std::string> result;
  bool in_comment = false;
  std::string raw_end;  // what ends the raw string we are in
  for (const std::string& line : lines) {
    std::string code;
    for (size_t i = 0; i < line.size();) {
      if (!raw_end.empty()) {
        const size_t end = line.find(raw_end, i);
        if (end == std::string::npos) break;
        i = end + raw_end.size();
        raw_end.clear();
      } else if (in_comment) {
        const size_t end = line.find("*/", i);
        if (end == std::string::npos) break;
        in_comment = false;
        i = end + 2;
      } else if (line.compare(i, 2, "//") == 0) {
        break;
      } else if (line.compare(i, 2, "/*") == 0) {
        in_comment = true;
        i += 2;
      } else if (line.compare(i, 2, "R\"") == 0) {
        const size_t open = line.find('(', i);
        raw_end = ")" + line.substr(i + 2, open - i - 2) + "\"";
        i = open + 1;
      } else if (line[i] == '"' ||
                 (line[i] == '\'' && (i == 0 || !std::isalnum(static_cast<unsigned char>(line[i - 1]))))) {
        const char quote = line[i];
        code += quote;
        for (++i; i < line.size() && line[i] != quote; ++i) {
          if (line[i] == '\\') ++i;
        }
        code += quote;
        ++i;
      } else {
        code += line[i++];
      }
    }
    result.push_back(std::move(code));
  }
  return result;
}

const std::vector<SourceFile>& sources() {
  static const std::vector<SourceFile> files = [] {
    std::vector<SourceFile> result;
    const fs::path root = WEIR_SOURCE_ROOT;
    for (const char* folder : {"core", "net", "routing", "tools", "tests", "bench"}) {
      for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
        const std::string extension = entry.path().extension();
        if (extension != ".h" && extension != ".cc") continue;
        SourceFile file{.path = fs::relative(entry.path(), root), .lines = {}, .code = {}};
        std::ifstream stream(entry.path());
        for (std::string line; std::getline(stream, line);) file.lines.push_back(line);
        file.code = code_of(file.lines);
        result.push_back(std::move(file));
      }
    }
    std::ranges::sort(result, {}, &SourceFile::path);
    return result;
  }();
  return files;
}

std::string at(const SourceFile& file, size_t line) {
  return file.path + ":" + std::to_string(line + 1) + ": ";
}

// The path between the quotes of an #include, empty for any other line.
std::string quoted_include(const std::string& line) {
  constexpr std::string_view kInclude = "#include \"";
  if (!line.starts_with(kInclude)) return {};
  return line.substr(kInclude.size(), line.find('"', kInclude.size()) - kInclude.size());
}

bool is_word_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// Whether `code` holds `word` as a word of its own. A word ending in '(' is a call, but not of a member; one
// ending in '_' is the beginning of names.
bool uses(std::string_view code, std::string_view word) {
  for (size_t found = code.find(word); found != std::string_view::npos; found = code.find(word, found + 1)) {
    const char before = found == 0 ? ' ' : code[found - 1];
    const size_t end = found + word.size();
    const char after = end == code.size() ? ' ' : code[end];
    if (is_word_character(before)) continue;
    if (word.back() == '(' && (before == '.' || before == '>')) continue;
    if (is_word_character(word.back()) && word.back() != '_' && is_word_character(after)) continue;
    return true;
  }
  return false;
}

// Words that are not allowed in some folders.
struct Ban {
  std::vector<std::string> words;
  std::vector<std::string> folders;  // where they are banned
  std::vector<std::string> allowed;  // paths beginning with one of these may use them all the same
  std::string instead;
};

const std::vector<std::string> kLayersBelowTools = {"core", "net", "routing"};
const std::vector<std::string> kShipped = {"core", "net", "routing", "tools"};
const std::vector<std::string> kAll = {"core", "net", "routing", "tools", "tests", "bench"};
const std::vector<std::string> kHot = {"routing/decide", "routing/exchange", "routing/guard",
                                       "routing/inspect", "net/http"};
const std::vector<std::string> kPure = {"routing/decide", "routing/inspect", "routing/ofrep", "net/http"};

const std::vector<Ban>& bans() {
  static const std::vector<Ban> list = {
      {{"throw"},
       kLayersBelowTools,
       {"routing/inspect/field_name.cc"},  // consteval: fails the build, never runs
       "return core::fail(code)"},
      {{"std::regex"}, kLayersBelowTools, {}, "a parser of its own; it is slow and its recursion unbounded"},
      {{"strcpy(", "strcat(", "sprintf(", "vsprintf(", "gets(", "strtok("},
       kAll,
       {},
       "std::string_view, std::to_chars, fmt"},
      {{"atoi(", "atol(", "atoll(", "atof("},
       kShipped,
       {},
       "std::from_chars: it reports what is not a number"},
      {{"printf(", "fprintf(", "puts(", "fputs(", "std::cout", "std::cerr", "std::clog"},
       kLayersBelowTools,
       {"core/assert.cc"},  // the last words of a process
       "core/log.h"},
      {{"sleep(", "usleep(", "nanosleep(", "sleep_for", "sleep_until"},
       kAll,
       {},
       "a timer of the loop, or a wait for the event itself"},
      {{"rand(", "srand("}, kAll, {}, "a seeded generator, or getrandom for secrets"},
      {{"std::mutex", "std::shared_mutex", "std::condition_variable"},
       kHot,
       {},
       "per-shard state, core/snapshot.h, core/spsc_queue.h"},
      {{"std::shared_ptr"},
       kPure,
       {},
       "one owner, or a handle of core/slab.h: reference counts are shared cache lines"},
      {{"std::function", "std::map", "std::unordered_map", "std::list", "std::deque"},
       kPure,
       {"routing/decide/row_index.cc"},  // builds the index with the table; requests only read it
       "fixed or flat containers: this runs once per request"},
      {{"system_clock", "steady_clock", "high_resolution_clock", "clock_gettime(", "gettimeofday("},
       kLayersBelowTools,
       {"core/system/", "core/log.cc"},  // the log writes when something really happened
       "core/clock.h: time can be simulated, and is read once per turn"},
      {{"assert("}, kAll, {}, "WEIR_ASSERT: it stays on in release"},
      {{"volatile"}, kLayersBelowTools, {}, "std::atomic"},
      {{"getenv("},
       kLayersBelowTools,
       {"net/tls/tls_client_context.cc"},  // SSL_CERT_FILE, as every OpenSSL program
       "configuration: only tools/ read the environment"},
      {{"io_uring_", "epoll_"},
       kLayersBelowTools,
       {"core/system/"},
       "core/io.h: the seam that can be simulated"},
  };
  return list;
}

TEST(Tidy, FindsTheSources) {
  ASSERT_GT(sources().size(), 20u);
  for (const std::string& layer : kLayers) {
    EXPECT_TRUE(std::ranges::any_of(sources(), [&](const SourceFile& file) { return in(file, layer); }))
        << layer;
  }
}

TEST(Tidy, IncludesPointFromToolsToCore) {
  for (const SourceFile& file : sources()) {
    const auto own = std::ranges::find_if(kLayers, [&](const std::string& layer) { return in(file, layer); });
    if (own == kLayers.end()) continue;  // tests and bench know everything
    for (size_t i = 0; i < file.lines.size(); ++i) {
      const std::string include = quoted_include(file.lines[i]);
      if (include.empty()) continue;
      const auto target = std::ranges::find(kLayers, include.substr(0, include.find('/')));
      EXPECT_TRUE(target != kLayers.end())
          << at(file, i) << include << ": quoted includes begin at the root, with a layer";
      EXPECT_LE(target, own) << at(file, i) << include << ": includes point tools -> routing -> net -> core";
    }
  }
}

TEST(Tidy, NobodyIncludesTestsOrBench) {
  for (const SourceFile& file : sources()) {
    if (in(file, "tests") || in(file, "bench")) continue;
    for (size_t i = 0; i < file.lines.size(); ++i) {
      const std::string include = quoted_include(file.lines[i]);
      EXPECT_FALSE(include.starts_with("tests/") || include.starts_with("bench/")) << at(file, i) << include;
    }
  }
}

TEST(Tidy, BannedWordsStayOut) {
  auto any_start = [](const std::vector<std::string>& starts, const std::string& path) {
    return std::ranges::any_of(starts, [&](const std::string& start) { return path.starts_with(start); });
  };
  for (const Ban& ban : bans()) {
    for (const SourceFile& file : sources()) {
      if (!any_start(ban.folders, file.path) || any_start(ban.allowed, file.path)) continue;
      for (size_t i = 0; i < file.code.size(); ++i) {
        for (const std::string& word : ban.words) {
          EXPECT_FALSE(uses(file.code[i], word))
              << at(file, i) << file.lines[i] << "\n    instead: " << ban.instead;
        }
      }
    }
  }
}

TEST(Tidy, FilesStayShort) {
  for (const SourceFile& file : sources()) {
    EXPECT_LE(file.lines.size(), kMaxFileLines) << file.path << " wants to be two files";
  }
}

TEST(Tidy, NothingIsLeftForLater) {
  // Written apart, or this file would find itself.
  const std::vector<std::string> marks = {std::string("TO") + "DO", std::string("FIX") + "ME",
                                          std::string("XX") + "X", std::string("HA") + "CK"};
  for (const SourceFile& file : sources()) {
    for (size_t i = 0; i < file.lines.size(); ++i) {
      for (const std::string& mark : marks) {
        EXPECT_FALSE(uses(file.lines[i], mark)) << at(file, i) << file.lines[i];
      }
    }
  }
}

TEST(Tidy, HeadersSayWhatTheyAreAndGuardThemselves) {
  for (const SourceFile& file : sources()) {
    if (!is_header(file)) continue;
    ASSERT_FALSE(file.lines.empty()) << file.path;
    EXPECT_TRUE(file.lines[0].starts_with("// ")) << file.path << ": a header begins with what it is and why";
    const auto guard = std::ranges::find(file.lines, "#pragma once");
    EXPECT_TRUE(guard != file.lines.end()) << file.path << ": #pragma once is missing";
    const auto first_code = std::ranges::find_if(file.code, [](const std::string& line) {
      return line.find_first_not_of(" \t") != std::string::npos;
    });
    if (first_code != file.code.end()) {
      EXPECT_EQ(*first_code, "#pragma once") << file.path << ": it comes before all code";
    }
  }
}

TEST(Tidy, HeadersDoNotOpenNamespaces) {
  for (const SourceFile& file : sources()) {
    if (!is_header(file)) continue;
    for (size_t i = 0; i < file.code.size(); ++i) {
      EXPECT_FALSE(uses(file.code[i], "using namespace")) << at(file, i) << file.lines[i];
    }
  }
}

TEST(Tidy, EveryFileOfALayerIsInItsNamespace) {
  const std::map<std::string, std::string> namespaces = {{"core", "namespace weir::core"},
                                                         {"net", "namespace weir::net"},
                                                         {"routing", "namespace weir::routing"}};
  for (const SourceFile& file : sources()) {
    for (const auto& [folder, line] : namespaces) {
      if (!in(file, folder) || file.path == "core/error_table.h") continue;
      const bool found =
          std::ranges::any_of(file.code, [&](const std::string& code) { return code.starts_with(line); });
      EXPECT_TRUE(found) << file.path << ": put it in " << line;
    }
  }
}

TEST(Tidy, SeesCodeApartFromTextAndComments) {
  EXPECT_EQ(code_of({"a; // throw", "/* throw", "throw */ b;", "c(\"throw\\\"\", 'x', 1'000);"}),
            (std::vector<std::string>{"a; ", "", " b;", "c(\"\", '', 1'000);"}));
  EXPECT_EQ(code_of({"x = R\"(throw", "throw)\"; y"}), (std::vector<std::string>{"x = ", "; y"}));
}

TEST(Tidy, TellsWordsFromPartsOfWords) {
  EXPECT_TRUE(uses("int x = rand();", "rand("));
  EXPECT_TRUE(uses("std::rand()", "rand("));
  EXPECT_FALSE(uses("brand()", "rand("));
  EXPECT_FALSE(uses("generator.rand()", "rand("));
  EXPECT_TRUE(uses("std::map<int, int> m;", "std::map"));
  EXPECT_FALSE(uses("std::mapped_thing m;", "std::map"));
  EXPECT_TRUE(uses("io_uring_enter(fd);", "io_uring_"));
}

}  // namespace
}  // namespace weir
