#include "net/tls/tls_server_context.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "net/tls/openssl.h"

namespace weir::net {
namespace {

// A DNS name is at most 253 characters (RFC 1035 section 2.3.4); longer server names match nothing.
constexpr size_t kMaxServerNameBytes = 253;

using Problems = std::vector<std::string>;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// The last OpenSSL error in words; empties the error queue.
std::string take_openssl_reason() {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return reason == nullptr ? "unknown reason" : reason;
}

std::string read_remedy(int error_number) {
  switch (error_number) {
    case ENOENT:
      return "the file does not exist; give the path of a PEM file";
    case EACCES:
    case EPERM:
      return "permission denied; make the file readable for the user that runs weir";
    default:
      return std::string("cannot be read: ") + std::strerror(error_number);
  }
}

BioPtr open_file(const std::string& path, std::string_view what, Problems& problems) {
  ERR_clear_error();
  errno = 0;
  BioPtr file(BIO_new_file(path.c_str(), "rb"));
  // fopen() opens a directory for reading; the first read shows it.
  char first;
  if (file && BIO_read(file.get(), &first, 1) == 1 && BIO_reset(file.get()) == 0) return file;
  if (file && errno == 0) {
    problems.push_back(path + ": the " + std::string(what) + " file is empty; give a PEM file");
  } else {
    problems.push_back(path + ": " + std::string(what) + ": " + read_remedy(errno));
  }
  ERR_clear_error();
  return nullptr;
}

// Keys behind a pass phrase would make a restart depend on a person: refused, never asked for.
int refuse_pass_phrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

std::string subject_of(X509* certificate) {
  char text[256];
  X509_NAME_oneline(X509_get_subject_name(certificate), text, sizeof(text));
  return text;
}

int64_t seconds_since_1970(const ASN1_TIME* time) {
  std::tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? static_cast<int64_t>(timegm(&parts)) : 0;
}

std::vector<CertificatePtr> read_chain(const std::string& path, Problems& problems) {
  std::vector<CertificatePtr> chain;
  const BioPtr file = open_file(path, "certificate chain", problems);
  if (!file) return chain;
  bool asked = false;
  while (X509* certificate = PEM_read_bio_X509(file.get(), nullptr, refuse_pass_phrase, &asked)) {
    chain.emplace_back(certificate);
  }
  // Reading ends with "no start line" at the end of the file; anything else is a damaged block.
  const unsigned long error = ERR_peek_last_error();
  if (ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE) {
    problems.push_back(path + ": certificate " + std::to_string(chain.size() + 1) + " is damaged (" +
                       take_openssl_reason() + "); export it again as PEM");
    chain.clear();
  } else if (chain.empty()) {
    problems.push_back(path + ": holds no certificate; give a PEM file with the leaf certificate first");
  }
  ERR_clear_error();
  return chain;
}

void check_validity(const std::string& path, const std::vector<CertificatePtr>& chain, Problems& problems) {
  for (const CertificatePtr& certificate : chain) {
    const std::string name = path + ": certificate " + subject_of(certificate.get());
    if (X509_cmp_current_time(X509_get0_notAfter(certificate.get())) < 0) {
      problems.push_back(name + " has expired; renew it");
    } else if (X509_cmp_current_time(X509_get0_notBefore(certificate.get())) > 0) {
      problems.push_back(name + " is not valid yet; check the clock or wait for its first day");
    }
  }
}

PrivateKeyPtr read_key(const std::string& path, Problems& problems) {
  const BioPtr file = open_file(path, "private key", problems);
  if (!file) return nullptr;
  bool asked = false;
  PrivateKeyPtr key(PEM_read_bio_PrivateKey(file.get(), nullptr, refuse_pass_phrase, &asked));
  if (!key && asked) {
    problems.push_back(
        path + ": the private key is encrypted; store it without a pass phrase, readable for weir only");
  } else if (!key) {
    problems.push_back(path +
                       ": holds no private key that can be read; give a PEM file (PKCS #8, RSA or EC)");
  }
  ERR_clear_error();
  return key;
}

// The settings every server context has, whatever its certificate.
bool apply_settings(SSL_CTX* context, TlsVersion minimum_version) {
  SSL_CTX_set_security_level(context, 2);
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  // Record buffers stay allocated between calls: TlsSession::release_idle_buffers() gives them back.
  SSL_CTX_clear_mode(context, SSL_MODE_RELEASE_BUFFERS);
  // One copy per receive instead of two per record: 3 % of a small message.
  SSL_CTX_set_read_ahead(context, 1);
  // Tickets only: OpenSSL's session cache is a locked table that all shards would write to.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_timeout(context, core::limits::kTlsTicketLifetimeS);
  SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
  // One context for all certificates and reloads, so that a ticket is good with any of them.
  constexpr unsigned char kSessionIdContext[] = {'w', 'e', 'i', 'r'};
  const int lowest = minimum_version == TlsVersion::tls_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
  return SSL_CTX_set_min_proto_version(context, lowest) == 1 &&
         SSL_CTX_set_max_proto_version(context, 0) == 1 &&
         SSL_CTX_set_cipher_list(context, kTls12Ciphers) == 1 &&
         SSL_CTX_set_ciphersuites(context, kTls13Ciphers) == 1 &&
         SSL_CTX_set1_groups_list(context, kKeyExchangeGroups) == 1 &&
         SSL_CTX_set_max_early_data(context, 0) == 1 &&
         SSL_CTX_set_session_id_context(context, kSessionIdContext, sizeof(kSessionIdContext)) == 1;
}

// RFC 7301 section 3.2: a client that asks for protocols and not for ours is refused by name, not left
// guessing.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                    const unsigned char* offered, unsigned int offered_size, void*) {
  for (unsigned int at = 0; at < offered_size; at += offered[at] + 1u) {
    const unsigned char size = offered[at];
    if (size + 1u > offered_size - at) break;
    if (size != kAlpnHttp11[0] || std::memcmp(offered + at + 1, kAlpnHttp11 + 1, size) != 0) continue;
    *chosen = offered + at + 1;
    *chosen_size = size;
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int prepare_ticket(SSL* ssl, unsigned char name[16], unsigned char* iv, EVP_CIPHER_CTX* cipher,
                   EVP_MAC_CTX* mac, int encrypt) {
  // Every context of a TlsServerContext carries the same keys, so it does not matter which one was chosen.
  auto* keys = static_cast<TlsTicketKeys*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  const int result = keys->prepare(name, iv, cipher, mac, encrypt);
  // TLS 1.3 clients use a ticket once (RFC 8446 appendix C.4): a resumption has to leave them another.
  constexpr int kReady = 1;
  constexpr int kReadyButRenew = 2;
  return encrypt == 0 && result == kReady && SSL_version(ssl) == TLS1_3_VERSION ? kReadyButRenew : result;
}

// The DNS names of the subject alternative name extension, in lower case.
std::vector<std::string> dns_names_of(X509* certificate) {
  std::vector<std::string> names;
  auto* alternatives =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int index = 0; index < sk_GENERAL_NAME_num(alternatives); ++index) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives, index);
    if (name->type != GEN_DNS) continue;
    const auto* text = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
    std::string& added = names.emplace_back(text, static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
    std::ranges::transform(added, added.begin(), lower);
  }
  GENERAL_NAMES_free(alternatives);
  return names;
}

}  // namespace

std::expected<std::shared_ptr<const TlsServerContext>, std::vector<std::string>> TlsServerContext::load(
    const TlsServerOptions& options) {
  Problems problems;
  std::shared_ptr<TlsServerContext> result(new TlsServerContext());
  result->ticket_keys_ = options.ticket_keys ? options.ticket_keys : TlsTicketKeys::create();
  if (!result->ticket_keys_) problems.push_back("TLS ticket keys: the system has no random numbers to give");
  if (options.certificates.empty()) {
    problems.push_back("TLS needs at least one certificate; give a certificate chain and its private key");
  }

  for (const TlsCertificateFiles& files : options.certificates) {
    const std::vector<CertificatePtr> chain = read_chain(files.certificate_chain_path, problems);
    check_validity(files.certificate_chain_path, chain, problems);
    const PrivateKeyPtr key = read_key(files.private_key_path, problems);
    if (chain.empty() || !key) continue;
    X509* const leaf = chain.front().get();
    if (X509_check_private_key(leaf, key.get()) != 1) {
      ERR_clear_error();
      problems.push_back(files.private_key_path + ": is not the private key of " +
                         files.certificate_chain_path +
                         "; give the two files that were issued together, leaf certificate first");
      continue;
    }

    SslContextPtr context(SSL_CTX_new(TLS_server_method()));
    if (!context || !apply_settings(context.get(), options.minimum_version)) {
      problems.push_back(files.certificate_chain_path + ": TLS cannot be set up: " + take_openssl_reason());
      continue;
    }
    bool usable = SSL_CTX_use_certificate(context.get(), leaf) == 1 &&
                  SSL_CTX_use_PrivateKey(context.get(), key.get()) == 1;
    for (size_t index = 1; usable && index < chain.size(); ++index) {
      usable = SSL_CTX_add1_chain_cert(context.get(), chain[index].get()) == 1;
    }
    if (!usable) {
      problems.push_back(files.certificate_chain_path + ": is not usable: " + take_openssl_reason() +
                         "; issue it with an RSA key of 2048 bits or more, or an EC key");
      continue;
    }
    SSL_CTX_set_alpn_select_cb(context.get(), choose_protocol, nullptr);
    SSL_CTX_set_tlsext_servername_callback(context.get(), choose_certificate);
    SSL_CTX_set_tlsext_servername_arg(context.get(), result.get());
    SSL_CTX_set_app_data(context.get(), result->ticket_keys_.get());
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context.get(), prepare_ticket);

    for (const CertificatePtr& certificate : chain) {
      const int64_t expiry = seconds_since_1970(X509_get0_notAfter(certificate.get()));
      if (result->first_expiry_seconds_ == 0 || expiry < result->first_expiry_seconds_) {
        result->first_expiry_seconds_ = expiry;
      }
    }
    for (std::string& name : dns_names_of(leaf)) {
      const bool wildcard = name.starts_with("*.");
      if (wildcard) name.erase(0, 1);
      (wildcard ? result->wildcards_ : result->exact_names_).try_emplace(std::move(name), context.get());
    }
    result->contexts_.push_back(context.release());
  }
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return result;
}

TlsServerContext::~TlsServerContext() {
  for (SSL_CTX* context : contexts_) SSL_CTX_free(context);
}

SSL_CTX* TlsServerContext::find(std::string_view server_name) const {
  if (server_name.ends_with('.')) server_name.remove_suffix(1);  // the absolute form of the same name
  if (server_name.empty() || server_name.size() > kMaxServerNameBytes) return nullptr;
  std::array<char, kMaxServerNameBytes> buffer;
  std::ranges::transform(server_name, buffer.begin(), lower);
  const std::string_view name(buffer.data(), server_name.size());

  const auto find_in = [](const Names& names, std::string_view text) {
    const auto found = names.find(text);
    return found == names.end() ? nullptr : found->second;
  };
  if (SSL_CTX* exact = find_in(exact_names_, name)) return exact;
  const size_t first_dot = name.find('.');
  if (first_dot == 0 || first_dot == std::string_view::npos) return nullptr;
  return find_in(wildcards_, name.substr(first_dot));
}

int TlsServerContext::choose_certificate(SSL* ssl, int*, void* self) {
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  SSL_CTX* context = static_cast<const TlsServerContext*>(self)->find(name);
  // Unknown names get the default certificate: the client judges it, and its reason is clearer than ours
  // would be.
  if (context == nullptr) return SSL_TLSEXT_ERR_NOACK;
  SSL_set_SSL_CTX(ssl, context);
  return SSL_TLSEXT_ERR_OK;
}

void TlsServerContextHolder::replace(std::shared_ptr<const TlsServerContext> next) {
  const std::lock_guard lock(mutex_);
  current_.swap(next);
  version_.fetch_add(1, std::memory_order_relaxed);
}

std::shared_ptr<const TlsServerContext> TlsServerContextHolder::get() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

const std::shared_ptr<const TlsServerContext>& TlsServerContextView::current() {
  if (holder_.version_.load(std::memory_order_relaxed) != seen_version_) {
    const std::lock_guard lock(holder_.mutex_);
    seen_version_ = holder_.version_.load(std::memory_order_relaxed);
    context_ = holder_.current_;
  }
  return context_;
}

}  // namespace weir::net
