// Calls on the whole table: reading, replacing, checking, comparing, exporting.
#include <fmt/format.h>

#include <optional>
#include <utility>

#include "routing/admin/admin_api.h"

namespace weir::routing {

void AdminApi::get_table(const Ticket& ticket, const Call& call) {
  std::optional<uint64_t> revision;
  if (!number_of(ticket, call, "revision", &revision)) return;
  const uint64_t wanted = revision.value_or(control_.revision());
  control_.read([wanted](const Registry& registry) { return registry.document(wanted); },
                [this, ticket, wanted](const RegistryResult<std::string>& document) {
                  if (!document) return refuse(ticket, document.error());
                  answer(ticket, {.body = *document, .etag = fmt::format("\"{}\"", wanted)});
                });
}

void AdminApi::put_table(const Ticket& ticket, const Call& call) {
  auto reason = reason_of(ticket, call.target["reason"]);
  if (!reason) return;
  auto request = change_request(ticket, call, "replace", "table", *std::move(reason));
  if (!request) return;
  request->deploys = true;
  request->plan = [text = call.body, format = call.format](const Newest&) -> std::expected<Plan, Refusal> {
    auto document = Document::parse(text, format);
    if (!document) {
      return std::unexpected(
          Refusal{.kind = Refusal::Kind::problems, .problems = std::move(document.error())});
    }
    return Plan{.document = *std::move(document), .detail = document_detail(text)};
  };
  control_.change(*std::move(request), answer_change(ticket));
}

void AdminApi::validate_table(const Ticket& ticket, const Call& call) {
  control_.validate({.text = call.body, .format = call.format},
                    [this, ticket](const std::vector<Problem>& problems) {
                      if (problems.empty()) return answer_json(ticket, Json{{"valid", true}});
                      answer(ticket, {.status = 422, .body = to_text(problems_view(problems))});
                    });
}

void AdminApi::get_diff(const Ticket& ticket, const Call& call) {
  std::optional<uint64_t> from, to;
  if (!number_of(ticket, call, "from", &from) || !number_of(ticket, call, "to", &to)) return;
  if (!from) return refuse(ticket, "from", "Name the revision to compare from.");
  const uint64_t last = to.value_or(control_.revision());
  control_.read(
      [from = *from, last](const Registry& registry) { return registry.changed_between(from, last); },
      [this, ticket, from = *from, last](const RegistryResult<std::vector<ObjectChange>>& changes) {
        if (!changes) return refuse(ticket, changes.error());
        answer_json(ticket, Json{{"from", from},
                                 {"to", last},
                                 {"changes", object_changes_view(*changes)},
                                 {"count", changes->size()}});
      });
}

}  // namespace weir::routing
