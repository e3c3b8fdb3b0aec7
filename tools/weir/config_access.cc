#include "tools/weir/config_access.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "core/file.h"

namespace weir::tools {
namespace {

using routing::AccessRules;
using routing::Element;
using routing::Object;
using routing::Path;
using routing::Problems;
using routing::Role;
using Who = AccessRules::Who;

constexpr uint64_t kMaxPasswdBytes = 16 * 1024 * 1024;
constexpr std::string_view kHashScheme = "hmac-sha256:";
constexpr size_t kHashDigits = 64;

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<uint32_t> user_id(const std::string& name) {
  const passwd* const entry = ::getpwnam(name.c_str());
  if (entry == nullptr) return std::nullopt;
  return entry->pw_uid;
}

std::optional<uint32_t> group_id(const std::string& name) {
  const group* const entry = ::getgrnam(name.c_str());
  if (entry == nullptr) return std::nullopt;
  return entry->gr_gid;
}

// Lines "name:x:uid:..." of /etc/passwd.
std::vector<std::pair<uint32_t, std::string>> local_users() {
  std::vector<std::pair<uint32_t, std::string>> users;
  const auto text = core::read_file("/etc/passwd", kMaxPasswdBytes);
  std::string_view rest = text ? std::string_view(*text) : std::string_view();
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const size_t name_end = line.find(':');
    const size_t uid_begin = name_end == std::string_view::npos ? name_end : line.find(':', name_end + 1);
    if (uid_begin == std::string_view::npos) continue;
    const std::string_view uid = line.substr(uid_begin + 1, line.find(':', uid_begin + 1) - uid_begin - 1);
    if (const auto number = parse_number<uint32_t>(uid))
      users.emplace_back(*number, line.substr(0, name_end));
  }
  return users;
}

// "user:alice", "uid:1000", "group:oncall", "gid:4", "*".
void read_peer(Problems& problems, const Path& path, Element element, Role role, AccessRules* access) {
  const auto text = routing::read_text(problems, path, element);
  if (!text) return;
  if (*text == "*") return access->peers.push_back({.role = role, .who = Who::everybody});
  const size_t colon = text->find(':');
  const std::string_view kind = text->substr(0, colon);
  const std::string value(colon == std::string_view::npos ? std::string_view() : text->substr(colon + 1));
  const bool user = kind == "user" || kind == "uid";
  const bool number = kind == "uid" || kind == "gid";
  if (value.empty() || !(user || kind == "group" || kind == "gid")) {
    return problems.add(path, fmt::format("{} is none of user:NAME, uid:NUMBER, group:NAME, gid:NUMBER, *",
                                          routing::quote(*text)));
  }
  const auto id = number ? parse_number<uint32_t>(value) : user ? user_id(value) : group_id(value);
  if (!id) {
    return problems.add(path, number
                                  ? fmt::format("{} is no number", routing::quote(value))
                                  : fmt::format("this machine knows no {} {}", kind, routing::quote(value)));
  }
  access->peers.push_back({.role = role, .who = user ? Who::user : Who::group, .id = *id});
  if (kind == "user") access->user_names.insert(access->user_names.begin(), {*id, value});
}

// What is wrong with a hash is never repeated: it could be the token, pasted by mistake.
bool is_hash(std::string_view text) {
  return text.starts_with(kHashScheme) && text.size() == kHashScheme.size() + kHashDigits &&
         text.find_first_not_of("0123456789abcdef", kHashScheme.size()) == std::string_view::npos;
}

void read_token(Problems& problems, const Path& path, Element element, AccessRules* access) {
  const Object<ConfigTokenProperty> object(problems, path, element);
  using enum ConfigTokenProperty;
  AccessRules::Token token;
  if (const auto text = object.text(id)) {
    routing::check_name(problems, object.at(id), *text);
    token.id = *text;
    if (std::ranges::find(access->tokens, token.id, &AccessRules::Token::id) != access->tokens.end()) {
      problems.add(object.at(id), "is the id of an earlier token");
    }
  }
  if (const auto text = object.string(hash)) {
    token.hash = lower_case(*text);
    if (!is_hash(token.hash)) {
      problems.add(object.at(hash),
                   "must be hmac-sha256: and 64 hexadecimal digits, as weir hash-key prints them");
    }
  }
  if (const auto text = object.text(role)) {
    const auto known = routing::parse_role(*text);
    if (!known) problems.add(object.at(role), "must be viewer, operator, approver or admin");
    token.role = known.value_or(Role::viewer);
  }
  if (object.has(scopes)) token.scopes = 0;
  object.for_each(scopes, [&](const Path& at, Element item) {
    const auto text = routing::read_text(problems, at, item);
    if (!text) return;
    const auto scope = routing::parse_scope(*text);
    if (!scope) {
      return problems.add(at, "must be metrics, read, change, kill, rollback, approve or deploy");
    }
    token.scopes |= routing::bit(*scope);
  });
  access->tokens.push_back(std::move(token));
}

}  // namespace

AccessRules default_access() {
  AccessRules access;
  access.peers = {{.role = Role::admin, .who = Who::user, .id = 0},
                  {.role = Role::admin, .who = Who::user, .id = ::geteuid()},
                  {.role = Role::viewer, .who = Who::everybody}};
  access.user_names = local_users();
  return access;
}

void read_roles(Problems& problems, const Path& path, Element element, AccessRules* access) {
  const Object<ConfigRolesProperty> object(problems, path, element);
  const auto read = [&](ConfigRolesProperty property, Role role) {
    if (!object.has(property)) return;
    std::erase_if(access->peers, [&](const AccessRules::Peer& peer) { return peer.role == role; });
    object.for_each(property,
                    [&](const Path& at, Element item) { read_peer(problems, at, item, role, access); });
  };
  read(ConfigRolesProperty::viewer, Role::viewer);
  read(ConfigRolesProperty::operator_role, Role::operator_role);
  read(ConfigRolesProperty::approver, Role::approver);
  read(ConfigRolesProperty::admin, Role::admin);
}

void read_tokens(Problems& problems, const Object<ConfigTcpProperty>& tcp, AccessRules* access) {
  tcp.for_each(ConfigTcpProperty::tokens,
               [&](const Path& path, Element item) { read_token(problems, path, item, access); });
  if (access->tokens.size() > core::limits::kMaxAdminTokens) {
    problems.add(tcp.at(ConfigTcpProperty::tokens),
                 fmt::format("lists {} tokens; at most {} are accepted", access->tokens.size(),
                             core::limits::kMaxAdminTokens));
  }
}

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  return result;
}

}  // namespace weir::tools
