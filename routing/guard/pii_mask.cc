#include "routing/guard/pii_mask.h"

#include <algorithm>
#include <cstring>

namespace weir::routing {
namespace {

// A number may be written in groups; no kind has more than this many.
constexpr size_t kMaxGroups = 9;
constexpr size_t kMaxCompact = 64;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
char to_lower(char c) {
  return is_upper(c) ? static_cast<char>(c + 32) : c;
}
bool is_joint(char c) {
  return c == ' ' || c == '(' || c == ')';
}  // between the groups of a number
// What words are made of. Everything else (blanks, quotes, brackets, commas, backslashes, ...) ends one.
bool is_word(char c) {
  return is_digit(c) || is_letter(c) || static_cast<unsigned char>(c) >= 0x80 ||
         std::string_view("._%+-@/:=~#&?*$!").find(c) != std::string_view::npos;
}
// May a group be followed by another of the same number? Short groups of capitals occur in IBANs.
bool is_joinable(std::string_view group) {
  bool digit = group.size() <= 4;
  for (const char c : group) {
    digit |= is_digit(c);
    if (!is_digit(c) && !is_upper(c) && c != '+' && c != '-' && c != '.' && c != '/') return false;
  }
  return digit;
}

bool luhn(std::string_view digits) {
  unsigned sum = 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    unsigned digit = static_cast<unsigned>(digits[digits.size() - 1 - i] - '0');
    if (i % 2 == 1) digit = digit * 2 > 9 ? digit * 2 - 9 : digit * 2;
    sum += digit;
  }
  return sum % 10 == 0;
}

bool is_card(std::string_view digits) {
  return digits.size() >= 12 && digits.size() <= 19 && luhn(digits);
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

// The German tax id: ISO 7064 mod 11, 10.
bool is_tax_id(std::string_view digits) {
  if (digits.size() != 11 || digits[0] == '0') return false;
  unsigned product = 10;
  for (size_t i = 0; i < 10; ++i) {
    unsigned sum = (static_cast<unsigned>(digits[i] - '0') + product) % 10;
    if (sum == 0) sum = 10;
    product = sum * 2 % 11;
  }
  const unsigned check = 11 - product == 10 ? 0 : 11 - product;
  return check == static_cast<unsigned>(digits[10] - '0');
}

bool is_social_security(std::string_view text) {
  if (text.size() != 11) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i == 3 || i == 6 ? text[i] != '-' : !is_digit(text[i])) return false;
  }
  return true;
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

bool same_folded(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return to_lower(x) == to_lower(y); });
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kEdges = " ().:-/!?*";
  const size_t begin = text.find_first_not_of(kEdges);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kEdges) + 1 - begin);
}

// What kind of number the text is as a whole; empty: none.
std::string_view kind_of_number(std::string_view text) {
  char compact[kMaxCompact];
  size_t size = 0, digits = 0, separators = 0;
  for (const char c : text) {
    if (is_joint(c) || c == '-' || c == '.' || c == '/') {
      ++separators;
      continue;
    }
    if (size == kMaxCompact) return {};
    digits += is_digit(c);
    compact[size++] = c;
  }
  std::string_view joined(compact, size);
  if (is_iban(joined)) return "iban";
  const bool plus = joined.starts_with('+');
  if (plus) joined.remove_prefix(1);
  if (joined.empty() || digits != joined.size()) return {};
  if (is_social_security(text) || (separators == 0 && is_tax_id(joined))) return "id";
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
    } else if (c != '-' && c != '.') {
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
                                   [&](const std::string& listed) { return same_folded(listed, core); });
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

// The run is one word, or groups of what may be numbers: of those the longest row of groups that is one
// counts.
void PiiMask::end_run(std::string& out) {
  if (overlong_) {
    overlong_ = false;
    size_ = 0;
    return;
  }
  std::string_view rest(held_.data(), size_);
  size_ = 0;
  while (!rest.empty()) {
    size_t ends[kMaxGroups];  // where the first groups end
    size_t groups = 0, at = 0;
    while (at < rest.size() && groups < kMaxGroups) {
      while (at < rest.size() && is_joint(rest[at])) ++at;
      const size_t begin = at;
      while (at < rest.size() && !is_joint(rest[at])) ++at;
      if (at > begin) ends[groups++] = at;
    }
    if (groups == 0) {
      out.append(rest);
      return;
    }
    size_t taken = 0;
    for (size_t count = groups; count > 1 && taken == 0; --count) {
      const std::string_view core = trim(rest.substr(0, ends[count - 1]));
      const bool plus = core.data() > rest.data() && core.data()[-1] == '+';
      if (const std::string_view kind = plus ? "" : kind_of_number(core); !kind.empty()) {
        out.append(rest.substr(0, static_cast<size_t>(core.data() - rest.data())));
        mask(kind, out);
        taken = static_cast<size_t>(core.data() + core.size() - rest.data());
      }
    }
    if (taken == 0) {
      size_t begin = 0;
      while (is_joint(rest[begin])) ++begin;
      out.append(rest.substr(0, begin));
      judge_word(rest.substr(begin, ends[0] - begin), out);
      taken = ends[0];
    }
    rest.remove_prefix(taken);
  }
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
      // Groups that go on and on are judged so far; a single word that does cannot be.
      if (std::string_view(held_.data(), size_).find_first_of(" ()") != std::string_view::npos) {
        end_run(out);
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

}  // namespace weir::routing
