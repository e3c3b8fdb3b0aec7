// Reads one answer as it arrives: counts the frames of a stream, finds the first that bears content, and with
// Verify::yes checks all of it. Pure.
//
// What is checked (--verify): the status; that a plain body is one JSON document with an answer in it; that
// every event of a stream is one, that some bear content, that the last is the only [DONE], and that nothing
// follows it. A stream's end mark is looked for in any case.
//
// Thread: one worker's.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "net/http/sse.h"

namespace weir::tools {

constexpr size_t kExampleBytes = 300;  // of an answer, in a report

// What was wrong with an answer; the names are the report's.
enum class Verdict : uint8_t {
  ok,
  bad_status,
  header_missing,
  not_json,        // a body, or an event of a stream
  no_answer,       // JSON, but no choices (or data, output) in it
  not_a_stream,    // a stream was asked for
  error_event,     // the stream says that it was cut
  no_end_mark,     // a stream without [DONE]
  after_end_mark,  // bytes behind it
  wrong_frames,    // not as many content frames as were expected
  event_too_large,
};
std::string_view name_of(Verdict verdict);

enum class Verify : uint8_t { no, yes };
enum class Body : uint8_t { plain, events };

class AnswerReader {
 public:
  // Of the frames in one piece of a body.
  struct Seen {
    uint32_t frames = 0;          // events with data, [DONE] not counted
    uint32_t content_frames = 0;  // those that bear content
  };

  // `parser` is the worker's; it must outlive the reader.
  AnswerReader(Verify verify, simdjson::dom::parser& parser) : parser_(parser), verify_(verify) {}

  // `refused`: the status says that this is no answer; only its text is kept, for text().
  void begin(Body body, bool refused = false);
  Seen feed(std::span<const uint8_t> payload);
  // After the last byte. `expected_frames` content frames, 0 = any number.
  Verdict end(uint64_t expected_frames);
  // The text that the verdict is about, for people: the beginning of a body or event.
  std::string_view example() const { return example_; }
  // The beginning of a refused answer's body.
  std::string_view text() const { return kept_; }

  uint64_t content_frames() const { return content_frames_; }

 private:
  void take_event(std::span<const uint8_t> event, Seen& seen);
  void check_json(std::string_view text, bool whole_answer);
  void fail(Verdict verdict, std::string_view about);

  simdjson::dom::parser& parser_;
  net::SseSplitter splitter_;
  std::string kept_;  // an event whose end has not come, or with verify a plain body
  std::string example_;
  uint64_t content_frames_ = 0;
  Verdict verdict_ = Verdict::ok;
  Verify verify_;
  Body body_ = Body::plain;
  bool done_ = false;
  bool refused_ = false;
};

// Whether one event's data bears content: a chat or completion delta that is not empty.
bool bears_content(std::string_view data);

}  // namespace weir::tools
