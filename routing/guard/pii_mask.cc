#include "routing/guard/pii_mask.h"

#include <algorithm>
#include <cstring>

#include "core/ascii.h"
#include "routing/guard/national_ids.h"

namespace weir::routing {
namespace {

// A number may be written in groups; no kind has more than this many.
constexpr size_t kMaxGroups = 9;
constexpr size_t kMaxCompact = 64;

using core::is_digit;
using core::is_letter;
using core::is_upper;
using core::to_lower;

bool is_foreign(char c) {
  return static_cast<unsigned char>(c) >= 0x80;
}
bool is_joint(char c) {
  return c == ' ' || c == '(' || c == ')';
}  // between the groups of a number
// What words are made of. Everything else (blanks, quotes, brackets, commas, backslashes, ...) ends one.
bool is_word(char c) {
  return is_digit(c) || is_letter(c) || is_foreign(c) ||
         std::string_view("._%+-@/:=~#&?*$!").find(c) != std::string_view::npos;
}
// Where a number may begin behind a label or emphasis: "Tel:+49", "iban=DE89", "**555".
size_t label_size(std::string_view group) {
  const size_t last = group.find_last_of(":=*#_~&?@$%!");
  return last == std::string_view::npos || last + 1 == group.size() ? 0 : last + 1;
}
// May a group be followed by another of the same number? Short groups of capitals occur in IBANs.
bool is_joinable(std::string_view group) {
  group.remove_prefix(label_size(group));
  bool digit = group.size() <= 4;
  for (const char c : group) {
    digit |= is_digit(c);
    if (!is_digit(c) && !is_upper(c) && c != '+' && c != '-' && c != '.' && c != '/') return false;
  }
  return digit;
}

bool is_card(std::string_view digits) {
  return digits.size() >= 12 && digits.size() <= 19 && satisfies_luhn(digits);
}

// ISO 13616: the first four at the end, letters as numbers from 10 on, mod 97 is 1.
bool is_iban(std::string_view compact) {
  if (compact.size() < 15 || compact.size() > 34) return false;
  if (!is_letter(compact[0]) || !is_letter(compact[1]) || !is_digit(compact[2]) || !is_digit(compact[3]))
    return false;
  unsigned rest = 0;
  for (size_t i = 0; i < compact.size(); ++i) {
    const char c = to_lower(compact[(i + 4) % compact.size()]);
    if (is_digit(c)) {
      rest = (rest * 10 + static_cast<unsigned>(c - '0')) % 97;
    } else if (is_letter(c)) {
      rest = (rest * 100 + static_cast<unsigned>(c - 'a') + 10) % 97;
    } else {
      return false;
    }
  }
  return rest == 1;
}

bool is_email(std::string_view word) {
  const size_t at = word.find('@');
  if (at == 0 || at == std::string_view::npos) return false;
  const size_t dot = word.find('.', at + 2);
  return dot != std::string_view::npos && dot + 1 < word.size();
}

bool is_key(std::string_view word) {
  constexpr std::string_view kPrefixes[] = {"sk-",  "sk_",         "pk_", "rk_",  "ghp_", "gho_",
                                            "ghs_", "github_pat_", "xox", "AKIA", "ASIA", "AIza",
                                            "eyJ",  "glpat-",      "hf_", "ya29."};
  constexpr size_t kLeast = 16;  // of a key with a known prefix
  constexpr size_t kLeastRandom = 32;
  for (size_t begin = 0; begin < word.size();) {
    const std::string_view rest = word.substr(begin);
    for (const std::string_view prefix : kPrefixes) {
      if (rest.size() >= kLeast && rest.starts_with(prefix)) return true;
    }
    const size_t next = rest.find_first_of("=:/&?@");
    begin = next == std::string_view::npos ? word.size() : begin + next + 1;
  }
  size_t length = 0;
  bool digit = false, letter = false;
  for (const char c : word) {
    const bool part = is_digit(c) || is_letter(c) || c == '-' || c == '_' || c == '+';
    length = part ? length + 1 : 0;
    digit = part && (digit || is_digit(c));
    letter = part && (letter || is_letter(c));
    if (length >= kLeastRandom && digit && letter) return true;
  }
  return false;
}

// The operator's pattern: '#' is a digit, '*' at the beginning or end is anything, the rest is itself in
// either case.
bool fits(std::string_view pattern, std::string_view word) {
  const bool any_before = pattern.starts_with('*');
  if (any_before) pattern.remove_prefix(1);
  const bool any_behind = pattern.ends_with('*');
  if (any_behind) pattern.remove_suffix(1);
  if (pattern.empty() || pattern.size() > word.size()) return false;
  const auto same = [](char wanted, char c) {
    return wanted == '#' ? is_digit(c) : to_lower(wanted) == to_lower(c);
  };
  if (any_before && any_behind) {
    return std::search(word.begin(), word.end(), pattern.begin(), pattern.end(),
                       [&](char c, char wanted) { return same(wanted, c); }) != word.end();
  }
  if (any_before) word.remove_prefix(word.size() - pattern.size());
  if (any_behind) word = word.substr(0, pattern.size());
  return std::equal(pattern.begin(), pattern.end(), word.begin(), word.end(), same);
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kEdges = " ().:-/!?*#_~";
  const size_t begin = text.find_first_not_of(kEdges);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kEdges) + 1 - begin);
}

// What kind of number the text is as a whole; empty: none.
std::string_view kind_of_number(std::string_view text) {
  char compact[kMaxCompact];
  size_t size = 0, digits = 0, separators = 0;
  for (const char c : text) {
    // Blanks of other widths and dashes of other lengths are no ASCII.
    if (is_joint(c) || c == '-' || c == '.' || c == '/' || is_foreign(c)) {
      ++separators;
      continue;
    }
    if (size == kMaxCompact) return {};
    digits += is_digit(c);
    compact[size++] = c;
  }
  std::string_view joined(compact, size);
  if (is_iban(joined)) return "iban";
  if (is_national_id(text, joined)) return "id";
  const bool plus = joined.starts_with('+');
  if (plus) joined.remove_prefix(1);
  if (joined.empty() || digits != joined.size()) return {};
  if (is_card(joined)) return "card";
  if (plus || joined.starts_with("00")) return digits >= 8 && digits <= 17 ? "phone" : "";
  return digits >= 10 && digits <= 15 && separators > 0 ? "phone" : "";
}

// A number inside a word, such as card=4111111111111111.
bool holds_card(std::string_view word) {
  char digits[kMaxCompact];
  size_t count = 0;
  for (size_t i = 0; i <= word.size(); ++i) {
    const char c = i < word.size() ? word[i] : ' ';
    if (is_digit(c)) {
      if (count < kMaxCompact) digits[count] = c;
      ++count;
    } else if (c != '-' && c != '.' && !is_foreign(c)) {
      if (count <= kMaxCompact && is_card({digits, count})) return true;
      count = 0;
    }
  }
  return false;
}

}  // namespace

void PiiMask::mask(std::string_view kind, std::string& out) {
  ++masked_;
  out.append("[").append(kind).append("]");
}

void PiiMask::judge_word(std::string_view word, std::string& out) {
  const std::string_view core = trim(word);
  const auto custom = std::find_if(custom_.begin(), custom_.end(),
                                   [&](const std::string& listed) { return fits(listed, core); });
  std::string_view kind;
  if (core.empty()) {
    kind = {};
  } else if (custom != custom_.end()) {
    kind = "custom";
  } else if (is_email(core)) {
    kind = "email";
  } else if (const std::string_view number =
                 kind_of_number(word.substr(0, core.data() + core.size() - word.data()));
             !number.empty()) {
    kind = number;
  } else if (const size_t label = label_size(core);
             label > 0 && !kind_of_number(core.substr(label)).empty()) {
    kind = kind_of_number(core.substr(label));
  } else if (holds_card(core)) {
    kind = "card";
  } else if (is_key(core)) {
    kind = "key";
  }
  if (kind.empty()) {
    out.append(word);
    return;
  }
  const auto begin = static_cast<size_t>(core.data() - word.data());
  out.append(word.substr(0, begin));
  mask(kind, out);
  out.append(word.substr(begin + core.size()));
}

// A run is one word, or groups of what may be numbers: of those the longest row of groups that is one counts.
// Judges what is in front; how many bytes that was.
size_t PiiMask::judge_front(std::string_view run, std::string& out) {
  size_t ends[kMaxGroups];  // where the first groups end
  size_t groups = 0, at = 0;
  while (at < run.size() && groups < kMaxGroups) {
    while (at < run.size() && is_joint(run[at])) ++at;
    const size_t begin = at;
    while (at < run.size() && !is_joint(run[at])) ++at;
    if (at > begin) ends[groups++] = at;
  }
  if (groups == 0) {
    out.append(run);
    return run.size();
  }
  const size_t label = label_size(run.substr(0, ends[0]));
  for (size_t count = groups; count > 1; --count) {
    const std::string_view core = trim(run.substr(label, ends[count - 1] - label));
    const bool plus = core.data() > run.data() && core.data()[-1] == '+';
    if (const std::string_view kind = plus ? "" : kind_of_number(core); !kind.empty()) {
      out.append(run.substr(0, static_cast<size_t>(core.data() - run.data())));
      mask(kind, out);
      return static_cast<size_t>(core.data() + core.size() - run.data());
    }
  }
  size_t begin = 0;
  while (is_joint(run[begin])) ++begin;
  out.append(run.substr(0, begin));
  judge_word(run.substr(begin, ends[0] - begin), out);
  return ends[0];
}

void PiiMask::end_run(std::string& out) {
  std::string_view rest(held_.data(), overlong_ ? 0 : size_);
  overlong_ = false;
  size_ = 0;
  while (!rest.empty()) rest.remove_prefix(judge_front(rest, out));
}

// Groups that go on and on: half of them is judged, and the number that may be under way stays.
void PiiMask::shorten_run(std::string& out) {
  std::string_view rest(held_.data(), size_);
  while (rest.size() > kMaxHeld / 2) rest.remove_prefix(judge_front(rest, out));
  size_ = rest.size();
  std::memmove(held_.data(), rest.data(), rest.size());
}

void PiiMask::take(char byte, std::string& out) {
  if (is_word(byte) || (is_joint(byte) && size_ > 0 && !overlong_)) {
    if (is_joint(byte)) {
      std::string_view group(held_.data(), size_);
      const size_t joint = group.find_last_of(" ()");
      if (joint != std::string_view::npos) group.remove_prefix(joint + 1);
      if (!is_joinable(group)) {
        end_run(out);
        out.push_back(byte);
        return;
      }
    }
    if (overlong_) return;
    if (size_ == kMaxHeld) {
      // A single word that is so long cannot be judged.
      if (std::string_view(held_.data(), size_).find_first_of(" ()") != std::string_view::npos) {
        shorten_run(out);
      } else {
        mask("long", out);
        overlong_ = true;
        return;
      }
    }
    held_[size_++] = byte;
    return;
  }
  end_run(out);
  out.push_back(byte);
}

void PiiMask::feed(std::string_view bytes, std::string& out) {
  for (const char byte : bytes) take(byte, out);
}

void PiiMask::finish(std::string& out) {
  end_run(out);
}

void PiiMask::cut(std::string& out) {
  if (size_ > 0 && !overlong_) mask("cut", out);
  size_ = 0;
  overlong_ = false;
}

}  // namespace weir::routing
