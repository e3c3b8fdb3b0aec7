#include "tools/weir/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <type_traits>

#include "core/file.h"
#include "routing/guard/pii_mask.h"
#include "routing/table/document.h"
#include "routing/table/reader.h"
#include "routing/table/scalars.h"
#include "tools/weir/config_access.h"
#include "tools/weir/config_properties.h"
#include "tools/weir/config_values.h"

namespace weir::tools {
namespace {

using routing::Element;
using routing::Object;
using routing::Path;
using routing::Problem;
using routing::Problems;

constexpr size_t kMinSecretBytes = 16;
constexpr uint64_t kMinBodyBytes = 1024;
constexpr uint64_t kMaxBusyPollUs = 1000;
constexpr uint64_t kMinTimeoutNs = core::kNsPerMs;
constexpr uint64_t kMaxTimeoutNs = routing::kNsPerDay;

ConfigResult one_problem(std::string message) {
  return std::unexpected(std::vector<Problem>{{.path = "", .message = std::move(message)}});
}

// Walks the document and collects every problem; what is wrong leaves its default in the Config, which is
// then not handed out.
class ConfigReader {
 public:
  ConfigReader(const std::string& file, const Environment& environment) : environment_(environment) {
    const size_t slash = file.rfind('/');
    if (slash != std::string::npos) folder_ = slash == 0 ? "/" : file.substr(0, slash);
    config_.file = file;
  }

  ConfigResult read(Element root) {
    const Path top;
    const Object<ConfigProperty> object(problems_, top, root);
    using enum ConfigProperty;
    if (object.has(listen)) read_listen(object.at(listen), object[listen], &config_.listen);
    if (object.has(tls)) read_tls(object.at(tls), object[tls]);
    if (!object.has(listen) && !object.has(tls)) {
      config_.listen.push_back(*core::SocketAddress::parse("127.0.0.1:8080"));
    }
    if (object.has(shards)) read_shards(object.at(shards), object[shards]);
    if (object.has(busy_poll_us)) {
      const auto us = read_number(object.at(busy_poll_us), object[busy_poll_us], 0, kMaxBusyPollUs);
      if (us) config_.busy_poll_us = static_cast<uint32_t>(*us);
    }
    config_.table_path = read_file_path(object, table);
    if (object.has(registry)) read_registry(object.at(registry), object[registry]);
    if (object.has(key_hash_secret)) {
      read_secret(object.at(key_hash_secret), object[key_hash_secret], &config_.key_hash_secret);
    }
    config_.access = default_access();
    if (object.has(admin)) read_admin(object.at(admin), object[admin]);
    config_.access.token_secret = config_.key_hash_secret;
    if (object.has(access_log)) read_access_log(object.at(access_log), object[access_log]);
    read_guard_state(object);
    if (object.has(alerts)) read_alerts(object.at(alerts), object[alerts]);
    if (object.has(shadow)) read_shadow(object.at(shadow), object[shadow]);
    if (object.has(limits)) read_limits(object.at(limits), object[limits]);
    if (object.has(sandbox)) read_sandbox(object.at(sandbox), object[sandbox]);
    object.for_each(readable, [&](const Path& path, Element item) {
      if (const auto text = read_string(path, item)) config_.readable.push_back(resolve_path(folder_, *text));
    });
    if (!problems_.empty()) return std::unexpected(problems_.take());
    return std::move(config_);
  }

 private:
  // One line of text with its variables replaced.
  std::optional<std::string> read_string(const Path& path, Element element) {
    const auto written = routing::read_text(problems_, path, element);
    if (!written) return std::nullopt;
    auto expanded = expand_variables(*written, environment_);
    if (!expanded) {
      problems_.add(path, expanded.error());
      return std::nullopt;
    }
    if (expanded->empty()) {
      problems_.add(path, fmt::format("is empty once {} is filled in", *written));
      return std::nullopt;
    }
    return *std::move(expanded);
  }

  // A number, or text that is one once its variables are replaced.
  std::optional<uint64_t> read_number(const Path& path, Element element, uint64_t min, uint64_t max) {
    if (!element.is_string()) return routing::read_count(problems_, path, element, min, max);
    const auto text = read_string(path, element);
    if (!text) return std::nullopt;
    uint64_t value = 0;
    const char* const end = text->data() + text->size();
    const auto [stop, error] = std::from_chars(text->data(), end, value);
    if (error == std::errc{} && stop == end && value >= min && value <= max) return value;
    problems_.add(path,
                  fmt::format("{} must be a whole number from {} to {}", routing::quote(*text), min, max));
    return std::nullopt;
  }

  // Relative to the configuration's folder; empty when absent or refused.
  template <typename Property>
  std::string read_file_path(const Object<Property>& object, Property property) {
    if (!object.has(property)) return {};
    const auto path = read_string(object.at(property), object[property]);
    return path ? resolve_path(folder_, *path) : std::string();
  }

  void read_address(const Path& path, Element element, std::vector<core::SocketAddress>* addresses) {
    const auto text = read_string(path, element);
    if (!text) return;
    const auto address = core::SocketAddress::parse(*text);
    if (!address) return problems_.add(path, address.error());
    auto taken = [&](const std::vector<core::SocketAddress>& list) {
      return address->port() != 0 && std::ranges::find(list, *address) != list.end();
    };
    if (taken(config_.listen) || taken(config_.listen_tls) || taken(config_.admin_listen)) {
      return problems_.add(path, fmt::format("{} is listed twice", *text));
    }
    addresses->push_back(*address);
  }

  void read_listen(const Path& path, Element element, std::vector<core::SocketAddress>* addresses) {
    if (element.is_string()) return read_address(path, element, addresses);
    const auto list = routing::read_array(problems_, path, element);
    if (!list) return;
    size_t position = 0;
    for (const Element item : *list) read_address(Path(path, position++), item, addresses);
    if (position == 0) problems_.add(path, "lists no address; leave it out or name one, like 127.0.0.1:8080");
  }

  void read_tls(const Path& path, Element element) {
    const Object<ConfigTlsProperty> object(problems_, path, element);
    using enum ConfigTlsProperty;
    if (object.has(listen)) read_listen(object.at(listen), object[listen], &config_.listen_tls);
    read_certificates(object, certificates, &config_.certificates);
  }

  template <typename Property>
  void read_certificates(const Object<Property>& object, Property property,
                         std::vector<net::TlsCertificateFiles>* certificates) {
    object.for_each(property, [&](const Path& path, Element item) {
      const Object<ConfigCertificateProperty> files(problems_, path, item);
      certificates->push_back(
          {.certificate_chain_path = read_file_path(files, ConfigCertificateProperty::cert),
           .private_key_path = read_file_path(files, ConfigCertificateProperty::key)});
    });
    if (object.has(property) && object[property].is_array() && certificates->empty()) {
      problems_.add(object.at(property),
                    "lists no certificate; write at least one { cert: file, key: file }");
    }
  }

  // What is kept of the table is kept of what was spent under it too.
  void read_guard_state(const Object<ConfigProperty>& object) {
    using enum ConfigProperty;
    if (!object.has(guard_state)) {
      if (config_.registry_path != ":memory:") config_.guard_state_path = config_.registry_path + "-guards";
      return;
    }
    const auto text = read_string(object.at(guard_state), object[guard_state]);
    if (text && *text != "none") config_.guard_state_path = resolve_path(folder_, *text);
  }

  void read_registry(const Path& path, Element element) {
    const auto text = read_string(path, element);
    if (!text) return;
    config_.registry_path = *text == "none" ? ":memory:" : resolve_path(folder_, *text);
  }

  void read_shards(const Path& path, Element element) {
    std::string_view text;
    if (element.get_string().get(text) == simdjson::SUCCESS && text == "auto") return;
    const auto count = read_number(path, element, 1, core::limits::kMaxShards);
    if (count) config_.shards = static_cast<uint32_t>(*count);
  }

  // What is wrong with a secret never repeats what was written there.
  void read_secret(const Path& path, Element element, std::string* to) {
    std::string_view reference;
    if (element.get_string().get(reference) != simdjson::SUCCESS) reference = {};
    auto secret = resolve_secret(reference, folder_, environment_);
    if (!secret) return problems_.add(path, secret.error());
    if (secret->size() < kMinSecretBytes) {
      return problems_.add(path, fmt::format("is shorter than {} bytes; make one with: openssl rand -hex 32",
                                             kMinSecretBytes));
    }
    *to = *std::move(secret);
  }

  void read_admin(const Path& path, Element element) {
    const Object<ConfigAdminProperty> object(problems_, path, element);
    using enum ConfigAdminProperty;
    if (object.has(socket)) {
      config_.admin_socket = read_file_path(object, socket);
      const auto address = core::SocketAddress::unix_path(config_.admin_socket);
      if (!address && !config_.admin_socket.empty()) problems_.add(object.at(socket), address.error());
    }
    if (object.has(mode)) read_mode(object.at(mode), object[mode]);
    if (object.has(roles)) read_roles(problems_, object.at(roles), object[roles], &config_.access);
    if (object.has(tcp)) read_admin_tcp(object.at(tcp), object[tcp]);
  }

  void read_admin_tcp(const Path& path, Element element) {
    const Object<ConfigTcpProperty> object(problems_, path, element);
    using enum ConfigTcpProperty;
    if (object.has(listen)) read_listen(object.at(listen), object[listen], &config_.admin_listen);
    read_certificates(object, certificates, &config_.admin_certificates);
    object.for_each(hosts, [&](const Path& at, Element item) {
      if (const auto text = read_string(at, item)) config_.access.hosts.push_back(lower_case(*text));
    });
    object.for_each(origins, [&](const Path& at, Element item) {
      if (const auto text = read_string(at, item)) config_.access.origins.push_back(lower_case(*text));
    });
    read_tokens(problems_, object, &config_.access);
  }

  void read_shadow(const Path& path, Element element) {
    const Object<ConfigShadowProperty> object(problems_, path, element);
    using enum ConfigShadowProperty;
    config_.shadow_log_path = read_file_path(object, log);
    routing::ShadowPolicies& policies = config_.shadow_policies;
    read_shadow_policy(object, &policies.standard);
    if (!object.has(tenants)) return;
    const Path list = object.at(tenants);
    const auto named = routing::read_object(problems_, list, object[tenants]);
    if (!named) return;
    for (const auto& [tenant, policy] : *named) {
      const Path at(list, tenant);
      const Object<ConfigShadowTenantProperty> own(problems_, at, policy);
      read_shadow_policy(own, &(policies.tenants[std::string(tenant)] = policies.standard));
    }
  }

  // What is not said stays as it is; words come to those that are there.
  template <typename Property>
  void read_shadow_policy(const Object<Property>& object, routing::ShadowPolicy* policy) {
    static constexpr auto kTexts = std::to_array<std::string_view>({"masked", "digest", "none"});
    if (const auto choice = object.choice(Property::text, kTexts))
      policy->text = static_cast<routing::ShadowText>(*choice);
    object.for_each(Property::mask, [&](const Path& at, Element item) {
      const auto word = read_string(at, item);
      if (!word) return;
      if (word->size() > routing::PiiMask::kMaxHeld || word->find_first_of(" \t") != std::string::npos) {
        return problems_.add(at, "must be one word without blanks");
      }
      const size_t star = word->find('*', 1);
      if (*word == "*" || *word == "**" || (star != std::string::npos && star + 1 != word->size())) {
        return problems_.add(at, "may have '*' only at its beginning and end");
      }
      policy->mask.push_back(*word);
    });
  }

  void read_alerts(const Path& path, Element element) {
    const Object<ConfigAlertsProperty> object(problems_, path, element);
    using enum ConfigAlertsProperty;
    if (object.has(url)) {
      const auto text = read_string(object.at(url), object[url]);
      if (text && !text->starts_with("https://") && !text->starts_with("http://")) {
        problems_.add(object.at(url), "must begin with https:// or http://");
      }
      config_.alert_url = text.value_or("");
    }
    if (object.has(secret)) read_secret(object.at(secret), object[secret], &config_.alert_secret);
  }

  void read_mode(const Path& path, Element element) {
    const auto text = read_string(path, element);
    if (!text) return;
    const char* const end = text->data() + text->size();
    const auto [stop, error] = std::from_chars(text->data(), end, config_.admin_socket_mode, 8);
    if (error == std::errc{} && stop == end && config_.admin_socket_mode <= 0777) return;
    problems_.add(path, fmt::format("{} is not a file mode such as \"0660\"", routing::quote(*text)));
  }

  void read_access_log(const Path& path, Element element) {
    const auto text = read_string(path, element);
    if (!text) return;
    config_.access_log = *text == "none"     ? AccessLog::none
                         : *text == "stdout" ? AccessLog::standard_output
                                             : AccessLog::file;
    if (config_.access_log == AccessLog::file) config_.access_log_path = resolve_path(folder_, *text);
  }

  void read_sandbox(const Path& path, Element element) {
    std::string_view text;
    const bool written = element.get_string().get(text) == simdjson::SUCCESS;
    if (!written || (text != "on" && text != "off")) return problems_.add(path, "must be on or off");
    config_.sandbox = text == "on";
  }

  void read_limits(const Path& path, Element element) {
    const Object<ConfigLimitsProperty> object(problems_, path, element);
    auto count = [&](ConfigLimitsProperty property, uint64_t min, uint64_t max, auto* value) {
      if (!object.has(property)) return;
      if (auto given = read_number(object.at(property), object[property], min, max)) {
        *value = static_cast<std::remove_pointer_t<decltype(value)>>(*given);
      }
    };
    auto timeout = [&](ConfigLimitsProperty property, uint32_t* milliseconds) {
      if (auto ns = object.duration_ns(property, kMinTimeoutNs, kMaxTimeoutNs)) {
        *milliseconds = static_cast<uint32_t>(*ns / core::kNsPerMs);
      }
    };
    LimitOverrides& limits = config_.limits;
    using enum ConfigLimitsProperty;
    count(max_body_bytes, kMinBodyBytes, core::limits::kMaxBodyBytes, &limits.max_body_bytes);
    count(max_connections_per_shard, 1, core::limits::kMaxConnectionsPerShard,
          &limits.max_connections_per_shard);
    count(max_exchanges_per_shard, 1, core::limits::kMaxExchangesPerShard, &limits.max_exchanges_per_shard);
    count(user_memory, routing::kMinTableMemoryBytes, routing::kMaxUserMemoryBytes,
          &limits.user_memory_bytes);
    count(cache_memory, routing::kMinTableMemoryBytes, routing::kMaxCacheMemoryBytes,
          &limits.cache_memory_bytes);
    timeout(head_timeout, &limits.head_timeout_ms);
    timeout(body_stall_timeout, &limits.body_stall_timeout_ms);
    timeout(idle_timeout, &limits.idle_timeout_ms);
    timeout(write_stall_timeout, &limits.write_stall_timeout_ms);
    timeout(upstream_idle, &limits.upstream_idle_ms);
    timeout(drain_timeout, &limits.drain_timeout_ms);
  }

  const Environment& environment_;
  std::string folder_;
  Config config_;
  Problems problems_;
};

}  // namespace

ConfigResult parse_config(std::string_view text, const std::string& file, const Environment& environment) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return one_problem("empty; at the least give it table and key_hash_secret");
  }
  auto document = routing::Document::parse(std::string(text), routing::detect_format(file, text));
  if (!document) return std::unexpected(std::move(document.error()));
  return ConfigReader(file, environment).read(document->root());
}

ConfigResult load_config(const std::string& file, const Environment& environment) {
  auto text = core::read_file(file, kMaxConfigBytes);
  if (!text) return one_problem(text.error());
  return parse_config(*text, file, environment);
}

}  // namespace weir::tools
