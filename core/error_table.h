// Every error weir can answer with or log, one row each. Code, log token, counters and documentation
// come from here. Columns:
//
//   name      enumerator of core::ErrorCode; also the log token and the metric label
//   side      who caused it: client, provider, weir
//   retry     may the same exchange be tried on another hop before a byte went downstream: yes, no
//   status    what the client is answered; 0 = no answer is possible, the connection closes
//   type      OpenAI error "type"
//   code      OpenAI error "code"; "" is sent as null
//   sentence  OpenAI error "message": what is wrong and what would be right
//
// X(name, side, retry, status, type, code, sentence)
#pragma once

#define WEIR_ERROR_TABLE(X)                                                                                  \
  /* ---- HTTP from the client: the connection closes after the answer ---- */                               \
  X(bad_request_line, client, no, 400, "invalid_request_error", "", "The request line is malformed.")         \
  X(bad_method, client, no, 400, "invalid_request_error", "", "The request method is malformed.")             \
  X(bad_target, client, no, 400, "invalid_request_error", "", "The request target is malformed.")             \
  X(target_too_long, client, no, 414, "invalid_request_error", "", "The request target is too long.")         \
  X(bad_version, client, no, 505, "invalid_request_error", "", "Only HTTP/1.1 is spoken here.")               \
  X(bare_line_break, client, no, 400, "invalid_request_error", "", "A line must end with CR LF.")             \
  X(bad_header_name, client, no, 400, "invalid_request_error", "", "A header name is malformed.")             \
  X(bad_header_value, client, no, 400, "invalid_request_error", "", "A header value is malformed.")           \
  X(folded_header, client, no, 400, "invalid_request_error", "", "Folded header lines are refused.")          \
  X(head_too_large, client, no, 431, "invalid_request_error", "", "The request head is too large.")           \
  X(too_many_headers, client, no, 431, "invalid_request_error", "", "The request has too many headers.")      \
  X(missing_host, client, no, 400, "invalid_request_error", "", "Exactly one Host header is required.")       \
  X(duplicate_host, client, no, 400, "invalid_request_error", "", "Exactly one Host header is required.")     \
  X(bad_host, client, no, 400, "invalid_request_error", "", "The Host header is malformed.")                  \
  X(bad_content_length, client, no, 400, "invalid_request_error", "",                                        \
    "Content-Length must be plain digits, sent once.")                                                       \
  X(conflicting_framing, client, no, 400, "invalid_request_error", "",                                       \
    "Send either Content-Length or Transfer-Encoding, not both.")                                            \
  X(bad_transfer_encoding, client, no, 400, "invalid_request_error", "",                                     \
    "The only transfer encoding accepted is a plain 'chunked', sent once.")                                  \
  X(bad_connection_header, client, no, 400, "invalid_request_error", "", "The Connection header is malformed.") \
  X(bad_chunk, client, no, 400, "invalid_request_error", "", "The chunked body is malformed.")                \
  X(trailers_refused, client, no, 400, "invalid_request_error", "", "Trailer fields are refused.")            \
  X(unexpected_body, client, no, 400, "invalid_request_error", "", "This method takes no body.")              \
  X(length_required, client, no, 411, "invalid_request_error", "", "A body with a length is required.")       \
  X(body_too_large, client, no, 413, "invalid_request_error", "", "The request body is too large.")           \
  X(unsupported_media_type, client, no, 415, "invalid_request_error", "",                                    \
    "The body must be sent as application/json.")                                                            \
  X(unsupported_content_encoding, client, no, 415, "invalid_request_error", "",                              \
    "Content encodings are not accepted; send the body as it is.")                                           \
  X(bad_expectation, client, no, 417, "invalid_request_error", "", "The only expectation met is 100-continue.") \
  X(head_timeout, client, no, 408, "invalid_request_error", "", "The request head did not arrive in time.")   \
  X(body_timeout, client, no, 408, "invalid_request_error", "", "The request body did not arrive in time.")   \
  /* ---- connection ends that nobody can be told about ---- */                                              \
  X(client_closed, client, no, 0, "", "", "The client closed the connection.")                               \
  X(client_reset, client, no, 0, "", "", "The client reset the connection.")                                 \
  X(client_stalled, client, no, 0, "", "", "The client stopped reading.")                                    \
  X(client_tls_failed, client, no, 0, "", "", "The TLS handshake with the client failed.")                   \
  /* ---- identity ---- */                                                                                   \
  X(missing_key, client, no, 401, "invalid_request_error", "invalid_api_key",                                \
    "No API key was sent. Send it as 'Authorization: Bearer <key>'.")                                        \
  X(malformed_authorization, client, no, 401, "invalid_request_error", "invalid_api_key",                    \
    "The Authorization header is not 'Bearer <key>'.")                                                       \
  X(duplicate_authorization, client, no, 400, "invalid_request_error", "",                                   \
    "Send exactly one Authorization header.")                                                                \
  X(unknown_key, client, no, 401, "invalid_request_error", "invalid_api_key", "The API key is not valid.")    \
  X(tenant_not_allowed, client, no, 403, "invalid_request_error", "",                                        \
    "This key may not act for the tenant named in x-weir-tenant.")                                           \
  X(forbidden, client, no, 403, "invalid_request_error", "forbidden", "You may not make this call.")           \
  X(duplicate_control_header, client, no, 400, "invalid_request_error", "",                                  \
    "A header that steers routing was sent more than once.")                                                 \
  X(bad_control_header, client, no, 400, "invalid_request_error", "",                                        \
    "A header that steers routing has a value that is not accepted.")                                        \
  /* ---- path ---- */                                                                                       \
  X(not_found, client, no, 404, "invalid_request_error", "", "There is no such path here.")                   \
  X(method_not_allowed, client, no, 405, "invalid_request_error", "", "The method is not allowed on this path.") \
  /* ---- body ---- */                                                                                       \
  X(body_not_json, client, no, 400, "invalid_request_error", "", "The body is not valid JSON.")               \
  X(body_not_object, client, no, 400, "invalid_request_error", "", "The body must be a JSON object.")         \
  X(body_not_utf8, client, no, 400, "invalid_request_error", "", "The body is not valid UTF-8.")              \
  X(body_has_bom, client, no, 400, "invalid_request_error", "", "The body must not start with a byte order mark.") \
  X(body_too_deep, client, no, 400, "invalid_request_error", "", "The body is nested too deeply.")            \
  X(body_too_complex, client, no, 400, "invalid_request_error", "",                                          \
    "The body has more JSON values than accepted.")                                                          \
  X(duplicate_field, client, no, 400, "invalid_request_error", "", "A field was sent more than once.")        \
  X(ambiguous_field, client, no, 400, "invalid_request_error", "",                                           \
    "A field name differs from the real one only in case.")                                                  \
  X(bad_field_type, client, no, 400, "invalid_request_error", "", "A field has a value of the wrong type.")   \
  X(missing_field, client, no, 400, "invalid_request_error", "", "A required field is missing.")              \
  X(field_not_accepted, client, no, 400, "invalid_request_error", "unsupported_value",                        \
    "A field asks for what the gateway could not account for. Leave it out; a unit's params may set it.")     \
  X(field_too_long, client, no, 400, "invalid_request_error", "", "A field is longer than accepted.")         \
  X(rewrite_too_large, client, no, 400, "invalid_request_error", "",                                         \
    "The request with its prompt and tools is larger than accepted.")                                        \
  /* ---- decision ---- */                                                                                   \
  X(model_not_found, client, no, 404, "invalid_request_error", "model_not_found",                            \
    "The model or scenario does not exist or this key may not use it.")                                      \
  X(killed, weir, no, 429, "insufficient_quota", "insufficient_quota",                                       \
    "This has been switched off by an operator.")                                                            \
  X(conversation_restarted, weir, no, 409, "invalid_request_error", "conversation_restarted",                \
    "What this conversation began on has been rolled back; begin the conversation anew.")                    \
  /* ---- flag evaluation ---- */                                                                            \
  X(flag_not_found, client, no, 404, "invalid_request_error", "flag_not_found", "There is no such flag.")     \
  X(bad_context, client, no, 400, "invalid_request_error", "",                                               \
    "A member of the evaluation context has a type or value that is not accepted.")                          \
  X(no_unit_answers, weir, no, 400, "invalid_request_error", "", "No unit answers: a static text does.")      \
  X(answer_too_large, weir, no, 400, "invalid_request_error", "",                                            \
    "All flags together are larger than one answer may be; ask for them one by one.")                        \
  /* ---- guards: the record and `param` name the limit ---- */                                              \
  X(rate_limited, client, no, 429, "rate_limit_error", "rate_limit_exceeded",                                \
    "A limit on requests, tokens or concurrency is used up. Try again when retry-after says.")               \
  X(request_over_limit, client, no, 429, "rate_limit_error", "rate_limit_exceeded",                          \
    "The request alone asks for more tokens than its limit ever admits. Make it smaller.")                   \
  X(repeated_request, client, no, 429, "rate_limit_error", "rate_limit_exceeded",                            \
    "The same request or conversation comes again and again, faster than accepted. The client may loop.")   \
  X(budget_exceeded, weir, no, 429, "insufficient_quota", "insufficient_quota",                              \
    "What this request may cost does not fit into a budget.")                                                \
  X(breaker_open, provider, yes, 503, "server_error", "upstream_unavailable",                                \
    "The provider has been failing and is not asked for the moment.")                                        \
  X(provider_limited, provider, yes, 429, "rate_limit_error", "rate_limit_exceeded",                          \
    "The provider's own limit is used up. Try again when retry-after says.")                                 \
  /* ---- the gateway's own bounds ---- */                                                                   \
  X(overloaded, weir, no, 503, "server_error", "overloaded",                                                  \
    "The gateway has too much to do at the moment. Try again when retry-after says.")                        \
  X(too_many_connections, weir, no, 503, "server_error", "overloaded", "The gateway is at its connection limit.") \
  X(too_many_exchanges, weir, no, 503, "server_error", "overloaded", "The gateway is at its request limit.")  \
  X(too_many_event_streams, weir, no, 503, "server_error", "overloaded",                                     \
    "The gateway is at its limit of open event streams.")                                                    \
  X(out_of_buffers, weir, no, 503, "server_error", "overloaded", "The gateway is out of buffer memory.")      \
  X(upstream_queue_full, weir, yes, 503, "server_error", "overloaded",                                       \
    "Too many requests wait for a connection to the provider.")                                              \
  X(not_ready, weir, no, 503, "server_error", "not_ready", "The gateway is not ready.")                       \
  X(shutting_down, weir, no, 503, "server_error", "shutting_down", "The gateway is shutting down.")           \
  X(internal, weir, no, 500, "server_error", "internal_error", "The gateway failed; the request id finds the record.") \
  /* ---- the provider ---- */                                                                               \
  X(name_not_resolved, provider, yes, 502, "server_error", "upstream_unreachable",                           \
    "The provider's name could not be resolved.")                                                            \
  X(connect_failed, provider, yes, 502, "server_error", "upstream_unreachable",                              \
    "No connection to the provider could be made.")                                                          \
  X(connect_timeout, provider, yes, 504, "server_error", "upstream_timeout",                                 \
    "The provider did not accept the connection in time.")                                                   \
  X(upstream_tls_failed, provider, yes, 502, "server_error", "upstream_unreachable",                         \
    "The provider's TLS certificate or handshake was not acceptable.")                                       \
  X(header_timeout, provider, yes, 504, "server_error", "upstream_timeout",                                  \
    "The provider did not begin to answer in time.")                                                         \
  X(first_token_timeout, provider, yes, 504, "server_error", "upstream_timeout",                             \
    "The provider did not produce the first token in time.")                                                 \
  X(idle_timeout, provider, no, 504, "server_error", "upstream_timeout",                                     \
    "The provider stopped sending in the middle of its answer.")                                             \
  X(total_timeout, provider, no, 504, "server_error", "upstream_timeout",                                    \
    "The answer did not complete in the time allowed for it.")                                               \
  X(upstream_closed, provider, yes, 502, "server_error", "upstream_failed",                                  \
    "The provider closed the connection before answering.")                                                  \
  X(upstream_reset, provider, yes, 502, "server_error", "upstream_failed",                                   \
    "The provider reset the connection.")                                                                    \
  X(upstream_malformed, provider, yes, 502, "server_error", "upstream_failed",                               \
    "The provider's answer was not valid HTTP.")                                                             \
  X(upstream_head_too_large, provider, yes, 502, "server_error", "upstream_failed",                          \
    "The provider's answer had too large a head.")                                                           \
  X(upstream_truncated, provider, no, 502, "server_error", "upstream_failed",                                \
    "The provider's answer was cut off before its end.")                                                     \
  X(upstream_frame_too_large, provider, no, 502, "server_error", "upstream_failed",                          \
    "The provider sent a stream event larger than accepted.")                                                \
  X(answer_invalid, provider, yes, 502, "server_error", "upstream_failed",                                   \
    "The provider's answer is not what its unit asks for.")                                                  \
  X(answer_refused, provider, no, 502, "server_error", "upstream_failed",                                    \
    "The model refused to answer.")                                                                          \
  X(upstream_status, provider, yes, 502, "server_error", "upstream_failed",                                  \
    "The provider answered with an error.")
