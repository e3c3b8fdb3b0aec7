// Memory: what a thousand refusals at once cost, and a gateway that is given less than it is asked to use.
#include <openssl/ssl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "core/limits.h"
#include "routing/guard/guard_memory.h"
#include "tests/integration/faults/shard_probe.h"
#include "tests/integration/tls_client.h"
#include "tests/support/test_certificates.h"

namespace weir::tests::memory_test {
namespace {

namespace limits = core::limits;

std::string table(uint16_t provider) {
  return R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" + std::to_string(provider) +
         R"(/v1"}},"models":{"m":{"provider":"p","tier":"economy","price":{"input":1,"output":2}}},
    "units":{"u":{"model":"m","retries":0}},"scenarios":{"chat":{"stable":"u"}},"tenants":{"t":{}},
    "keys":[{"id":"k","tenant":"t","hash":")" +
         key_hash() + R"("}]})";
}

// ---- what is refused -------------------------------------------------------------------------------------

struct Refused {
  const char* what;
  std::string bytes;  // refused with the last one
  int status;         // 0: the connection ends, with an alert of TLS at most
};

std::string head_of(std::string_view framing) {
  return "POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nconnection: close\r\ncontent-type: "
         "application/json\r\n"
         "authorization: Bearer " +
         std::string(kClientKey) + "\r\n" + std::string(framing) + "\r\n\r\n";
}
std::string with_length(const std::string& body) {
  return head_of("content-length: " + std::to_string(body.size())) + body;
}
// In chunks of so many bytes.
std::string in_chunks(const std::string& body, size_t size) {
  std::string text = head_of("transfer-encoding: chunked");
  char line[16];
  for (size_t at = 0; at < body.size(); at += size) {
    const std::string piece = body.substr(at, size);
    std::snprintf(line, sizeof line, "%zx\r\n", piece.size());
    text += line + piece + "\r\n";
  }
  return text + "0\r\n\r\n";
}

std::vector<Refused> refused_requests() {
  const std::string get = "GET /v1/models HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n";
  const std::string field = "x: ";
  return {
      {"a head without a key", get + "\r\n", 401},
      {"a bare line feed", get + "x: y\n", 400},
      {"a head that is too large",
       get + field + std::string(limits::kMaxHeadBytes - get.size() - field.size(), 'x'), 431},
      {"a body that is not JSON", with_length("x"), 400},
      {"a longer body that is not JSON", with_length(std::string(60'000, 'x')), 400},
      {"deep JSON", with_length(R"({"model":"chat","x":)" + std::string(4'000, '[')), 400},
      {"a chunked body that is not JSON", in_chunks(std::string(4'000, 'x'), 500), 400},
      {"a longer chunked body that is not JSON", in_chunks(std::string(60'000, 'x'), 4'000), 400},
      {"a chunked body of single bytes", in_chunks(std::string(2'000, 'x'), 1), 400},
      {"a chunk that is longer than it says", head_of("transfer-encoding: chunked") + "4\r\nabcde", 400},
      {"a long body that does not come",
       head_of("content-length: " + std::to_string(limits::kMaxBodyBytes)) + "{", 408},
  };
}

// The first thing that a client of TLS says.
std::string hello(int version, size_t more_bytes) {
  const net::SslContextPtr context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_security_level(context.get(), 0);
  SSL_CTX_set_min_proto_version(context.get(), version);
  SSL_CTX_set_max_proto_version(context.get(), version);
  SSL* const ssl = SSL_new(context.get());
  SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  std::string protocols;
  while (protocols.size() < more_bytes) protocols += '\xff' + std::string(255, 'x');
  SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(protocols.data()),
                      static_cast<unsigned>(protocols.size()));
  EXPECT_EQ(SSL_connect(ssl), -1);  // waits for an answer
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(SSL_get_wbio(ssl), &bytes);
  std::string text(bytes, static_cast<size_t>(size));
  SSL_free(ssl);
  ERR_clear_error();
  EXPECT_GT(text.size(), more_bytes);
  return text;
}

std::vector<Refused> refused_hellos() {
  return {
      {"no TLS", "GET /", 0},
      {"TLS of long ago", hello(TLS1_1_VERSION, 0), 0},
      {"a long hello of long ago", hello(TLS1_1_VERSION, 12'000), 0},
      {"other protocols", hello(TLS1_3_VERSION, 12'000), 0},
  };
}

class Refusals : public ::testing::Test {
 protected:
  static constexpr size_t kAtOnce = 1'000;

  Refusals() {
    rlimit files{};
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  }

  // All of them are as far as they can be at the same moment, and then are refused.
  void check(Gateway& gateway, uint16_t port, const Refused& refused) {
    SCOPED_TRACE(refused.what);
    expect_served(gateway);
    const int pid = gateway.process().pid();
    const uint64_t before = memory_bytes(pid);
    reset_peak(pid);
    std::vector<std::unique_ptr<BlockingClient>> clients;
    const std::string_view bytes = refused.bytes;
    for (size_t i = 0; i < kAtOnce; ++i) {
      clients.push_back(std::make_unique<BlockingClient>(port));
      EXPECT_TRUE(clients.back()->send(bytes.substr(0, bytes.size() - 1)));
    }
    settle(gateway);
    for (auto& client : clients) EXPECT_TRUE(client->send(bytes.substr(bytes.size() - 1)));
    for (auto& client : clients) {
      const std::string answer = client->receive_to_end();
      if (refused.status == 0) {
        EXPECT_TRUE(answer.empty() || answer[0] == '\x15') << answer;
      } else {
        EXPECT_TRUE(answer.starts_with("HTTP/1.1 " + std::to_string(refused.status))) << answer;
      }
      EXPECT_FALSE(client->broken());
      if (::testing::Test::HasFailure()) return;
    }
    const uint64_t most = memory_bytes(pid, "VmHWM:");
    const uint64_t each = (most - std::min(most, before)) / kAtOnce;
    ::testing::Test::RecordProperty(std::string("bytes ") + refused.what, static_cast<int>(each));
    if (!kSanitized) {
      EXPECT_LE(each, 4 * bytes.size() + 64 * 1024) << "for " << bytes.size() << " bytes";
    }
    expect_served(gateway);
  }

  // On a connection of its own: a gateway that is behind keeps none.
  static void expect_served(const Gateway& gateway) {
    BlockingClient client(gateway.port());
    client.send(chat_request());
    EXPECT_EQ(client.receive().status, 200);
  }

  // Until the shard has read all that was sent: it has little to do beside answering.
  static void settle(Gateway& gateway) {
    const int pid = gateway.process().pid();
    constexpr uint64_t kLittleNs = 3'000'000;
    for (int quiet = 0, rounds = 0; quiet < 3 && rounds < 1'000; ++rounds) {
      const uint64_t before_ns = busy_ns(pid);
      expect_served(gateway);
      quiet = busy_ns(pid) - before_ns < kLittleNs ? quiet + 1 : 0;
    }
  }

  EchoProvider provider_;
};

TEST_F(Refusals, OfRequestsCostAtMostFourTimesTheirSizeAndALittle) {
  for (const Refused& refused : refused_requests()) {
    Gateway gateway(table(provider_.port()), "limits: { body_stall_timeout: 2s, head_timeout: 1m }\n",
                    {.shards = 1});
    check(gateway, gateway.port(), refused);
  }
}

TEST_F(Refusals, OfTlsHellosCostAtMostFourTimesTheirSizeAndALittle) {
  TestAuthority authority;
  const net::TlsCertificateFiles files = authority.issue({.dns_names = {"a.test"}});
  for (const Refused& refused : refused_hellos()) {
    Gateway gateway(table(provider_.port()),
                    "tls: { listen: \"127.0.0.1:0\", certificates: [ { cert: \"" +
                        files.certificate_chain_path + "\", key: \"" + files.private_key_path +
                        "\" } ] }\nlimits: { head_timeout: 1m }\n",
                    {.shards = 1});
    check(gateway, gateway.tls_port(), refused);
  }
}

// ---- too little memory -----------------------------------------------------------------------------------

// A control group of this process's own with so much memory, if it may make one.
class MemoryGroup {
 public:
  explicit MemoryGroup(uint64_t bytes) {
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
      const bool v1 = line.find(":memory:") != std::string::npos;
      if (!v1 && !line.starts_with("0::")) continue;
      const std::string path = line.substr(line.rfind(':') + 1);
      if (make((v1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup") + path + "/weir-test-" +
                   std::to_string(::getpid()),
               v1 ? "/memory.limit_in_bytes" : "/memory.max", bytes)) {
        return;
      }
    }
  }
  ~MemoryGroup() {
    if (!folder_.empty()) ::rmdir(folder_.c_str());
  }
  MemoryGroup(const MemoryGroup&) = delete;
  MemoryGroup& operator=(const MemoryGroup&) = delete;

  explicit operator bool() const { return !folder_.empty(); }
  std::string processes() const { return folder_ + "/cgroup.procs"; }

 private:
  bool make(const std::string& folder, const char* limit, uint64_t bytes) {
    if (::mkdir(folder.c_str(), 0755) != 0) return false;
    std::ofstream file(folder + limit, std::ios::in);  // no O_CREAT
    file << bytes;
    file.close();
    if (file.fail()) {
      ::rmdir(folder.c_str());
      return false;
    }
    folder_ = folder;
    return true;
  }
  std::string folder_;
};

// Large bodies from more clients than there is memory for: some are refused, none is answered wrongly, and the process
// lives.
void ask_for_more_than_there_is(const GatewayHow& how, int clients_at_once) {
  EchoProvider provider;
  Gateway gateway(table(provider.port()), "", how);
  ASSERT_NE(gateway.port(), 0) << gateway.process().errors();
  const std::string body =
      R"({"model":"chat","messages":[],"padding":")" + std::string(24 << 20, 'x') + "\"}";
  const std::string head = head_of("content-length: " + std::to_string(body.size()));
  int answered = 0, refused = 0, other = 0;
  std::vector<std::unique_ptr<BlockingClient>> clients;
  std::vector<std::thread> threads;
  for (int i = 0; i < clients_at_once; ++i) {
    clients.push_back(std::make_unique<BlockingClient>(gateway.port()));
    threads.emplace_back([&, client = clients.back().get()] {
      client->send(head);
      client->send(std::string_view(body).substr(0, body.size() - 1));  // a refusal may come before the end
    });
  }
  for (auto& thread : threads) thread.join();
  for (auto& client : clients) {
    client->send("}");
    const int status = client->receive().status;
    // 408: on a machine this busy a body may come too slowly.
    ++(status == 200 ? answered : status == 503 || status == 408 ? refused : other);
  }
  EXPECT_GT(answered, 0);
  EXPECT_GT(refused, 0);
  EXPECT_EQ(other, 0);
  clients.clear();
  BlockingClient client(gateway.port());
  client.send(chat_request());
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(gateway.process().stop(), 0);
}

class WithoutMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "sanitizers map terabytes";
  }
};

TEST_F(WithoutMemory, OfAddressesItRefusesAndGoesOn) {
  ask_for_more_than_there_is({.shards = 1, .ulimit = "-v 3000000"}, 80);
}

TEST_F(WithoutMemory, ItSaysWhichOfItsTablesThereIsNoMemoryFor) {
  const weir::testing::TemporaryFolder folder;
  folder.write("table.json", table(1));
  const std::string config = folder.write("weir.yaml",
                                          "listen: \"127.0.0.1:0\"\nshards: 1\ntable: "
                                          "table.json\nkey_hash_secret: \"${KEY_SECRET}\"\nregistry: none\n"
                                          "admin: { socket: admin.sock }\nlimits: { cache_memory: " +
                                              std::to_string(routing::kMaxCacheMemoryBytes) + " }\n");
  const auto result = weir::testing::run(
      "/bin/bash",
      {.arguments = {"-c", R"(ulimit -v 3000000; exec "$0" serve --config "$1")", WEIR_BINARY, config},
       .environment = {{"KEY_SECRET", std::string(kKeySecret)}}});
  EXPECT_EQ(result.exit_code, 1) << result.errors;
  EXPECT_NE(result.errors.find("limits.cache_memory: the system does not give 68719476736 bytes"),
            std::string::npos)
      << result.errors;
}

// Half a gigabyte of it is what tables of a fixed size are mapped with.
TEST_F(WithoutMemory, OfDataItRefusesAndGoesOn) {
  ask_for_more_than_there_is({.shards = 1, .ulimit = "-d 1200000"}, 60);
}

// What its own limits bound it to fits (kMaxBufferBytesPerShard, receive memory, and some): nobody has to end it.
TEST_F(WithoutMemory, OfAControlGroupItRefusesAndGoesOn) {
  const MemoryGroup group(uint64_t{limits::kMaxBufferBytesPerShard} + (512u << 20));
  if (!group) GTEST_SKIP() << "no control group can be made here";
  ask_for_more_than_there_is({.shards = 1, .control_group = group.processes()}, 80);
}

}  // namespace
}  // namespace weir::tests::memory_test
