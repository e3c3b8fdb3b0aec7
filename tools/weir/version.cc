#include <fmt/format.h>
#include <openssl/crypto.h>
#include <simdjson.h>
#include <sys/utsname.h>

#include "tools/weir/commands.h"

// Sanitizer builds keep the sanitizer's allocator.
#ifdef WEIR_MIMALLOC
#include <mimalloc.h>
#endif

#if defined(__clang__)
#define WEIR_COMPILER "clang " __clang_version__
#else
#define WEIR_COMPILER "g++ " __VERSION__
#endif

namespace weir::tools {
namespace {

std::string allocator() {
#ifdef WEIR_MIMALLOC
  const int version = mi_version();  // 209 = 2.0.9
  return fmt::format("mimalloc {}.{}.{}", version / 100, version / 10 % 10, version % 10);
#else
  return "of the sanitizer";
#endif
}

}  // namespace

int print_version() {
  utsname system{};
  uname(&system);
  fmt::print(
      "weir {}\n"
      "compiler  {}\n"
      "liburing  {}\n"
      "OpenSSL   {}\n"
      "simdjson  {} ({})\n"
      "allocator {}\n"
      "kernel    {} {}\n",
      WEIR_VERSION, WEIR_COMPILER, WEIR_LIBURING_VERSION, OpenSSL_version(OPENSSL_VERSION_STRING),
      SIMDJSON_STRINGIFY(SIMDJSON_VERSION), simdjson::get_active_implementation()->name(), allocator(),
      system.release, system.machine);
  return kExitOk;
}

}  // namespace weir::tools
