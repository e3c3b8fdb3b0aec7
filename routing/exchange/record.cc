#include "routing/exchange/record.h"

#include <bit>
#include <cstring>

#include "core/assert.h"
#include "core/json_text.h"
#include "core/strong.h"
#include "core/timestamp.h"

namespace weir::routing {
namespace {

// Above what any line comes to: names are bounded by limits::kMaxNameBytes, and an escape is six bytes at
// most.
constexpr size_t kMaxLineBytes = 8192;

std::string_view endpoint_name(Endpoint endpoint) {
  static constexpr std::string_view kNames[] = {"chat_completions", "completions", "embeddings", "responses"};
  return kNames[static_cast<size_t>(endpoint)];
}

class Line {
 public:
  Line() : json_({room_, sizeof room_}) { json_.raw("{"); }

  void text(std::string_view name, std::string_view value) {
    begin(name);
    json_.string(value);
  }
  // Text of ours, which needs no escape.
  void plain(std::string_view name, std::string_view value) {
    begin(name);
    json_.raw("\"");
    json_.raw(value);
    json_.raw("\"");
  }
  void null(std::string_view name) {
    begin(name);
    json_.raw("null");
  }
  template <std::integral Number>
  void number(std::string_view name, Number value) {
    begin(name);
    if constexpr (std::same_as<Number, bool>) {
      json_.boolean(value);
    } else {
      json_.number(value);
    }
  }
  void microseconds(std::string_view name, uint64_t ns) { number(name, ns / 1000); }
  void usd(std::string_view name, int64_t nano_usd) {
    begin(name);
    if (nano_usd < 0) json_.raw("-");
    const uint64_t amount =
        nano_usd < 0 ? uint64_t{0} - static_cast<uint64_t>(nano_usd) : static_cast<uint64_t>(nano_usd);
    json_.number(amount / core::NanoUsd::kPerUsd);
    char decimals[10] = {'.'};
    for (uint64_t rest = amount % core::NanoUsd::kPerUsd, i = 9; i > 0; --i, rest /= 10) {
      decimals[i] = static_cast<char>('0' + rest % 10);
    }
    json_.raw({decimals, sizeof decimals});
  }
  void finish(std::string& out) {
    json_.raw("}\n");
    WEIR_ASSERT(!json_.overflowed());
    out += json_.view();
  }

 private:
  void begin(std::string_view name) {
    json_.raw(json_.size() == 1 ? "\"" : ",\"");
    json_.raw(name);
    json_.raw("\":");
  }

  char room_[kMaxLineBytes];
  core::JsonText json_;
};

}  // namespace

std::string_view token(CacheUse use) {
  static constexpr std::string_view kTokens[] = {"none", "miss", "hit", "too_large"};
  return kTokens[static_cast<size_t>(use)];
}

std::array<char, 32> to_hex(RequestId id) {
  using Lanes = uint8_t __attribute__((vector_size(16)));
  const uint64_t words[2] = {std::byteswap(id.high), std::byteswap(id.low)};
  Lanes bytes;
  std::memcpy(&bytes, words, sizeof bytes);
  const auto digits = [](Lanes nibbles) -> Lanes { return nibbles + '0' + ((nibbles > 9) & ('a' - '0' - 10)); };
  const Lanes first = digits(bytes >> 4), second = digits(bytes & 15);
  std::array<char, 32> text;
  const Lanes halves[2] = {
      __builtin_shufflevector(first, second, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
      __builtin_shufflevector(first, second, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)};
  std::memcpy(text.data(), halves, sizeof halves);
  return text;
}

void append_json(const Record& record, std::string& out) {
  const TableBody* const body = record.table == nullptr ? nullptr : record.table->body.get();
  const auto known = [&](uint32_t index) { return body != nullptr && index != Record::kNone; };
  const auto name = [](Line& line, std::string_view field, bool is_known, auto get) {
    is_known ? line.text(field, get()) : line.null(field);
  };
  const bool decided = known(record.decided_unit);
  const uint32_t unit = record.unit != Record::kNone ? record.unit : record.decided_unit;
  const std::array<char, 32> id = to_hex(record.id);

  Line line;
  line.plain("time", core::timestamp(record.wall_ns).view());
  line.plain("request_id", {id.data(), id.size()});
  record.has_endpoint ? line.plain("endpoint", endpoint_name(record.endpoint)) : line.null("endpoint");
  name(line, "tenant", known(record.tenant),
       [&] { return (*record.table)[TenantIndex{record.tenant}].id(); });
  name(line, "key", known(record.key), [&] { return (*record.table)[KeyIndex{record.key}].id(); });
  name(line, "scenario", known(record.scenario),
       [&] { return std::string_view(body->scenarios[record.scenario].name); });
  name(line, "flag", known(record.flag), [&] { return std::string_view(body->flags[record.flag].name); });
  if (decided && known(record.flag)) line.plain("state", token(record.state));
  if (decided) {
    line.plain("arm", token(record.arm));
    line.plain("reason", token(record.reason));
    line.text("decided_unit", body->units[record.decided_unit].name);
  }
  name(line, "unit", known(unit), [&] { return std::string_view(body->units[unit].name); });
  if (decided) line.plain("unit_hash", body->units[unit].hash_hex);
  name(line, "provider", known(unit), [&] {
    const ProviderIndex first = (*body)[body->units[unit].model].provider;
    return std::string_view((*body)[known(record.provider) ? ProviderIndex{record.provider} : first].name);
  });
  name(line, "model", record.model_size != 0,
       [&] { return std::string_view(record.model.data(), record.model_size); });
  if (record.table != nullptr) {
    line.number("revision", record.table->revision);
    line.plain("revision_time", core::timestamp(record.table->published_wall_ns).view());
  }
  line.number("status", record.status);
  record.error ? line.plain("error", core::describe(*record.error).token) : line.null("error");
  line.number("attempts", record.attempts);
  if (record.attempts != 0) line.number("upstream_status", record.upstream_status);
  line.number("streamed", record.streamed);
  if (record.usage_reported || record.usage_estimated) {
    line.plain("usage", record.usage_reported ? "reported" : "estimated");
    line.number("input_tokens", record.input_tokens);
    line.number("cached_input_tokens", record.cached_input_tokens);
    line.number("output_tokens", record.output_tokens);
    line.number("reasoning_tokens", record.reasoning_tokens);
    line.usd("cost_usd", record.cost_nano_usd);
  } else if (record.cost_nano_usd != 0) {
    line.usd("cost_usd", record.cost_nano_usd);  // of attempts whose answer nobody got
  }
  if (record.upstream_ready_ns != 0) line.microseconds("upstream_ready_us", record.upstream_ready_ns);
  if (record.first_token_ns != 0) line.microseconds("first_token_us", record.first_token_ns);
  line.microseconds("total_us", record.total_ns);
  line.number("request_bytes", record.request_bytes);
  line.number("response_bytes", record.response_bytes);
  line.number("client_retry", record.client_retry);
  if (record.first_failure) line.plain("fallback", core::describe(*record.first_failure).token);
  if (record.cache != CacheUse::none) line.plain("cache", token(record.cache));
  if (record.limit != nullptr) line.plain("limit", record.limit);
  if (record.warned != nullptr) line.plain("warned", record.warned);
  if (record.client_gone) line.number("client_gone", true);
  line.finish(out);
}

}  // namespace weir::routing
