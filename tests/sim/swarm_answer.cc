#include "tests/sim/swarm_answer.h"

#include <charconv>

namespace weir::sim {
namespace {

template <typename Number>
bool parse(std::string_view text, Number& number, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return error == std::errc{} && end == text.data() + text.size() && !text.empty();
}

}  // namespace

bool AnswerReader::read_head(std::string_view head) {
  if (!head.starts_with("HTTP/1.1 ") || !parse(head.substr(9, 3), answer_.status)) return false;
  bool has_length = false;
  size_t at = head.find("\r\n") + 2;
  while (at < head.size()) {
    const size_t end = head.find("\r\n", at);
    const std::string_view line = head.substr(at, end - at);
    at = end + 2;
    const size_t colon = line.find(": ");
    if (colon == std::string_view::npos) return false;
    const std::string_view name = line.substr(0, colon), value = line.substr(colon + 2);
    if (name == "content-length") {
      if (has_length || !parse(value, length_)) return false;
      has_length = true;
    }
    if (name == "transfer-encoding") chunked_ = value == "chunked";
    if (name == "connection") close_ = value == "close";
    if (name == "content-type") answer_.stream = value.starts_with("text/event-stream");
    if (name == "x-request-id") answer_.request_id = value;
    if (name == "x-weir-unit") answer_.unit = value;
    if (name == "x-weir-arm") answer_.arm = value;
    if (name == "x-weir-flag") answer_.flag = value;
    if (name == "x-weir-reason") answer_.reason = value;
    if (name == "x-weir-cache") answer_.cache = value;
    if (name == "x-weir-fallback") answer_.fallback = value;
    if (name == "x-weir-revision" && !parse(value, answer_.revision)) return false;
  }
  const bool bodiless = answer_.status == 204 || answer_.status == 304;
  return bodiless || has_length != chunked_;
}

AnswerReader::Step AnswerReader::read() {
  if (body_at_ == 0) {
    const size_t end = text_.find("\r\n\r\n");
    if (end == std::string::npos) return Step::need_more;
    if (!read_head(std::string_view(text_).substr(0, end + 2))) return Step::malformed;
    body_at_ = at_ = end + 4;
  }
  if (chunked_) return read_chunks();
  if (text_.size() - body_at_ < length_) return Step::need_more;
  answer_.body = text_.substr(body_at_, length_);
  at_ = body_at_ + length_;
  answer_.whole = true;
  answer_.done = answer_.body.find("data: [DONE]") != std::string::npos;
  return Step::done;
}

AnswerReader::Step AnswerReader::read_chunks() {
  for (;;) {
    const size_t line_end = text_.find("\r\n", at_);
    if (line_end == std::string::npos) return Step::need_more;
    size_t size = 0;
    if (!parse(std::string_view(text_).substr(at_, line_end - at_), size, 16)) return Step::malformed;
    if (text_.size() < line_end + 2 + size + 2) return Step::need_more;
    if (text_.compare(line_end + 2 + size, 2, "\r\n") != 0) return Step::malformed;
    answer_.body.append(text_, line_end + 2, size);
    at_ = line_end + 2 + size + 2;
    if (size > 0) continue;
    answer_.whole = true;
    answer_.done = answer_.body.find("data: [DONE]") != std::string::npos;
    return Step::done;
  }
}

void AnswerReader::next() {
  std::string rest = text_.substr(at_);
  reset();
  text_ = std::move(rest);
}

void AnswerReader::reset() {
  *this = AnswerReader();
}

}  // namespace weir::sim
