// Numbers by which states know people, as far as they can be told from other numbers: by a check digit, or by
// a form that little else has.
//
//   US 123-45-6789 · DE Steuer-ID · GB NINO · FR NIR · IT codice fiscale · ES DNI, NIE · PL PESEL · NL BSN ·
//   CH AHV · SE personnummer · BR CPF
//
// Pure, no allocation, linear. Any thread.
#pragma once

#include <string_view>

namespace weir::routing {

// `text` is the number as it was written, `compact` the same without blanks, dots, dashes and slashes;
// letters of either case.
bool is_national_id(std::string_view text, std::string_view compact);

// ISO/IEC 7812-1, annex B; of digits only.
bool satisfies_luhn(std::string_view digits);

}  // namespace weir::routing
