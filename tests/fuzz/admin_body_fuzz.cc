// Bodies of admin calls, by the path that takes them: kills, rollbacks, decisions on proposals, labels, objects
// and rows. A slow list of rules says which members are at fault: without one the body is accepted and means
// what nlohmann's parser reads; with one it is refused, and the refusal names it and says what would be right.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "core/display_text.h"
#include "routing/admin/admin_views.h"
#include "routing/admin/bodies.h"
#include "routing/admin/calls.h"
#include "routing/admin/edits.h"
#include "routing/table/reader.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/json_split.h"
#include "tests/routing/inspect/json_reference.h"

namespace weir::fuzz {
namespace {

using nlohmann::json;
using routing::Refusal;

bool holds_twice(std::string_view value) {
  std::set<std::string> keys;
  for (const SlowMember& member : slow_members(value)) {
    if (!keys.insert(member.key()).second || holds_twice(member.value)) return true;
  }
  return std::ranges::any_of(slow_elements(value), holds_twice);
}

// What is wrong with a body. `unsure`: a limit is near, or a text is such that only its own parser can tell.
struct Rules {
  std::set<std::string> faults;  // members; "" for the whole body
  bool unsure = false;
  json members = json::object();

  Rules(std::string_view body, const std::set<std::string>& known) {
    constexpr uint32_t kDepth = core::limits::kMaxJsonDepth;
    if (!routing::SlowJson::valid(body, kDepth) || kind_of(trimmed(body)) != '{' ||
        holds_twice(trimmed(body))) {
      faults.insert("");
      return;
    }
    unsure = !routing::SlowJson::valid(body, kDepth - 2) || with_small_numbers(body) != body;
    for (const SlowMember& member : slow_members(trimmed(body))) {
      if (!known.contains(member.key())) faults.insert(core::displayable(member.key()));
    }
    members = json::parse(with_small_numbers(body));
    std::erase_if(members.get_ref<json::object_t&>(),
                  [](const auto& member) { return member.second.is_null(); });
  }

  void require(bool condition, const char* member) {
    if (!condition) faults.insert(member);
  }
  std::string text(const char* member) {
    if (!members.contains(member)) return "";
    require(members[member].is_string(), member);
    return members[member].is_string() ? members[member].get<std::string>() : "";
  }
  // Printable ASCII can be shown; what else can is core/display_text's matter.
  void require_shown(const char* member, bool may_be_empty) {
    const std::string value = text(member);
    require((may_be_empty || !value.empty()) && value.size() <= core::limits::kMaxTextBytes, member);
    if (std::ranges::all_of(value, [](char c) { return c >= ' ' && c <= '~'; })) return;
    require(core::is_displayable_text(value), member);
  }
};

void expect_good_refusal(const Refusal& refusal) {
  const routing::Json view = routing::Json::parse(routing::to_text(routing::refusal_view(refusal)));
  const routing::Json& error = view.at("error");
  EXPECT_NE(error.at("message"), "");
  EXPECT_TRUE(error.at("param").is_null() || error.at("param") != "");
  EXPECT_TRUE(error.contains("type") && error.contains("code"));
  EXPECT_GE(routing::describe(refusal.kind).status, 400);
  EXPECT_LT(routing::describe(refusal.kind).status, 500);
  for (const routing::Problem& problem : refusal.problems) EXPECT_NE(problem.message, "");
  EXPECT_EQ(refusal.problems.empty(), refusal.kind != Refusal::Kind::problems);
}

template <typename T>
bool expect_ruled(const routing::BodyResult<T>& read, const Rules& rules, std::string_view body) {
  if (read) {
    EXPECT_TRUE(rules.faults.empty() || rules.unsure) << *rules.faults.begin() << " in " << body;
    return rules.faults.empty();
  }
  expect_good_refusal(read.error());
  EXPECT_EQ(read.error().kind, Refusal::Kind::bad_value);
  EXPECT_TRUE(rules.unsure || rules.faults.contains(read.error().param))
      << '"' << read.error().param << "\" is not at fault in " << body;
  return false;
}

void check_kill(std::string_view body) {
  Rules rules(body, {"scope", "name", "reason"});
  const std::string scope = rules.text("scope"), name = rules.text("name");
  const std::set<std::string> scopes = {"global", "provider", "unit", "scenario", "flag", "tenant"};
  rules.require(scopes.contains(scope), "scope");
  rules.require((scope == "global") == name.empty(), "name");
  rules.require_shown("reason", false);
  const auto read = routing::read_kill(body);
  if (!expect_ruled(read, rules, body)) return;
  EXPECT_EQ(routing::to_string(read->scope), scope);
  EXPECT_EQ(read->name, name);
  EXPECT_EQ(read->reason, rules.members["reason"].get<std::string>());
  const auto again = routing::read_kill(json{
      {"scope", routing::to_string(read->scope)},
      {"name", read->name},
      {"reason", read->reason}}.dump());
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->scope, read->scope);
  EXPECT_EQ(again->name, read->name);
  EXPECT_EQ(again->reason, read->reason);
}

void expect_same_rollback(const routing::Rollback& a, const routing::Rollback& b) {
  EXPECT_EQ(std::tie(a.scope, a.name, a.flag, a.revision, a.wall_ns, a.label, a.note, a.evidence),
            std::tie(b.scope, b.name, b.flag, b.revision, b.wall_ns, b.label, b.note, b.evidence));
}

void check_rollback(std::string_view body) {
  Rules rules(body, {"scope", "name", "flag", "to", "reason", "note", "evidence"});
  const std::string scope = rules.text("scope"), name = rules.text("name"), flag = rules.text("flag");
  rules.require(scope == "tenant" || scope == "flag" || scope == "scenario" || scope == "all", "scope");
  rules.require((scope == "all") == name.empty(), "name");
  rules.require(flag.empty() || scope == "tenant", "flag");
  rules.require_shown("note", true);
  rules.require_shown("reason", false);
  const json to = rules.members.value("to", json());
  const bool is_plain = to == "previous" || (to.is_number_unsigned() && to != 0);
  rules.require(to.is_string() || to.is_number(), "to");
  rules.unsure |= !is_plain && !rules.faults.contains("to");
  const json evidence = rules.members.value("evidence", json::object());
  rules.require(evidence.is_object(), "evidence");
  rules.unsure |= evidence.dump().size() > core::limits::kMaxEvidenceBytes / 2;
  const auto read = routing::read_rollback(body);
  if (!expect_ruled(read, rules, body)) return;
  const routing::Rollback& rollback = read->rollback;
  EXPECT_EQ(routing::to_string(rollback.scope), scope);
  EXPECT_EQ(rollback.name, name);
  EXPECT_EQ(rollback.flag, flag);
  EXPECT_EQ(rollback.note, rules.members.value("note", ""));
  EXPECT_EQ(read->reason, rules.members["reason"].get<std::string>());
  EXPECT_LE(rollback.revision.has_value() + rollback.wall_ns.has_value() + rollback.label.has_value(), 1);
  if (is_plain) {
    EXPECT_EQ(rollback.revision.value_or(0), to == "previous" ? 0 : to.get<uint64_t>());
    EXPECT_FALSE(rollback.wall_ns || rollback.label);
  }
  EXPECT_EQ(rollback.evidence.empty(), !rules.members.contains("evidence"));
  if (!rollback.evidence.empty() && !rules.unsure) {
    EXPECT_EQ(json::parse(rollback.evidence), evidence);
  }
  if (to.is_number() && !is_plain) return;  // written another way than it is read
  json out = {{"scope", routing::to_string(rollback.scope)},
              {"to", to},
              {"reason", read->reason},
              {"name", rollback.name},
              {"flag", rollback.flag},
              {"note", rollback.note}};
  if (!rollback.evidence.empty()) out["evidence"] = json::parse(rollback.evidence);
  const auto again = routing::read_rollback(out.dump());
  ASSERT_TRUE(again.has_value()) << out;
  expect_same_rollback(again->rollback, rollback);
}

void check_decision(std::string_view body) {
  Rules rules(body, {"reason"});
  rules.require_shown("reason", false);
  const auto read = routing::read_decision(body);
  if (!expect_ruled(read, rules, body)) return;
  EXPECT_EQ(*read, rules.members["reason"].get<std::string>());
  EXPECT_EQ(routing::read_decision(json{{"reason", *read}}.dump()).value_or(""), *read);
}

void check_label(std::string_view body) {
  Rules rules(body, {"reason", "revision"});
  rules.require_shown("reason", false);
  const json revision = rules.members.value("revision", json());
  rules.require(revision.is_null() || revision.is_number(), "revision");
  rules.unsure |= revision.is_number() && !revision.is_number_unsigned();  // 7.0 is 7, -0 is 0
  const auto read = routing::read_label(body);
  if (!expect_ruled(read, rules, body)) return;
  EXPECT_EQ(read->revision.has_value(), !revision.is_null());
  if (revision.is_number_unsigned()) {
    EXPECT_EQ(read->revision, revision.get<uint64_t>());
  }
  EXPECT_EQ(read->reason, rules.members["reason"].get<std::string>());
}

// ---- objects ----

class AdminWorld {
 public:
  AdminWorld() {
    const std::string text = R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:1/v1"}},
        "models":{"m-1":{"provider":"p","price":{"input":1,"output":2}}},
        "units":{"u-1":{"model":"m-1"},"u-2":{"model":"m-1","params":{"temperature":1}}},
        "scenarios":{"chat":{"stable":"u-1"}},
        "flags":{"v2":{"scenario":"chat","candidate":{"unit":"u-2"},"owner":"u"}},
        "tenants":{"acme":{"name":"Acme","flags":{"v2":{"state":"off","owner":"u","reason":"r","review":"2030-01-01","previous":"u-1"}}}}})";
    auto compiled = routing::compile_text(text, routing::TableFormat::json, {});
    EXPECT_TRUE(compiled.has_value());
    table_ = *std::move(compiled);
    registry_ = *routing::Registry::open({.path = ":memory:"});
    routing::Commit commit{.actor = {"a", "admin"}, .action = "import", .target = {}, .reason = "r"};
    auto document = routing::Document::parse(text, routing::TableFormat::json);
    routing::split_document(document->root(), [&](const routing::ObjectView& object) {
      commit.objects.push_back({.kind = object.kind,
                                .name = std::string(object.name),
                                .before = {},
                                .after = std::string(object.body)});
    });
    EXPECT_TRUE(registry_->commit(commit).has_value());
  }

  routing::Newest newest() const {
    return {.registry = *registry_,
            .revision = registry_->revision(),
            .body = *table_.body,
            .tenants = *table_.tenants,
            .wall_now_ns = 1'700'000'000'000'000'000};
  }

 private:
  routing::CompiledTable table_;
  std::unique_ptr<routing::Registry> registry_;
};

using Planned = std::expected<routing::Plan, Refusal>;

// Exactly the object that the path names.
bool expect_one_change(const Planned& planned, routing::ObjectKind kind, const std::string& name) {
  if (!planned) {
    expect_good_refusal(planned.error());
    return false;
  }
  EXPECT_EQ(planned->changes.size(), 1u);
  const routing::ObjectChange& change = planned->changes.at(0);
  EXPECT_EQ(change.kind, kind);
  EXPECT_EQ(change.name, name);
  if (change.after) {
    EXPECT_EQ(routing::canonical_text(*change.after), change.after);
  }
  return true;
}

void check_put(const routing::Newest& newest, routing::ObjectKind kind, const std::string& name,
               const std::string& body) {
  const Planned planned = routing::plan_put(newest, kind, name, body);
  const bool readable =
      routing::SlowJson::valid(body, core::limits::kMaxJsonDepth) && !holds_twice(trimmed(body));
  const bool unsure =
      !routing::SlowJson::valid(body, core::limits::kMaxJsonDepth - 2) || with_small_numbers(body) != body;
  if (!expect_one_change(planned, kind, name)) {
    const json given = json::parse(body, nullptr, false);
    const bool wrong_id =
        kind == routing::ObjectKind::key && given.is_object() && given.value("id", json(name)) != name;
    EXPECT_TRUE(!readable || unsure || (wrong_id && planned.error().param == "id")) << body;
    return;
  }
  EXPECT_TRUE(readable) << body;
  if (unsure || !readable) return;
  json wanted = json::parse(body);
  if (kind == routing::ObjectKind::key && wanted.is_object()) wanted["id"] = name;
  const std::string after = planned->changes[0].after.value_or("");
  EXPECT_EQ(json::parse(after), wanted);
  const Planned again = routing::plan_put(newest, kind, name, after);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->changes.at(0).after, after);
}

void check_row(const routing::Newest& newest, const std::string& flag, const std::string& tenant,
               const std::string& body) {
  const Planned planned = routing::plan_row(newest, flag, tenant, body);
  if (!expect_one_change(planned, routing::ObjectKind::tenant, tenant)) return;
  EXPECT_TRUE(flag == "v2" && tenant == "acme");
  const json row = json::parse(planned->changes[0].after.value_or(""))["flags"]["v2"];
  const json asked = json::parse(with_small_numbers(body));
  EXPECT_EQ(row["reason"], asked["reason"]);
  for (const auto& [member, value] : asked.items()) {
    if (member == "previous") continue;  // a row always has one
    EXPECT_EQ(row.contains(member), !value.is_null()) << member;
  }
}

}  // namespace
}  // namespace weir::fuzz

// path LF body
WEIR_FUZZ_TARGET(admin_body) {
  using namespace weir;
  static const fuzz::AdminWorld world;
  const std::string_view text = fuzz::text_of(input);
  const size_t line = std::min(text.find('\n'), text.size());
  const std::string_view path = text.substr(0, line);
  const std::string body(text.substr(std::min(line + 1, text.size())));
  for (const net::Method method :
       {net::Method::put, net::Method::post, net::Method::patch, net::Method::delete_}) {
    const auto match = routing::match_call(path, method);
    if (!match || !std::ranges::all_of(match->names, routing::is_name)) continue;  // AdminApi refuses others
    const std::string_view handler = routing::call_rows()[match->row].handler;
    const std::vector<std::string>& names = match->names;
    const std::string& last = names.empty() ? std::string() : names.back();
    if (handler == "kill" || handler == "unkill" || handler == "kill_unkill") {
      fuzz::check_kill(body);
    } else if (handler == "rollback") {
      fuzz::check_rollback(body);
    } else if (handler == "approve_proposal" || handler == "withdraw_proposal") {
      fuzz::check_decision(body);
    } else if (handler == "set_label") {
      fuzz::check_label(body);
    } else if (handler == "set_row") {
      fuzz::check_row(world.newest(), names.at(0), names.at(1), body);
    } else if (handler == "put_object") {
      fuzz::check_put(world.newest(), match->kind.value(), last, body);
    } else if (handler == "patch_object") {
      fuzz::expect_one_change(routing::plan_patch(world.newest(), match->kind.value(), last, body),
                              match->kind.value(), last);
    } else if (handler == "delete_object") {
      fuzz::expect_one_change(routing::plan_delete(world.newest(), match->kind.value(), last),
                              match->kind.value(), last);
    }
  }
}
