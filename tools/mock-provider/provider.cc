#include "tools/mock-provider/provider.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "core/limits.h"
#include "core/strong.h"
#include "tools/mock-provider/text.h"

namespace weir::tools {
namespace {

using net::Method;

std::optional<Api> api_of(std::string_view path) {
  if (path == "/v1/chat/completions") return Api::chat;
  if (path == "/v1/completions") return Api::completions;
  if (path == "/v1/embeddings") return Api::embeddings;
  if (path == "/v1/responses") return Api::responses;
  return std::nullopt;
}

std::string_view path_of(const net::Request& request) {
  const std::string_view target = request.head.target.view(request.base);
  return target.substr(0, target.find('?'));
}

Answer fault_answer(const Fault& fault) {
  const int status = static_cast<int>(fault.status);
  return answer_error(status, fmt::format("The mock provider was told to answer {}.", status),
                      fault.error_type, fault.error_code);
}

}  // namespace

Provider::Provider(core::Loop& loop, ProviderOptions options)
    : loop_(loop), options_(std::move(options)), deliveries_(core::limits::kMaxConnectionsPerShard) {}

core::Result<void> Provider::on_head(net::ServerSession&, const net::RequestHead&, const uint8_t*) {
  return {};
}

void Provider::on_request(net::ServerSession& session, const net::Request& request) {
  const std::string_view path = path_of(request);
  if (const auto api = api_of(path); api && request.head.method == Method::post)
    return answer_api(session, request, *api, path);
  if (path == "/v1/models" && request.head.method == Method::get)
    return reply(session, answer_models(options_.models, options_.name));
  if (path.starts_with("/mock/")) return control(session, request, path);
  ++stats_.refused;
  reply(session, answer_error(404, "There is no such path at the mock provider.", {}, "unknown_url"));
}

void Provider::answer_api(net::ServerSession& session, const net::Request& request, Api api,
                          std::string_view path) {
  ++stats_.requests;
  const uint64_t entry = journal_.note(session, request, loop_.wall_now_ns());
  const auto read = reader_.read(api, request.body);
  if (!read) return deliver(session, answer_error(400, read.error()), {}, entry);
  journal_.find(entry)->model = read->model;
  stats_.streams += read->stream;
  const Fault fault = faults_.take(read->model, path).value_or(Fault());
  if (fault.status != 0) return deliver(session, fault_answer(fault), fault, entry);
  const AnswerInput input{.request = *read,
                          .fault = fault,
                          .name = options_.name,
                          .number = last_number_ + 1,
                          .created_s = loop_.wall_now_ns() / static_cast<int64_t>(core::kNsPerSecond),
                          .tokens = options_.tokens};
  deliver(session, answer_to(input), fault, entry);
}

void Provider::control(net::ServerSession& session, const net::Request& request, std::string_view path) {
  const Method method = request.head.method;
  const std::string_view body(reinterpret_cast<const char*>(request.body.data()), request.body.size());
  if (path == "/mock/faults" && method == Method::post) {
    const auto added = faults_.add(body);
    if (!added) return reply(session, answer_error(400, added.error()));
    return reply_json(session, 201, fmt::format(R"({{"id":{}}})", *added));
  }
  if (path == "/mock/faults" && method == Method::get)
    return reply_json(session, 200,
                      fmt::format(R"({{"faults":{},"applied":{}}})", faults_.size(), faults_.applied()));
  if (path == "/mock/faults" && method == Method::delete_) {
    faults_.clear();
    return reply_json(session, 200, "{}");
  }
  if (path == "/mock/journal" && method == Method::get) return reply_json(session, 200, journal_.to_json());
  if (path == "/mock/journal" && method == Method::delete_) {
    journal_.clear();
    return reply_json(session, 200, "{}");
  }
  if (path == "/mock/stats" && method == Method::get) return reply_json(session, 200, stats());
  ++stats_.refused;
  reply(session, answer_error(404, "There is no such path at the mock provider.", {}, "unknown_url"));
}

std::string Provider::stats() const {
  return fmt::format(
      R"({{"name":{},"requests":{},"streams":{},"complete":{},"aborted":{},"cut":{},"refused":{},)"
      R"("running":{},"faults_applied":{},"connections":{},"connections_accepted":{}}})",
      json_string(options_.name), stats_.requests, stats_.streams, stats_.complete, stats_.aborted,
      stats_.cut, stats_.refused, deliveries_.live(), faults_.applied(), server_ ? server_->connections() : 0,
      server_ ? server_->accepted() : 0);
}

void Provider::deliver(net::ServerSession& session, Answer answer, Fault fault, uint64_t entry) {
  if (JournalEntry* noted = journal_.find(entry)) {
    noted->status = answer.status;
    noted->fault = fault.id;
  }
  const DeliveryOptions options{.number = ++last_number_, .token_delay_ms = options_.token_delay_ms};
  Delivery* delivery = deliveries_.acquire(session, static_cast<DeliveryOwner&>(*this), std::move(answer),
                                           std::move(fault), options);
  if (delivery == nullptr) return session.abort();
  delivery->entry = entry;
  session.exchange = delivery;
  delivery->start();
}

// Answers of the control endpoints: no faults, no journal.
void Provider::reply(net::ServerSession& session, Answer answer) {
  deliver(session, std::move(answer), {}, 0);
}

void Provider::reply_json(net::ServerSession& session, int status, std::string body) {
  Answer answer;
  answer.status = status;
  answer.frames.push_back({std::move(body)});
  reply(session, std::move(answer));
}

void Provider::on_refused(net::ServerSession& session, core::Error error) {
  ++stats_.refused;
  const core::ErrorInfo& info = core::describe(error.code);
  reply(session, answer_error(info.status, info.sentence, info.type, info.code));
}

void Provider::on_client_gone(net::ServerSession& session, core::Error) {
  auto* delivery = static_cast<Delivery*>(std::exchange(session.exchange, nullptr));
  if (delivery == nullptr) return;
  delivery->client_gone();
  if (JournalEntry* noted = journal_.find(delivery->entry)) {
    noted->aborted = true;
    noted->answered_bytes = delivery->sent_bytes();
    ++stats_.aborted;
  }
  deliveries_.release(delivery);
}

void Provider::on_send_queue_low(net::ServerSession& session) {
  if (auto* delivery = static_cast<Delivery*>(session.exchange); delivery != nullptr)
    delivery->on_send_queue_low();
}

void Provider::on_delivered(Delivery& delivery, bool complete) {
  if (JournalEntry* noted = journal_.find(delivery.entry)) {
    noted->complete = complete;
    noted->answered_bytes = delivery.sent_bytes();
    ++(complete ? stats_.complete : stats_.cut);
  }
  deliveries_.release(&delivery);
}

}  // namespace weir::tools
