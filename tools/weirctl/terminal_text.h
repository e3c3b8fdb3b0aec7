// Text that people read in a terminal: how many columns it takes, how it is broken so that it fits, tables of
// it, and how a word is written for a shell.
//
// Everything that came from elsewhere passes shown() first: it must not steer the terminal or look like
// something else (core/display_text.h).
//
// Pure, but for terminal_width().
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::tools {

// Columns of the terminal behind stdout: COLUMNS when it is set, else what the terminal says; 0 = nobody
// reads it at a terminal, so nothing is broken into lines.
size_t terminal_width();

// `text`, displayable.
std::string shown(std::string_view text);

// Columns that a displayable text takes: East Asian wide characters take two, combining ones none.
size_t display_width(std::string_view text);

// Lines of at most `width` columns (0: one line), broken at blanks; a word that is longer is broken inside.
// At least one line.
std::vector<std::string> wrap(std::string_view text, size_t width);

// The same as one text with line ends, each line after the first behind `hang` blanks.
std::string wrapped(std::string_view text, size_t width, size_t hang = 0);

// As a POSIX shell reads it back: plain where that is safe, else in single quotes.
std::string shell_word(std::string_view text);

enum class Align : uint8_t { left, right };
// What a column does in a table that is too wide: prose gives way first, names only when that is not enough.
// A note, which is the last column, moves to lines of its own beneath its row when little room is left for
// it.
enum class Fit : uint8_t { names, prose, note };

struct Column {
  std::string heading;
  Align align = Align::left;
  Fit fit = Fit::names;
};

// Aligned columns with two spaces between them, at most `width` wide (0: as wide as they are), by breaking
// cells into lines. A column in which every cell is empty or "-" is left out. Rows may be shorter than the
// heading; cells are displayable.
std::string render_table(const std::vector<Column>& columns,
                         const std::vector<std::vector<std::string>>& rows, size_t width);

}  // namespace weir::tools
