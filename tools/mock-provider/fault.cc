#include "tools/mock-provider/fault.h"

#include <algorithm>
#include <functional>
#include <map>

namespace weir::tools {
namespace {

using nlohmann::json;
// Takes over a value; false when it has the wrong type.
using Reader = std::function<bool(Fault&, const json&)>;

template <typename Member>
Reader number(Member member) {
  return [member](Fault& fault, const json& value) {
    if (!value.is_number_unsigned()) return false;
    fault.*member = value.get<uint64_t>();
    return true;
  };
}

Reader flag(bool Fault::*member) {
  return [member](Fault& fault, const json& value) {
    if (!value.is_boolean()) return false;
    fault.*member = value.get<bool>();
    return true;
  };
}

Reader text(std::string Fault::*member) {
  return [member](Fault& fault, const json& value) {
    if (!value.is_string()) return false;
    fault.*member = value.get<std::string>();
    return true;
  };
}

bool read_headers(Fault& fault, const json& value) {
  if (!value.is_object()) return false;
  for (const auto& [name, field] : value.items()) {
    if (!field.is_string()) return false;
    fault.headers.emplace_back(name, field.get<std::string>());
  }
  return true;
}

bool read_usage(Fault& fault, const json& value) {
  if (value == "none") {
    fault.usage = Fault::Usage::none;
  } else if (value == "early") {
    fault.usage = Fault::Usage::early;
  } else if (value == "string") {
    fault.usage = Fault::Usage::string;
  } else {
    return false;
  }
  return true;
}

bool read_tokens(Fault& fault, const json& value) {
  if (!value.is_object()) return false;
  for (const auto& [name, count] : value.items()) {
    if (!count.is_number_unsigned()) return false;
    if (name == "prompt") {
      fault.tokens.prompt = count.get<uint64_t>();
    } else if (name == "completion") {
      fault.tokens.completion = count.get<uint64_t>();
    } else if (name == "cached") {
      fault.tokens.cached = count.get<uint64_t>();
    } else if (name == "reasoning") {
      fault.tokens.reasoning = count.get<uint64_t>();
    } else {
      return false;
    }
  }
  return true;
}

bool read_match(Fault& fault, const json& value) {
  if (!value.is_object()) return false;
  for (const auto& [name, wanted] : value.items()) {
    if (!wanted.is_string()) return false;
    if (name == "model") {
      fault.match_model = wanted.get<std::string>();
    } else if (name == "path") {
      fault.match_path = wanted.get<std::string>();
    } else {
      return false;
    }
  }
  return true;
}

bool read_status(Fault& fault, const json& value) {
  if (!value.is_number_unsigned()) return false;
  fault.status = value.get<uint64_t>();
  return fault.status >= 200 && fault.status <= 599;
}

bool read_delta(Fault& fault, const json& value) {
  if (!value.is_number_integer()) return false;
  fault.content_length_delta = value.get<int64_t>();
  return true;
}

const std::map<std::string, Reader, std::less<>>& readers() {
  static const std::map<std::string, Reader, std::less<>> list = {
      {"delay_ms", number(&Fault::delay_ms)},
      {"head_delay_ms", number(&Fault::head_delay_ms)},
      {"first_token_delay_ms", number(&Fault::first_token_delay_ms)},
      {"token_delay_ms", number(&Fault::token_delay_ms)},
      {"status", read_status},
      {"retry_after", number(&Fault::retry_after)},
      {"error_code", text(&Fault::error_code)},
      {"error_type", text(&Fault::error_type)},
      {"headers", read_headers},
      {"truncate_at", number(&Fault::truncate_at)},
      {"reset_at", number(&Fault::reset_at)},
      {"stall_at", number(&Fault::stall_at)},
      {"no_done", flag(&Fault::no_done)},
      {"content_length_delta", read_delta},
      {"bad_head", flag(&Fault::bad_head)},
      {"bad_chunk", flag(&Fault::bad_chunk)},
      {"chunk_bytes", number(&Fault::chunk_bytes)},
      {"extra_bytes", number(&Fault::extra_bytes)},
      {"usage", read_usage},
      {"tokens", read_tokens},
      {"count", number(&Fault::count)},
      {"match", read_match},
  };
  return list;
}

}  // namespace

std::expected<uint64_t, std::string> FaultList::add(std::string_view text) {
  if (faults_.size() >= kMaxFaults) return std::unexpected("too many faults; DELETE /mock/faults first");
  const json document = json::parse(text, nullptr, false);
  if (!document.is_object()) return std::unexpected("a fault is a JSON object");
  Fault fault;
  for (const auto& [name, value] : document.items()) {
    const auto reader = readers().find(name);
    if (reader == readers().end()) return std::unexpected("there is no fault '" + name + "'");
    if (!reader->second(fault, value))
      return std::unexpected("'" + name + "' has a value that is not accepted");
  }
  if (fault.count == 0) return std::unexpected("a fault with count 0 never happens");
  fault.id = next_id_++;
  faults_.push_back(std::move(fault));
  return faults_.back().id;
}

std::optional<Fault> FaultList::take(std::string_view model, std::string_view path) {
  const auto found = std::ranges::find_if(faults_, [&](const Fault& fault) {
    return (fault.match_model.empty() || fault.match_model == model) &&
           (fault.match_path.empty() || fault.match_path == path);
  });
  if (found == faults_.end()) return std::nullopt;
  ++applied_;
  Fault fault = *found;
  if (found->count != UINT64_MAX && --found->count == 0) faults_.erase(found);
  return fault;
}

}  // namespace weir::tools
