// What each weirctl command does: one call, its answer on stdout, its refusal on stderr, an exit code.
#pragma once

#include <string>
#include <vector>

#include "tools/weirctl/admin_client.h"

namespace weir::tools {

enum class OutputStyle : uint8_t { human, json };  // json = the answer's bytes as they came

class Commands {
 public:
  Commands(AdminClient& client, OutputStyle style) : client_(client), style_(style) {}

  int status();
  // Replaces the process and waits until its successor serves.
  int upgrade();
  int table();
  int metrics();
  // Replaces the table by `file` ("-" = stdin). `revision` = the one the change was based on; empty = the
  // one that serves now.
  int apply(const std::string& file, const std::string& reason, const std::string& revision);
  int validate(const std::string& file);

  enum class Switch : uint8_t { kill, unkill };
  int flip(Switch action, const std::string& scope, const std::string& name, const std::string& reason);

  struct Subject {
    std::string tenant, scenario, user, conversation, model;
    std::vector<std::string> attributes;  // name=value
  };
  int explain(const Subject& subject);

  // What guards have counted; of one tenant, or with an empty name all.
  int limits(const std::string& tenant);
  int budgets(const std::string& tenant);
  int breakers();
  // Answers of a tenant, unit or scenario are not given from the cache again.
  int purge(const std::string& scope, const std::string& name);

 private:
  template <typename Show>
  int perform(const AdminRequest& request, Show show);

  AdminClient& client_;
  OutputStyle style_;
};

}  // namespace weir::tools
