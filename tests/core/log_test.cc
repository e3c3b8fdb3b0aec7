#include "core/log.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "core/limits.h"
#include "core/strong.h"

namespace weir::core {
namespace {

class LogTest : public ::testing::Test {
 protected:
  LogTest() {
    lines.clear();
    reachable = true;
    set_log_sink({write, [] { return int64_t{1'796'115'600} * 1'000'000'000; }});
  }
  ~LogTest() override {
    reset_log_sink();
    set_log_level(LogLevel::info);
  }
  static bool write(std::string_view line) {
    if (reachable) lines.emplace_back(line);
    return reachable;
  }
  // What the last line says after its event.
  static std::string rest() {
    const std::string& line = lines.back();
    const size_t event = line.find("\"event\":\"e\"");
    return event == std::string::npos ? line : line.substr(event + 11);
  }

  static inline std::vector<std::string> lines;
  static inline bool reachable = true;
};

TEST_F(LogTest, WritesOneJsonObjectPerLine) {
  const std::string address = "[::]:8080";
  log_info("listening", {{"address", address}, {"shard", 3u}, {"delta", -1}, {"tls", true}, {"kind", "tcp"}});
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0], R"({"time":"2026-12-01T09:00:00.000Z","level":"info","event":"listening",)"
                      R"("address":"[::]:8080","shard":3,"delta":-1,"tls":true,"kind":"tcp"})"
                      "\n");
}

TEST_F(LogTest, NamesItsLevel) {
  set_log_level(LogLevel::debug);
  log_debug("e");
  log_info("e");
  log_warning("e");
  log_error("e");
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_NE(lines[0].find(R"("level":"debug")"), std::string::npos);
  EXPECT_NE(lines[2].find(R"("level":"warning")"), std::string::npos);
  EXPECT_NE(lines[3].find(R"("level":"error")"), std::string::npos);
}

TEST_F(LogTest, LeavesOutLinesBelowTheLevel) {
  log_debug("e");
  set_log_level(LogLevel::error);
  log_warning("e");
  EXPECT_TRUE(lines.empty());
  log_error("e");
  EXPECT_EQ(lines.size(), 1u);
}

TEST_F(LogTest, KeepsHostileTextInsideItsValue) {
  log_info("e", {{"target", "x\"}\n{\"level\":\"error\",\"event\":\"forged\"\u202e"}});
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(rest(),
            ",\"target\":\"x\\\"}\\n{\\\"level\\\":\\\"error\\\",\\\"event\\\":\\\"forged\\\"\\u202e\"}\n");
}

TEST_F(LogTest, CutsAValueAtkMaxLogValueBytes) {
  log_info("e", {{"a", std::string(limits::kMaxLogValueBytes, 'x')}});
  EXPECT_EQ(rest(), ",\"a\":\"" + std::string(limits::kMaxLogValueBytes, 'x') + "\"}\n");
  log_info("e", {{"a", std::string(limits::kMaxLogValueBytes + 1, 'x')}});
  EXPECT_EQ(rest(), ",\"a\":\"" + std::string(limits::kMaxLogValueBytes, 'x') + "\u2026\"}\n");
}

TEST_F(LogTest, KeepsALineWithinkMaxLogLineBytes) {
  const std::string plain(1000, 'x');
  const std::string escaped(1000, '\x01');  // six bytes each
  log_info("e", {{"a", plain}, {"b", escaped}, {"c", plain}, {"d", plain}, {"e", 5}, {"f", plain}});
  EXPECT_LE(lines.back().size(), limits::kMaxLogLineBytes);
  EXPECT_EQ(rest(), ",\"a\":\"" + plain + "\",\"c\":\"" + plain + "\",\"d\":\"" + plain +
                        "\",\"e\":5,\"truncated\":true}\n")
      << "what fits is kept, however much did not fit before it";
  for (size_t size = 0; size < 1000; ++size) {
    log_info("e", {{"a", plain}, {"b", plain}, {"c", plain}, {"d", std::string(size, 'y')}});
    ASSERT_LE(lines.back().size(), limits::kMaxLogLineBytes);
    ASSERT_TRUE(lines.back().ends_with("}\n"));
  }
}

TEST_F(LogTest, CountsLinesThatCouldNotBeWritten) {
  reachable = false;
  log_info("e");
  log_info("e");
  reachable = true;
  log_info("e", {{"a", 1}});
  EXPECT_EQ(rest(), ",\"lost_lines\":2,\"a\":1}\n");
  log_info("e", {{"a", 1}});
  EXPECT_EQ(rest(), ",\"a\":1}\n");
}

TEST_F(LogTest, LimitsTheLinesOfACallSitePerSecond) {
  RateLimitedLog limited(2);
  for (int i = 0; i < 10; ++i) limited.log(seconds(5), LogLevel::warning, "e", {{"i", i}});
  ASSERT_EQ(lines.size(), 2u);
  limited.log(seconds(6) - 1, LogLevel::warning, "e");
  ASSERT_EQ(lines.size(), 2u);
  limited.log(seconds(6), LogLevel::warning, "e", {{"i", 99}});
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(rest(), ",\"suppressed\":9,\"i\":99}\n");
  limited.log(seconds(6), LogLevel::warning, "e");
  EXPECT_EQ(rest(), "}\n");
}

TEST_F(LogTest, DoesNotCountUnwantedLinesAsSuppressed) {
  RateLimitedLog limited(1);
  limited.log(0, LogLevel::debug, "e");
  limited.log(0, LogLevel::info, "e");
  EXPECT_EQ(lines.size(), 1u);
}

TEST_F(LogTest, LimitsACallSiteOverAllThreads) {
  static std::atomic<int> written{0};
  written = 0;
  set_log_sink({[](std::string_view) {
                  ++written;
                  return true;
                },
                [] { return int64_t{0}; }});
  RateLimitedLog limited(50);
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) limited.log(seconds(1), LogLevel::info, "e");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(written, 50);
}

TEST(LogToStderr, WritesWholeLinesFromSeveralThreads) {
  ::testing::internal::CaptureStderr();
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([i] {
      for (int n = 0; n < 50; ++n) log_info("e", {{"text", std::string(200, static_cast<char>('a' + i))}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string output = ::testing::internal::GetCapturedStderr();
  size_t count = 0;
  for (size_t begin = 0; begin < output.size(); ++count) {
    const size_t end = output.find('\n', begin);
    ASSERT_NE(end, std::string::npos);
    EXPECT_TRUE(output.substr(begin, end - begin).starts_with("{\"time\":\"2"));
    EXPECT_EQ(output[end - 1], '}');
    begin = end + 1;
  }
  EXPECT_EQ(count, 150u);
}

}  // namespace
}  // namespace weir::core
