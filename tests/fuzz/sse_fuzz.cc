// The event splitter against a slow one, events taken apart by the standard's words, and what is read of each
// against a slow reading of its data: the tokens, and whether it bears one, is the last, or reports failure.
#include <algorithm>

#include "net/http/sse.h"
#include "routing/inspect/usage.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/usage_oracle.h"
#include "tests/routing/inspect/json_reference.h"

namespace weir::fuzz {
namespace {

// Where each event ends, by the standard's words: at the blank line.
std::vector<size_t> slow_ends(std::string_view stream) {
  std::vector<size_t> ends;
  bool line_empty = true;
  for (size_t i = 0; i < stream.size(); ++i) {
    const char byte = stream[i];
    if (byte != '\n' && byte != '\r') {
      line_empty = false;
      continue;
    }
    if (byte == '\r' && i + 1 < stream.size() && stream[i + 1] == '\n') ++i;
    if (line_empty) ends.push_back(i + 1);
    line_empty = true;
  }
  return ends;
}

std::vector<size_t> ends_of(Input stream, size_t step) {
  net::SseSplitter splitter;
  std::vector<size_t> ends;
  for (size_t at = 0; at < stream.size(); at += step) {
    Input piece = stream.subspan(at, std::min(step, stream.size() - at));
    size_t base = at;
    while (!piece.empty()) {
      const auto end = splitter.find_event_end(piece);
      if (!end) return ends;
      if (*end == net::SseSplitter::npos) break;
      ends.push_back(base + *end);
      base += *end;
      piece = piece.subspan(*end);
    }
  }
  return ends;
}

// An event by the standard's words (9.2.6), a line at a time.
struct SlowEvent {
  std::vector<std::string> data;
  std::string name;

  explicit SlowEvent(std::string_view event) {
    while (!event.empty()) {
      const size_t end = std::min(event.find_first_of("\r\n"), event.size());
      const std::string_view line = event.substr(0, end);
      event.remove_prefix(std::min(end + 1, event.size()));
      if (line.empty()) continue;
      const size_t colon = std::min(line.find(':'), line.size());
      std::string_view value = line.substr(std::min(colon + 1, line.size()));
      if (value.starts_with(' ')) value.remove_prefix(1);
      if (line.substr(0, colon) == "data") data.emplace_back(value);
      if (line.substr(0, colon) == "event") name = value;
    }
  }
  std::string joined() const {
    std::string text;
    for (const std::string& line : data) text += (&line == &data.front() ? "" : "\n") + line;
    return text;
  }
};

std::string read_event(Input event, net::EventLines lines) {
  const SlowEvent slow(text_of(event));
  for (const net::EventLines way : {net::EventLines::any, lines}) {
    const net::SseEvent parsed = net::parse_event(event, net::EventPosition::later, way);
    EXPECT_EQ(parsed.has_data, !slow.data.empty());
    EXPECT_EQ(parsed.comment_only(), slow.data.empty());
    EXPECT_EQ(parsed.multi_line_data, slow.data.size() > 1);
    EXPECT_EQ(parsed.data, slow.data.empty() ? "" : slow.data.front());
    EXPECT_EQ(parsed.name, slow.name);
  }
  std::string room(event.size(), '\0');
  EXPECT_EQ(net::join_data(event, room), slow.joined());
  if (const std::string text = slow.joined(); !text.empty()) {
    EXPECT_EQ(net::join_data(event, std::span(room).first(text.size() - 1)), std::nullopt);
  }
  return slow.joined();
}

// One stream's reader beside what its events say when each is read whole.
class UsageCheck {
 public:
  explicit UsageCheck(routing::Endpoint endpoint) : endpoint_(endpoint), reader_(endpoint) {}

  void read(const std::string& data) {
    const routing::PaddedDocument document(data);
    const routing::EventFacts facts = reader_.read_event(document.bytes());
    const std::string_view text = document.text();
    if (!routing::SlowJson::valid(text, core::limits::kMaxJsonDepth) || kind_of(trimmed(text)) != '{') {
      EXPECT_EQ(facts, routing::EventFacts{}) << text;
    } else {
      compare(facts, SlowAnswer(text), text);
      const char* key = slow_usage_key(trimmed(text));
      EXPECT_EQ(reader_.usage_key(),
                key == nullptr ? routing::UsageReader::kNoUsageKey : static_cast<uint32_t>(key - text.data()))
          << text;
    }
    EXPECT_EQ(reader_.usage(), usage_) << text;
    EXPECT_EQ(reader_.saw_content(), saw_content_) << text;
    // A failure that names neither usage nor error is passed over, its model too (usage.h).
    if (model_is_sure_ && (reader_.usage().present || !reader_.model().empty())) {
      EXPECT_EQ(reader_.model(), model_.substr(0, routing::UsageReader::kMaxModelBytes)) << text;
    }
  }

 private:
  void compare(const routing::EventFacts& facts, const SlowAnswer& slow, std::string_view text) {
    const routing::EventFacts want = slow.facts(endpoint_);
    EXPECT_EQ(facts.usage, want.usage) << text;
    EXPECT_EQ(facts.usage_only, want.usage_only) << text;
    // After the first token an event is only read if it reports usage or an error; of responses, if it names usage.
    const bool names_usage =
        endpoint_ == routing::Endpoint::responses && slow_usage_key(trimmed(text)) != nullptr;
    const bool sure = !saw_content_ || names_usage || slow.error || !slow_find(text, "usage", '{').empty();
    const auto expect_told = [&](bool told, bool wanted, const char* what) {
      EXPECT_TRUE(told == wanted || (!sure && !told)) << what << " of " << text;
    };
    expect_told(facts.content, want.content, "content");
    expect_told(facts.refusal, want.refusal, "refusal");
    expect_told(facts.error, want.error, "error");
    expect_told(facts.terminal, want.terminal, "terminal");
    if (!slow.usages.empty() && want.usage) usage_ = slow_last_usage(slow.usages);
    if (model_.empty()) {
      model_ = slow.model;
      model_is_sure_ = sure || model_.empty();
    }
    saw_content_ |= want.content;
  }

  routing::Endpoint endpoint_;
  routing::UsageReader reader_;
  routing::Usage usage_;
  std::string model_;
  bool model_is_sure_ = true;
  bool saw_content_ = false;
};

}  // namespace
}  // namespace weir::fuzz

WEIR_FUZZ_TARGET(sse) {
  using namespace weir;
  fuzz::Choices choices(input);
  const size_t step = 1 + choices.below(9);
  const fuzz::Input stream = choices.rest();
  const std::vector<size_t> whole = fuzz::ends_of(stream, stream.size() + 1);
  EXPECT_EQ(whole, fuzz::slow_ends(fuzz::text_of(stream)));
  // Cut between CR and LF, an event is reported at the CR; the LF then begins the next one.
  std::vector<size_t> split = fuzz::ends_of(stream, step);
  ASSERT_EQ(split.size(), whole.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    if (split[i] + 1 == whole[i] && stream[split[i]] == '\n') ++split[i];
    EXPECT_EQ(split[i], whole[i]);
  }
  fuzz::UsageCheck chat(routing::Endpoint::chat_completions);
  fuzz::UsageCheck responses(routing::Endpoint::responses);
  net::SseSplitter splitter;
  size_t begin = 0;
  for (const size_t end : whole) {
    ASSERT_TRUE(splitter.find_event_end(stream.subspan(begin, end - begin)).has_value());
    const std::string data =
        fuzz::read_event(stream.subspan(begin, end - begin),
                         splitter.single_line() ? net::EventLines::one : net::EventLines::any);
    chat.read(data);
    responses.read(data);
    begin = end;
  }
}
