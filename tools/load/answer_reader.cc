#include "tools/load/answer_reader.h"

#include <algorithm>
#include <cstring>

namespace weir::tools {
namespace {


std::string_view text_of(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A non-empty string behind `key`, which includes its quotes and colon. A key cannot stand unescaped inside a
// JSON string, so where it is found it is a member.
bool has_text(std::string_view data, std::string_view key) {
  const auto* found = static_cast<const char*>(memmem(data.data(), data.size(), key.data(), key.size()));
  if (found == nullptr) return false;
  std::string_view rest = data.substr(static_cast<size_t>(found - data.data()) + key.size());
  if (rest.starts_with(' ')) rest.remove_prefix(1);
  return rest.starts_with('"') && !rest.starts_with("\"\"");
}

}  // namespace

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "ok";
    case Verdict::bad_status:
      return "bad_status";
    case Verdict::header_missing:
      return "header_missing";
    case Verdict::not_json:
      return "not_json";
    case Verdict::no_answer:
      return "no_answer";
    case Verdict::not_a_stream:
      return "not_a_stream";
    case Verdict::error_event:
      return "error_event";
    case Verdict::no_end_mark:
      return "no_end_mark";
    case Verdict::after_end_mark:
      return "after_end_mark";
    case Verdict::wrong_frames:
      return "wrong_frames";
    case Verdict::event_too_large:
      return "event_too_large";
  }
  return "?";
}

bool bears_content(std::string_view data) {
  return has_text(data, "\"content\":") || has_text(data, "\"text\":") || has_text(data, "\"delta\":") ||
         has_text(data, "\"arguments\":");
}

void AnswerReader::begin(Body body, bool refused) {
  refused_ = refused;
  body_ = body;
  splitter_.reset();
  kept_.clear();
  example_.clear();
  content_frames_ = 0;
  verdict_ = Verdict::ok;
  done_ = false;
}

void AnswerReader::fail(Verdict verdict, std::string_view about) {
  if (verdict_ != Verdict::ok) return;  // the first says most
  verdict_ = verdict;
  example_ = about.substr(0, kExampleBytes);
}

AnswerReader::Seen AnswerReader::feed(std::span<const uint8_t> payload) {
  Seen seen;
  if (refused_) {
    kept_ += text_of(payload).substr(0, kExampleBytes - std::min(kExampleBytes, kept_.size()));
    return seen;
  }
  if (body_ == Body::plain) {
    if (verify_ == Verify::yes) kept_ += text_of(payload);
    return seen;
  }
  while (!payload.empty()) {
    const auto end = splitter_.find_event_end(payload);
    if (!end) {
      fail(Verdict::event_too_large, text_of(payload));
      return seen;
    }
    if (*end == net::SseSplitter::npos) {
      kept_ += text_of(payload);
      return seen;
    }
    if (kept_.empty()) {
      take_event(payload.first(*end), seen);
    } else {
      kept_ += text_of(payload.first(*end));
      take_event({reinterpret_cast<const uint8_t*>(kept_.data()), kept_.size()}, seen);
      kept_.clear();
    }
    payload = payload.subspan(*end);
  }
  return seen;
}

void AnswerReader::take_event(std::span<const uint8_t> bytes, Seen& seen) {
  const net::SseEvent event = net::parse_event(bytes);
  if (!event.has_data) return;
  if (done_) return fail(Verdict::after_end_mark, text_of(bytes));
  if (net::is_done(event.data)) {
    done_ = true;
    return;
  }
  ++seen.frames;
  if (bears_content(event.data)) {
    ++seen.content_frames;
    ++content_frames_;
  }
  if (verify_ == Verify::yes) check_json(event.data, false);
}

void AnswerReader::check_json(std::string_view text, bool whole_answer) {
  simdjson::dom::object object;
  if (parser_.parse(text.data(), text.size()).get_object().get(object) != simdjson::SUCCESS) {
    return fail(Verdict::not_json, text);
  }
  const auto has = [&](std::string_view key) { return object[key].error() == simdjson::SUCCESS; };
  if (!whole_answer && has("error")) return fail(Verdict::error_event, text);
  // Chat and completions; embeddings; responses, whose events say what they are.
  if (has("choices") || has("data") || has("output") || has("type")) return;
  fail(Verdict::no_answer, text);
}

Verdict AnswerReader::end(uint64_t expected_frames) {
  if (body_ == Body::plain) {
    if (verify_ == Verify::yes) check_json(kept_, true);
    return verdict_;
  }
  if (!kept_.empty()) fail(done_ ? Verdict::after_end_mark : Verdict::no_end_mark, kept_);
  if (!done_) fail(Verdict::no_end_mark, "");
  if (expected_frames != 0 && content_frames_ != expected_frames) {
    fail(Verdict::wrong_frames, std::to_string(content_frames_) + " content frames");
  }
  return verdict_;
}

}  // namespace weir::tools
