// Exit codes of weir and weirctl; the --help of both documents them, scripts rely on them.
#pragma once

namespace weir::tools {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;   // the system or the other side failed: port in use, refused, ...
inline constexpr int kExitBadInput = 2;  // arguments, configuration or table; nothing was started or changed
inline constexpr int kExitUnreachable = 3;  // weirctl only: nobody answers on the admin socket

}  // namespace weir::tools
