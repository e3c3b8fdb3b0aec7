// Makes the request that goes upstream out of the one that came in, without copying it: only changed values
// are new bytes; everything else leaves from the receive buffer.
//
//   body     {"model":"support-chat","messages":[ ... 30 KB ... ],"stream":true}
//   scratch  {"temperature":0.2,"model":"gpt-4o-mini-2024-07-18"
//   pieces   scratch[0,52)  body[23, end)            content_length = sum of the sizes
//
// What a unit changes, per endpoint:
//
//                       chat_completions   responses        completions   embeddings
//   model               yes                yes              yes           yes
//   params              yes                yes              yes           no
//   tools               filtered           filtered         no            no
//   prompt              messages           instructions     no            no
//   usage on streams    stream_options     no               stream_options no
//
// A field is replaced where it stands (key and value, so that an escaped key becomes a plain one) or added at
// the start of the object.
//
// - Params that the endpoint does not know are left out, tool_choice and parallel_tool_calls also where no
//   tools remain. A bound on the output is the same param under three names and is sent under the endpoint's;
//   the client's bound under another name goes.
// - Prompt, chat completions: `replace` removes the client's system and developer messages and puts ours
//   first, `prepend` puts ours first, `if_absent` does so only if the client sent none. Responses: the same
//   with the instructions; `prepend` joins ours and theirs by a line feed.
// - When tools are filtered and none remains, tools, tool_choice and parallel_tool_calls go; the older
//   functions and function_call always go then, since they would pass the filter by.
//
// Pure; no allocation; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/error.h"
#include "core/limits.h"
#include "routing/inspect/inspect.h"
#include "routing/inspect/json_text.h"

namespace weir::routing {

// ---- what a unit changes; filled once by the table, views into the table's memory ----

// One entry of `params`. Made by make_param, which computes the last three.
struct ParamRewrite {
  std::string_view key;         // as written in the unit
  std::string_view key_json;    // "key" with quotes and escapes
  std::string_view value_json;  // the value as JSON text
  uint32_t hash = 0;
  FieldName name = FieldName::other;
  uint32_t count = 0;  // the value if it is a positive integer (n, max_tokens, ...), else 0
};

// Fields that a unit governs by other means or that are the client's own (model, messages, stream, tools,
// user, metadata, ...): not to be set through params. The table refuses them.
bool is_reserved_param(std::string_view key);
ParamRewrite make_param(std::string_view key, std::string_view key_json, std::string_view value_json);

// What a prompt may mention as {{tenant.name}} and so on; `attribute` is {{attributes.plan}} and its like.
enum class PromptVariable : uint8_t { none, tenant_id, tenant_name, scenario, user, model, date, attribute };
inline constexpr unsigned kPromptVariableCount = 8;

// A prompt is its parts in a row: literal text, then the variable (or none).
struct PromptPart {
  std::string_view literal_json;  // escaped as inside a JSON string, without quotes
  PromptVariable variable = PromptVariable::none;
  uint8_t attribute = 0;  // which one, by the table's order, when variable == attribute
};

enum class PromptMode : uint8_t { replace, prepend, if_absent };

struct UnitRewrite {
  std::string_view model_json;           // the provider's model name as a JSON string with quotes
  std::span<const ParamRewrite> params;  // no key twice, none reserved
  std::span<const PromptPart> prompt;    // empty: the client's system text passes
  PromptMode prompt_mode = PromptMode::replace;
  bool filter_tools = false;                // the unit has a `tools` list
  std::span<const std::string_view> tools;  // names that may pass
};

// An attribute as it was sent: where its value stands in the request.
struct SentAttribute {
  uint16_t offset;
  uint16_t size;
  uint8_t attribute;  // by the table's order
};
static_assert(core::limits::kMaxHeadBytes <= UINT16_MAX);

// Values of the variables for this request.
struct PromptValues {
  // Each escaped as inside a JSON string (render_json_string_body); [none] and [attribute] stay empty.
  std::array<std::string_view, kPromptVariableCount> of{};
  std::span<const SentAttribute> attributes = {};  // the few that were sent, not escaped
  const uint8_t* request = nullptr;                // what their offsets count from

  // Empty when it was not sent.
  std::string_view attribute(uint8_t which) const {
    for (const SentAttribute& sent : attributes) {
      if (sent.attribute == which) return {reinterpret_cast<const char*>(request) + sent.offset, sent.size};
    }
    return {};
  }
};

// ---- the result ----

struct Piece {
  bool from_body;  // else from scratch
  uint32_t offset;
  uint32_t size;
};

// The pieces in sending order. A body range shorter than kCopyBytes that follows new bytes, and anything once
// the list is nearly full, is copied to scratch instead: an iovec costs more than a few bytes.
class PieceList {
 public:
  static constexpr uint32_t kCapacity = 48;
  static constexpr uint32_t kCopyBytes = 64;

  std::span<const Piece> pieces() const { return {pieces_.data(), count_}; }
  uint32_t size() const { return count_; }
  void clear() { count_ = 0; }
  // kCapacity pieces may be added at most.
  void add(Piece piece) { pieces_[count_++] = piece; }
  Piece& last() { return pieces_[count_ - 1]; }

 private:
  std::array<Piece, kCapacity> pieces_;
  uint32_t count_ = 0;
};

struct RewriteResult {
  uint32_t content_length;
  bool usage_hidden;  // usage is asked for upstream although the client did not: hide that frame
};

// Plans the upstream body. Writes new bytes to `scratch` (from its current end) and sets `pieces`, whose
// scratch offsets count from scratch.data(). rewrite_too_large if scratch is full or the result is over
// limits::kMaxRewrittenBytes; field_too_long "messages" if more system messages than kMaxSystemMessages must
// go.
core::Result<RewriteResult> plan_rewrite(const Inspection& inspection, std::span<const uint8_t> body,
                                         const UnitRewrite& unit, const PromptValues& values,
                                         ScratchWriter& scratch, PieceList& pieces);

// What the upstream may produce at most once rewritten: for the reserve. Zero = the request sets no bound.
struct OutputBound {
  uint32_t tokens_per_choice;
  uint64_t choices;  // max of n and best_of, for each prompt; at least 1
};
OutputBound output_bound(const Inspection& inspection, const UnitRewrite& unit);
// Upper bound in bytes of the prompt that the unit adds, for the input estimate.
uint32_t prompt_bytes(const UnitRewrite& unit, const PromptValues& values);

}  // namespace weir::routing
