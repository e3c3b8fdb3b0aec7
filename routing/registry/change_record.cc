#include "routing/registry/change_record.h"

#include <simdjson.h>

#include "routing/table/canonical_json.h"

namespace weir::routing {
namespace {

using simdjson::dom::element;

void append_text(std::string& out, std::string_view text) {
  if (simdjson::validate_utf8(text)) return append_json_string(out, text);
  std::string cleaned(text);
  for (char& c : cleaned) {
    if ((static_cast<uint8_t>(c) & 0x80) != 0) c = '?';
  }
  append_json_string(out, cleaned);
}

void append_actor(std::string& out, const Actor& actor) {
  out += "{\"name\":";
  append_text(out, actor.name);
  out += ",\"role\":";
  append_text(out, actor.role);
  out += '}';
}

// `append` writes one item.
template <typename Items, typename Append>
void append_list(std::string& out, const Items& items, Append append) {
  out += '[';
  bool first = true;
  for (const auto& item : items) {
    if (!first) out += ',';
    first = false;
    append(out, item);
  }
  out += ']';
}

void append_kill(std::string& out, const Kill& kill) {
  out += "{\"name\":";
  append_text(out, kill.name);
  out += ",\"reason\":";
  append_text(out, kill.reason);
  out += ",\"scope\":\"";
  out += to_string(kill.scope);
  out += "\",\"since_wall_ns\":" + std::to_string(kill.since_wall_ns) + '}';
}

void append_detail(std::string& out, std::string_view detail) {
  if (detail.empty()) {
    out += "null";
    return;
  }
  simdjson::dom::parser parser;
  element parsed;
  if (parser.parse(detail.data(), detail.size()).get(parsed) == simdjson::SUCCESS) {
    append_canonical(out, parsed);
  } else {
    append_text(out, detail);
  }
}

void append_number_or_null(std::string& out, std::optional<uint64_t> number) {
  out += number ? std::to_string(*number) : "null";
}

void append_body(std::string& out, const std::optional<std::string>& body) {
  if (body) {
    append_text(out, *body);
  } else {
    out += "null";
  }
}

void append_object(std::string& out, const ObjectChange& object) {
  out += "{\"after\":";
  append_body(out, object.after);
  out += ",\"before\":";
  append_body(out, object.before);
  out += ",\"kind\":" + std::to_string(static_cast<unsigned>(object.kind)) + ",\"name\":";
  append_text(out, object.name);
  out += '}';
}

// ---- reading: each answers whether the member is there and of its type ----

bool read(element from, const char* name, std::string& to) {
  std::string_view text;
  if (from[name].get(text) != simdjson::SUCCESS) return false;
  to = text;
  return true;
}

bool read(element from, const char* name, uint64_t& to) {
  return from[name].get(to) == simdjson::SUCCESS;
}

bool read(element from, const char* name, int64_t& to) {
  return from[name].get(to) == simdjson::SUCCESS;
}

template <typename Value>
bool read(element from, const char* name, std::optional<Value>& to) {
  element value;
  if (from[name].get(value) != simdjson::SUCCESS) return false;
  to.reset();
  return value.is_null() || read(from, name, to.emplace());
}

bool read(element from, const char* name, Actor& to) {
  element actor;
  return from[name].get(actor) == simdjson::SUCCESS && read(actor, "name", to.name) &&
         read(actor, "role", to.role);
}

bool read_item(element from, Actor& to) {
  return read(from, "name", to.name) && read(from, "role", to.role);
}

bool read_item(element from, std::string& to) {
  std::string_view text;
  if (from.get(text) != simdjson::SUCCESS) return false;
  to = text;
  return true;
}

bool read_item(element from, Kill& to) {
  std::string scope;
  if (!read(from, "scope", scope) || !read(from, "name", to.name) || !read(from, "reason", to.reason) ||
      !read(from, "since_wall_ns", to.since_wall_ns)) {
    return false;
  }
  const auto parsed = parse_kill_scope(scope);
  if (parsed) to.scope = *parsed;
  return parsed.has_value();
}

bool read_item(element from, ObjectChange& to) {
  uint64_t kind = 0;
  if (!read(from, "kind", kind) || kind >= kObjectKindCount) return false;
  to.kind = static_cast<ObjectKind>(kind);
  return read(from, "name", to.name) && read(from, "before", to.before) && read(from, "after", to.after);
}

template <typename Item>
bool read(element from, const char* name, std::vector<Item>& to) {
  simdjson::dom::array array;
  if (from[name].get(array) != simdjson::SUCCESS) return false;
  for (const element item : array) {
    if (!read_item(item, to.emplace_back())) return false;
  }
  return true;
}

}  // namespace

std::string write_record(const Change& change, const RecordDigests& digests) {
  std::string out = "{\"action\":";
  append_text(out, change.action);
  out += ",\"actor\":";
  append_actor(out, change.actor);
  out += ",\"approved_by\":";
  append_list(out, change.approved_by, append_actor);
  out += ",\"based_on\":";
  append_number_or_null(out, change.based_on);
  out += ",\"detail\":";
  append_detail(out, change.detail);
  out += ",\"killed\":";
  append_list(out, change.killed, append_kill);
  out += ",\"objects\":{\"count\":" + std::to_string(change.object_count) + ",\"sha256\":\"" +
         to_hex(bytes_of(digests.objects)) + "\"},\"proposal\":";
  if (change.proposal == 0) {
    out += "null";
  } else {
    out += "{\"id\":" + std::to_string(change.proposal) + ",\"sha256\":\"" +
           to_hex(bytes_of(digests.proposal)) + "\"}";
  }
  out += ",\"reason\":";
  append_text(out, change.reason);
  out += ",\"revision\":";
  append_number_or_null(out, change.revision == 0 ? std::nullopt : std::optional(change.revision));
  out += ",\"sequence\":" + std::to_string(change.sequence) + ",\"target\":";
  append_text(out, change.target);
  out += ",\"unkilled\":";
  append_list(out, change.unkilled, append_kill);
  out += ",\"wall_ns\":" + std::to_string(change.wall_ns) + '}';
  return out;
}

std::optional<ParsedRecord> parse_record(std::string_view text) {
  simdjson::dom::parser parser;
  element root;
  if (parser.parse(text.data(), text.size()).get(root) != simdjson::SUCCESS) return std::nullopt;
  ParsedRecord parsed;
  Change& change = parsed.change;
  std::optional<uint64_t> revision;
  element detail, objects, proposal;
  const bool complete =
      read(root, "action", change.action) && read(root, "actor", change.actor) &&
      read(root, "approved_by", change.approved_by) && read(root, "based_on", change.based_on) &&
      root["detail"].get(detail) == simdjson::SUCCESS && read(root, "killed", change.killed) &&
      root["objects"].get(objects) == simdjson::SUCCESS && read(objects, "count", change.object_count) &&
      read(objects, "sha256", parsed.objects) && root["proposal"].get(proposal) == simdjson::SUCCESS &&
      (proposal.is_null() ||
       (read(proposal, "id", change.proposal) && read(proposal, "sha256", parsed.proposal))) &&
      read(root, "reason", change.reason) && read(root, "revision", revision) &&
      read(root, "sequence", change.sequence) && read(root, "target", change.target) &&
      read(root, "unkilled", change.unkilled) && read(root, "wall_ns", change.wall_ns);
  if (!complete) return std::nullopt;
  change.revision = revision.value_or(0);
  if (!detail.is_null()) change.detail = canonical_json(detail);
  return parsed;
}

std::string write_label(std::string_view name, uint64_t revision) {
  std::string out = "{\"label\":";
  append_text(out, name);
  return out + ",\"revision\":" + std::to_string(revision) + '}';
}

std::optional<std::pair<std::string, uint64_t>> parse_label(const Change& change) {
  if (change.revision != 0 || change.proposal != 0) return std::nullopt;
  simdjson::dom::parser parser;
  element root;
  std::pair<std::string, uint64_t> label;
  if (parser.parse(change.detail.data(), change.detail.size()).get(root) != simdjson::SUCCESS ||
      !read(root, "label", label.first) || !read(root, "revision", label.second)) {
    return std::nullopt;
  }
  return label;
}

std::string write_proposal(const Proposal& proposal) {
  std::string out = "{\"action\":";
  append_text(out, proposal.action);
  out += ",\"approvals\":";
  append_list(out, proposal.approvals, append_actor);
  out += ",\"author\":";
  append_actor(out, proposal.author);
  out += ",\"based_on\":" + std::to_string(proposal.based_on) + ",\"id\":" + std::to_string(proposal.id) +
         ",\"objects\":";
  append_list(out, proposal.objects, append_object);
  out += ",\"reason\":";
  append_text(out, proposal.reason);
  out += ",\"required\":";
  append_list(out, proposal.required, append_text);
  out += ",\"state\":" + std::to_string(static_cast<unsigned>(proposal.state)) + ",\"target\":";
  append_text(out, proposal.target);
  out += ",\"wall_ns\":" + std::to_string(proposal.wall_ns) + '}';
  return out;
}

std::optional<Proposal> parse_proposal(std::string_view text) {
  simdjson::dom::parser parser;
  element root;
  if (parser.parse(text.data(), text.size()).get(root) != simdjson::SUCCESS) return std::nullopt;
  Proposal proposal;
  uint64_t state = 0;
  const bool complete =
      read(root, "action", proposal.action) && read(root, "approvals", proposal.approvals) &&
      read(root, "author", proposal.author) && read(root, "based_on", proposal.based_on) &&
      read(root, "id", proposal.id) && read(root, "objects", proposal.objects) &&
      read(root, "reason", proposal.reason) && read(root, "required", proposal.required) &&
      read(root, "state", state) && state <= static_cast<unsigned>(Proposal::State::stale) &&
      read(root, "target", proposal.target) && read(root, "wall_ns", proposal.wall_ns);
  if (!complete) return std::nullopt;
  proposal.state = static_cast<Proposal::State>(state);
  return proposal;
}

std::string_view to_string(Proposal::State state) {
  switch (state) {
    case Proposal::State::open:
      return "open";
    case Proposal::State::applied:
      return "applied";
    case Proposal::State::withdrawn:
      return "withdrawn";
    case Proposal::State::stale:
      return "stale";
  }
  __builtin_unreachable();
}

void ObjectsDigest::add(ObjectKind kind, std::string_view name, std::string_view digest) {
  line_ = std::to_string(static_cast<unsigned>(kind));
  line_ += ' ';
  line_ += name;
  line_ += ' ';
  line_ += digest.empty() ? "-" : to_hex(digest);
  line_ += '\n';
  hash_.add(line_);
}

}  // namespace weir::routing
