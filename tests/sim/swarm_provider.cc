#include "tests/sim/swarm_provider.h"

#include <fmt/format.h>

#include <algorithm>

#include "tests/sim/swarm_table.h"

namespace weir::sim {
namespace {

std::string chunk(const std::string& text) {
  return fmt::format("{:x}\r\n{}\r\n", text.size(), text);
}

}  // namespace

SwarmProvider::SwarmProvider(core::Loop& loop, const SwarmConfig& config, uint32_t number, Journal& journal)
    : loop_(loop),
      config_(config),
      number_(number),
      journal_(journal),
      dice_(config.seed, 1000 + number),
      server(loop, *this, 64) {
  server.settings().idle_timeout_ms =
      config.provider.idle_closing > 0 ? 20 : 10 * core::limits::kIdleTimeoutMs;
}

core::Result<void> SwarmProvider::on_head(net::ServerSession&, const net::RequestHead&, const uint8_t*) {
  return {};
}

void SwarmProvider::on_request(net::ServerSession& session, const net::Request& request) {
  const std::string_view head(reinterpret_cast<const char*>(request.base),
                              static_cast<size_t>(request.body.data() - request.base));
  const std::string_view body(reinterpret_cast<const char*>(request.body.data()), request.body.size());
  Findings& findings = journal_.findings;
  const auto find = [&](std::string_view from, std::string_view key, size_t size) {
    const size_t at = from.find(key);
    return at == std::string_view::npos ? std::string() : std::string(from.substr(at + key.size(), size));
  };
  const size_t tag = body.find("tag-");
  if (tag == std::string_view::npos) return findings.add("a provider got a request without a tag");
  Attempt attempt;
  attempt.subject = static_cast<uint32_t>(std::stoul(std::string(body.substr(tag + 4, 8))) - 10'000'000);
  attempt.provider = number_;
  attempt.at_ns = World::now().monotonic_ns;
  attempt.request_id = find(head, "x-request-id: ", 32);
  findings.check(head.find("sk-sim-client") == std::string_view::npos &&
                     body.find("sk-sim-client") == std::string_view::npos,
                 "a client's key reached a provider");
  findings.check(
      find(head, "authorization: Bearer ", provider_token(number_).size()) == provider_token(number_),
      "a provider got another provider's credential");
  const std::string model = find(body, "\"model\":\"m", 1);
  if (model.empty() || model[0] < '0' || model[0] > '9')
    return findings.add("a provider got a request for no model");
  attempt.model = static_cast<uint32_t>(model[0] - '0');
  findings.check(body.front() == '{' && body.back() == '}', "a provider got a body that is not whole");
  attempt.vectors = head.find("/v1/embeddings ") != std::string_view::npos;
  const bool stream = body.find("\"stream\":true") != std::string_view::npos;
  const bool chat = head.find("/v1/chat/completions ") != std::string_view::npos;
  findings.check(!stream || body.find("\"include_usage\":true") != std::string_view::npos,
                 "usage was not asked for");
  journal_.attempts.push_back(std::move(attempt));
  scripts_.push_back(script_for(session, journal_.attempts.back(), stream, chat));
  scripts_.back().attempt = journal_.attempts.size() - 1;
}

void SwarmProvider::on_refused(net::ServerSession& session, core::Error error) {
  // The gateway may give a connection up in the middle of a request; what it sends must be good.
  if (core::describe(error.code).status != 408) {
    journal_.findings.add(std::string("a provider got a bad request: ") +
                          std::string(core::describe(error.code).token));
  }
  session.abort();
}

void SwarmProvider::on_client_gone(net::ServerSession& session, core::Error) {
  std::erase_if(scripts_, [&](const Script& script) { return script.session == &session; });
}

SwarmProvider::Script SwarmProvider::script_for(net::ServerSession& session, Attempt& attempt, bool stream,
                                                bool chat) {
  Script script{.session = &session, .attempt = 0, .steps = {}};
  const ProviderHabits& habits = config_.provider;
  if (dice_.chance(habits.silent)) return script;
  attempt.padding =
      dice_.chance(habits.large) ? dice_.below(dice_.one_in(6) ? 1'500'000 : 600'000) : dice_.below(200);
  attempt.in_one_event = stream && habits.too_large_event > 0 && dice_.chance(habits.too_large_event);
  if (attempt.in_one_event) attempt.padding = core::limits::kMaxSseEventBytes + 1000;
  if (dice_.chance(habits.error)) {
    answer_error(script, attempt);
  } else if (dice_.chance(habits.garbage)) {
    answer_garbage(script, attempt);
  } else if (stream) {
    answer_stream(script, attempt, chat);
  } else {
    answer_plain(script, attempt, chat);
  }
  if (dice_.chance(habits.cut)) {  // somewhere in the middle of what it would have said
    const size_t kept = 1 + dice_.below(script.steps.size());
    script.steps.resize(kept);
    Step& last = script.steps.back();
    const bool framed = script.chunked_stream && !last.whole && kept > 1;
    if (last.whole || script.until_close) last.bytes.resize(dice_.below(last.bytes.size()));
    static constexpr End kEnds[] = {End::close, End::abort, End::reset};
    last.end = script.until_close ? End::reset : dice_.pick(kEnds);
    last.whole = false;
    if (framed && dice_.one_in(3)) {  // its framing is whole, what it says is not
      last.bytes = "0\r\n\r\n";
      last.end = End::clean;
    }
  }
  return script;
}

std::string SwarmProvider::usage(const Attempt& attempt) {
  uint64_t output = attempt.vectors ? 0 : dice_.between(1, 20);
  if (dice_.chance(config_.provider.odd_stream * 0.1)) {
    output = dice_.below(1'000'000'000);
    journal_.usage_lied = true;
  }
  return fmt::format(R"({{"prompt_tokens":10,"completion_tokens":{},"total_tokens":{}}})", output,
                     output + 10);
}

// "tag-… from p… at …; yyy… end …": both marks with the number of the attempt, and so many y.
void SwarmProvider::answer_plain(Script& script, const Attempt& attempt, bool chat) {
  const size_t attempt_number = journal_.attempts.size() - 1;
  const std::string text = fmt::format("{} from p{} at {}; {} end {};", tag_of(attempt.subject), number_,
                                       attempt_number, std::string(attempt.padding, 'y'), attempt_number);
  const std::string body =
      chat ? fmt::format(R"({{"choices":[{{"index":0,"message":{{"content":"{}"}}}}],"usage":{}}})", text,
                         usage(attempt))
           : fmt::format(R"({{"choices":[{{"index":0,"text":"{}"}}],"usage":{}}})", text, usage(attempt));
  const std::string head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
  switch (dice_.below(5)) {
    case 0: {
      const size_t half = body.size() / 2;
      return in_pieces(script,
                       head + "transfer-encoding: chunked\r\n\r\n" + chunk(body.substr(0, half)) +
                           chunk(body.substr(half)) + "0\r\n\r\n",
                       End::clean);
    }
    case 1:
      script.until_close = true;
      return in_pieces(script, head + "connection: close\r\n\r\n" + body, End::close);
    case 2:
      return in_pieces(
          script,
          "HTTP/1.1 103 Early Hints\r\nlink: </>\r\n\r\n" + head +
              fmt::format("connection: close\r\ncontent-length: {}\r\n\r\n{}", body.size(), body),
          End::close);
    default:
      return in_pieces(script, head + fmt::format("content-length: {}\r\n\r\n{}", body.size(), body),
                       End::clean);
  }
}

void SwarmProvider::answer_stream(Script& script, const Attempt& attempt, bool chat) {
  script.chunked_stream = true;
  const bool odd = dice_.chance(config_.provider.odd_stream);
  const std::string line = odd && dice_.one_in(3) ? "\r\n" : "\n";
  const auto event = [&](const std::string& data) { return chunk("data: " + data + line + line); };
  const auto delta = [&](const std::string& text) {
    return event(
        chat ? fmt::format(R"({{"choices":[{{"index":0,"delta":{{"content":"{}"}}}}],"usage":null}})", text)
             : fmt::format(R"({{"choices":[{{"index":0,"text":"{}"}}],"usage":null}})", text));
  };
  const size_t attempt_number = journal_.attempts.size() - 1;
  script.steps.push_back(
      {.wait = 0,
       .bytes = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"});
  const auto say = [&](const std::string& bytes) {
    script.steps.push_back(
        {.wait = dice_.chance(config_.provider.slow) ? static_cast<uint32_t>(dice_.below(60)) : 0,
         .bytes = bytes});
  };
  if (dice_.one_in(3)) say(event(R"({"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]})"));
  if (dice_.one_in(4)) say(chunk(": still here" + line + line));
  if (odd && dice_.one_in(6)) {
    journal_.attempts.back().contentless = true;
    say(event("[DONE]"));
    say("0\r\n\r\n");
    script.steps.back().end = End::clean;
    script.steps.back().whole = true;
    return;
  }
  say(delta(fmt::format("{} from p{} at {}; ", tag_of(attempt.subject), number_, attempt_number)));
  size_t left = attempt.padding;
  while (left > 0) {
    // No more events than it may produce tokens, but for one that lies.
    const size_t least = odd && dice_.one_in(4) ? 0 : attempt.padding / 10;
    journal_.usage_lied |= least == 0 && attempt.padding > 10;
    const size_t size = attempt.in_one_event
                            ? left
                            : std::min<size_t>(left, least + 1 + dice_.below(odd ? 1'200'000 : 2'000));
    say(delta(std::string(size, 'y')));
    left -= size;
  }
  if (odd && dice_.one_in(4)) say(event(R"({"error":{"message":"overloaded"}})"));
  say(delta(fmt::format(" end {};", attempt_number)));
  if (!odd || dice_.one_in(2)) say(event(fmt::format(R"({{"choices":[],"usage":{}}})", usage(attempt))));
  const bool marked = !odd || !dice_.one_in(3);
  if (marked) say(event("[DONE]"));
  say("0\r\n\r\n");
  script.steps.back().end = End::clean;
  script.steps.back().whole = marked;
}

void SwarmProvider::answer_error(Script& script, const Attempt& attempt) {
  static constexpr int kStatuses[] = {429, 500, 503, 400, 401, 302, 404, 529};
  const int status = dice_.pick(kStatuses);
  const std::string body = fmt::format(R"({{"error":{{"message":"{}"}}}})", tag_of(attempt.subject));
  const std::string retry = dice_.one_in(3) ? fmt::format("retry-after: {}\r\n", dice_.below(20)) : "";
  in_pieces(script,
            fmt::format("HTTP/1.1 {} No\r\ncontent-type: application/json\r\n{}content-length: {}\r\n\r\n{}",
                        status, retry, body.size(), body),
            End::clean);
}

void SwarmProvider::answer_garbage(Script& script, const Attempt& attempt) {
  const std::string tag = tag_of(attempt.subject);
  static constexpr const char* kHeads[] = {
      "HTTP/1.1 200 OK\r\ncontent-length: 10\r\ntransfer-encoding: chunked\r\n\r\n",
      "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
      "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\ndata:",
      "HTTP/2 200\r\n\r\n",
      "\x15\x03\x01 what",
      "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}",
      "HTTP/1.1 200 OK\r\nx-lone: line\n\r\n",
  };
  static constexpr End kEnds[] = {End::none, End::close, End::abort, End::reset};
  script.steps.push_back({.wait = static_cast<uint32_t>(dice_.below(10)),
                          .bytes = std::string(dice_.pick(kHeads)) + tag,
                          .end = dice_.pick(kEnds)});
}

// As one piece, or as many with pauses between them.
void SwarmProvider::in_pieces(Script& script, const std::string& bytes, End end) {
  const bool slow = dice_.chance(config_.provider.slow);
  const size_t pieces = slow ? dice_.between(2, 6) : 1;
  for (size_t i = 0; i < pieces; ++i) {
    const size_t from = bytes.size() * i / pieces, to = bytes.size() * (i + 1) / pieces;
    script.steps.push_back(
        {.wait = slow ? static_cast<uint32_t>(dice_.below(60)) : 0, .bytes = bytes.substr(from, to - from)});
  }
  script.steps.back().end = end;
  script.steps.back().whole = true;
}

// Takes the steps whose time has come; true when the script is over.
bool SwarmProvider::run(Script& script) {
  while (!script.steps.empty()) {
    Step& step = script.steps.front();
    if (step.wait > 0) {
      --step.wait;
      return false;
    }
    net::ServerSession& session = *script.session;
    if (session.send_queue_high()) return false;
    session.send(
        loop_.buffers().copy_of({reinterpret_cast<const uint8_t*>(step.bytes.data()), step.bytes.size()}));
    if (step.whole) journal_.attempts[script.attempt].whole = true;
    const End end = step.end;
    script.steps.pop_front();
    if (end == End::none) continue;
    const bool stray = end == End::clean && dice_.chance(config_.provider.garbage * 0.5);
    journal_.strayed |= stray;
    if (stray) session.send(core::Slice::of_static("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"));
    if (end == End::clean) session.end_response();
    if (end == End::close) session.cut();
    if (end == End::reset) World::now().reset(session.connection().descriptor());
    if (end == End::abort || end == End::reset) session.abort();
    return true;
  }
  return false;  // silent from here on: the session ends when the gateway has had enough
}

void SwarmProvider::step() {
  for (size_t i = 0; i < scripts_.size();) {
    if (run(scripts_[i])) {
      scripts_.erase(scripts_.begin() + static_cast<ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
}

}  // namespace weir::sim
