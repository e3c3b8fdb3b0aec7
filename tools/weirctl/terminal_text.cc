#include "tools/weirctl/terminal_text.h"

#include <locale.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "core/display_text.h"

namespace weir::tools {
namespace {

constexpr size_t kGap = 2;           // blanks between two columns
constexpr size_t kNarrowProse = 16;  // columns of text below which reading is no fun
constexpr size_t kNarrowNames = 6;
constexpr size_t kRoomForNote = 32;
constexpr size_t kNoteIndent = 4;

// wcwidth() knows characters by the thread's locale, which is "C" in every program at its start.
size_t character_width(char32_t code) {
  static const locale_t unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  if (code < 0x80 || unicode == nullptr) return 1;
  const locale_t before = uselocale(unicode);
  const int width = wcwidth(static_cast<wchar_t>(code));
  uselocale(before);
  return width < 0 ? 1 : static_cast<size_t>(width);
}

// Bytes of the longest beginning of `text` that takes at most `width` columns; at least one character.
size_t bytes_within(std::string_view text, size_t width) {
  size_t bytes = 0, columns = 0;
  while (bytes < text.size()) {
    const core::Character next = core::first_character(text.substr(bytes));
    columns += character_width(next.code);
    if (columns > width && bytes > 0) break;
    bytes += next.bytes;
  }
  return bytes;
}

bool says_nothing(std::string_view cell) {
  return cell.empty() || cell == "-";
}

size_t sum_of(const std::vector<size_t>& widths) {
  size_t sum = 0;
  for (const size_t width : widths) sum += width + kGap;
  return sum == 0 ? 0 : sum - kGap;
}

// Takes columns away from the widest of those that may give way, prose first, until the table fits or nothing
// gives way any more.
void narrow(const std::vector<Column>& columns, std::vector<size_t>& widths, size_t width) {
  for (const Fit fit : {Fit::prose, Fit::names}) {
    while (sum_of(widths) > width) {
      size_t* widest = nullptr;
      for (size_t i = 0; i < widths.size(); ++i) {
        const bool may = columns[i].fit != Fit::names || fit == Fit::names;
        const size_t least = fit == Fit::prose ? kNarrowProse : kNarrowNames;
        if (may && widths[i] > least && (widest == nullptr || widths[i] > *widest)) widest = &widths[i];
      }
      if (widest == nullptr) break;
      --*widest;
    }
  }
}

void append_row(std::string& out, const std::vector<Column>& columns, const std::vector<size_t>& widths,
                const std::vector<std::string>& row) {
  std::vector<std::vector<std::string>> cells;
  size_t height = 1;
  for (size_t i = 0; i < columns.size(); ++i) {
    cells.push_back(wrap(row[i], widths[i]));
    height = std::max(height, cells.back().size());
  }
  for (size_t y = 0; y < height; ++y) {
    std::string line;
    for (size_t i = 0; i < columns.size(); ++i) {
      const std::string text = y < cells[i].size() ? cells[i][y] : "";
      const size_t taken = display_width(text);
      const std::string padding(widths[i] > taken ? widths[i] - taken : 0, ' ');
      line += columns[i].align == Align::right ? padding + text : text + padding;
      line.append(kGap, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
}

}  // namespace

size_t terminal_width() {
  if (const char* columns = std::getenv("COLUMNS"); columns != nullptr) {
    size_t width = 0;
    const char* end = columns + std::strlen(columns);
    if (std::from_chars(columns, end, width).ptr == end && width > 0) return width;
  }
  winsize size{};
  return isatty(STDOUT_FILENO) == 1 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

std::string shown(std::string_view text) {
  return core::displayable(text);
}

size_t display_width(std::string_view text) {
  size_t width = 0;
  while (!text.empty()) {
    const core::Character next = core::first_character(text);
    width += character_width(next.code);
    text.remove_prefix(next.bytes);
  }
  return width;
}

std::vector<std::string> wrap(std::string_view text, size_t width) {
  if (width == 0 || display_width(text) <= width) return {std::string(text)};
  std::vector<std::string> lines;
  while (!text.empty()) {
    size_t end = bytes_within(text, width);
    if (end < text.size() && text[end] != ' ') {
      const size_t blank = text.substr(0, end).rfind(' ');
      if (blank != std::string_view::npos && blank > 0) end = blank;
    }
    std::string line(text.substr(0, end));
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(std::move(line));
    text.remove_prefix(end);
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  }
  return lines;
}

std::string wrapped(std::string_view text, size_t width, size_t hang) {
  std::string result;
  const std::vector<std::string> first = wrap(text, width);
  result = first[0];
  if (first.size() == 1) return result + '\n';
  std::string_view rest = text.substr(std::min(text.find_first_not_of(' ', first[0].size()), text.size()));
  for (const std::string& line : wrap(rest, width > hang ? width - hang : 1)) {
    result += '\n' + std::string(hang, ' ') + line;
  }
  return result + '\n';
}

std::string shell_word(std::string_view text) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+.,:/@%^=";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string_view::npos) return std::string(text);
  std::string word = "'";
  for (const char c : text) {
    if (c == '\'') {
      word += "'\\''";
    } else {
      word += c;
    }
  }
  return word + '\'';
}

std::string render_table(const std::vector<Column>& columns,
                         const std::vector<std::vector<std::string>>& rows, size_t width) {
  std::vector<Column> used;
  std::vector<size_t> widths;
  std::vector<std::vector<std::string>> cells(rows.size());
  std::vector<std::string> heading;
  for (size_t i = 0; i < columns.size(); ++i) {
    const auto cell = [&](const std::vector<std::string>& row) { return i < row.size() ? row[i] : ""; };
    const bool empty = std::ranges::all_of(rows, [&](const auto& row) { return says_nothing(cell(row)); });
    if (empty && !rows.empty()) continue;
    used.push_back(columns[i]);
    heading.push_back(columns[i].heading);
    widths.push_back(display_width(columns[i].heading));
    for (size_t y = 0; y < rows.size(); ++y) {
      cells[y].push_back(cell(rows[y]));
      widths.back() = std::max(widths.back(), display_width(cells[y].back()));
    }
  }
  bool notes_beneath = false;
  if (width > 0 && used.size() > 1 && used.back().fit == Fit::note && sum_of(widths) > width) {
    const size_t before = sum_of({widths.begin(), widths.end() - 1}) + kGap;
    notes_beneath = before + kRoomForNote > width;
  }
  if (notes_beneath) {
    used.pop_back();
    widths.pop_back();
  }
  if (width > 0) narrow(used, widths, width);
  std::string text;
  append_row(text, used, widths, heading);
  for (const auto& row : cells) {
    append_row(text, used, widths, row);
    if (!notes_beneath || says_nothing(row.back())) continue;
    for (const std::string& line : wrap(row.back(), width > kNoteIndent ? width - kNoteIndent : 1))
      text += std::string(kNoteIndent, ' ') + line + '\n';
  }
  return text;
}

}  // namespace weir::tools
