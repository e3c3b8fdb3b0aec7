// Exit codes of weir and weirctl; the --help of both documents them, scripts rely on them.
#pragma once

namespace weir::tools {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;   // the system or the other side failed: port in use, refused, ...
inline constexpr int kExitBadInput = 2;  // arguments, configuration or table; nothing was started or changed

// weirctl only:
inline constexpr int kExitUnreachable = 3;  // nobody answers on the admin socket
inline constexpr int kExitProposed = 4;     // the change waits for approval; nothing has changed yet
inline constexpr int kExitConflict = 5;     // the table has changed since; look at it and try again
inline constexpr int kExitFound = 6;  // --check: there are differences or problems; audit verify: faults

}  // namespace weir::tools
