// What the head targets share.
#pragma once

#include <algorithm>
#include <cctype>
#include <string>

#include "net/http/head_parser.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/message_oracle.h"

namespace weir::fuzz {

// The same bytes, `step` at a time and moved at every call, give the same outcome.
template <typename Parser>
void expect_same_outcome(Parser& parser, Input bytes, uint32_t step,
                         const core::Result<net::ParseStatus>& whole, uint32_t whole_size) {
  size_t given = 0;
  core::Result<net::ParseStatus> outcome = net::ParseStatus::need_more;
  while (outcome && *outcome == net::ParseStatus::need_more && given < bytes.size()) {
    given = std::min(bytes.size(), given + step);
    const std::vector<uint8_t> moved(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(given));
    outcome = parser.parse(moved);
  }
  ASSERT_EQ(outcome.has_value(), whole.has_value());
  if (!whole) {
    EXPECT_EQ(outcome.error().code, whole.error().code);
    return;
  }
  EXPECT_EQ(*outcome, *whole);
  if (*whole == net::ParseStatus::done) {
    EXPECT_EQ(parser.head_size(), whole_size);
  }
}

// `lines` are field lines that each end with CR LF.
inline void expect_fields_agree(std::string_view lines, const net::FieldTable& fields, const uint8_t* base) {
  for (const net::Field& field : fields) {
    const size_t end = lines.find("\r\n");
    ASSERT_NE(end, std::string_view::npos);
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(end + 2);
    const size_t colon = line.find(':');
    ASSERT_NE(colon, std::string_view::npos);
    EXPECT_EQ(field.name(base), line.substr(0, colon));
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
    EXPECT_EQ(field.value(base), value);
    EXPECT_TRUE(std::all_of(value.begin(), value.end(), [](char c) {
      return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
    })) << "a control character in a value";
    EXPECT_FALSE(line.empty() || line[0] == ' ' || line[0] == '\t') << "a folded line";
  }
  EXPECT_EQ(lines, "") << "a line that is no field";
}

// Names that steer, by a comparison of their own.
inline void expect_ids_agree(const net::FieldTable& fields, const uint8_t* base) {
  static const std::pair<std::string, net::HeaderId> kSteering[] = {
      {"host", net::HeaderId::host},
      {"content-length", net::HeaderId::content_length},
      {"transfer-encoding", net::HeaderId::transfer_encoding},
      {"connection", net::HeaderId::connection},
      {"expect", net::HeaderId::expect},
      {"content-encoding", net::HeaderId::content_encoding},
      {"authorization", net::HeaderId::authorization}};
  for (const net::Field& field : fields) {
    for (const auto& [name, id] : kSteering) {
      EXPECT_EQ(field.id == id, SlowHead::lower(field.name(base)) == name) << field.name(base);
    }
  }
}

inline void expect_framing_agrees(const net::Framing& framing, const SlowHead& slow) {
  using enum net::BodyKind;
  EXPECT_EQ(framing.kind, slow.chunked ? chunked : slow.length ? content_length : none);
  EXPECT_EQ(framing.content_length, slow.length.value_or(0));
}

// Whether the head is there to be compared. What is neither clean nor refused may end either way.
inline bool expect_verdict(const core::Result<net::ParseStatus>& outcome, const SlowHead& slow,
                           std::string_view text) {
  using enum SlowHead::Verdict;
  if (!outcome) {
    EXPECT_NE(slow.verdict, clean) << core::describe(outcome.error().code).token << " for " << text;
    return false;
  }
  EXPECT_EQ(*outcome == net::ParseStatus::need_more, slow.verdict == incomplete) << text;
  EXPECT_NE(slow.verdict, refused) << text;
  return *outcome == net::ParseStatus::done && slow.verdict != incomplete;
}

}  // namespace weir::fuzz
