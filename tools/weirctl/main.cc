// weirctl: the operator's command line; see command_line.h.
#include <curl/curl.h>

#include "tools/weirctl/command_line.h"

int main(int argc, char** argv) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  return weir::tools::CommandLine().run(argc, argv);
}
