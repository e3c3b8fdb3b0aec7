#include "net/http/sse.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/limits.h"

namespace weir::net {
namespace {

using core::limits::kMaxSseEventBytes;

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// The events of a stream that arrives in pieces ending at `ends`; what is unfinished comes last, after "…".
std::vector<std::string> split_at(std::string_view stream, const std::vector<size_t>& ends) {
  SseSplitter splitter;
  std::vector<std::string> events;
  std::string event;
  size_t begin = 0;
  for (const size_t end : ends) {
    while (begin < end) {
      const size_t size = end - begin;
      const std::unique_ptr<uint8_t[]> piece(new uint8_t[size]);
      std::memcpy(piece.get(), stream.data() + begin, size);
      const core::Result<size_t> found = splitter.find_event_end({piece.get(), size});
      if (!found) return {std::string(core::describe(found.error().code).token)};
      if (*found == SseSplitter::npos) {
        event += stream.substr(begin, size);
        begin = end;
        EXPECT_EQ(splitter.event_bytes(), event.size());
      } else {
        events.push_back(event + std::string(stream.substr(begin, *found)));
        event.clear();
        begin += *found;
        EXPECT_TRUE(splitter.at_event_boundary());
      }
    }
  }
  if (!event.empty()) events.push_back("…" + event);
  return events;
}

// What a client would dispatch: names and joined data of all whole events.
std::string dispatched(const std::vector<std::string>& events) {
  std::string text;
  EventPosition position = EventPosition::first;
  for (const std::string& event : events) {
    if (event.starts_with("…")) break;
    const SseEvent parsed = parse_event(bytes_of(event), position);
    position = EventPosition::later;
    if (!parsed.has_data) continue;
    std::vector<char> buffer(event.size());
    text += "<" + std::string(parsed.name) + "|" + std::string(*join_data(bytes_of(event), buffer)) + ">";
  }
  return text;
}

// At every split the same is dispatched, and no byte is lost.
std::vector<std::string> split(std::string_view stream) {
  const std::vector<std::string> whole = split_at(stream, {stream.size()});
  std::vector<std::vector<size_t>> ways = {{}};
  for (size_t end = 1; end <= stream.size(); ++end) ways[0].push_back(end);
  for (size_t at = 1; at < stream.size(); ++at) ways.push_back({at, stream.size()});
  for (const std::vector<size_t>& way : ways) {
    const std::vector<std::string> events = split_at(stream, way);
    std::string all;
    for (const std::string& event : events)
      all += event.starts_with("…") ? event.substr(std::strlen("…")) : event;
    EXPECT_EQ(all, stream);
    EXPECT_EQ(dispatched(events), dispatched(whole)) << way.front();
  }
  return whole;
}

using Events = std::vector<std::string>;

TEST(SseSplitter, EndsAnEventAtABlankLine) {
  EXPECT_EQ(split("data: a\n\ndata: b\n\n"), (Events{"data: a\n\n", "data: b\n\n"}));
  EXPECT_EQ(split("data: a\r\n\r\ndata: b\r\n\r\n"), (Events{"data: a\r\n\r\n", "data: b\r\n\r\n"}));
  EXPECT_EQ(split("data: a\r\rdata: b\r\r"), (Events{"data: a\r\r", "data: b\r\r"}));
  EXPECT_EQ(split("data: a\n\r\ndata: b\r\n\n"), (Events{"data: a\n\r\n", "data: b\r\n\n"}));
  EXPECT_EQ(split("data: a\r\n\rdata: b\n\rdata: c\r\r\n"),
            (Events{"data: a\r\n\r", "data: b\n\r", "data: c\r\r\n"}));
}

TEST(SseSplitter, KeepsTheLinesOfAnEventTogether) {
  EXPECT_EQ(split("event: x\ndata: a\ndata: b\n\n: ping\n\n"),
            (Events{"event: x\ndata: a\ndata: b\n\n", ": ping\n\n"}));
}

TEST(SseSplitter, WaitsForTheBlankLine) {
  EXPECT_EQ(split("data: a"), (Events{"…data: a"}));
  EXPECT_EQ(split("data: a\n"), (Events{"…data: a\n"}));
  EXPECT_EQ(split("data: a\r\n"), (Events{"…data: a\r\n"}));
  EXPECT_EQ(split("data: a\n\ndata: b"), (Events{"data: a\n\n", "…data: b"}));
  EXPECT_EQ(split(""), Events{});
}

TEST(SseSplitter, TakesExtraBlankLinesForEmptyEvents) {
  EXPECT_EQ(split("\ndata: a\n\n\n\ndata: b\n\n"), (Events{"\n", "data: a\n\n", "\n", "\n", "data: b\n\n"}));
}

TEST(SseSplitter, ReportsAnEventThatEndsInCrAtOnce) {
  EXPECT_EQ(split_at("data: a\r\n\r\ndata: b\r\n\r\n", {11, 22}),
            (Events{"data: a\r\n\r\n", "data: b\r\n\r\n"}));
  EXPECT_EQ(split_at("data: a\r\n\r\ndata: b\r\n\r\n", {10, 22}),
            (Events{"data: a\r\n\r", "\ndata: b\r\n\r\n"}));
}

TEST(SseSplitter, HoldsToMaxSseEventBytes) {
  const auto of_size = [](size_t size) { return "data: " + std::string(size - 8, 'x') + "\n\n"; };
  const auto in_two = [](const std::string& stream) {
    return split_at(stream, {stream.size() / 2, stream.size()});
  };
  EXPECT_EQ(in_two(of_size(kMaxSseEventBytes)).size(), 1u);
  EXPECT_EQ(in_two(of_size(kMaxSseEventBytes) + of_size(kMaxSseEventBytes)).size(), 2u);
  EXPECT_EQ(in_two(of_size(kMaxSseEventBytes + 1)), Events{"upstream_frame_too_large"});
  const std::string endless(kMaxSseEventBytes + 1, 'x');
  EXPECT_EQ(split_at(endless, {endless.size()}), Events{"upstream_frame_too_large"});
}

SseEvent parse(std::string_view event, EventPosition position = EventPosition::later) {
  return parse_event(bytes_of(event), position);
}

TEST(SseEvent, ViewsTheDataOfOneLine) {
  const std::string_view text = "data: {\"a\":1}\n\n";
  const SseEvent event = parse(text);
  EXPECT_EQ(event.data, "{\"a\":1}");
  EXPECT_EQ(event.data.data(), text.data() + 6);
  EXPECT_EQ(event.name, "");
  EXPECT_TRUE(event.has_data);
  EXPECT_FALSE(event.multi_line_data);
  EXPECT_FALSE(event.comment_only());
}

TEST(SseEvent, RemovesOneSpaceOnly) {
  EXPECT_EQ(parse("data:a\n\n").data, "a");
  EXPECT_EQ(parse("data:  a \n\n").data, " a ");
  EXPECT_EQ(parse("data:\ta\n\n").data, "\ta");
  EXPECT_EQ(parse("data: a: b\n\n").data, "a: b");
}

TEST(SseEvent, ReadsTheName) {
  EXPECT_EQ(parse("event: message_start\ndata: {}\n\n").name, "message_start");
  EXPECT_EQ(parse("data: {}\r\nevent:ping\r\n\r\n").name, "ping");
  EXPECT_EQ(parse("event: a\revent: b\rdata\r\r").name, "b");
}

TEST(SseEvent, FlagsDataOfSeveralLines) {
  const std::string_view text = "data: a\ndata:\ndata: b\n\n";
  const SseEvent event = parse(text);
  EXPECT_TRUE(event.multi_line_data);
  EXPECT_EQ(event.data, "a");
  char out[4];
  EXPECT_EQ(join_data(bytes_of(text), out), "a\n\nb");
  EXPECT_EQ(join_data(bytes_of(text), std::span(out).first(3)), std::nullopt);
  EXPECT_EQ(join_data(bytes_of(text), std::span(out).first(1)), std::nullopt);
}

TEST(SseEvent, TellsDataThatIsEmptyFromNone) {
  EXPECT_TRUE(parse("data\n\n").has_data);
  EXPECT_TRUE(parse("data:\n\n").has_data);
  for (const std::string_view text :
       {": ping\n\n", ":\n\n", "\n", "\r\n", "event: ping\n\n", "id: 1\nretry: 5\n\n", "", "Data: a\n\n",
        " data: a\n\n", "datas: a\n\n", ":data: a\n\n", "dat\n\n"}) {
    EXPECT_FALSE(parse(text).has_data) << text;
    EXPECT_TRUE(parse(text).comment_only()) << text;
  }
}

TEST(SseEvent, SkipsAByteOrderMarkAtTheStartOfTheStreamOnly) {
  EXPECT_EQ(parse("\xef\xbb\xbf"
                  "data: a\n\n",
                  EventPosition::first)
                .data,
            "a");
  EXPECT_TRUE(parse("\xef\xbb\xbf"
                    "data: a\n\n",
                    EventPosition::later)
                  .comment_only());
  EXPECT_TRUE(parse("\xef\xbb", EventPosition::first).comment_only());
}

TEST(SseEvent, ReadsAnEventThatBeginsWithTheLfOfTheLastOne) {
  EXPECT_EQ(parse("\ndata: b\r\n\r\n").data, "b");
}

TEST(SseEvent, KnowsTheEndMark) {
  EXPECT_TRUE(is_done(parse("data: [DONE]\n\n").data));
  EXPECT_TRUE(is_done(parse("data:[DONE] \r\n\r\n").data));
  EXPECT_FALSE(is_done(parse("data: [done]\n\n").data));
  EXPECT_FALSE(is_done(parse("data: {\"content\":\"[DONE]\"}\n\n").data));
}

TEST(Sse, AnEventOfOneLineIsReadTheSameWayByTheShortCut) {
  for (const std::string_view event :
       {"data: {}\n\n", "data: x\r\n\r\n", "data: x\n\r\n", "data: x\r\r", "data: x\r\n\n", "data:x\n\n",
        "data: \n\n", "data:\n\n", "data\n\n", ": comment\n\n", "event: x\n\n", "data:  two\n\n",
        "datas: x\n\n", "id: 1\n\n"}) {
    SseSplitter splitter;
    ASSERT_EQ(splitter.find_event_end(bytes_of(event)), event.size()) << event;
    ASSERT_TRUE(splitter.single_line()) << event;
    const SseEvent exact = parse_event(bytes_of(event));
    const SseEvent quick = parse_event(bytes_of(event), EventPosition::later, EventLines::one);
    EXPECT_EQ(quick.data, exact.data) << event;
    EXPECT_EQ(quick.name, exact.name) << event;
    EXPECT_EQ(quick.has_data, exact.has_data) << event;
    EXPECT_EQ(quick.multi_line_data, exact.multi_line_data) << event;
  }
}

TEST(Sse, TellsEventsOfOneLineFromOthersInWhateverPiecesTheyCome) {
  const std::string stream =
      "data: a\n\nevent: x\ndata: b\n\ndata: c\r\n\r\ndata: d\ndata: e\n\n\n\ndata: f\n\n";
  const std::string expected = "1010001";  // blank lines alone end events of no line
  for (size_t step = 1; step <= stream.size(); ++step) {
    SseSplitter splitter;
    std::string single;
    for (size_t begin = 0; begin < stream.size();) {
      const std::string_view piece = std::string_view(stream).substr(begin, step - begin % step);
      const auto end = splitter.find_event_end(bytes_of(piece));
      ASSERT_TRUE(end.has_value());
      if (*end != SseSplitter::npos) single += splitter.single_line() ? '1' : '0';
      begin += *end == SseSplitter::npos ? piece.size() : *end;
    }
    EXPECT_EQ(single, expected) << step;
  }
}

}  // namespace
}  // namespace weir::net
