// The tables of one run: drawn from the seed, changed and switched off in parts while requests flow, and
// remembered as they were written, for the reference evaluator and the checks.
//
// What rows say, the order of providers and tenants, parameters, flags and kills change from table to table, in
// some runs also how much limits allow. Who has which limits, budgets and chains do not, so that sums can be
// checked over the whole run.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "routing/exchange/gateway.h"
#include "routing/table/kills.h"
#include "routing/table/table.h"
#include "routing/table/tenant_spec.h"
#include "tests/sim/swarm_config.h"

namespace weir::sim {

inline constexpr const char* kKeyHashSecret = "secret";
inline std::string client_token(uint32_t tenant) {
  return "sk-sim-client-" + std::to_string(tenant);
}
inline std::string provider_token(uint32_t provider) {
  return "sk-sim-upstream-" + std::to_string(provider);
}
inline constexpr const char* kStaticText = "Later, please.";
inline constexpr int64_t kSwarmOutputTokens = 50;  // the most that a unit asks for

// What a table says of a tenant; 0: nothing.
struct TenantLimits {
  uint32_t rpm = 0, concurrency = 0, key_rpm = 0, user_rpm = 0, user_concurrency = 0;
  uint32_t tpm = 0, key_tpm = 0, user_tpm = 0;
  const char* limits_on_exceed = "reject";  // of its own limits; its key's and users' refuse
  int64_t budget_nano_usd = 0;              // an hour's
  const char* on_exceed = "reject";         // of the budget
};

// One table, and its tenants as they were written; by TenantIndex.
struct PublishedTable {
  routing::Table table;
  std::vector<routing::TenantSpec> tenants;
  std::vector<TenantLimits> limits;  // by number of the tenant

  // The number of the tenant with this index: "t7" is 7.
  uint32_t tenant_number(uint32_t index) const {
    return static_cast<uint32_t>(tenants[index].id.back() - '0');
  }
  const TenantLimits& limits_of(uint32_t index) const { return limits[tenant_number(index)]; }
};

class TableMaker {
 public:
  // `ports` of the providers; keeps a reference to `config`.
  TableMaker(const SwarmConfig& config, std::vector<uint16_t> ports);

  void change();  // rows, order, parameters
  void change_kills();
  // The table as it now stands, with the next revision.
  std::unique_ptr<const routing::Table> make(routing::Gateway& gateway, int64_t wall_ns);

  const PublishedTable& at(uint64_t revision) const { return *published_.at(revision); }
  uint64_t revision() const { return revision_; }

  // By number of the tenant: as in the table to come, and the most that any has allowed at once.
  const TenantLimits& limits(uint32_t tenant) const { return limits_[tenant]; }
  uint32_t most_concurrency(uint32_t tenant) const { return most_concurrency_[tenant]; }
  bool hard_budget(uint32_t tenant) const;
  int64_t global_budget_nano_usd() const { return global_budget_; }
  static uint32_t tenant_number(std::string_view id) { return static_cast<uint32_t>(id.back() - '0'); }
  uint32_t unit_count() const { return config_.providers * 2; }

 private:
  struct Row {
    uint32_t state = 0, percent = 0;
    uint32_t segments = 0;                      // bit 0: staff, bit 1: eu
    uint32_t total_requests = 0, concurrency = 0, tpm = 0;  // of a pilot; 0: none
    int64_t starts_in_s = 0, expires_in_s = 0;  // from the run's beginning; 0: not said
    uint32_t on_rollback = 0;
    bool present = false;
  };

  void draw_row(Row& row);
  void draw_more_limits(TenantLimits& own);
  void change_limits(TenantLimits& own);
  void draw_hosts();
  std::string text() const;
  std::string model_text(uint32_t model) const;
  std::string unit_text(uint32_t unit) const;
  std::string scenario_text(uint32_t scenario) const;
  std::string flag_text(uint32_t flag) const;
  std::string tenant_text(uint32_t tenant) const;
  std::vector<routing::TenantSpec> specs(const routing::Table& table) const;

  const SwarmConfig& config_;
  const std::vector<uint16_t> ports_;
  Dice dice_;
  Dice more_dice_;  // for what came later: what dice_ gives stays what it is
  std::vector<TenantLimits> limits_;
  std::vector<uint32_t> most_concurrency_;
  int64_t global_budget_ = 0;
  std::vector<std::vector<Row>> rows_;  // by tenant, flag
  std::vector<uint32_t> chains_;  // by scenario, bits: 1 unit hop, 2 cached, 4 static, 8 another unit hop
  std::vector<std::vector<uint32_t>> weights_;  // by model, provider; 0: does not serve it
  std::vector<const char*> ttls_;               // by unit; empty: keeps nothing
  std::vector<uint32_t> shadows_;               // by flag, percent; 0: no copies
  int64_t shadow_budget_ = 0;                   // nano-USD an hour
  uint32_t rotation_ = 0, temperature_ = 0, excludes_ = 0, layers_ = 0;
  routing::KillList kills_;
  uint64_t revision_ = 0;
  std::map<uint64_t, std::unique_ptr<PublishedTable>> published_;
};

}  // namespace weir::sim
