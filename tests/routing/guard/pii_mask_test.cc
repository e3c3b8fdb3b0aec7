#include "routing/guard/pii_mask.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace weir::routing {
namespace {

std::string masked(std::string_view text, std::span<const std::string> custom = {}) {
  PiiMask mask(custom);
  std::string out;
  mask.feed(text, out);
  mask.finish(out);
  return out;
}

struct Case {
  std::string_view text, expected;
};
constexpr Case kCases[] = {
    {"mail anna.b+x@example.org now", "mail [email] now"},
    {R"({"email":"anna@example.org","n":1})", R"({"email":"[email]","n":1})"},
    {"<anna@example.org>, mailto:bert@example.com.", "<[email]>, [email]."},
    {"card 4111 1111 1111 1111 thanks", "card [card] thanks"},
    {"card 4111-1111-1111-1111, 5500005555555559", "card [card], [card]"},
    {"no card: 4111 1112, 4111111111111112a", "no card: 4111 1112, 4111111111111112a"},
    {"card=378282246310005&x=1", "[card]"},
    {"DE89 3704 0044 0532 0130 00.", "[iban]."},
    {"iban DE89370400440532013000 ok", "iban [iban] ok"},
    {"**DE89 3704 0044 0532 0130 00** ok", "**[iban]** ok"},
    {"__DE89 3704 0044 0532 0130 00__ IBAN:DE89370400440532013000", "__[iban]__ [iban]"},
    {"call **555 123-4567** or #555 123-4567", "call **[phone]** or #[phone]"},
    {"Tel:+49 30 901820, tel=+4930901820", "Tel:[phone], [phone]"},
    {"GB82 WEST 1234 5698 7654 32", "[iban]"},
    {"call +49 (30) 901820 today", "call [phone] today"},
    {"call (555) 123-4567 x", "call ([phone] x"},
    {"0049 30 901820", "[phone]"},
    {"ssn 123-45-6789", "ssn [id]"},
    {"tax 36574261809", "tax [id]"},
    {"pesel 44051401359 and 44051401358", "pesel [id] and 44051401358"},
    {"nino AB 12 34 56 C, AB123456C", "nino [id], [id]"},
    {"dni 12345678Z, nie X1234567L", "dni [id], nie [id]"},
    {"cf RSSMRA85T10A562S", "cf [id]"},
    {"ahv 756.9217.0769.85", "ahv [id]"},
    {"nir 2 55 08 14 168 025 38", "nir [id]"},
    {"bsn 111222333", "bsn [id]"},
    {"pnr 811228-9874", "pnr [id]"},
    {"cpf 529.982.247-25", "cpf [id]"},
    {"4111\u00a01111\u00a01111\u00a01111, 4111\u20111111\u20111111\u20111111", "[card], [card]"},
    {"key sk-abcdefghijklmnop0123 and ghp_0123456789abcdefghij", "key [key] and [key]"},
    {"Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "Bearer [key]"},
    {"token=0123456789abcdef0123456789abcdef", "[key]"},
    {"in 2026 there were 12 of 345 and 6.5 %", "in 2026 there were 12 of 345 and 6.5 %"},
    {"at 18:57 on 2026-11-25, version 1.2.3", "at 18:57 on 2026-11-25, version 1.2.3"},
    {"Grüße, Zürich: 100 €", "Grüße, Zürich: 100 €"},
    {"", ""},
};

TEST(PiiMask, MasksWhatMustNotBeWrittenDown) {
  for (const Case& each : kCases) EXPECT_EQ(masked(each.text), each.expected) << each.text;
}

TEST(PiiMask, DoesNotJudgeWhatWasCut) {
  const auto cut = [](std::string_view text) {
    PiiMask mask;
    std::string out;
    mask.feed(text, out);
    mask.cut(out);
    mask.feed(" and on", out);
    mask.finish(out);
    return out;
  };
  EXPECT_EQ(cut("mail anna@exa"), "mail [cut] and on");
  EXPECT_EQ(cut("mail bert@example.org, "), "mail [email],  and on");
  EXPECT_EQ(cut(std::string(2 * PiiMask::kMaxHeld, 'x')), "[long] and on");
}

TEST(PiiMask, MasksTheSameWhereverTheStreamIsCut) {
  for (const Case& each : kCases) {
    for (size_t first = 0; first <= each.text.size(); ++first) {
      for (size_t second = first; second <= each.text.size(); second += 3) {
        PiiMask mask;
        std::string out;
        mask.feed(each.text.substr(0, first), out);
        mask.feed(each.text.substr(first, second - first), out);
        mask.feed(each.text.substr(second), out);
        mask.finish(out);
        ASSERT_EQ(out, each.expected) << first << ", " << second;
      }
    }
  }
}

TEST(PiiMask, MasksWordsOfTheOperator) {
  const std::vector<std::string> words = {"Bluebird", "project-x"};
  EXPECT_EQ(masked("about bluebird and (PROJECT-X).", words), "about [custom] and ([custom]).");
  EXPECT_EQ(masked("bluebirds", words), "bluebirds");
}

TEST(PiiMask, MasksPatternsOfTheOperator) {
  const std::vector<std::string> patterns = {"CASE-####", "falcon*", "*.internal", "*wren*"};
  EXPECT_EQ(masked("case-1234, CASE-123, CASE-12345", patterns), "[custom], CASE-123, CASE-12345");
  EXPECT_EQ(masked("Falcon, falconry; a falcon", patterns), "[custom], [custom]; a [custom]");
  EXPECT_EQ(masked("db7.internal internals", patterns), "[custom] internals");
  EXPECT_EQ(masked("jennywrens", patterns), "[custom]");
}

// Wherever in an endless row of numbers one stands that must not be written down.
TEST(PiiMask, FindsANumberAnywhereInAnEndlessRow) {
  for (size_t before = 0; before < 700; ++before) {
    const std::string filler(before, '7');
    std::string text;
    for (size_t i = 0; i < filler.size(); ++i) text += i % 2 == 0 ? '7' : ' ';
    text += " 4111 1111 1111 1111 ";
    for (int i = 0; i < 400; ++i) text += "7 ";
    const std::string out = masked(text);
    ASSERT_EQ(out.find("1111"), std::string::npos) << before;
  }
}

TEST(PiiMask, MasksWhatItCannotJudge) {
  const std::string blob(5000, 'a');
  EXPECT_EQ(masked("x " + blob + " y"), "x [long] y");
  EXPECT_EQ(masked("x " + blob + "anna@example.org y"), "x [long] y");
  EXPECT_EQ(masked(std::string(PiiMask::kMaxHeld, 'a')), std::string(PiiMask::kMaxHeld, 'a'));
}

// Secrets planted between random bytes never come out, whatever stands around them.
TEST(PiiMask, PlantedSecretsNeverComeOut) {
  const std::string secrets[] = {"anna.secret@example.org", "4111 1111 1111 1111",
                                 "DE89 3704 0044 0532 0130 00", "sk-proj-abcdefghijklmnopqrstuv",
                                 "+49 30 90182000"};
  const std::string around = "\"',;\n\t{}[]<>|\\";
  std::mt19937_64 random(1);
  for (int round = 0; round < 20'000; ++round) {
    const std::string& secret = secrets[random() % std::size(secrets)];
    std::string text;
    for (uint64_t i = random() % 20; i > 0; --i) text += static_cast<char>(random() % 256);
    text += around[random() % around.size()];
    text += secret;
    text += around[random() % around.size()];
    for (uint64_t i = random() % 20; i > 0; --i) text += static_cast<char>(random() % 256);
    PiiMask mask;
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const size_t size = 1 + random() % 9;
      mask.feed(std::string_view(text).substr(at, size), out);
      at += size;
    }
    mask.finish(out);
    ASSERT_EQ(out.find(secret), std::string::npos) << text;
    ASSERT_GE(mask.masked(), 1u);
  }
}

}  // namespace
}  // namespace weir::routing
