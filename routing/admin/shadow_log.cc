#include "routing/admin/shadow_log.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/strong.h"
#include "core/timestamp.h"
#include "routing/guard/pii_mask.h"
#include "routing/registry/sha256.h"
#include "routing/table/table.h"

namespace weir::routing {
namespace {

using Json = nlohmann::ordered_json;

std::string_view string_at(const Json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return {};
  return found->get_ref<const std::string&>();
}

int64_t number_at(const Json& object, const char* key, int64_t otherwise) {
  if (!object.is_object()) return otherwise;
  const auto found = object.find(key);
  return found == object.end() || !found->is_number_integer() ? otherwise : found->get<int64_t>();
}

// A text, or a call of a tool.
struct Said {
  std::string text;  // of a call: its arguments
  std::string name = {};
  bool is_call = false;
};
// What is said, by choice (or item) and within it: 0 = its text, from 1 on its tool calls. Events of a stream
// take turns, and what must be masked is only seen when the pieces of each are together.
using Parts = std::map<std::pair<int64_t, int64_t>, Said>;

// A call, or pieces of one. Functions have arguments, custom tools an input.
void append_call(const Json& call, Said& said) {
  said.is_call = true;
  said.name += string_at(call, "name");
  said.text += string_at(call, "arguments");
  said.text += string_at(call, "input");
}

// `choices` of chat completions and completions, whole or of one event.
void append_choices(const Json& choices, Parts& parts) {
  int64_t position = 0;
  for (const Json& choice : choices) {
    const int64_t index = number_at(choice, "index", position++);
    std::string& text = parts[{index, 0}].text;
    text += string_at(choice, "text");
    for (const char* part : {"message", "delta"}) {
      if (!choice.is_object() || !choice.contains(part) || !choice[part].is_object()) continue;
      const Json& message = choice[part];
      text += string_at(message, "content");
      text += string_at(message, "refusal");
      // Before there were tools.
      if (message.contains("function_call") && message["function_call"].is_object())
        append_call(message["function_call"], parts[{index, 1}]);
      const auto calls = message.find("tool_calls");
      if (calls == message.end() || !calls->is_array()) continue;
      int64_t place = 0;
      for (const Json& call : *calls) {
        Said& called = parts[{index, 1 + std::clamp<int64_t>(number_at(call, "index", place++), 0, 1024)}];
        for (const char* kind : {"function", "custom"}) {
          if (call.is_object() && call.contains(kind)) append_call(call[kind], called);
        }
      }
    }
  }
}

// An item of the `output` of a response. Of those that are calls a function's has no text.
void append_item(const Json& item, int64_t position, Parts& parts) {
  if (!item.is_object()) return;
  if (string_at(item, "type").ends_with("_call")) append_call(item, parts[{position, 1}]);
  if (!item.contains("content") || !item["content"].is_array()) return;
  std::string& text = parts[{position, 0}].text;
  for (const Json& part : item["content"]) {
    text += string_at(part, "text");
    text += string_at(part, "refusal");
  }
}

// An event of a streamed response. An item is announced with its name, its pieces follow, and in the end all of it
// comes once more, of which only what was not there is new.
void append_event(const Json& event, std::string_view type, Parts& parts) {
  const int64_t position = number_at(event, "output_index", 0);
  if (type.ends_with(".delta")) {
    const bool of_call = type.find("_call") != std::string_view::npos;
    Said& said = parts[{position, of_call ? 1 : 0}];
    said.is_call = of_call;
    said.text += string_at(event, "delta");
  } else if (type.ends_with(".output_item.added") || type.ends_with(".output_item.done")) {
    if (!event.contains("item") || !string_at(event["item"], "type").ends_with("_call")) return;
    Said whole;
    append_call(event["item"], whole);
    Said& said = parts[{position, 1}];
    said.is_call = true;
    if (said.name.empty()) said.name = std::move(whole.name);
    if (said.text.empty()) said.text = std::move(whole.text);
  }
}

// Appends what one JSON document says: a whole answer, or one event of a stream.
void append_said(const Json& said, Parts& parts) {
  if (!said.is_object()) return;
  if (const auto choices = said.find("choices"); choices != said.end() && choices->is_array())
    append_choices(*choices, parts);
  append_event(said, string_at(said, "type"), parts);
  if (const auto output = said.find("output"); output != said.end() && output->is_array()) {
    int64_t position = 0;
    for (const Json& item : *output) append_item(item, position++, parts);
  }
}

std::string joined(const Parts& parts) {
  std::string text;
  for (const auto& [place, part] : parts) {
    if (!text.empty() && (part.is_call || !part.text.empty())) text += '\n';
    text += part.is_call ? part.name + "(" + part.text + ")" : part.text;
  }
  return text;
}

// Client keys are hashed with the same secret: they hold no line feed, so none is hashed to the same.
constexpr std::string_view kKeyLabel = "shadow-log\n";

std::string_view bytes_of(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

// Owns a secret for as long as it takes to hash with it.
struct DerivedKey {
  explicit DerivedKey(std::string_view secret) : bytes(KeyHasher(secret).hash(kKeyLabel)) {}
  DerivedKey(const DerivedKey&) = delete;
  DerivedKey& operator=(const DerivedKey&) = delete;
  ~DerivedKey() { OPENSSL_cleanse(bytes.data(), bytes.size()); }

  Digest bytes;
};

Json side_of(const ShadowPair& pair, const ShadowSide& side, const ShadowPolicy& policy,
             const ShadowDigest& digest) {
  const TableBody& body = *pair.table->body;
  const Unit& unit = body[UnitIndex{side.unit}];
  Json seen{
      {"unit", unit.name},
      {"model", body[unit.model].name},
      {"status", side.status},
      {"error", side.error ? Json(core::describe(*side.error).token) : Json(nullptr)},
      {"input_tokens", side.usage.input},
      {"output_tokens", side.usage.output},
      {"usage", side.usage.present ? "reported" : "estimated"},
      {"cost_usd", static_cast<double>(side.cost_nano_usd) / static_cast<double>(core::NanoUsd::kPerUsd)},
      {"first_byte_us", side.first_byte_ns / 1000},
      {"total_us", side.total_ns / 1000},
      {"truncated", side.truncated}};
  const bool answered = side.status >= 200 && side.status < 300;
  const auto text = answered ? answer_text(pair.endpoint, pair.streamed, side.body()) : std::nullopt;
  if (!text || policy.text == ShadowText::none) return seen;
  seen["digest"] = digest.of(*text);
  if (policy.text == ShadowText::digest) return seen;
  PiiMask mask(policy.mask);
  std::string masked;
  mask.feed(*text, masked);
  side.truncated || side.error ? mask.cut(masked) : mask.finish(masked);
  seen["text"] = std::move(masked);
  return seen;
}

}  // namespace

std::optional<std::string> answer_text(Endpoint endpoint, bool streamed, std::string_view body) {
  Parts parts;
  if (endpoint == Endpoint::embeddings) return std::nullopt;  // vectors say nothing to a reader
  if (!streamed) {
    const Json whole = Json::parse(body, nullptr, false);
    if (!whole.is_object()) return std::nullopt;
    append_said(whole, parts);
    return joined(parts);
  }
  bool any = false;
  while (!body.empty()) {
    const size_t end = body.find('\n');
    if (end == std::string_view::npos) break;  // the last line is not whole: it was cut
    std::string_view line = body.substr(0, end);
    body.remove_prefix(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.starts_with("data:")) continue;
    const Json event = Json::parse(line.substr(5), nullptr, false);
    any |= event.is_object();
    append_said(event, parts);
  }
  if (!any) return std::nullopt;
  return joined(parts);
}

ShadowDigest::ShadowDigest(std::string_view key_hash_secret)
    : hasher_(bytes_of(DerivedKey(key_hash_secret).bytes)) {}

std::string ShadowDigest::of(std::string_view text) const {
  return to_hex(bytes_of(hasher_.hash(text)));
}

std::string shadow_line(const ShadowPair& pair, const ShadowPolicies& policies, const ShadowDigest& digest) {
  static constexpr std::string_view kEndpoints[] = {"chat_completions", "completions", "embeddings",
                                                    "responses"};
  const TableBody& body = *pair.table->body;
  const auto id = to_hex(pair.id);
  Json line;
  line["time"] = core::timestamp(pair.wall_ns).view();
  line["request_id"] = std::string_view(id.data(), id.size());
  const std::string_view tenant = (*pair.table)[TenantIndex{pair.tenant}].id();
  const ShadowPolicy& policy = policies.of(tenant);
  line["tenant"] = tenant;
  line["scenario"] = body[ScenarioIndex{pair.scenario}].name;
  line["flag"] = body[FlagIndex{pair.flag}].name;
  line["revision"] = pair.table->revision;
  line["endpoint"] = kEndpoints[static_cast<size_t>(pair.endpoint)];
  line["streamed"] = pair.streamed;
  line["primary"] = side_of(pair, pair.primary, policy, digest);
  line["shadow"] = side_of(pair, pair.shadow, policy, digest);
  // What a provider sends need not be UTF-8.
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace weir::routing
