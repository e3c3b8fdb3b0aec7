// What weir must know about a request body before it decides, charges or forwards anything.
//
// The body stays where it was received; an Inspection is offsets and views into it. Two promises matter:
// the whole document is valid JSON (RFC 8259), and nothing in it can be read in two ways. What is metered
// is exactly what is executed:
//
//   - a top-level key that appears twice is refused, whatever it is. Keys are compared unescaped
//     ("mod\u0065l" is `model`) and without regard to case, because some servers (Go's encoding/json)
//     ignore case; a known field in another case is refused as well (ambiguous_field).
//   - the same holds for the nested keys weir acts on: stream_options.include_usage,
//     metadata.conversation_id, conversation.id, messages[].role, tools[].type / name / function.name.
//   - control fields of the wrong type are refused; null counts as absent.
//   - what cannot be metered is refused: `background` of responses, a `service_tier` but auto and default (units
//     may set theirs, at the price that their model states).
//   - no byte order mark, no bytes after the object, no NUL, no lone surrogate, bounded depth.
//
//   {"model":"gpt","messages":[{"role":"system","content":"..."}, ...],"stream":true}
//   ▲▲      ▲    ▲ ▲          ▲▲                              ▲      ▲             ▲
//   │key_begin   value_end    array_begin                     system[0].end        object_end - 1
//   object_begin │            messages.begin                         messages.end
//                value_begin
//
// Nothing is allocated; an Inspector is some 32 KB, one per shard, called from its thread only. An Inspection
// is valid until the next inspect() of the same Inspector and as long as the body. A later attempt at another
// unit inspects the body again.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/error.h"
#include "core/limits.h"
#include "routing/inspect/field_name.h"
#include "routing/inspect/json_cursor.h"
#include "routing/inspect/json_text.h"

namespace weir::routing {

enum class Endpoint : uint8_t { chat_completions, completions, embeddings, responses };

// One member of the top-level object. [key_begin, value_end) is the whole member without its comma.
struct Field {
  uint32_t key_begin;    // the key's opening quote
  uint32_t value_begin;  // first byte of the value
  uint32_t value_end;    // one past its last byte, blanks not included
  uint32_t key_hash;     // of the folded key, see key_hash()
  std::string_view key;  // unescaped
  FieldName name;
  JsonType type;
};

struct Tool {
  ByteRange range;        // the array element
  std::string_view name;  // function name; for a tool that is no function its type, e.g. "web_search"
};

inline constexpr uint32_t kMaxSystemMessages = 32;  // recorded; more only sets a flag

// See the top of this file. Filled by Inspector; `fields[0, field_count)` and so on are meaningful.
struct Inspection {
  Endpoint endpoint;
  uint32_t object_begin;  // the root's '{'
  uint32_t object_end;    // one past the root's '}'

  uint32_t field_count;
  std::array<Field, core::limits::kMaxTopLevelFields> fields;  // in body order

  // ---- identification: empty if absent, null or "" ----
  std::string_view model;
  std::string_view user;
  std::string_view safety_identifier;
  std::string_view conversation;  // first of metadata.conversation_id, conversation(.id),
                                  // previous_response_id, prompt_cache_key

  // ---- streaming ----
  bool stream;
  bool include_usage_requested;   // stream_options.include_usage is true
  ByteRange include_usage;        // its value if the member is there, else empty
  uint32_t stream_options_begin;  // offset after the '{' of stream_options, 0 if it is no object
  bool stream_options_empty;

  // ---- how much may be produced; 0 = not given ----
  uint32_t n;
  uint32_t best_of;
  uint32_t max_tokens;
  uint32_t max_completion_tokens;
  uint32_t max_output_tokens;

  // ---- input ----
  uint32_t input_bytes;   // JSON bytes of messages, input, prompt, instructions, tools, functions,
                          // response_format, text: an upper bound of the prompt's text
  uint32_t prompt_count;  // completions: prompts in an array of them, each with its own choices; else 1
  uint32_t media_bytes;   // part of it that is "data:" URLs under url, image_url, file_data, file_url, in any case
  bool input_elsewhere;   // the model reads more than this body: files and pictures by id or URL; in responses
                          // also what came before (previous_response_id, conversation, items by id), and
                          // stored prompts

  // ---- messages (chat completions) ----
  uint32_t message_count;
  uint32_t messages_begin;        // offset after '['
  uint32_t messages_end;          // offset of ']'
  uint32_t system_message_count;  // recorded in system_messages
  bool more_system_messages;      // there are more than kMaxSystemMessages
  struct SystemMessage {
    ByteRange range;
    uint32_t previous_end;  // where the message before it ends; 0 for the first one
    uint32_t next_begin;    // where the message after it begins; 0 for the last one
  };
  // Roles system and developer, in any letter case: some servers lower it, and then "System" would be a way around
  // a unit's prompt.
  std::array<SystemMessage, kMaxSystemMessages> system_messages;

  // ---- tools (chat completions, responses) ----
  uint32_t tool_count;
  uint32_t tools_begin;  // offset after '['
  uint32_t tools_end;    // offset of ']'
  std::array<Tool, core::limits::kMaxTools> tools;

  uint64_t present;  // bit i: the field FieldName(i) is there, at fields[position[i]]
  std::array<uint16_t, kFieldNameCount> position;

  // The member with this name, or nullptr.
  const Field* field(FieldName field_name) const {
    const auto at = static_cast<unsigned>(field_name);
    return (present >> at & 1) != 0 ? &fields[position[at]] : nullptr;
  }
  // The member with this key, or nullptr; `hash` = key_hash(key). Letter case does not count.
  const Field* find(std::string_view key, uint32_t hash) const;
};

class Inspector {
 public:
  // Readable bytes that must follow every body given to inspect(); their contents do not matter.
  static constexpr uint32_t kPadding = JsonCursor::kPadding;

  Inspector() = default;
  Inspector(const Inspector&) = delete;
  Inspector& operator=(const Inspector&) = delete;

  // Reads a whole request body in place. The result is owned by the Inspector and holds until the next call.
  // body_not_json, body_not_object, body_not_utf8, body_has_bom, body_too_deep, body_too_complex, body_too_large,
  // duplicate_field, ambiguous_field, bad_field_type, missing_field (messages), field_too_long,
  // field_not_accepted; those about
  // one field carry its name.
  core::Result<const Inspection*> inspect(Endpoint endpoint, std::span<const uint8_t> body);

 private:
  class Walk;
  Inspection inspection_;
  std::array<uint8_t, core::limits::kMaxInspectScratchBytes> scratch_;
};

}  // namespace weir::routing
