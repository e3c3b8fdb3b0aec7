#include "tests/sim/swarm_client.h"

#include <fmt/format.h>

#include "tests/sim/swarm_table.h"

namespace weir::sim {
namespace {

constexpr uint32_t kHostileKinds = 18;

}  // namespace

SwarmClient::SwarmClient(core::Loop& loop, const SwarmConfig& config, uint32_t number,
                         std::vector<core::SocketAddress> gateways, Journal& journal)
    : loop_(loop),
      config_(config),
      number_(number),
      gateways_(std::move(gateways)),
      journal_(journal),
      dice_(config.seed, 100 + number),
      most_(config.requests_per_client),
      tenant_(static_cast<uint32_t>(dice_.below(config.tenants))),
      connection_(loop, *this, net::Leg::upstream) {
  asked_.reserve(most_ + 8);
}

void SwarmClient::step() {
  if (closed()) {
    lose_open_ones();
    if (finished() || dice_.one_in(3)) return;
    reader_.reset();
    connection_.connect(dice_.pick(gateways_));
    return;
  }
  if (!connection_.is_open()) return;
  if (read_again_in_ > 0 && --read_again_in_ == 0) connection_.resume_receiving();
  if (open_ == asked_.size() && asked_.size() < most_ && out_.empty()) ask();
  if (!out_.empty() && (!dribbling_ || dice_.one_in(2))) {
    const size_t size =
        dribbling_ ? std::min<size_t>(out_.size(), 1 + dice_.below(out_.size() / 4 + 20)) : out_.size();
    connection_.send(loop_.buffers().copy_of({reinterpret_cast<const uint8_t*>(out_.data()), size}));
    out_.erase(0, size);
  }
  if (out_.empty() && half_close_ && connection_.queued_bytes() == 0) {
    loop_.io().shutdown_write(connection_.descriptor());
    half_close_ = false;
  }
  if (leave_in_ > 0 && --leave_in_ == 0) {
    connection_.close();
    lose_open_ones();
  }
}

void SwarmClient::ask() {
  const ClientHabits& habits = config_.client;
  dribbling_ = dice_.chance(habits.dribble);
  leave_in_ = dice_.chance(habits.leave) ? static_cast<uint32_t>(dice_.between(1, 40)) : 0;
  half_close_ = dice_.chance(habits.half_close);
  if (dice_.chance(habits.slow_reader)) {
    connection_.pause_receiving();
    read_again_in_ = static_cast<uint32_t>(dice_.between(10, 200));
  }
  const uint64_t count = dice_.chance(habits.pipeline) ? dice_.between(2, 4) : 1;
  for (uint64_t i = 0; i < count && asked_.size() < most_; ++i) {
    asked_.emplace_back();
    out_ += compose(asked_.back());
    if (asked_.back().hostile) break;  // nothing behind it would be read
  }
}

std::string SwarmClient::compose(Asked& asked) {
  const ClientHabits& habits = config_.client;
  asked.number = asked.subject = number_ * 1000 + static_cast<uint32_t>(asked_.size());
  asked.tenant = tenant_;
  if (dice_.chance(habits.probe)) return compose_probe(asked);
  asked.path = "/v1/chat/completions";
  if (dice_.chance(habits.other_endpoint)) {
    static constexpr const char* kOthers[] = {"/v1/completions", "/v1/embeddings", "/v1/responses"};
    asked.path = dice_.pick(kOthers);
  }
  asked.stream =
      dice_.chance(habits.stream) && asked.path != "/v1/embeddings" && asked.path != "/v1/responses";
  asked.hostile = dice_.chance(habits.hostile);
  if (habits.repeat > 0 && dice_.chance(habits.repeat) && !asked.hostile)
    asked.subject = kFirstSharedSubject + static_cast<uint32_t>(dice_.below(2));
  const std::string scenario = "chat" + std::to_string(dice_.below(config_.scenarios));
  std::string fields;
  if (dice_.one_in(2)) {
    asked.scenario = scenario;
    asked.model = "anything";
    fields += "x-weir-scenario: " + scenario + "\r\n";
  } else if (dice_.chance(habits.direct_model)) {
    asked.model = "m" + std::to_string(dice_.below(config_.providers));
    if (tenant_ == 0) asked.scenario = "chat0";  // its key's
  } else {
    asked.model = asked.scenario = scenario;
  }
  std::string more;
  if (dice_.chance(habits.user)) {
    asked.user = "user" + std::to_string(dice_.below(3));
    if (dice_.one_in(2))
      fields += "x-weir-user: " + asked.user + "\r\n";
    else
      more += fmt::format(R"(,"user":"{}")", asked.user);
  }
  if (dice_.chance(habits.conversation)) {
    if (dice_.one_in(3)) ++conversation_;
    asked.conversation = fmt::format("c{}-{}", number_, conversation_);
    if (dice_.one_in(2))
      fields += "x-weir-conversation: " + asked.conversation + "\r\n";
    else
      more += fmt::format(R"(,"metadata":{{"conversation_id":"{}"}})", asked.conversation);
  }
  if (dice_.chance(habits.attributes)) {
    if (dice_.one_in(2)) {
      asked.staff = dice_.one_in(2);
      fields += *asked.staff ? "x-weir-attr-staff: true\r\n" : "x-weir-attr-staff: false\r\n";
    }
    if (dice_.one_in(2)) {
      asked.region = dice_.one_in(2) ? "eu" : "us";
      fields += "x-weir-attr-region: " + asked.region + "\r\n";
    }
  }
  if (asked.stream) more += R"(,"stream":true)";
  asked.short_answer = dice_.one_in(4) && asked.path != "/v1/embeddings" && asked.path != "/v1/responses";
  if (asked.short_answer) more += R"(,"max_tokens":20)";
  const std::string body = body_of(asked, more);
  asked.body_bytes = static_cast<uint32_t>(body.size());
  std::string head = fmt::format("POST {} HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {}\r\n{}",
                                 asked.path, client_token(tenant_), fields);
  if (asked.hostile) return compose_hostile(asked, head, body);
  head += "content-type: application/json\r\n";
  if (dice_.one_in(5)) {
    const size_t half = body.size() / 2;
    return fmt::format("{}transfer-encoding: chunked\r\n\r\n{:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n", head,
                       half, body.substr(0, half), body.size() - half, body.substr(half));
  }
  return fmt::format("{}content-length: {}\r\n\r\n{}", head, body.size(), body);
}

// What is no completion: health, the list of models, and the evaluation of flags with its stream of changes.
std::string SwarmClient::compose_probe(Asked& asked) {
  static constexpr const char* kPaths[] = {
      "/healthz",        "/readyz", "/v1/models", "/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/f0",
      "/ofrep/v1/events"};
  asked.path = dice_.pick(kPaths);
  asked.kind = asked.path == "/v1/models" ? Asked::Kind::models : Asked::Kind::probe;
  const std::string head = fmt::format("{} HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {}\r\n",
                                       asked.path, client_token(tenant_));
  if (asked.path.find("evaluate") == std::string::npos) {
    // A stream of changes ends when its reader goes.
    if (asked.path == "/ofrep/v1/events" && leave_in_ == 0)
      leave_in_ = static_cast<uint32_t>(dice_.between(5, 100));
    return "GET " + head + "\r\n";
  }
  static constexpr const char* kBodies[] = {R"({"context":{"targetingKey":"user1","staff":true}})",
                                            R"({"context":{}})", R"({"context":{"staff":1}})",
                                            R"({"context":)"};
  const std::string body = dice_.pick(kBodies);
  return fmt::format("POST {}content-type: application/json\r\ncontent-length: {}\r\n\r\n{}", head,
                     body.size(), body);
}

std::string SwarmClient::body_of(const Asked& asked, const std::string& more) {
  std::string text = tag_of(asked.subject);
  if (dice_.chance(config_.client.large) && !asked.repeats()) text += std::string(dice_.below(200'000), 'x');
  const std::string content = asked.path == "/v1/chat/completions"
                                  ? fmt::format(R"("messages":[{{"role":"user","content":"{}"}}])", text)
                              : asked.path == "/v1/completions" ? fmt::format(R"("prompt":"{}")", text)
                                                                : fmt::format(R"("input":"{}")", text);
  return fmt::format(R"({{"model":"{}",{}{}}})", asked.model, content, more);
}

// What must be refused, and nothing of it may reach a provider.
std::string SwarmClient::compose_hostile(const Asked& asked, std::string head, const std::string& body) {
  const std::string type = "content-type: application/json\r\n";
  const std::string length = fmt::format("content-length: {}\r\n\r\n", body.size());
  const std::string post = "POST " + asked.path + " HTTP/1.1\r\nhost: weir\r\n";
  const auto sized = [&](const std::string& text) {
    return fmt::format("{}{}content-length: {}\r\n\r\n{}", head, type, text.size(), text);
  };
  switch (dice_.below(kHostileKinds)) {
    case 0:
      return post + "authorization: Bearer sk-sim-client-unknown\r\n" + type + length + body;
    case 1:
      return post + type + length + body;
    case 2:
      return head.replace(head.find("/v1/"), 4, "/v2/") + type + length + body;
    case 3:
      return head.replace(0, 4, "GET") + type + length + body;
    case 4:
      return sized(body.substr(0, body.size() - 1));
    case 5:
      return sized(R"({"model":"chat0",)" + body.substr(1));
    case 6:
      return sized(body.substr(0, body.size() - 1) + ",\"z\":\"\xff\"}");
    case 7:
      return head + type + fmt::format("content-length: {}\r\n", body.size() + 1) + length + body;
    case 8:
      return head + type + "x-lone: line\n" + length + body;
    case 9:
      return head + type + "x-space : before the colon\r\n" + length + body;
    case 10:
      return head + type + "x-large: " + std::string(40'000, 'a') + "\r\n" + length + body;
    case 11:
      return head + type + "transfer-encoding: chunked\r\n" + length + body;
    case 12:
      return post + "authorization: Bearer " + client_token(tenant_) + "\r\nx-weir-scenario: nowhere\r\n" +
             type + fmt::format("content-length: {}\r\n\r\n{}", body.size(), body);
    case 13:
      return head + "content-type: text/plain\r\n" + length + body;
    case 14:
      return head + type + "x-weir-user: a\r\nx-weir-user: b\r\n" + length + body;
    case 15:
      return std::string("\x16\x03\x01 not HTTP ") + tag_of(asked.subject) + "\r\n\r\n";
    case 16:
      return head + type + "transfer-encoding: chunked\r\n\r\nzz\r\n" + body;
    default:  // the rest never comes
      return head + type + length + body.substr(0, body.size() / 2);
  }
}

void SwarmClient::on_received(core::Slice data) {
  reader_.feed(data.text());
  if (data.text().find("sk-sim-") != std::string_view::npos)
    journal_.findings.add("a credential reached a client");
  for (;;) {
    const AnswerReader::Step step = reader_.read();
    if (step == AnswerReader::Step::need_more) return;
    if (step == AnswerReader::Step::malformed) {
      journal_.findings.add("a client got what is not HTTP");
      connection_.close();
      return;
    }
    if (open_ == asked_.size()) {
      // The one answer that nobody asked for: the gateway is at its limit of connections, or says goodbye.
      if (reader_.answer().status < 400) journal_.findings.add("an answer that nobody asked for");
      connection_.close();
      return;
    }
    take_answer();
  }
}

void SwarmClient::take_answer() {
  Asked& asked = asked_[open_++];
  asked.end = Asked::End::answered;
  asked.answer = std::move(reader_.answer());
  const bool last = reader_.asks_to_close();
  reader_.next();
  if (last) lose_open_ones();
}

// The connection is gone, or says that it takes nothing more.
void SwarmClient::lose_open_ones() {
  for (bool first = true; open_ < asked_.size(); ++open_, first = false) {
    Asked& asked = asked_[open_];
    asked.end = first && reader_.head_seen() ? Asked::End::cut : Asked::End::lost;
    if (asked.end == Asked::End::cut) asked.answer = std::move(reader_.answer());
    if (!asked.conversation.empty()) ++conversation_;  // whether it began there is not known
  }
  out_.clear();
  reader_.reset();
  leave_in_ = 0;
  half_close_ = false;
}

void SwarmClient::on_end() {
  lose_open_ones();
  connection_.close();
}

void SwarmClient::on_failed(core::Error) {
  lose_open_ones();
}

}  // namespace weir::sim
