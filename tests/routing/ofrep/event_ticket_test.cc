#include "routing/ofrep/event_ticket.h"

#include "tests/routing/ofrep/ofrep_fixture.h"

namespace weir::routing {
namespace {

constexpr int64_t kDay = 86'400'000'000'000;
constexpr int64_t kNoon = 20'000 * kDay + kDay / 2;

class EventTickets : public Ofrep {
 protected:
  std::string ticket(std::string_view of, int64_t wall_now_ns = kNoon,
                     std::string_view secret = "secret") const {
    std::array<uint8_t, 256> room;
    ScratchWriter out(room);
    render_event_ticket(KeyHasher(secret), of, wall_now_ns, out);
    EXPECT_FALSE(out.overflowed());
    return std::string(out.text(0, out.size()));
  }
  bool good(std::string_view text, int64_t wall_now_ns = kNoon) const {
    return is_event_ticket(KeyHasher("secret"), *table.tenants, text, wall_now_ns);
  }
};

TEST_F(EventTickets, AreGoodOnTheirDayAndTheNext) {
  const std::string text = ticket("a");
  EXPECT_TRUE(text.starts_with("20000.a.")) << text;
  EXPECT_TRUE(good(text));
  EXPECT_EQ(text, ticket("a", kNoon + kDay / 3)) << "addresses must not change with every answer";
  EXPECT_TRUE(good(text, kNoon + kDay));
  EXPECT_FALSE(good(text, kNoon + 2 * kDay));
  EXPECT_FALSE(good(text, kNoon - kDay));
}

TEST_F(EventTickets, AreGoodForTheirTenantWhileThereIsOne) {
  EXPECT_FALSE(good(ticket("nobody")));
  std::string text = ticket("a");
  text[text.find(".a.") + 1] = 'b';
  EXPECT_FALSE(good(text));
}

TEST_F(EventTickets, OfAnotherSecretOrChangedAnywhereAreNoGood) {
  EXPECT_FALSE(good(ticket("a", kNoon, "another secret")));
  const std::string text = ticket("a");
  for (size_t i = 0; i < text.size(); i++) {
    std::string changed = text;
    changed[i] = changed[i] == '1' ? '2' : '1';
    EXPECT_FALSE(good(changed)) << changed;
    EXPECT_FALSE(good(text.substr(0, i)));
  }
  for (const char* other : {"", ".", "..", "a.b", "20000.a.", "20000..00000000000000000000000000000000",
                            "99999999999999999999.a.00000000000000000000000000000000"}) {
    EXPECT_FALSE(good(other)) << other;
  }
}

}  // namespace
}  // namespace weir::routing
