#include "routing/exchange/attempt_policy.h"

#include <gtest/gtest.h>

namespace weir::routing {
namespace {

using core::ErrorCode;

AttemptFailure failure(ErrorCode code) {
  return {.code = code, .retries_left = 0};
}

TEST(AttemptPolicy, AfterTheFirstByteAFailureIsACutWhateverElseCouldBeDone) {
  AttemptFailure made = failure(ErrorCode::upstream_reset);
  made.committed = made.stale_connection = made.free_retry_left = made.hop_answers = true;
  made.retries_left = 5;
  EXPECT_EQ(after_failure(made), AfterFailure::cut);
  EXPECT_FALSE(stays_on_hop(made));
}

TEST(AttemptPolicy, TheSameHopComesBeforeTheNextOne) {
  AttemptFailure made = failure(ErrorCode::connect_failed);
  made.hop_answers = true;
  EXPECT_EQ(after_failure(made), AfterFailure::next_hop);
  made.retries_left = 1;
  EXPECT_EQ(after_failure(made), AfterFailure::same_hop);
  made.stale_connection = made.free_retry_left = true;
  EXPECT_EQ(after_failure(made), AfterFailure::same_hop_free);
}

TEST(AttemptPolicy, WithoutTimeNothingIsAskedAgainButWhatIsAtHandAnswers) {
  AttemptFailure made = failure(ErrorCode::header_timeout);
  made.retries_left = 3;
  made.time_left = false;
  EXPECT_EQ(after_failure(made), AfterFailure::answer);
  made.hop_answers = true;
  EXPECT_EQ(after_failure(made), AfterFailure::next_hop);
}

TEST(AttemptPolicy, ABreakerIsNotAskedTwice) {
  for (const ErrorCode code : {ErrorCode::breaker_open, ErrorCode::provider_limited}) {
    AttemptFailure made = failure(code);
    made.retries_left = 3;
    EXPECT_EQ(after_failure(made), AfterFailure::answer);
  }
}

TEST(AttemptPolicy, AProvidersOwnWordsAreForwardedUnlessTheySpeakOfWeirsCredential) {
  AttemptFailure made = failure(ErrorCode::upstream_status);
  made.upstream_status = 500;
  EXPECT_EQ(after_failure(made), AfterFailure::forward);
  made.upstream_status = 401;
  EXPECT_EQ(after_failure(made), AfterFailure::answer);
}

TEST(AttemptPolicy, EachCauseHasItsName) {
  EXPECT_EQ(cause_of(ErrorCode::first_token_timeout, 0), FallbackCause::timeout);
  EXPECT_EQ(cause_of(ErrorCode::connect_timeout, 0), FallbackCause::connect);
  EXPECT_EQ(cause_of(ErrorCode::breaker_open, 0), FallbackCause::connect);
  EXPECT_EQ(cause_of(ErrorCode::provider_limited, 0), FallbackCause::rate_limited);
  EXPECT_EQ(cause_of(ErrorCode::upstream_status, 429), FallbackCause::rate_limited);
  EXPECT_EQ(cause_of(ErrorCode::upstream_status, 529), FallbackCause::server_error);
  EXPECT_EQ(cause_of(ErrorCode::upstream_truncated, 0), FallbackCause::server_error);
  EXPECT_EQ(cause_of(ErrorCode::answer_invalid, 0), FallbackCause::invalid);
  EXPECT_EQ(cause_of(ErrorCode::answer_refused, 0), FallbackCause::refusal);
  EXPECT_EQ(cause_of(ErrorCode::client_closed, 0), std::nullopt);
}

}  // namespace
}  // namespace weir::routing
