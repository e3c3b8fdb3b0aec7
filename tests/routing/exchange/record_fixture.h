// A table small enough to write down, and a record of an exchange that used it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "routing/exchange/record.h"
#include "routing/table/table.h"
#include "routing/table/tenant_builder.h"

namespace weir::routing {

// Table objects as a record names them: index 0 of each kind.
inline std::unique_ptr<Table> small_table(std::string tenant = "bank-17", std::string unit = "support-41",
                                          std::string key = "bank-17-app") {
  auto body = std::make_shared<TableBody>();
  body->providers.emplace_back().name = "openai";
  body->models.emplace_back().name = "gpt-4.1-2025-04-14";
  body->units.emplace_back().name = std::move(unit);
  body->units[0].hash_hex = std::string(64, 'a');
  body->units.emplace_back().name = "support-mini";
  body->units[1].hash_hex = std::string(64, 'b');
  body->scenarios.emplace_back().name = "support-chat";
  body->flags.emplace_back().name = "support-v2";
  TenantTableBuilder tenants(*body);
  TenantSpec tenant_spec;
  tenant_spec.id = std::move(tenant);
  tenants.add(tenant_spec);
  tenants.end_tenants();
  KeySpec key_spec;
  key_spec.id = std::move(key);
  tenants.add(key_spec);
  tenants.end_keys();
  auto table = std::make_unique<Table>();
  table->revision = 42;
  table->published_wall_ns = 1'796'115'600'000'000'000;  // 2026-12-01T09:00:00Z
  table->tenants = tenants.take();
  table->body = std::move(body);
  return table;
}

// An answered exchange, with all that can be known of one.
inline Record whole_record(const Table& table) {
  Record record;
  record.wall_ns = 1'796'115'601'234'567'890;
  record.id = {0x0123456789abcdef, 0xfedcba9876543210};
  record.table = &table;
  record.key = record.tenant = record.scenario = record.flag = record.unit = record.decided_unit = 0;
  record.total_ns = 812'345'678;
  record.first_token_ns = 210'999'999;
  record.upstream_ready_ns = 1'500;
  record.request_bytes = 1'200;
  record.response_bytes = 3'400;
  record.cost_nano_usd = 1'234'567;
  record.input_tokens = 100;
  record.cached_input_tokens = 40;
  record.output_tokens = 50;
  record.reasoning_tokens = 10;
  record.status = 200;
  record.upstream_status = 200;
  record.attempts = 1;
  record.client_retry = 2;
  record.endpoint = Endpoint::chat_completions;
  record.state = FlagState::pilot;
  record.arm = Arm::candidate;
  record.reason = Reason::split_in;
  record.has_endpoint = true;
  record.streamed = true;
  record.usage_reported = true;
  constexpr std::string_view kModel = "gpt-4.1";
  record.model_size = static_cast<uint8_t>(kModel.copy(record.model.data(), record.model.size()));
  return record;
}

}  // namespace weir::routing
