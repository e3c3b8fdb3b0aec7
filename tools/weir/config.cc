#include "tools/weir/config.h"

#include <fmt/format.h>
#include <sys/un.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <numeric>
#include <set>

#include "tools/weir/config_values.h"

namespace weir::tools {
namespace {

constexpr size_t kMinSecretBytes = 16;
constexpr uint64_t kMinBodyBytes = 1024;
constexpr uint64_t kMinTimeoutMs = 1;
constexpr uint64_t kMaxTimeoutMs = 24 * 3'600'000;

// How many single-character edits lie between two keys; only used to suggest the key that was meant.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      size_t above = row[j + 1];
      row[j + 1] = std::min({above + 1, row[j] + 1, diagonal + (a[i] == b[j] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

// Walks the document and collects every problem; what is wrong leaves its default in the Config, which is
// then not handed out.
class Reader {
 public:
  Reader(const std::string& file, const Environment& environment) : environment_(environment) {
    size_t slash = file.rfind('/');
    if (slash != std::string::npos) folder_ = slash == 0 ? "/" : file.substr(0, slash);
    config_.file = file;
  }

  ConfigResult read(const YAML::Node& root) {
    if (!root.IsMap()) {
      problem("", "the file must hold keys and values, such as 'table: table.yaml'");
      return std::unexpected(std::move(problems_));
    }
    check_keys(root, "",
               {"listen", "tls", "shards", "table", "key_hash_secret", "admin", "access_log", "limits"});
    read_listen(root["listen"], "listen", false);
    read_tls(root["tls"]);
    if (!root["listen"] && !root["tls"]) config_.listen = {{.host = "127.0.0.1", .port = 8080}};
    read_shards(root["shards"]);
    read_table(root["table"]);
    read_secret(root["key_hash_secret"]);
    read_admin(root["admin"]);
    read_access_log(root["access_log"]);
    read_limits(root["limits"]);
    if (!problems_.empty()) return std::unexpected(std::move(problems_));
    return std::move(config_);
  }

 private:
  void problem(std::string path, std::string message) {
    problems_.push_back({std::move(path), std::move(message)});
  }

  static std::string child(const std::string& path, std::string_view key) {
    return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
  }

  // False when `node` is absent, or is not a map (which is a problem).
  bool is_map(const YAML::Node& node, const std::string& path) {
    if (!node) return false;
    if (!node.IsMap()) problem(path, "must hold keys and values");
    return node.IsMap();
  }

  // yaml-cpp keeps a key that is written twice and answers with the first: that is refused here.
  void check_keys(const YAML::Node& map, const std::string& path,
                  std::initializer_list<std::string_view> known) {
    std::set<std::string> seen;
    for (const auto& entry : map) {
      if (!entry.first.IsScalar()) {
        problem(path, "a key must be a word");
        continue;
      }
      const std::string& key = entry.first.Scalar();
      if (!seen.insert(key).second) problem(child(path, key), "is given twice");
      if (std::find(known.begin(), known.end(), key) != known.end()) continue;
      auto nearest =
          std::min_element(known.begin(), known.end(), [&](std::string_view a, std::string_view b) {
            return edit_distance(key, a) < edit_distance(key, b);
          });
      if (edit_distance(key, *nearest) <= 2) {
        problem(child(path, key), fmt::format("there is no such key; did you mean '{}'?", *nearest));
      } else {
        problem(child(path, key), fmt::format("there is no such key; there are {}", fmt::join(known, ", ")));
      }
    }
  }

  // The text of a scalar with its variables replaced; nothing (and a problem) otherwise.
  std::optional<std::string> text(const YAML::Node& node, const std::string& path) {
    if (!node.IsScalar()) {
      problem(path, node.IsNull() ? "has no value" : "must be a single value");
      return std::nullopt;
    }
    auto expanded = expand_variables(node.Scalar(), environment_);
    if (!expanded) {
      problem(path, expanded.error());
      return std::nullopt;
    }
    if (expanded->empty()) {
      problem(path, "is empty");
      return std::nullopt;
    }
    return *expanded;
  }

  std::optional<uint64_t> number(const YAML::Node& node, const std::string& path, uint64_t least,
                                 uint64_t most) {
    auto written = text(node, path);
    if (!written) return std::nullopt;
    uint64_t value = 0;
    const char* end = written->data() + written->size();
    auto [stop, error] = std::from_chars(written->data(), end, value);
    if (error != std::errc{} || stop != end || value < least || value > most) {
      problem(path, fmt::format("'{}' is not a whole number from {} to {}", *written, least, most));
      return std::nullopt;
    }
    return value;
  }

  std::optional<std::string> file_path(const YAML::Node& node, const std::string& path) {
    auto written = text(node, path);
    if (written) written = resolve_path(folder_, *written);
    return written;
  }

  void read_listen_one(const YAML::Node& node, const std::string& path, bool tls) {
    auto written = text(node, path);
    if (!written) return;
    auto address = parse_listen_address(*written);
    if (!address) return problem(path, address.error());
    address->tls = tls;
    bool taken = address->port != 0 &&
                 std::any_of(config_.listen.begin(), config_.listen.end(), [&](const auto& other) {
                   return other.host == address->host && other.port == address->port;
                 });
    if (taken) return problem(path, fmt::format("{} is listed twice", *written));
    config_.listen.push_back(*address);
  }

  void read_listen(const YAML::Node& node, const std::string& path, bool tls) {
    if (!node) return;
    if (!node.IsSequence()) return read_listen_one(node, path, tls);
    if (node.size() == 0) problem(path, "lists no address");
    for (size_t i = 0; i < node.size(); ++i) read_listen_one(node[i], fmt::format("{}[{}]", path, i), tls);
  }

  void read_tls(const YAML::Node& node) {
    if (!is_map(node, "tls")) return;
    check_keys(node, "tls", {"listen", "certificates"});
    if (!node["listen"])
      problem("tls.listen", "is missing: the addresses that speak TLS, like [\"0.0.0.0:8443\"]");
    read_listen(node["listen"], "tls.listen", true);
    const YAML::Node list = node["certificates"];
    if (!list || !list.IsSequence() || list.size() == 0) {
      return problem("tls.certificates", "must list at least one { cert: file, key: file }");
    }
    for (size_t i = 0; i < list.size(); ++i) {
      std::string path = fmt::format("tls.certificates[{}]", i);
      if (!is_map(list[i], path)) continue;
      check_keys(list[i], path, {"cert", "key"});
      config_.certificates.push_back(
          {required_file(list[i]["cert"], path + ".cert", "the certificate chain, in PEM"),
           required_file(list[i]["key"], path + ".key", "the private key, in PEM")});
    }
  }

  std::string required_file(const YAML::Node& node, const std::string& path, std::string_view what) {
    if (!node) problem(path, fmt::format("is missing: {}", what));
    return node ? file_path(node, path).value_or("") : "";
  }

  void read_shards(const YAML::Node& node) {
    if (!node || (node.IsScalar() && node.Scalar() == "auto")) return;
    auto count = number(node, "shards", 1, core::limits::kMaxShards);
    if (count) config_.shards = static_cast<uint32_t>(*count);
  }

  void read_table(const YAML::Node& node) {
    config_.table_path = required_file(node, "table", "the file with the flag table, like table.yaml");
  }

  void read_secret(const YAML::Node& node) {
    const std::string path = "key_hash_secret";
    if (!node) {
      return problem(path,
                     "is missing: what API keys are hashed with, like ${WEIR_KEY_HASH_SECRET} or file:/path");
    }
    if (!node.IsScalar())
      return problem(path, "must be a reference such as ${WEIR_KEY_HASH_SECRET} or file:/path");
    auto secret = resolve_secret(node.Scalar(), folder_, environment_);
    if (!secret) return problem(path, secret.error());
    if (secret->size() < kMinSecretBytes) {
      return problem(path, fmt::format("is shorter than {} bytes; make one with: openssl rand -hex 32",
                                       kMinSecretBytes));
    }
    config_.key_hash_secret = std::move(*secret);
  }

  void read_admin(const YAML::Node& node) {
    if (!is_map(node, "admin")) return;
    check_keys(node, "admin", {"socket", "mode"});
    if (node["socket"]) {
      if (auto path = file_path(node["socket"], "admin.socket")) config_.admin_socket = *path;
      if (config_.admin_socket.size() >= sizeof(sockaddr_un::sun_path)) {
        problem("admin.socket", fmt::format("the path is longer than the {} bytes a socket may have",
                                            sizeof(sockaddr_un::sun_path) - 1));
      }
    }
    if (!node["mode"]) return;
    auto written = text(node["mode"], "admin.mode");
    if (!written) return;
    const char* end = written->data() + written->size();
    auto [stop, error] = std::from_chars(written->data(), end, config_.admin_socket_mode, 8);
    if (error != std::errc{} || stop != end || config_.admin_socket_mode > 0777) {
      problem("admin.mode", fmt::format("'{}' is not a file mode such as \"0660\"", *written));
    }
  }

  void read_access_log(const YAML::Node& node) {
    if (!node) return;
    auto written = text(node, "access_log");
    if (!written) return;
    config_.access_log = *written == "none"     ? AccessLog::none
                         : *written == "stdout" ? AccessLog::standard_output
                                                : AccessLog::file;
    if (config_.access_log == AccessLog::file) config_.access_log_path = resolve_path(folder_, *written);
  }

  void read_timeout(const YAML::Node& node, const std::string& path, uint32_t* milliseconds) {
    if (!node) return;
    auto written = text(node, path);
    if (!written) return;
    auto duration = parse_duration_ms(*written);
    if (!duration) return problem(path, duration.error());
    if (*duration < kMinTimeoutMs || *duration > kMaxTimeoutMs)
      return problem(path, "must be from 1ms to 24h");
    *milliseconds = static_cast<uint32_t>(*duration);
  }

  void read_limits(const YAML::Node& node) {
    if (!is_map(node, "limits")) return;
    check_keys(node, "limits",
               {"max_body_bytes", "max_connections_per_shard", "head_timeout", "body_stall_timeout",
                "idle_timeout", "write_stall_timeout", "upstream_idle"});
    auto count = [&](const char* key, uint64_t least, uint64_t most, uint32_t* value) {
      if (!node[key]) return;
      if (auto given = number(node[key], child("limits", key), least, most))
        *value = static_cast<uint32_t>(*given);
    };
    LimitOverrides& limits = config_.limits;
    count("max_body_bytes", kMinBodyBytes, core::limits::kMaxBodyBytes, &limits.max_body_bytes);
    count("max_connections_per_shard", 1, core::limits::kMaxConnectionsPerShard,
          &limits.max_connections_per_shard);
    read_timeout(node["head_timeout"], "limits.head_timeout", &limits.head_timeout_ms);
    read_timeout(node["body_stall_timeout"], "limits.body_stall_timeout", &limits.body_stall_timeout_ms);
    read_timeout(node["idle_timeout"], "limits.idle_timeout", &limits.idle_timeout_ms);
    read_timeout(node["write_stall_timeout"], "limits.write_stall_timeout", &limits.write_stall_timeout_ms);
    read_timeout(node["upstream_idle"], "limits.upstream_idle", &limits.upstream_idle_ms);
  }

  const Environment& environment_;
  std::string folder_;
  Config config_;
  std::vector<ConfigProblem> problems_;
};

}  // namespace

std::string to_string(const ConfigProblem& problem) {
  return problem.path.empty() ? problem.message : fmt::format("{}: {}", problem.path, problem.message);
}

ConfigResult parse_config(std::string_view text, const std::string& file, const Environment& environment) {
  try {
    return Reader(file, environment).read(YAML::Load(std::string(text)));
  } catch (const YAML::Exception& error) {
    return std::unexpected(std::vector<ConfigProblem>{
        {"", fmt::format("not valid YAML, line {}: {}", error.mark.line + 1, error.msg)}});
  }
}

ConfigResult load_config(const std::string& file, const Environment& environment) {
  auto text = read_file(file);
  if (!text) return std::unexpected(std::vector<ConfigProblem>{{"", text.error()}});
  return parse_config(*text, file, environment);
}

}  // namespace weir::tools
