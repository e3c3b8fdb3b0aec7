// Who may use the admin API, as weir.yaml says it: admin.roles and admin.tcp.tokens. Users and groups are
// looked up once, when the configuration is read, since a name service that hangs must not hang an on-call's
// kill; people whom neither the configuration nor /etc/passwd names are shown as "uid 1000".
//
// Cold path, any thread.
#pragma once

#include <string>
#include <string_view>

#include "routing/admin/access.h"
#include "routing/table/reader.h"
#include "tools/weir/config_properties.h"

namespace weir::tools {

// Root and the user that weir runs as are admins; everybody else who can open the socket is a viewer.
routing::AccessRules default_access();

// Each role that is given takes the place of its default.
void read_roles(routing::Problems& problems, const routing::Path& path, routing::Element element,
                routing::AccessRules* access);

void read_tokens(routing::Problems& problems, const routing::Object<ConfigTcpProperty>& tcp,
                 routing::AccessRules* access);

std::string lower_case(std::string_view text);

}  // namespace weir::tools
