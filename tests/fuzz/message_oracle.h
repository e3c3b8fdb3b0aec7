// HTTP/1.1 messages split the naive way (RFC 9112), with nothing of net/ in it: which heads every recipient reads
// alike, which must be refused, and what a connection's bytes hold. What may be read in two ways is refused:
// two lengths, both framings, folded lines, lone CR or LF, space before a colon, more than one host.
#pragma once

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::fuzz {

// A chunked body by the book: hex CRLF data CRLF ... 0 CRLF CRLF. None: it is not that, or not complete.
inline std::optional<std::string> slow_decode(std::string_view text, size_t* consumed) {
  const size_t all = text.size();
  std::string payload;
  for (;;) {
    const size_t end = text.find("\r\n");
    if (end == std::string_view::npos || end == 0 || end > 16) return std::nullopt;
    uint64_t size = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + end, size, 16);
    if (error != std::errc() || stop != text.data() + end) return std::nullopt;
    text.remove_prefix(end + 2);
    if (size == 0) {
      if (!text.starts_with("\r\n")) return std::nullopt;
      *consumed = all - text.size() + 2;
      return payload;
    }
    if (text.size() < 2 || size > text.size() - 2 || text.substr(size, 2) != "\r\n") return std::nullopt;
    payload.append(text.substr(0, size));
    text.remove_prefix(size + 2);
  }
}

struct SlowHead {
  enum class Verdict : uint8_t { incomplete, clean, unsure, refused };

  Verdict verdict = Verdict::clean;  // unsure: accepted or not, but read as here
  size_t size = 0;                   // with its empty line
  std::string_view method, target;   // of a request
  int status = 0;                    // of a response
  std::vector<std::pair<std::string, std::string_view>>
      fields;  // name in lower case, value without white space
  bool chunked = false;
  std::optional<uint64_t> length;
  bool close = false;

  static SlowHead request(std::string_view text) {
    SlowHead head(text);
    if (head.verdict == Verdict::incomplete) return head;
    head.read_request_line();
    head.read_fields();
    const std::vector<std::string_view> hosts = head.all("host");
    if (hosts.size() != 1) {
      head.refuse();
    } else if (!is_plain_host(hosts[0])) {
      head.doubt();
    }
    for (const std::string_view value : head.all("expect")) head.require(lower(value) == "100-continue");
    for (const std::string_view value : head.all("content-encoding"))
      head.require(lower(value) == "identity");
    head.require(head.all("expect").size() <= 1 && head.all("content-encoding").size() <= 1);
    head.require((head.method != "GET" && head.method != "HEAD") || !head.has_body());
    return head;
  }

  static SlowHead response(std::string_view text) {
    SlowHead head(text);
    if (head.verdict == Verdict::incomplete) return head;
    const std::string_view line = head.lines_[0];
    const auto digit = [&](size_t at) { return line.size() > at && line[at] >= '0' && line[at] <= '9'; };
    head.require(line.starts_with("HTTP/1.1 ") && digit(9) && digit(10) && digit(11) && line.size() > 12 &&
                 line[12] == ' ');
    if (head.verdict == Verdict::refused) return head;
    head.status = std::stoi(std::string(line.substr(9, 3)));
    head.require(head.status >= 100 && head.status <= 599 && head.status != 101);
    head.read_fields();
    const bool is_bodiless = head.status < 200 || head.status == 204;
    head.require(!is_bodiless || !head.has_body());
    return head;
  }

  bool has_body() const { return chunked || length.value_or(0) != 0; }

  std::vector<std::string_view> all(std::string_view name) const {
    std::vector<std::string_view> values;
    for (const auto& [field, value] : fields) {
      if (field == name) values.push_back(value);
    }
    return values;
  }

  static std::string lower(std::string_view text) {
    std::string result(text);
    for (char& c : result) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    }
    return result;
  }

 private:
  explicit SlowHead(std::string_view text) {
    const size_t end = text.find("\r\n\r\n");
    if (end == std::string_view::npos) {
      verdict = Verdict::incomplete;
      return;
    }
    size = end + 4;
    require(size <= 32 * 1024);
    for (std::string_view rest = text.substr(0, end + 2); !rest.empty();) {
      const size_t line_end = rest.find("\r\n");
      lines_.push_back(rest.substr(0, line_end));
      rest.remove_prefix(line_end + 2);
      for (const char c : lines_.back())
        require(c == '\t' || (c & '\xe0') != 0);  // lone CR and LF among them
      require(!lines_.back().contains('\x7f'));
    }
    require(lines_.size() <= 101);
  }

  void refuse() { verdict = Verdict::refused; }
  void require(bool condition) {
    if (!condition) refuse();
  }
  void doubt() {
    if (verdict == Verdict::clean) verdict = Verdict::unsure;
  }

  static bool is_token(std::string_view text) {
    return !text.empty() &&
           text.find_first_not_of(
               "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~") ==
               std::string_view::npos;
  }
  static bool is_digits(std::string_view text, size_t most) {
    return !text.empty() && text.size() <= most &&
           text.find_first_not_of("0123456789") == std::string_view::npos;
  }
  static bool is_plain_host(std::string_view host) {
    const size_t colon = std::min(host.find(':'), host.size());
    const std::string_view name = host.substr(0, colon);
    const std::string_view port = host.substr(std::min(colon + 1, host.size()));
    return is_token(name) && name.find_first_of("!#$%&'*+^_`|~") == std::string_view::npos &&
           (colon == host.size() || is_digits(port, 4));
  }

  void read_request_line() {
    const std::string_view line = lines_[0];
    const size_t first = line.find(' ');
    const size_t last = line.rfind(' ');
    if (first == std::string_view::npos || first == last) return refuse();
    method = line.substr(0, first);
    target = line.substr(first + 1, last - first - 1);
    require(is_token(method) && method.size() <= 20);
    require(line.substr(last + 1) == "HTTP/1.1");
    require(target.starts_with('/') && target.size() <= 2048 && !target.contains('#'));
    for (const char c : target) require(c > ' ' && c < '\x7f');
  }

  void read_fields() {
    for (size_t i = 1; i < lines_.size(); ++i) {
      const std::string_view line = lines_[i];
      const size_t colon = line.find(':');
      if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return refuse();
      std::string_view value = line.substr(colon + 1);
      while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
      while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
      if (std::ranges::any_of(value, [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) doubt();
      fields.emplace_back(lower(line.substr(0, colon)), value);
    }
    const std::vector<std::string_view> lengths = all("content-length");
    const std::vector<std::string_view> codings = all("transfer-encoding");
    require(lengths.size() + codings.size() <= 1);
    for (const std::string_view value : lengths) {
      if (!is_digits(value, 19)) return refuse();
      length = std::stoull(std::string(value));
    }
    for (const std::string_view value : codings) require(lower(value) == "chunked");
    chunked = !codings.empty();
    const std::vector<std::string_view> connection = all("connection");
    for (const std::string_view value : connection) {
      close |= lower(value) == "close";
      if (connection.size() > 1 || (lower(value) != "close" && lower(value) != "keep-alive")) doubt();
    }
  }

  std::vector<std::string_view> lines_;
};

struct SlowRequest {
  SlowHead head;
  std::string body;
};

// The whole requests of a connection that anybody may act on: up to the first that is refused or cut off.
inline std::vector<SlowRequest> slow_requests(std::string_view text) {
  std::vector<SlowRequest> requests;
  while (!text.empty()) {
    SlowRequest request{.head = SlowHead::request(text), .body = {}};
    const SlowHead& head = request.head;
    if (head.verdict == SlowHead::Verdict::incomplete || head.verdict == SlowHead::Verdict::refused) break;
    text.remove_prefix(head.size);
    size_t consumed = 0;
    if (head.chunked) {
      std::optional<std::string> body = slow_decode(text, &consumed);
      if (!body) break;
      request.body = *std::move(body);
    } else {
      if (text.size() < head.length.value_or(0)) break;
      consumed = head.length.value_or(0);
      request.body = text.substr(0, consumed);
    }
    text.remove_prefix(consumed);
    requests.push_back(std::move(request));
    if (requests.back().head.close) break;
  }
  return requests;
}

}  // namespace weir::fuzz
