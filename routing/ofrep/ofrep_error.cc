#include "routing/ofrep/ofrep_error.h"

namespace weir::routing {
namespace {

using core::ErrorCode;

std::string_view openfeature_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::flag_not_found:
      return "FLAG_NOT_FOUND";
    case ErrorCode::bad_context:
    case ErrorCode::field_too_long:
      return "INVALID_CONTEXT";
    case ErrorCode::body_not_json:
    case ErrorCode::body_not_object:
    case ErrorCode::body_not_utf8:
    case ErrorCode::body_has_bom:
    case ErrorCode::body_too_deep:
    case ErrorCode::body_too_complex:
    case ErrorCode::duplicate_field:
      return "PARSE_ERROR";
    default:
      return "GENERAL";
  }
}

}  // namespace

uint16_t ofrep_status(ErrorCode code) {
  if (code == ErrorCode::killed) return 400;
  const uint16_t status = core::describe(code).status;
  return status == 503 ? 429 : status;
}

void render_ofrep_error(const OfrepError& error, ScratchWriter& out) {
  out.append('{');
  if (error.key) {
    out.append("\"key\":");
    render_json_string(*error.key, out);
    out.append(',');
  }
  out.append("\"errorCode\":");
  render_json_string(openfeature_code(error.code), out);
  out.append(",\"errorDetails\":\"");
  render_json_string_body(core::describe(error.code).sentence, out);
  if (!error.member.empty()) {
    out.append(" (");
    render_json_string_body(error.member, out);
    out.append(')');
  }
  out.append("\"}");
}

}  // namespace weir::routing
