// Entity tags of evaluations (RFC 9110 section 8.8.3), so that a client which asks again is told that nothing
// changed.
//
// A tag is a hash of the answer and of the question. The answer names the tenant, the table's revision and
// every value, so it also changes when a launch starts or expires, or a conversation is pinned, without a new
// table. The question counts too, because clients send the tag they have after their context has changed: the
// same answer to another context is another answer.
//
// All nodes and shards give the same tag. Pure; no allocation; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace weir::routing {

class EntityTag {
 public:
  EntityTag(std::span<const uint8_t> question, std::string_view answer);

  // With its quotes.
  std::string_view text() const { return {text_.data(), text_.size()}; }
  // Whether one value of an If-None-Match field names it (RFC 9110 section 13.1.2): weakly, or as *.
  bool matches(std::string_view if_none_match) const;

 private:
  std::array<char, 34> text_;
};

}  // namespace weir::routing
