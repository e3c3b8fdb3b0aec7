#include "routing/table/base_url.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include "core/ascii.h"
#include "routing/table/problem.h"

namespace weir::routing {
namespace {

using Address = std::array<uint8_t, 16>;

bool is_alphanumeric(char c) {
  return core::is_letter(c) || core::is_digit(c);
}

// An IPv4 address comes out mapped (::ffff:a.b.c.d).
std::optional<Address> parse_address(std::string_view host) {
  if (host.find('\0') != std::string_view::npos) return std::nullopt;
  const std::string text(host);
  Address address{};
  if (inet_pton(AF_INET6, text.c_str(), address.data()) == 1) return address;
  address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (inet_pton(AF_INET, text.c_str(), address.data() + 12) == 1) return address;
  return std::nullopt;
}

bool is_host_name(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  size_t label = 0;
  for (const char c : host) {
    if (c == '.') {
      if (label == 0) return false;
      label = 0;
    } else if (!is_alphanumeric(c) && c != '-' && c != '_') {
      return false;
    } else if (++label > 63) {
      return false;
    }
  }
  return label > 0;
}

// Resolvers read "2852039166", "0xa9fea9fe" and "169.254.43518" as addresses too; we do not.
bool looks_like_number(std::string_view host) {
  std::string_view last = host.substr(host.rfind('.') + 1);
  if (last.starts_with("0x") || last.starts_with("0X")) return true;
  return std::ranges::all_of(last, [](char c) { return c >= '0' && c <= '9'; });
}

bool is_path(std::string_view path) {
  constexpr std::string_view kOther = "/-._~!$&'()*+,;=:@";
  for (size_t at = 0; at < path.size(); at++) {
    if (!is_alphanumeric(path[at]) && kOther.find(path[at]) == std::string_view::npos) return false;
  }
  for (size_t begin = 1; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view segment = path.substr(begin, end - begin);
    if (segment.empty() || segment == "." || segment == "..") return false;
    begin = end + 1;
  }
  return true;
}

}  // namespace

std::expected<BaseUrl, std::string> parse_base_url(std::string_view text) {
  BaseUrl url;
  std::string_view rest = text;
  if (rest.starts_with("https://")) {
    url.tls = true;
  } else if (!rest.starts_with("http://")) {
    return std::unexpected("must begin with https:// or http://");
  }
  rest.remove_prefix(url.tls ? 8 : 7);
  if (rest.find('?') != std::string_view::npos) return std::unexpected("must not have a query (?...)");
  if (rest.find('#') != std::string_view::npos) return std::unexpected("must not have a fragment (#...)");
  const size_t path_begin = std::min(rest.find('/'), rest.size());
  std::string_view path = rest.substr(path_begin);
  std::string_view authority = rest.substr(0, path_begin);
  if (authority.find('@') != std::string_view::npos) {
    return std::unexpected("must not hold a user or password; use api_key");
  }

  std::string_view host, port;
  bool bracketed = false;
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos)
      return std::unexpected("has an IPv6 address without its closing bracket");
    bracketed = true;
    host = authority.substr(1, close - 1);
    port = authority.substr(close + 1);
  } else {
    const size_t colon = std::min(authority.find(':'), authority.size());
    host = authority.substr(0, colon);
    port = authority.substr(colon);
  }
  const auto address = parse_address(host);
  const bool is_v6 = address && host.find(':') != std::string_view::npos;
  if (bracketed ? !is_v6 : !(address || (is_host_name(host) && !looks_like_number(host)))) {
    return std::unexpected(fmt::format("{} is not a host name or address", quote(host)));
  }
  url.host = host;
  std::ranges::transform(url.host, url.host.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });

  url.port = url.tls ? 443 : 80;
  url.host_header = bracketed ? "[" + url.host + "]" : url.host;
  if (!port.empty()) {
    const uint16_t standard = url.port;
    const char* end = port.data() + port.size();
    const auto [at, error] = std::from_chars(port.data() + 1, end, url.port);
    if (port[0] != ':' || error != std::errc() || at != end || url.port == 0) {
      return std::unexpected("must have a port from 1 to 65535, or none");
    }
    if (url.port != standard) url.host_header += fmt::format(":{}", url.port);
  }

  if (path.ends_with('/')) path.remove_suffix(1);
  if (path.size() > core::limits::kMaxBasePathBytes) {
    return std::unexpected("has a path of more than " + std::to_string(core::limits::kMaxBasePathBytes) + " bytes");
  }
  if (!is_path(path)) return std::unexpected("must have a plain path such as /v1, or none");
  url.path_prefix = path;
  return url;
}

bool is_link_local(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  const auto address = parse_address(host);
  if (!address) {
    std::string name(host);
    std::ranges::transform(name, name.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
    return name == "metadata.google.internal" || name == "metadata" || name == "metadata.goog";
  }
  const auto begins_with = [&](std::initializer_list<uint8_t> prefix) {
    return std::ranges::equal(prefix, std::span(*address).first(prefix.size()));
  };
  if (begins_with({0xfe}) && ((*address)[1] & 0xc0) == 0x80) return true;  // fe80::/10
  constexpr Address kAmazonMetadata = {0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54};
  if (*address == kAmazonMetadata) return true;
  // IPv4 inside IPv6: mapped, compatible, NAT64 (RFC 6052).
  const bool holds_v4 = begins_with({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}) ||
                        begins_with({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) ||
                        begins_with({0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0});
  if (!holds_v4) return false;
  const uint8_t* v4 = address->data() + 12;
  constexpr std::array<uint8_t, 4> kAlibabaMetadata = {100, 100, 100, 200};
  return (v4[0] == 169 && v4[1] == 254) || std::memcmp(v4, kAlibabaMetadata.data(), 4) == 0;
}

}  // namespace weir::routing
