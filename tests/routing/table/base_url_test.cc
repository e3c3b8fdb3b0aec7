#include "routing/table/base_url.h"

#include <gtest/gtest.h>

#include <string>

#include "core/limits.h"

namespace weir::routing {
namespace {

TEST(BaseUrl, IsTakenApart) {
  const auto url = parse_base_url("https://API.openai.com/v1/");
  ASSERT_TRUE(url.has_value());
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->host, "api.openai.com");
  EXPECT_EQ(url->port, 443);
  EXPECT_EQ(url->host_header, "api.openai.com");
  EXPECT_EQ(url->path_prefix, "/v1");
}

TEST(BaseUrl, NamesThePortOnlyWhenItIsNotTheSchemesOwn) {
  EXPECT_EQ(parse_base_url("http://127.0.0.1:8080")->host_header, "127.0.0.1:8080");
  EXPECT_EQ(parse_base_url("http://127.0.0.1:80")->host_header, "127.0.0.1");
  EXPECT_EQ(parse_base_url("https://a.example:443")->host_header, "a.example");
  EXPECT_EQ(parse_base_url("https://a.example:80")->host_header, "a.example:80");
  EXPECT_EQ(parse_base_url("http://127.0.0.1:8080")->path_prefix, "");
}

TEST(BaseUrl, BoundsItsPath) {
  const std::string longest = "/" + std::string(core::limits::kMaxBasePathBytes - 1, 'a');
  EXPECT_EQ(parse_base_url("http://127.0.0.1" + longest)->path_prefix, longest);
  EXPECT_FALSE(parse_base_url("http://127.0.0.1" + longest + "a").has_value());
}

TEST(BaseUrl, TakesIpv6InBrackets) {
  const auto url = parse_base_url("http://[::1]:9000/a/b");
  ASSERT_TRUE(url.has_value());
  EXPECT_EQ(url->host, "::1");
  EXPECT_EQ(url->port, 9000);
  EXPECT_EQ(url->host_header, "[::1]:9000");
  EXPECT_EQ(url->path_prefix, "/a/b");
}

TEST(BaseUrl, RefusesWhatIsAmbiguous) {
  for (const char* text : {"",
                           "api.openai.com",
                           "ftp://a.example",
                           "HTTP://a.example",
                           "http://",
                           "http:///v1",
                           "https://user@a.example",
                           "https://user:secret@a.example",
                           "https://a.example/?x=1",
                           "https://a.example#f",
                           "https://a.example:",
                           "https://a.example:0",
                           "https://a.example:65536",
                           "https://a.example:8x",
                           "https://a.example:-1",
                           "http://::1",
                           "http://[::1",
                           "http://[a.example]",
                           "http://[127.0.0.1]",
                           "http://[::1]x",
                           "http://a..example",
                           "http://.a",
                           "http://a.example.",
                           "http://a b",
                           "http://a.example/v 1",
                           "http://a.example//v1",
                           "http://a.example/../v1",
                           "http://a.example/./v1",
                           "http://a.example/%2e",
                           "http://2852039166",
                           "http://0xa9fea9fe",
                           "http://169.254.43518",
                           "http://0251.0376.0.1",
                           "http://127.1"}) {
    EXPECT_FALSE(parse_base_url(text).has_value()) << text;
  }
}

TEST(BaseUrl, RefusesLabelsAndNamesLongerThanDns) {
  EXPECT_TRUE(parse_base_url("http://" + std::string(63, 'a') + ".example").has_value());
  EXPECT_FALSE(parse_base_url("http://" + std::string(64, 'a') + ".example").has_value());
}

TEST(LinkLocal, IsSeenInEveryNotation) {
  for (const char* host :
       {"169.254.169.254", "169.254.0.1", "fe80::1", "febf::1", "fd00:ec2::254", "::ffff:169.254.169.254",
        "::169.254.1.1", "64:ff9b::a9fe:a9fe", "metadata.google.internal", "METADATA.google.internal",
        "metadata.google.internal.", "100.100.100.200"}) {
    EXPECT_TRUE(is_link_local(host)) << host;
  }
  for (const char* host : {"127.0.0.1", "10.0.0.1", "169.253.1.1", "::1", "fec0::1", "fd00::1",
                           "api.openai.com", "metadata.example"}) {
    EXPECT_FALSE(is_link_local(host)) << host;
  }
}

}  // namespace
}  // namespace weir::routing
