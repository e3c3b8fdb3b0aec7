#include "routing/inspect/rewrite.h"

#include <algorithm>
#include <charconv>

#include "core/assert.h"

namespace weir::routing {

using core::ErrorCode;
namespace limits = core::limits;

namespace {

using Fields = uint64_t;  // a bit per FieldName

constexpr Fields fields(std::initializer_list<FieldName> names) {
  Fields set = 0;
  for (const FieldName name : names) set |= Fields{1} << static_cast<unsigned>(name);
  return set;
}
constexpr bool contains(Fields set, FieldName name) {
  return name != FieldName::other && (set >> static_cast<unsigned>(name) & 1) != 0;
}

constexpr Fields kReserved = fields(
    {FieldName::model, FieldName::messages, FieldName::input, FieldName::prompt, FieldName::instructions,
     FieldName::stream, FieldName::stream_options, FieldName::tools, FieldName::functions,
     FieldName::function_call, FieldName::user, FieldName::safety_identifier, FieldName::metadata,
     FieldName::conversation, FieldName::previous_response_id, FieldName::prompt_cache_key,
     FieldName::background});

constexpr Fields kOutputBounds =
    fields({FieldName::max_tokens, FieldName::max_completion_tokens, FieldName::max_output_tokens});

// Params that an endpoint refuses or that mean nothing there. Unknown ones are the operator's business.
constexpr Fields kNotForChat =
    fields({FieldName::text, FieldName::best_of, FieldName::suffix, FieldName::dimensions,
            FieldName::encoding_format, FieldName::reasoning});
constexpr Fields kNotForCompletions =
    fields({FieldName::response_format, FieldName::text, FieldName::reasoning, FieldName::reasoning_effort,
            FieldName::tool_choice, FieldName::parallel_tool_calls, FieldName::top_logprobs, FieldName::store,
            FieldName::dimensions, FieldName::encoding_format});
constexpr Fields kNotForResponses = fields(
    {FieldName::n, FieldName::best_of, FieldName::stop, FieldName::seed, FieldName::frequency_penalty,
     FieldName::presence_penalty, FieldName::logit_bias, FieldName::logprobs, FieldName::response_format,
     FieldName::reasoning_effort, FieldName::suffix, FieldName::dimensions, FieldName::encoding_format});

bool applies(const ParamRewrite& param, Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::chat_completions:
      return !contains(kNotForChat, param.name);
    case Endpoint::completions:
      return !contains(kNotForCompletions, param.name);
    case Endpoint::responses:
      return !contains(kNotForResponses, param.name);
    case Endpoint::embeddings:
      return false;
  }
  return false;
}

// Under which name a bound on the output goes upstream.
FieldName output_bound_name(FieldName name, Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::responses:
      return FieldName::max_output_tokens;
    case Endpoint::completions:
      return FieldName::max_tokens;
    default:
      return name == FieldName::max_output_tokens ? FieldName::max_completion_tokens : name;
  }
}

}  // namespace

// Body ranges and new bytes in a row, as few pieces as possible.
class RewriteOutput {
 public:
  RewriteOutput(std::span<const uint8_t> body, ScratchWriter& scratch, PieceList& pieces)
      : body_(body), scratch_(scratch), pieces_(pieces) {
    pieces_.clear();
  }

  void keep(uint32_t begin, uint32_t end) {
    if (begin == end) return;
    const uint32_t size = end - begin;
    const uint32_t count = pieces_.size();
    if (count != 0) {
      Piece& last = pieces_.last();
      if (last.from_body && last.offset + last.size == begin) {
        last.size += size;
        total_ += size;
        return;
      }
      // Room for one last scratch piece is kept free.
      const bool full = count + 2 > PieceList::kCapacity;
      if (!last.from_body && (size < PieceList::kCopyBytes || full)) {
        text({reinterpret_cast<const char*>(body_.data()) + begin, size});
        return;
      }
      if (full) {
        text({reinterpret_cast<const char*>(body_.data()) + begin, size});
        return;
      }
    }
    pieces_.add({true, begin, size});
    total_ += size;
  }

  void text(std::string_view bytes) {
    const uint32_t begin = scratch_.size();
    scratch_.append(bytes);
    note(begin);
  }

  // Counts what the caller has appended to scratch since it was `begin` long.
  void note(uint32_t begin) {
    const uint32_t size = scratch_.size() - begin;
    if (size == 0) return;
    total_ += size;
    if (pieces_.size() != 0 && !pieces_.last().from_body) {
      pieces_.last().size += size;
    } else {
      pieces_.add({false, begin, size});
    }
  }

  uint64_t total() const { return total_; }

 private:
  std::span<const uint8_t> body_;
  ScratchWriter& scratch_;
  PieceList& pieces_;
  uint64_t total_ = 0;
};

namespace {

class Rewriter {
 public:
  Rewriter(const Inspection& in, std::span<const uint8_t> body, const UnitRewrite& unit,
           const PromptValues& values, ScratchWriter& scratch, PieceList& pieces)
      : in_(in), unit_(unit), values_(values), scratch_(scratch), out_(body, scratch, pieces) {}

  core::Result<RewriteResult> run() {
    std::fill_n(actions_.begin(), in_.field_count, Action{});
    const bool responses = in_.endpoint == Endpoint::responses;
    const bool chat = in_.endpoint == Endpoint::chat_completions;
    if (chat || responses) plan_tools();
    plan_params();
    replace_or_add(in_.field(FieldName::model), Change::model);
    if (!unit_.prompt.empty() && chat) {
      if (unit_.prompt_mode == PromptMode::replace && in_.more_system_messages) {
        return core::fail(ErrorCode::field_too_long, to_string(FieldName::messages));
      }
      const bool has_system = in_.system_message_count != 0;
      if (unit_.prompt_mode != PromptMode::if_absent || !has_system) {
        change(*in_.field(FieldName::messages), Change::messages);
      }
    }
    if (!unit_.prompt.empty() && responses) plan_instructions();
    bool usage_hidden = false;
    if (in_.stream && (chat || in_.endpoint == Endpoint::completions) && !in_.include_usage_requested) {
      replace_or_add(in_.field(FieldName::stream_options), Change::stream_options);
      usage_hidden = true;
    }
    write();
    if (scratch_.overflowed() || out_.total() > limits::kMaxRewrittenBytes) {
      return core::fail(ErrorCode::rewrite_too_large);
    }
    return RewriteResult{static_cast<uint32_t>(out_.total()), usage_hidden};
  }

 private:
  enum class Change : uint8_t { keep, remove, model, param, messages, instructions, stream_options, tools };
  struct Action {
    Change change = Change::keep;
    uint16_t param = 0;
  };

  // ---- deciding ----

  void change(const Field& field, Change change, size_t param = 0) {
    actions_[static_cast<size_t>(&field - in_.fields.data())] = {change, static_cast<uint16_t>(param)};
  }
  void remove(FieldName name) {
    if (const Field* field = in_.field(name)) change(*field, Change::remove);
  }
  void replace_or_add(const Field* field, Change kind, size_t param = 0) {
    if (field != nullptr) {
      change(*field, kind, param);
    } else {
      add(kind, param);
    }
  }

  // Members at the start of the object, written at once: they come before anything of the body.
  void add(Change kind, size_t param) {
    open_member();
    write_member(kind, param);
  }

  void plan_params() {
    for (size_t i = 0; i < unit_.params.size(); ++i) {
      const ParamRewrite& param = unit_.params[i];
      if (!applies(param, in_.endpoint)) continue;
      // Providers refuse these without tools.
      if (!has_tools_ &&
          (param.name == FieldName::tool_choice || param.name == FieldName::parallel_tool_calls)) {
        continue;
      }
      if (contains(kOutputBounds, param.name)) {
        plan_output_bound(i);
        continue;
      }
      const Field* field =
          param.name == FieldName::other ? in_.find(param.key, param.hash) : in_.field(param.name);
      replace_or_add(field, Change::param, i);
    }
  }

  void plan_output_bound(size_t param) {
    const FieldName name = output_bound_name(unit_.params[param].name, in_.endpoint);
    for (const FieldName other :
         {FieldName::max_tokens, FieldName::max_completion_tokens, FieldName::max_output_tokens}) {
      if (other != name) remove(other);
    }
    replace_or_add(in_.field(name), Change::param, param);
  }

  void plan_tools() {
    has_tools_ = in_.tool_count != 0;
    if (!unit_.filter_tools) return;
    remove(FieldName::functions);
    remove(FieldName::function_call);
    if (in_.tools_begin == 0) return;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < in_.tool_count; ++i) kept += may_pass(in_.tools[i]) ? 1 : 0;
    if (kept == 0) {
      has_tools_ = false;
      remove(FieldName::tools);
      remove(FieldName::tool_choice);
      remove(FieldName::parallel_tool_calls);
    } else if (kept != in_.tool_count) {
      change(*in_.field(FieldName::tools), Change::tools);
    }
  }
  bool may_pass(const Tool& tool) const {
    return !tool.name.empty() &&
           std::find(unit_.tools.begin(), unit_.tools.end(), tool.name) != unit_.tools.end();
  }

  void plan_instructions() {
    const Field* field = in_.field(FieldName::instructions);
    if (field != nullptr && field->type == JsonType::string && unit_.prompt_mode == PromptMode::if_absent)
      return;
    replace_or_add(field, Change::instructions);
  }

  // ---- writing ----

  // Writes what separates a new member from what is before it.
  void open_member() {
    out_.text(any_ ? "," : "{");
    any_ = true;
  }

  // Where to keep the body from so that field `i` continues what is written: the comma before it comes along.
  uint32_t continue_at(uint32_t i) {
    const bool first = !any_;
    any_ = true;
    if (first && i == 0) return in_.object_begin;
    if (!first && i != 0) return in_.fields[i - 1].value_end;
    out_.text(first ? "{" : ",");
    return in_.fields[i].key_begin;
  }

  void write() {
    bool kept_last = false;
    for (uint32_t i = 0; i < in_.field_count; ++i) {
      const Field& field = in_.fields[i];
      const Action action = actions_[i];
      kept_last = true;
      switch (action.change) {
        case Change::keep:
          out_.keep(continue_at(i), field.value_end);
          break;
        case Change::messages:
          write_messages(field, continue_at(i));
          break;
        case Change::tools:
          write_tools(field, continue_at(i));
          break;
        case Change::stream_options:
          if (in_.stream_options_begin != 0) {
            write_stream_options(field, continue_at(i));
          } else {
            kept_last = write_new(action);
          }
          break;
        case Change::instructions:
          if (unit_.prompt_mode == PromptMode::prepend && field.type == JsonType::string) {
            write_joined_instructions(field);
          } else {
            kept_last = write_new(action);
          }
          break;
        case Change::remove:
          kept_last = false;
          break;
        case Change::model:
        case Change::param:
          kept_last = write_new(action);
      }
    }
    if (!any_) {
      out_.text("{}");
    } else if (kept_last) {
      out_.keep(in_.fields[in_.field_count - 1].value_end, in_.object_end);
    } else {
      out_.text("}");
    }
  }

  // A member of new bytes only. Answers false: the body has not been kept up to the member's end.
  bool write_new(Action action) {
    open_member();
    write_member(action.change, action.param);
    return false;
  }

  void write_member(Change kind, size_t param) {
    switch (kind) {
      case Change::model:
        out_.text("\"model\":");
        out_.text(unit_.model_json);
        return;
      case Change::param:
        write_param(unit_.params[param]);
        return;
      case Change::stream_options:
        out_.text("\"stream_options\":{\"include_usage\":true}");
        return;
      case Change::instructions:
        out_.text("\"instructions\":\"");
        write_prompt();
        out_.text("\"");
        return;
      default:
        WEIR_ASSERT(false);
    }
  }

  void write_param(const ParamRewrite& param) {
    if (contains(kOutputBounds, param.name)) {
      out_.text("\"");
      out_.text(to_string(output_bound_name(param.name, in_.endpoint)));
      out_.text("\"");
    } else {
      out_.text(param.key_json);
    }
    out_.text(":");
    out_.text(param.value_json);
  }

  void write_prompt() {
    const uint32_t begin = scratch_.size();
    for (const PromptPart& part : unit_.prompt) {
      scratch_.append(part.literal_json);
      if (part.variable == PromptVariable::attribute) {
        render_json_string_body(values_.attribute(part.attribute), scratch_);
      } else {
        scratch_.append(values_.of[static_cast<size_t>(part.variable)]);
      }
    }
    out_.note(begin);
  }

  void write_messages(const Field& field, uint32_t from) {
    out_.keep(from, in_.messages_begin);
    out_.text("{\"role\":\"system\",\"content\":\"");
    write_prompt();
    out_.text("\"}");
    const bool replace = unit_.prompt_mode == PromptMode::replace;
    const uint32_t removed = replace ? in_.system_message_count : 0;
    if (removed == in_.message_count) {
      out_.keep(in_.messages_end, field.value_end);
      return;
    }
    out_.text(",");
    // System messages that have others after them go with the comma after them, those at the end with the one
    // before them.
    uint32_t at = in_.messages_begin;
    uint32_t trailing = removed;  // first of the unbroken row of system messages at the end
    if (removed != 0 && in_.system_messages[removed - 1].next_begin == 0) {
      trailing = removed - 1;
      while (trailing != 0 &&
             in_.system_messages[trailing - 1].next_begin == in_.system_messages[trailing].range.begin) {
        --trailing;
      }
    }
    for (uint32_t i = 0; i < trailing; ++i) {
      out_.keep(at, in_.system_messages[i].range.begin);
      at = in_.system_messages[i].next_begin;
    }
    if (trailing != removed) {
      out_.keep(at, in_.system_messages[trailing].previous_end);
      at = in_.system_messages[removed - 1].range.end;
    }
    out_.keep(at, field.value_end);
  }

  void write_tools(const Field& field, uint32_t from) {
    out_.keep(from, in_.tools_begin);
    bool any = false;
    for (uint32_t i = 0; i < in_.tool_count; ++i) {
      if (!may_pass(in_.tools[i])) continue;
      out_.keep(any ? in_.tools[i - 1].range.end : in_.tools[i].range.begin, in_.tools[i].range.end);
      any = true;
    }
    out_.keep(in_.tools_end, field.value_end);
  }

  void write_stream_options(const Field& field, uint32_t from) {
    if (in_.include_usage.size() != 0) {
      out_.keep(from, in_.include_usage.begin);
      out_.text("true");
      out_.keep(in_.include_usage.end, field.value_end);
      return;
    }
    out_.keep(from, in_.stream_options_begin);
    out_.text(in_.stream_options_empty ? "\"include_usage\":true" : "\"include_usage\":true,");
    out_.keep(in_.stream_options_begin, field.value_end);
  }

  void write_joined_instructions(const Field& field) {
    open_member();
    out_.text("\"instructions\":\"");
    write_prompt();
    out_.text("\\n");
    out_.keep(field.value_begin + 1, field.value_end);
  }

  const Inspection& in_;
  const UnitRewrite& unit_;
  const PromptValues& values_;
  ScratchWriter& scratch_;
  RewriteOutput out_;
  bool any_ = false;        // a member has been written
  bool has_tools_ = false;  // some remain
  std::array<Action, limits::kMaxTopLevelFields> actions_;
};

}  // namespace

bool is_reserved_param(std::string_view key) {
  const FieldName name = folded_field_name(key, key_hash(key));
  return contains(kReserved, name);
}

ParamRewrite make_param(std::string_view key, std::string_view key_json, std::string_view value_json) {
  WEIR_ASSERT(!is_reserved_param(key));
  ParamRewrite param{key, key_json, value_json, key_hash(key)};
  param.name = folded_field_name(key, param.hash);
  uint32_t count = 0;
  const auto [end, error] = std::from_chars(value_json.data(), value_json.data() + value_json.size(), count);
  if (error == std::errc{} && end == value_json.data() + value_json.size()) param.count = count;
  return param;
}

core::Result<RewriteResult> plan_rewrite(const Inspection& inspection, std::span<const uint8_t> body,
                                         const UnitRewrite& unit, const PromptValues& values,
                                         ScratchWriter& scratch, PieceList& pieces) {
  return Rewriter(inspection, body, unit, values, scratch, pieces).run();
}

OutputBound output_bound(const Inspection& inspection, const UnitRewrite& unit) {
  const Endpoint endpoint = inspection.endpoint;
  uint32_t tokens = 0;
  uint32_t n = inspection.n;
  uint32_t best_of = inspection.best_of;
  switch (endpoint) {
    case Endpoint::chat_completions:
      tokens = std::max(inspection.max_tokens, inspection.max_completion_tokens);
      best_of = 0;
      break;
    case Endpoint::completions:
      tokens = inspection.max_tokens;
      break;
    case Endpoint::responses:
      tokens = inspection.max_output_tokens;
      n = best_of = 0;
      break;
    case Endpoint::embeddings:
      return {0, 1};
  }
  for (const ParamRewrite& param : unit.params) {
    if (!applies(param, endpoint)) continue;
    if (contains(kOutputBounds, param.name)) tokens = param.count;
    if (param.name == FieldName::n) n = param.count;
    if (param.name == FieldName::best_of) best_of = param.count;
  }
  return {tokens, uint64_t{std::max({n, best_of, 1u})} * inspection.prompt_count};
}

uint32_t prompt_bytes(const UnitRewrite& unit, const PromptValues& values) {
  size_t size = 0;
  for (const PromptPart& part : unit.prompt) {
    size += part.literal_json.size();
    size += values.of[static_cast<size_t>(part.variable)].size();
    // Header values hold no control character but the tab, so an escape is two bytes at most.
    if (part.variable == PromptVariable::attribute) size += 2 * values.attribute(part.attribute).size();
  }
  return static_cast<uint32_t>(std::min<size_t>(size, limits::kMaxRewrittenBytes));
}

}  // namespace weir::routing
