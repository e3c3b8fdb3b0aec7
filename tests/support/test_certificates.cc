#include "tests/support/test_certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>

#include "core/assert.h"
#include "net/tls/openssl.h"

namespace weir::tests {
namespace {

using net::CertificatePtr;
using net::PrivateKeyPtr;

constexpr long kDay = 24 * 3600;

PrivateKeyPtr make_key(KeyKind kind) {
  PrivateKeyPtr key;
  switch (kind) {
    case KeyKind::p256:
      key.reset(EVP_EC_gen("P-256"));
      break;
    case KeyKind::rsa_2048:
      key.reset(EVP_RSA_gen(2048));
      break;
    case KeyKind::rsa_1024:
      key.reset(EVP_RSA_gen(1024));
      break;
  }
  WEIR_ASSERT(key != nullptr);
  return key;
}

void add_extension(X509* certificate, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  WEIR_ASSERT(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

struct CertificateOptions {
  std::string name;
  std::string alternatives = {};  // subject alternative names in OpenSSL's configuration form
  Validity validity = Validity::now;
  bool authority = false;
};

// `issuer` null = self-signed with `signer`.
CertificatePtr make_certificate(const CertificateOptions& options, EVP_PKEY* key, X509* issuer,
                                EVP_PKEY* signer) {
  CertificatePtr certificate(X509_new());
  X509* const made = certificate.get();
  WEIR_ASSERT(made != nullptr);
  X509_set_version(made, X509_VERSION_3);
  uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial));
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(made), serial >> 1);
  const long begin = options.validity == Validity::not_yet   ? kDay
                     : options.validity == Validity::expired ? -3 * kDay
                                                             : -kDay;
  const long end = options.validity == Validity::expired ? -kDay : 30 * kDay;
  X509_gmtime_adj(X509_getm_notBefore(made), begin);
  X509_gmtime_adj(X509_getm_notAfter(made), end);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(options.name.c_str()), -1, -1, 0);
  X509_set_issuer_name(made, X509_get_subject_name(issuer == nullptr ? made : issuer));
  X509_set_pubkey(made, key);
  if (options.authority) {
    add_extension(made, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(made, NID_key_usage, "critical,keyCertSign,cRLSign");
  } else {
    add_extension(made, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(made, NID_ext_key_usage, "serverAuth");
  }
  if (!options.alternatives.empty()) add_extension(made, NID_subject_alt_name, options.alternatives);
  WEIR_ASSERT(X509_sign(made, signer, EVP_sha256()) > 0);
  return certificate;
}

std::string alternatives_of(const LeafOptions& options) {
  std::string text;
  for (const std::string& name : options.dns_names) text += (text.empty() ? "DNS:" : ",DNS:") + name;
  for (const std::string& address : options.addresses) text += (text.empty() ? "IP:" : ",IP:") + address;
  return text;
}

std::string text_of(BIO* memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  return {data, static_cast<size_t>(size)};
}

std::string pem_of(X509* certificate) {
  const net::BioPtr memory(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(memory.get(), certificate);
  return text_of(memory.get());
}

std::string pem_of(EVP_PKEY* key) {
  const net::BioPtr memory(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(memory.get());
}

}  // namespace

TestAuthority::TestAuthority() {
  std::string pattern = std::filesystem::temp_directory_path() / "weir-certificates-XXXXXX";
  WEIR_ASSERT(mkdtemp(pattern.data()) != nullptr);
  folder_ = pattern;
  key_ = make_key(KeyKind::p256).release();
  root_ = make_certificate({.name = "weir test root", .authority = true}, key_, nullptr, key_).release();
  write_file("root.pem", pem_of(root_));
}

TestAuthority::~TestAuthority() {
  X509_free(root_);
  EVP_PKEY_free(key_);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

net::TlsCertificateFiles TestAuthority::issue(const LeafOptions& options) {
  const PrivateKeyPtr key = make_key(options.key);
  const CertificateOptions leaf{
      .name = "leaf", .alternatives = alternatives_of(options), .validity = options.validity};
  std::string chain;
  if (options.through_intermediate) {
    const PrivateKeyPtr intermediate_key = make_key(KeyKind::p256);
    const CertificatePtr intermediate = make_certificate(
        {.name = "weir test intermediate", .authority = true}, intermediate_key.get(), root_, key_);
    const CertificatePtr made = make_certificate(leaf, key.get(), intermediate.get(), intermediate_key.get());
    chain = pem_of(made.get()) + pem_of(intermediate.get());
  } else {
    chain = pem_of(make_certificate(leaf, key.get(), root_, key_).get());
  }
  const std::string number = std::to_string(++issued_);
  return {write_file("leaf-" + number + ".pem", chain),
          write_file("leaf-" + number + ".key", pem_of(key.get()))};
}

net::TlsCertificateFiles TestAuthority::issue_self_signed(const LeafOptions& options) {
  const PrivateKeyPtr key = make_key(options.key);
  const CertificatePtr made = make_certificate(
      {.name = "self-signed", .alternatives = alternatives_of(options), .validity = options.validity},
      key.get(), nullptr, key.get());
  const std::string number = std::to_string(++issued_);
  return {write_file("self-" + number + ".pem", pem_of(made.get())),
          write_file("self-" + number + ".key", pem_of(key.get()))};
}

std::string TestAuthority::write_file(const std::string& name, const std::string& text) {
  const std::filesystem::path path = folder_ / name;
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  WEIR_ASSERT(file.good());
  return path;
}

}  // namespace weir::tests
