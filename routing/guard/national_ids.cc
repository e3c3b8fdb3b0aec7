#include "routing/guard/national_ids.h"

#include <algorithm>
#include <cstdint>
#include <span>

#include "core/ascii.h"

namespace weir::routing {
namespace {

using core::is_digit;
using core::is_letter;
using core::to_upper;

unsigned digit(char c) {
  return static_cast<unsigned>(c - '0');
}

// 'd' = a digit, 'a' = a letter, anything else itself.
bool has_form(std::string_view text, std::string_view form) {
  return std::equal(text.begin(), text.end(), form.begin(), form.end(), [](char c, char wanted) {
    return wanted == 'd' ? is_digit(c) : wanted == 'a' ? is_letter(c) : c == wanted;
  });
}

unsigned weighted(std::string_view digits, std::span<const unsigned> weights) {
  unsigned sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) sum += digit(digits[i]) * weights[i];
  return sum;
}

uint64_t value(std::string_view digits) {
  uint64_t number = 0;
  for (const char c : digits) number = number * 10 + digit(c);
  return number;
}

// ISO 7064, mod 11, 10.
bool is_german(std::string_view digits) {
  if (digits[0] == '0') return false;
  unsigned product = 10;
  for (size_t i = 0; i < 10; ++i) {
    unsigned sum = (digit(digits[i]) + product) % 10;
    if (sum == 0) sum = 10;
    product = sum * 2 % 11;
  }
  return (11 - product) % 10 == digit(digits[10]);
}

bool is_polish(std::string_view digits) {
  constexpr unsigned kWeights[] = {1, 3, 7, 9, 1, 3, 7, 9, 1, 3};
  return (10 - weighted(digits, kWeights) % 10) % 10 == digit(digits[10]);
}

bool is_dutch(std::string_view digits) {
  constexpr unsigned kWeights[] = {9, 8, 7, 6, 5, 4, 3, 2};
  const unsigned sum = weighted(digits, kWeights);
  return sum >= digit(digits[8]) && (sum - digit(digits[8])) % 11 == 0 && value(digits) != 0;
}

// EAN-13.
bool is_swiss(std::string_view digits) {
  constexpr unsigned kWeights[] = {1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3};
  return digits.starts_with("756") && (10 - weighted(digits, kWeights) % 10) % 10 == digit(digits[12]);
}

bool is_french(std::string_view digits) {
  return (digits[0] == '1' || digits[0] == '2') &&
         97 - value(digits.substr(0, 13)) % 97 == value(digits.substr(13));
}

bool is_spanish(std::string_view compact) {
  constexpr std::string_view kLetters = "TRWAGMYFPDXBNJZSQVHLCKE";
  uint64_t number = value(compact.substr(1, 7));
  const char first = to_upper(compact[0]);
  if (is_digit(first)) {
    number += digit(first) * uint64_t{10'000'000};
  } else if (first >= 'X' && first <= 'Z') {
    number += static_cast<uint64_t>(first - 'X') * 10'000'000;
  } else {
    return false;
  }
  return kLetters[number % kLetters.size()] == to_upper(compact[8]);
}

bool is_british(std::string_view compact) {
  constexpr std::string_view kNever = "DFIQUV";
  return kNever.find(to_upper(compact[0])) == std::string_view::npos &&
         kNever.find(to_upper(compact[1])) == std::string_view::npos && to_upper(compact[8]) <= 'D';
}

}  // namespace

bool satisfies_luhn(std::string_view digits) {
  unsigned sum = 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    const unsigned each = digit(digits[digits.size() - 1 - i]);
    sum += i % 2 == 0 ? each : each * 2 > 9 ? each * 2 - 9 : each * 2;
  }
  return sum % 10 == 0;
}

bool is_national_id(std::string_view text, std::string_view compact) {
  const auto form = [&](std::string_view wanted) { return has_form(compact, wanted); };
  switch (compact.size()) {
    case 9:
      if (form("ddddddddd")) return has_form(text, "ddd-dd-dddd") || is_dutch(compact);
      if (form("aadddddda")) return is_british(compact);
      return (form("dddddddda") || form("addddddda")) && is_spanish(compact);
    case 10:
      return has_form(text, "dddddd-dddd") && satisfies_luhn(compact);
    case 11:
      return form("ddddddddddd") &&
             (has_form(text, "ddd.ddd.ddd-dd") || is_german(compact) || is_polish(compact));
    case 13:
      return form("ddddddddddddd") && is_swiss(compact);
    case 15:
      return form("ddddddddddddddd") && is_french(compact);
    case 16:
      return form("aaaaaaddaddaddda");
    default:
      return false;
  }
}

}  // namespace weir::routing
