#include "routing/ofrep/etag.h"

#include "core/siphash.h"

namespace weir::routing {
namespace {

// Not a secret: a tag guards nothing, and must be the same on all nodes.
constexpr core::SipKey kKey{.low = 0x6f66726570206574, .high = 0x6167206f66207765};

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpaces = " \t";
  const size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpaces) + 1 - begin);
}

}  // namespace

EntityTag::EntityTag(std::span<const uint8_t> question, std::string_view answer) {
  const core::Hash128 asked =
      core::siphash128(kKey, {reinterpret_cast<const char*>(question.data()), question.size()});
  const core::Hash128 hash = core::siphash128({asked.low, asked.high}, answer);
  text_.front() = text_.back() = '"';
  static constexpr char kHex[] = "0123456789abcdef";
  for (unsigned i = 0; i < 32; ++i) {
    const uint64_t half = i < 16 ? hash.high : hash.low;
    text_[i + 1] = kHex[half >> (60 - 4 * (i % 16)) & 15];
  }
}

// A tag of ours holds no comma: the list may be cut at each.
bool EntityTag::matches(std::string_view if_none_match) const {
  while (!if_none_match.empty()) {
    const size_t comma = if_none_match.find(',');
    std::string_view tag = trim(if_none_match.substr(0, comma));
    if_none_match = comma == std::string_view::npos ? std::string_view() : if_none_match.substr(comma + 1);
    if (tag.starts_with("W/")) tag.remove_prefix(2);
    if (tag == text() || tag == "*") return true;
  }
  return false;
}

}  // namespace weir::routing
