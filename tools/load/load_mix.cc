#include "tools/load/load_mix.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>

namespace weir::tools {
namespace {

constexpr size_t kSmallBodyBytes = 4096;
constexpr size_t kMostDigits = 20;

template <typename Items>
std::vector<double> weights_of(const Items& items) {
  std::vector<double> weights;
  for (const auto& item : items) weights.push_back(item.weight);
  return weights;
}

// Writes text into room that is known to suffice.
class Appender {
 public:
  explicit Appender(uint8_t* at) : at_(at) {}
  void text(std::string_view text) {
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  void number(uint64_t value) {
    char* const at = reinterpret_cast<char*>(at_);
    at_ = reinterpret_cast<uint8_t*>(std::to_chars(at, at + kMostDigits, value).ptr);
  }
  const uint8_t* at() const { return at_; }

 private:
  uint8_t* at_;
};

}  // namespace

WeightedChoice::WeightedChoice(const std::vector<double>& weights) {
  double sum = 0;
  for (const double weight : weights) cumulative_.push_back(sum += weight);
}

size_t WeightedChoice::draw(Random& random) const {
  if (cumulative_.size() < 2) return 0;
  const double at = random.unit() * cumulative_.back();
  const auto found = std::ranges::upper_bound(cumulative_, at);
  return std::min<size_t>(static_cast<size_t>(found - cumulative_.begin()), cumulative_.size() - 1);
}

std::string chat_body(uint64_t bytes, std::string_view model, bool stream) {
  const std::string begin = fmt::format(R"({{"model":{},{}"messages":[{{"role":"user","content":")",
                                        nlohmann::json(model).dump(), stream ? R"("stream":true,)" : "");
  constexpr std::string_view kEnd = R"("}]})";
  constexpr std::string_view kWords = "the weir regulates and measures the flow ";
  std::string body = begin;
  const uint64_t content =
      std::max<uint64_t>(bytes, begin.size() + kEnd.size() + 1) - begin.size() - kEnd.size();
  while (body.size() < begin.size() + content) body += kWords;
  body.resize(begin.size() + content);
  return body += kEnd;
}

LoadMix::LoadMix(const LoadOptions& options, uint32_t worker)
    : options_(options),
      random_(options.seed * 1'000'003 + worker),
      keys_(weights_of(options.keys)),
      bodies_(weights_of(options.bodies)) {
  for (const routing::BaseUrl& url : options.urls) {
    prefixes_.push_back(
        fmt::format("POST {}{} HTTP/1.1\r\nhost: {}\r\n", url.path_prefix, options.path, url.host_header));
  }
  if (!options.body_file_text.empty()) {
    body_texts_.push_back(options.body_file_text);
  } else {
    for (const WeightedBody& body : options.bodies) {
      body_texts_.push_back(chat_body(body.bytes, options.model, options.stream));
    }
  }
  for (const std::string& body : body_texts_) {
    std::string suffix = fmt::format("content-type: application/json\r\ncontent-length: {}\r\n", body.size());
    for (const std::string& header : options.headers) suffix += header + "\r\n";
    suffixes_.push_back(suffix + "\r\n");
  }
  for (const WeightedKey& key : options.keys) longest_key_ = std::max(longest_key_, key.text.size());
}

RenderedRequest LoadMix::next(size_t url, core::BufferPool& buffers) {
  constexpr std::string_view kAuthorization = "authorization: Bearer ", kUser = "x-weir-user: user-",
                             kTenant = "x-weir-tenant: tenant-", kLineEnd = "\r\n";
  const size_t body = body_texts_.size() > 1 ? bodies_.draw(random_) : 0;
  const std::string& text = body_texts_[body];
  const bool small = text.size() <= kSmallBodyBytes;
  const size_t room = prefixes_[url].size() + kAuthorization.size() + longest_key_ + kUser.size() +
                      kTenant.size() + 2 * kMostDigits + 3 * kLineEnd.size() + suffixes_[body].size() +
                      (small ? text.size() : 0);
  RenderedRequest request;
  request.first = buffers.allocate(static_cast<uint32_t>(room));
  if (request.first.block() == nullptr) return request;
  Appender out(request.first.mutable_data());
  out.text(prefixes_[url]);
  if (!options_.keys.empty()) {
    out.text(kAuthorization);
    out.text(options_.keys[keys_.draw(random_)].text);
    out.text(kLineEnd);
  }
  if (options_.users > 0) {
    out.text(kUser);
    out.number(random_.below(options_.users));
    out.text(kLineEnd);
  }
  if (options_.tenants > 0) {
    out.text(kTenant);
    out.number(random_.below(options_.tenants));
    out.text(kLineEnd);
  }
  out.text(suffixes_[body]);
  if (small) {
    out.text(text);
  } else {
    request.body = core::Slice::of_static(text);
  }
  request.first.set_size(static_cast<uint32_t>(out.at() - request.first.data()));
  return request;
}

}  // namespace weir::tools
