#include "routing/exchange/attempt_policy.h"

#include <gtest/gtest.h>

namespace weir::routing {
namespace {

using core::ErrorCode;

TEST(AttemptPolicy, EveryKindOfFailureHasACauseThatHopsMayName) {
  EXPECT_EQ(cause_of(ErrorCode::upstream_status, 429), FallbackCause::rate_limited);
  EXPECT_EQ(cause_of(ErrorCode::upstream_status, 503), FallbackCause::server_error);
  EXPECT_EQ(cause_of(ErrorCode::connect_timeout, 0), FallbackCause::connect);
  EXPECT_EQ(cause_of(ErrorCode::breaker_open, 0), FallbackCause::connect);
  EXPECT_EQ(cause_of(ErrorCode::provider_limited, 0), FallbackCause::rate_limited);
  EXPECT_EQ(cause_of(ErrorCode::first_token_timeout, 0), FallbackCause::timeout);
  EXPECT_EQ(cause_of(ErrorCode::upstream_truncated, 0), FallbackCause::server_error);
  EXPECT_EQ(cause_of(ErrorCode::answer_invalid, 0), FallbackCause::invalid);
  EXPECT_EQ(cause_of(ErrorCode::answer_refused, 0), FallbackCause::refusal);
  EXPECT_FALSE(cause_of(ErrorCode::rewrite_too_large, 0).has_value()) << "no provider can help with it";
}

TEST(AttemptPolicy, WhatHasBegunIsCutAndNeverTriedAgain) {
  AttemptFailure failure{.code = ErrorCode::upstream_reset, .committed = true, .stale_connection = true};
  failure.free_retry_left = failure.hop_answers = true;
  failure.retries_left = 3;
  EXPECT_EQ(after_failure(failure), AfterFailure::cut);
}

TEST(AttemptPolicy, TheSameHopComesBeforeTheNextAndTheNextBeforeAnAnswer) {
  AttemptFailure failure{.code = ErrorCode::upstream_reset, .stale_connection = true};
  failure.free_retry_left = failure.hop_answers = true;
  failure.retries_left = 1;
  EXPECT_EQ(after_failure(failure), AfterFailure::same_hop_free);
  failure.free_retry_left = false;
  EXPECT_EQ(after_failure(failure), AfterFailure::same_hop);
  failure.retries_left = 0;
  EXPECT_EQ(after_failure(failure), AfterFailure::next_hop);
  failure.hop_answers = false;
  EXPECT_EQ(after_failure(failure), AfterFailure::answer);
}

TEST(AttemptPolicy, WithoutTimeLeftNothingIsTriedAgainButWhatIsAtHandAnswers) {
  AttemptFailure failure{.code = ErrorCode::upstream_status, .upstream_status = 503, .retries_left = 1};
  failure.time_left = false;
  EXPECT_EQ(after_failure(failure), AfterFailure::forward);
  failure.hop_answers = true;
  EXPECT_EQ(after_failure(failure), AfterFailure::next_hop);
}

TEST(AttemptPolicy, AnOpenBreakerIsNotAskedAgainAndOtherHopsAre) {
  for (const ErrorCode code : {ErrorCode::breaker_open, ErrorCode::provider_limited}) {
    const AttemptFailure failure{.code = code, .retries_left = 2, .hop_answers = true};
    EXPECT_FALSE(stays_on_hop(failure));
    EXPECT_EQ(after_failure(failure), AfterFailure::next_hop);
  }
}

TEST(AttemptPolicy, AnotherProviderIsAskedAtOnceAndNotAgainstTheRetries) {
  AttemptFailure failure{.code = ErrorCode::connect_failed, .other_provider = true, .hop_answers = true};
  EXPECT_EQ(after_failure(failure), AfterFailure::same_hop_free);
  failure.time_left = false;
  EXPECT_EQ(after_failure(failure), AfterFailure::next_hop);
  failure.committed = true;
  EXPECT_EQ(after_failure(failure), AfterFailure::cut);
}

TEST(AttemptPolicy, ProvidersErrorsAndRefusalsAreForwardedButNotWhatSpeaksOfCredentials) {
  const auto after = [](ErrorCode code, uint16_t status) {
    return after_failure({.code = code, .upstream_status = status});
  };
  EXPECT_EQ(after(ErrorCode::upstream_status, 500), AfterFailure::forward);
  EXPECT_EQ(after(ErrorCode::answer_refused, 0), AfterFailure::forward);
  EXPECT_EQ(after(ErrorCode::upstream_status, 401), AfterFailure::answer);
  EXPECT_EQ(after(ErrorCode::upstream_status, 302), AfterFailure::answer);
  EXPECT_EQ(after(ErrorCode::answer_invalid, 0), AfterFailure::answer);
}

}  // namespace
}  // namespace weir::routing
