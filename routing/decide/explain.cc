#include "routing/decide/explain.h"

#include <utility>

#include "routing/decide/decide_steps.h"

namespace weir::routing {

namespace {

struct StepWriter {
  std::vector<ExplainStep> steps;

  template <typename Detail>
  void step(std::string_view rule, bool matched, Detail&& detail) {
    steps.push_back({std::string(rule), matched, detail()});
  }
};

}  // namespace

Explanation explain(const Table& table, const DecideInput& input) {
  StepWriter writer;
  const core::Result<ScenarioChoice> choice = choose_scenario_steps(table, input, writer);
  const core::Result<Decision> decision = choice ? decide_steps(table, *choice, input, writer)
                                                 : core::Result<Decision>(std::unexpected(choice.error()));
  return {table.revision, std::move(writer.steps), decision};
}

}  // namespace weir::routing
