// Masks what must not be written down: e-mail addresses, telephone and card numbers, IBANs, national ids, API
// keys, and words that an operator lists. A stream in, a stream out, in linear time, wherever the stream is
// cut.
//
//   feed() feed() feed() finish()         "mail anna@ex" "ample.org now"  ─▶  "mail [email] now"
//
//   bytes ─▶ runs of number characters  (+49 (30) 901820, 4111 1111 1111 1111)  ─┐ judged when they end
//         └▶ words  (no blank, quote, bracket, comma)                             ─┴▶ as they were | "[kind]"
//
// A byte is held back until the word or number it may belong to has ended; at most kMaxHeld bytes. What grows
// longer than that without an end (a data: URL, a minified file) cannot be judged, and is masked as a whole:
// it fails closed.
//
//   email    local@domain.tld
//   card     12 to 19 digits that satisfy Luhn
//   phone    + and 8 to 15 digits; or 10 to 15 digits with separators
//   iban     two letters, two digits, 11 to 30 letters and digits that satisfy mod 97 (blanks allowed)
//   id       of persons in several states (routing/guard/national_ids.h)
//   key      known prefixes (sk-, ghp_, AKIA, xox, AIza, eyJ...), or 32 and more letters and digits that mix
//   both custom   words of the operator in either case; '#' is a digit, '*' at the beginning or end is
//   anything
//
// Masking errs towards too much: an order number of 16 digits that happens to satisfy Luhn is masked as well.
//
// Every byte is looked at a bounded number of times (once as it comes, and when its run is judged at most
// once per check and group). No allocation but `out`'s. One masker per stream; thread: its owner's.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace weir::routing {

class PiiMask {
 public:
  static constexpr size_t kMaxHeld = 512;

  // `custom` must outlive the masker; no pattern may be longer than kMaxHeld or hold a blank.
  explicit PiiMask(std::span<const std::string> custom = {}) : custom_(custom) {}

  // Takes the next bytes and appends to `out` what is certain.
  void feed(std::string_view bytes, std::string& out);
  // The end of the stream: what was held back is judged. The masker may then be used for another stream.
  void finish(std::string& out);
  // The same of a stream that was cut: half a word cannot be judged, and is masked.
  void cut(std::string& out);

  uint64_t masked() const { return masked_; }

 private:
  void take(char byte, std::string& out);
  size_t judge_front(std::string_view run, std::string& out);
  void end_run(std::string& out);
  void shorten_run(std::string& out);
  void judge_word(std::string_view word, std::string& out);
  void mask(std::string_view kind, std::string& out);

  std::span<const std::string> custom_;
  std::array<char, kMaxHeld> held_;
  size_t size_ = 0;
  bool overlong_ = false;  // the run has been masked; the rest of it goes
  uint64_t masked_ = 0;
};

}  // namespace weir::routing
