#include "routing/inspect/json_text.h"

namespace weir::routing {
namespace {

uint32_t hex_value(char digit) {
  if (digit <= '9') return static_cast<uint32_t>(digit - '0');
  return static_cast<uint32_t>((digit | 0x20) - 'a') + 10;
}

// Of four digits known to be hexadecimal.
uint32_t code_unit(const char* digits) {
  return hex_value(digits[0]) << 12 | hex_value(digits[1]) << 8 | hex_value(digits[2]) << 4 |
         hex_value(digits[3]);
}

void append_utf8(uint32_t code_point, ScratchWriter& out) {
  char bytes[4];
  size_t size = 0;
  if (code_point < 0x80) {
    bytes[size++] = static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    bytes[size++] = static_cast<char>(0xc0 | code_point >> 6);
    bytes[size++] = static_cast<char>(0x80 | (code_point & 0x3f));
  } else if (code_point < 0x10000) {
    bytes[size++] = static_cast<char>(0xe0 | code_point >> 12);
    bytes[size++] = static_cast<char>(0x80 | (code_point >> 6 & 0x3f));
    bytes[size++] = static_cast<char>(0x80 | (code_point & 0x3f));
  } else {
    bytes[size++] = static_cast<char>(0xf0 | code_point >> 18);
    bytes[size++] = static_cast<char>(0x80 | (code_point >> 12 & 0x3f));
    bytes[size++] = static_cast<char>(0x80 | (code_point >> 6 & 0x3f));
    bytes[size++] = static_cast<char>(0x80 | (code_point & 0x3f));
  }
  out.append(std::string_view(bytes, size));
}

}  // namespace

void render_json_string_body(std::string_view text, ScratchWriter& out) {
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
    out.append(text.substr(begin, i - begin));
    begin = i + 1;
    switch (byte) {
      case '"':
        out.append("\\\"");
        break;
      case '\\':
        out.append("\\\\");
        break;
      case '\n':
        out.append("\\n");
        break;
      case '\r':
        out.append("\\r");
        break;
      case '\t':
        out.append("\\t");
        break;
      default: {
        constexpr char kHex[] = "0123456789abcdef";
        const char escape[] = {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
        out.append(std::string_view(escape, sizeof escape));
      }
    }
  }
  out.append(text.substr(begin));
}

void render_json_string(std::string_view text, ScratchWriter& out) {
  out.append('"');
  render_json_string_body(text, out);
  out.append('"');
}

void unescape_json_string(std::string_view inside, ScratchWriter& out) {
  size_t at = 0;
  for (;;) {
    const size_t backslash = inside.find('\\', at);
    if (backslash == std::string_view::npos) break;
    out.append(inside.substr(at, backslash - at));
    at = backslash + 2;
    switch (const char kind = inside[backslash + 1]) {
      case 'b':
        out.append('\b');
        break;
      case 'f':
        out.append('\f');
        break;
      case 'n':
        out.append('\n');
        break;
      case 'r':
        out.append('\r');
        break;
      case 't':
        out.append('\t');
        break;
      case 'u': {
        uint32_t code_point = code_unit(&inside[at]);
        at += 4;
        if ((code_point & 0xfc00) == 0xd800) {
          code_point = 0x10000 + ((code_point & 0x3ff) << 10) + (code_unit(&inside[at + 2]) & 0x3ff);
          at += 6;
        }
        append_utf8(code_point, out);
        break;
      }
      default:
        out.append(kind);  // the quote, the backslash, the slash
    }
  }
  out.append(inside.substr(at));
}

}  // namespace weir::routing
