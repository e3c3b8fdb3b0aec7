#include "routing/inspect/json_index.h"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// A kernel is one function compiled for its vectors; what it calls must become part of it.
#define WEIR_INLINE [[gnu::always_inline]] inline

namespace weir::routing {
namespace {

constexpr uint32_t kBlock = 64;
constexpr uint32_t kBadHex = 0xffff'ffff;

// The value of a hexadecimal digit; more than 0xffff for any other byte.
constexpr std::array<uint32_t, 256> kHexDigit = [] {
  std::array<uint32_t, 256> table{};
  table.fill(0x1'0000);
  for (uint32_t i = 0; i < 10; ++i) table['0' + i] = i;
  for (uint32_t i = 0; i < 6; ++i) table['a' + i] = table['A' + i] = 10 + i;
  return table;
}();

// The code unit of four hexadecimal digits, or kBadHex. No branches: millions of them may come, in any mixture.
uint32_t hex4(const uint8_t* digits) {
  const uint32_t unit = kHexDigit[digits[0]] << 12 | kHexDigit[digits[1]] << 8 | kHexDigit[digits[2]] << 4 |
                        kHexDigit[digits[3]];
  return unit > 0xffff ? kBadHex : unit;
}

// ---- 64 bytes as bit masks: bit i of every word stands for byte i ----

struct Block {
  uint64_t quotes;
  uint64_t controls;     // below 0x20
  uint64_t blanks;       // space, tab, line feed, carriage return
  uint64_t punctuation;  // { } [ ] : ,  (perhaps also 0x0c and 0x1a, which no grammar accepts)
};

// Which bytes of a block are escaped. `carry` says on entry whether the block before ends with a backslash
// that escapes byte 0, on return the same for the next block.
//
// In a run of backslashes every second one, from the first on, escapes the byte after it. So in runs that
// begin at an even position those at even positions escape, in the other runs those at odd ones. Adding the
// first bit of a run to the run moves it, as a carry, into the gap behind: that tells the even runs from the
// odd ones.
WEIR_INLINE uint64_t find_escaped(uint64_t backslashes, uint64_t& carry) {
  if ((backslashes & (backslashes << 1 | carry)) == 0) [[likely]] {  // no two in a row
    const uint64_t escaped = backslashes << 1 | carry;
    carry = backslashes >> 63;
    return escaped;
  }
  constexpr uint64_t kEven = 0x5555'5555'5555'5555;
  backslashes &= ~carry;
  const uint64_t even_starts = backslashes & ~(backslashes << 1) & kEven;
  const uint64_t even_runs = backslashes & ~(backslashes + even_starts);
  const uint64_t odd_runs = backslashes & ~even_runs;
  const uint64_t escaping = (even_runs & kEven) | (odd_runs & ~kEven);
  const uint64_t escaped = escaping << 1 | carry;
  carry = escaping >> 63;
  return escaped;
}

}  // namespace

// What the kernels share; all of it is inlined into each of them and so compiled for its vectors.
struct IndexKernels {
  // The part of TokenIndex that changes from block to block, kept in registers by a kernel.
  struct Run {
    const uint8_t* document;
    uint32_t* out;
    uint64_t in_string;
    uint64_t escape;
    uint64_t in_scalar;
    uint64_t backslashes;
    uint64_t fault;  // non-zero once something was wrong
    uint32_t at;
    uint32_t size;
    uint32_t paired_low;
  };

  WEIR_INLINE static Run begin(TokenIndex& index) {
    return {.document = index.document_,
            .out = index.positions_.data() + index.count_,
            .in_string = index.in_string_,
            .escape = index.escape_,
            .in_scalar = index.in_scalar_,
            .backslashes = index.backslashes_,
            .fault = 0,
            .at = index.at_,
            .size = index.size_,
            .paired_low = index.paired_low_};
  }
  WEIR_INLINE static void end(TokenIndex& index, const Run& run, bool not_ascii) {
    index.in_string_ = run.in_string;
    index.escape_ = run.escape;
    index.in_scalar_ = run.in_scalar;
    index.backslashes_ = run.backslashes;
    index.at_ = run.at;
    index.paired_low_ = run.paired_low;
    index.not_ascii_ |= not_ascii;
    index.count_ = static_cast<uint32_t>(run.out - index.positions_.data());
    // At the end of the document no string may be open. An escape at the end is inside a string or rubbish.
    index.fault_ = run.fault != 0 || (run.at >= run.size && run.in_string != 0);
  }
  WEIR_INLINE static bool more(const TokenIndex& index, const Run& run) {
    return run.at < run.size && run.out < index.positions_.data() + TokenIndex::kBatch;
  }

  // Reads at most 11 bytes beyond the 'u', in the document itself.
  static bool unicode_escape_is_valid(Run& run, uint32_t u) {
    if (u == run.paired_low) return true;  // looked at with its first half
    const uint8_t* at = run.document + u;
    const uint32_t unit = hex4(at + 1);
    if (unit == kBadHex) return false;
    if ((unit & 0xf800) != 0xd800) return true;
    if (unit >= 0xdc00) return false;
    if (at[5] != '\\' || at[6] != 'u') return false;
    const uint32_t low = hex4(at + 7);
    if (low == kBadHex || (low & 0xfc00) != 0xdc00) return false;
    run.paired_low = u + 6;
    return true;
  }

  // Checks the escaped bytes that are none of " \ / b f n r t, wherever they stand: outside a string a
  // backslash is rubbish anyway.
  WEIR_INLINE static void check_unusual_escapes(Run& run, uint64_t unusual) {
    for (uint64_t left = unusual; left != 0; left &= left - 1) {
      const auto at = run.at + static_cast<uint32_t>(__builtin_ctzll(left));
      if (at >= run.size || run.document[at] != 'u' || !unicode_escape_is_valid(run, at)) run.fault = 1;
    }
  }

  // Tells strings, punctuation and the starts of other runs apart. `insides` is a bit per byte from an
  // opening quote up to, not including, the closing one, before what the blocks before have to say. Returns
  // the tokens.
  WEIR_INLINE static uint64_t tokens(Run& run, const Block& block, uint64_t insides) {
    const uint64_t strings = insides ^ run.in_string;
    run.in_string = static_cast<uint64_t>(static_cast<int64_t>(strings) >> 63);
    run.fault |= block.controls & strings;
    const uint64_t outside = ~(strings | block.quotes);
    const uint64_t scalars = outside & ~(block.punctuation | block.blanks);
    const uint64_t scalar_starts = scalars & ~(scalars << 1 | run.in_scalar);
    run.in_scalar = scalars >> 63;
    return block.quotes | (block.punctuation & outside) | scalar_starts;
  }

  // Lists the positions of the set bits. Writes eight at a time, so up to seven (never read) too many.
  WEIR_INLINE static void list(Run& run, uint64_t bits) {
    uint32_t* out = run.out;
    run.out += __builtin_popcountll(bits);
    while (bits != 0) {
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) {
        out[i] = run.at + static_cast<uint32_t>(__builtin_ctzll(bits | uint64_t{1} << 63));
        bits &= bits - 1;
      }
      out += 8;
    }
  }
};

namespace {

// ---- kernels: each fills the batch until it is nearly full or the document ends ----

bool is_simple_escape(uint8_t byte) {
  constexpr std::string_view kSimple = "\"\\/bfnrt";
  return kSimple.find(static_cast<char>(byte)) != std::string_view::npos;
}

// Compiler vectors: SSE2 on x86-64, NEON on AArch64. A comparison answers all ones or zero for each byte.
using Vector = uint8_t __attribute__((vector_size(16)));
constexpr uint32_t kVectors = kBlock / sizeof(Vector);

struct Bytes {
  std::array<Vector, kVectors> vector;
};

// Applies a test to all bytes; bit i of the answer is byte i's. Neither architecture packs bytes to bits
// cheaply in compiler vectors: a multiplication adds up eight bytes of one bit each.
template <typename Test>
uint64_t mask_of(const Bytes& bytes, Test test) {
  uint64_t mask = 0;
  for (uint32_t i = 0; i < kVectors; ++i) {
    const auto words = std::bit_cast<std::array<uint64_t, 2>>(test(bytes.vector[i]));
    for (uint32_t k = 0; k < 2; ++k) {
      const uint64_t eight = (words[k] & 0x8040'2010'0804'0201) * 0x0101'0101'0101'0101 >> 56;
      mask |= eight << (16 * i + 8 * k);
    }
  }
  return mask;
}
uint64_t mask_of(const Bytes& bytes, char wanted) {
  return mask_of(bytes, [=](Vector v) { return v == static_cast<uint8_t>(wanted); });
}
bool any(Vector vector) {
  const auto words = std::bit_cast<std::array<uint64_t, 2>>(vector);
  return (words[0] | words[1]) != 0;
}

// Bit i = parity of the bits up to and including i: turns quotes into the insides of strings.
uint64_t prefix_xor(uint64_t bits) {
  for (int shift = 1; shift < 64; shift *= 2) bits ^= bits << shift;
  return bits;
}

void fill_portable(TokenIndex& index) {
  IndexKernels::Run run = IndexKernels::begin(index);
  Vector all = {};
  for (; IndexKernels::more(index, run); run.at += kBlock) {
    Bytes bytes;
    std::memcpy(&bytes, run.document + run.at, kBlock);
    if (const uint32_t left = run.size - run.at; left < kBlock) {
      std::memset(reinterpret_cast<char*>(&bytes) + left, ' ', kBlock - left);
    }
    Vector special = {};
    for (const Vector v : bytes.vector) {
      all |= v;
      special |= reinterpret_cast<Vector>(((v ^ 2) <= 0x20) | (v == '\\'));
    }
    if (run.in_string != 0 && run.escape == 0 && !any(special)) continue;
    Block block;
    block.quotes = mask_of(bytes, '"');
    const uint64_t backslashes = mask_of(bytes, '\\');
    if ((backslashes | run.escape) != 0) {
      run.backslashes |= backslashes;
      const uint64_t escaped = find_escaped(backslashes, run.escape);
      uint64_t unusual = 0;
      for (uint64_t left = escaped; left != 0; left &= left - 1) {
        const uint8_t byte = run.document[run.at + static_cast<uint32_t>(__builtin_ctzll(left))];
        if (!is_simple_escape(byte)) unusual |= left & -left;
      }
      if (unusual != 0) IndexKernels::check_unusual_escapes(run, unusual);
      block.quotes &= ~escaped;
    }
    block.controls = mask_of(bytes, [](Vector v) { return v < 0x20; });
    if (run.in_string != 0 && (block.quotes | block.controls) == 0) continue;  // the string goes on
    block.blanks =
        mask_of(bytes, [](Vector v) { return (v == ' ') | (v == '\t') | (v == '\n') | (v == '\r'); });
    block.punctuation = mask_of(
        bytes, [](Vector v) { return ((v | 0x20) == '{') | ((v | 0x20) == '}') | (v == ':') | (v == ','); });
    IndexKernels::list(run, IndexKernels::tokens(run, block, prefix_xor(block.quotes)));
  }
  IndexKernels::end(index, run, any(all & 0x80));
}

#if defined(__x86_64__)

// Tables for shuffles by low nibble. A byte is a blank (punctuation) if the table answers the byte itself
// (the byte with bit 5 set, which makes one of each pair of brackets). The shuffle answers 0 for bytes above
// 0x7f; 0 never equals such a byte.
alignas(16) constexpr uint8_t kBlanks[16] = {' ',  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                             0xff, '\t', '\n', 0xff, 0xff, '\r', 0xff, 0xff};
alignas(16) constexpr uint8_t kPunctuation[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                  0xff, 0xff, ':',  '{',  ',',  '}',  0xff, 0xff};
// Bytes that may stand after a backslash, as sets of low nibbles for each high nibble:
//   set 1: 2_ {2 F} " /      set 2: 5_ {C} backslash      set 4: 6_ {2 6 E} b f n      set 8: 7_ {2 4} r t
alignas(16) constexpr uint8_t kLowNibbles[16] = {0, 0, 1 | 4 | 8, 0, 8, 0, 4, 0, 0, 0, 0, 0, 2, 0, 4, 1};
alignas(16) constexpr uint8_t kHighNibbles[16] = {0, 0, 1, 0, 0, 2, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0};

alignas(64) constexpr std::array<uint8_t, kBlock> kCounting = [] {
  std::array<uint8_t, kBlock> counting{};
  for (uint32_t i = 0; i < kBlock; ++i) counting[i] = static_cast<uint8_t>(i);
  return counting;
}();

// Inside a string a byte is special if it is a quote, a control character or a backslash. The first two are
// found by one comparison: (byte ^ 2) <= 0x20 holds for exactly U+0000..U+001F and the quote.

#define WEIR_AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt,pclmul")))

struct Avx2 {
  __m256i low;
  __m256i high;
};

// 64 bytes, those after the end of the document replaced by blanks.
WEIR_AVX2 inline Avx2 load_avx2(const uint8_t* at, uint32_t left) {
  Avx2 bytes{_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)),
             _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + 32))};
  if (left >= kBlock) [[likely]]
    return bytes;
  const auto* counting = reinterpret_cast<const __m256i*>(kCounting.data());
  const __m256i limit = _mm256_set1_epi8(static_cast<char>(left));
  const __m256i blank = _mm256_set1_epi8(' ');
  bytes.low = _mm256_blendv_epi8(blank, bytes.low, _mm256_cmpgt_epi8(limit, _mm256_load_si256(counting)));
  bytes.high =
      _mm256_blendv_epi8(blank, bytes.high, _mm256_cmpgt_epi8(limit, _mm256_load_si256(counting + 1)));
  return bytes;
}

WEIR_AVX2 inline __m256i table_avx2(const uint8_t* table) {
  return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(table)));
}
WEIR_AVX2 inline uint64_t mask_avx2(__m256i low, __m256i high) {
  return static_cast<uint32_t>(_mm256_movemask_epi8(low)) |
         static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_epi8(high))) << 32;
}
WEIR_AVX2 inline uint64_t equal_avx2(Avx2 bytes, char byte) {
  const __m256i wanted = _mm256_set1_epi8(byte);
  return mask_avx2(_mm256_cmpeq_epi8(bytes.low, wanted), _mm256_cmpeq_epi8(bytes.high, wanted));
}
WEIR_AVX2 inline __m256i special_avx2(__m256i bytes) {
  const __m256i folded = _mm256_xor_si256(bytes, _mm256_set1_epi8(2));
  return _mm256_or_si256(_mm256_cmpeq_epi8(_mm256_min_epu8(folded, _mm256_set1_epi8(0x20)), folded),
                         _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\\')));
}
WEIR_AVX2 inline __m256i control_avx2(__m256i bytes) {
  return _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f)), bytes);
}
WEIR_AVX2 inline __m256i blank_avx2(__m256i bytes) {
  return _mm256_cmpeq_epi8(_mm256_shuffle_epi8(table_avx2(kBlanks), bytes), bytes);
}
WEIR_AVX2 inline __m256i punctuation_avx2(__m256i bytes) {
  return _mm256_cmpeq_epi8(_mm256_shuffle_epi8(table_avx2(kPunctuation), bytes),
                           _mm256_or_si256(bytes, _mm256_set1_epi8(0x20)));
}
WEIR_AVX2 inline __m256i not_simple_avx2(__m256i bytes) {
  const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(0x0f));
  const __m256i sets = _mm256_and_si256(_mm256_shuffle_epi8(table_avx2(kLowNibbles), bytes),
                                        _mm256_shuffle_epi8(table_avx2(kHighNibbles), high));
  return _mm256_cmpeq_epi8(sets, _mm256_setzero_si256());
}

// Carry-less multiplication by all ones is the prefix xor.
WEIR_AVX2 inline uint64_t insides_avx2(uint64_t quotes) {
  const __m128i product =
      _mm_clmulepi64_si128(_mm_set_epi64x(0, static_cast<long long>(quotes)), _mm_set1_epi8(-1), 0);
  return static_cast<uint64_t>(_mm_cvtsi128_si64(product));
}

// In the middle of a string, at a block without special bytes: goes on to the last such one.
WEIR_AVX2 inline void skip_plain_avx2(IndexKernels::Run& run, __m256i& all) {
  while (run.size - run.at >= 2 * kBlock) {
    const auto* at = reinterpret_cast<const __m256i*>(run.document + run.at + kBlock);
    const __m256i low = _mm256_loadu_si256(at);
    const __m256i high = _mm256_loadu_si256(at + 1);
    const __m256i special = _mm256_or_si256(special_avx2(low), special_avx2(high));
    if (!_mm256_testz_si256(special, special)) return;
    all = _mm256_or_si256(all, _mm256_or_si256(low, high));
    run.at += kBlock;
  }
}

WEIR_AVX2 void fill_avx2(TokenIndex& index) {
  IndexKernels::Run run = IndexKernels::begin(index);
  __m256i all = _mm256_setzero_si256();
  for (; IndexKernels::more(index, run); run.at += kBlock) {
    const Avx2 bytes = load_avx2(run.document + run.at, run.size - run.at);
    all = _mm256_or_si256(all, _mm256_or_si256(bytes.low, bytes.high));
    if (run.in_string != 0) {
      const __m256i special = _mm256_or_si256(special_avx2(bytes.low), special_avx2(bytes.high));
      if (_mm256_testz_si256(special, special) && run.escape == 0) {
        skip_plain_avx2(run, all);
        continue;
      }
    }
    Block block;
    block.quotes = equal_avx2(bytes, '"');
    const uint64_t backslashes = equal_avx2(bytes, '\\');
    if ((backslashes | run.escape) != 0) {
      run.backslashes |= backslashes;
      const uint64_t escaped = find_escaped(backslashes, run.escape);
      const uint64_t unusual = escaped & mask_avx2(not_simple_avx2(bytes.low), not_simple_avx2(bytes.high));
      if (unusual != 0) IndexKernels::check_unusual_escapes(run, unusual);
      block.quotes &= ~escaped;
    }
    block.controls = mask_avx2(control_avx2(bytes.low), control_avx2(bytes.high));
    if (run.in_string != 0 && (block.quotes | block.controls) == 0) continue;  // the string goes on
    block.blanks = mask_avx2(blank_avx2(bytes.low), blank_avx2(bytes.high));
    block.punctuation = mask_avx2(punctuation_avx2(bytes.low), punctuation_avx2(bytes.high));
    IndexKernels::list(run, IndexKernels::tokens(run, block, insides_avx2(block.quotes)));
  }
  IndexKernels::end(index, run, _mm256_movemask_epi8(all) != 0);
}

#define WEIR_AVX512 \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,bmi,bmi2,popcnt,pclmul")))

WEIR_AVX512 inline __m512i table_avx512(const uint8_t* table) {
  return _mm512_maskz_broadcast_i32x4(0xffff, _mm_load_si128(reinterpret_cast<const __m128i*>(table)));
}

template <int kLane>
WEIR_AVX512 inline void list_lane(uint32_t* out, __m512i base, __m512i packed) {
  const __m128i lane = _mm512_maskz_extracti32x4_epi32(0xf, packed, kLane);
  _mm512_storeu_si512(out + 16 * kLane, _mm512_add_epi32(base, _mm512_maskz_cvtepu8_epi32(0xffff, lane)));
}

// Lists the positions of the set bits: packs their numbers, then widens sixteen at a time.
WEIR_AVX512 inline void list_avx512(IndexKernels::Run& run, uint64_t bits) {
  const __m512i packed = _mm512_maskz_compress_epi8(bits, _mm512_load_si512(kCounting.data()));
  const __m512i base = _mm512_set1_epi32(static_cast<int>(run.at));
  const auto count = static_cast<uint32_t>(__builtin_popcountll(bits));
  list_lane<0>(run.out, base, packed);
  if (count > 16) {
    list_lane<1>(run.out, base, packed);
    if (count > 32) {
      list_lane<2>(run.out, base, packed);
      list_lane<3>(run.out, base, packed);
    }
  }
  run.out += count;
}

WEIR_AVX512 inline __mmask64 special_avx512(__m512i bytes) {
  return _kor_mask64(
      _mm512_cmple_epu8_mask(_mm512_xor_si512(bytes, _mm512_set1_epi8(2)), _mm512_set1_epi8(0x20)),
      _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\\')));
}

// In the middle of a string, at a block without special bytes: goes on, by two blocks, to the last such one.
WEIR_AVX512 inline void skip_plain_avx512(IndexKernels::Run& run, __m512i& all) {
  while (run.size - run.at >= 3 * kBlock) {
    const uint8_t* at = run.document + run.at + kBlock;
    const __m512i first = _mm512_loadu_si512(at);
    const __m512i second = _mm512_loadu_si512(at + kBlock);
    if (!_kortestz_mask64_u8(special_avx512(first), special_avx512(second))) return;
    all = _mm512_or_si512(all, _mm512_or_si512(first, second));
    run.at += 2 * kBlock;
  }
}

WEIR_AVX512 void fill_avx512(TokenIndex& index) {
  IndexKernels::Run run = IndexKernels::begin(index);
  __m512i all = _mm512_setzero_si512();
  for (; IndexKernels::more(index, run); run.at += kBlock) {
    const uint32_t left = run.size - run.at;
    const uint8_t* at = run.document + run.at;
    const __m512i bytes = left >= kBlock
                              ? _mm512_loadu_si512(at)
                              : _mm512_mask_loadu_epi8(_mm512_set1_epi8(' '), (uint64_t{1} << left) - 1, at);
    all = _mm512_or_si512(all, bytes);
    const uint64_t backslashes = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\\'));
    const uint64_t stops =
        _mm512_cmple_epu8_mask(_mm512_xor_si512(bytes, _mm512_set1_epi8(2)), _mm512_set1_epi8(0x20));
    uint64_t escaped = 0;
    if ((backslashes | run.escape) != 0) {
      run.backslashes |= backslashes;
      escaped = find_escaped(backslashes, run.escape);
      const __m512i high = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), _mm512_set1_epi8(0x0f));
      const uint64_t unusual =
          escaped & _mm512_testn_epi8_mask(_mm512_shuffle_epi8(table_avx512(kLowNibbles), bytes),
                                           _mm512_shuffle_epi8(table_avx512(kHighNibbles), high));
      if (unusual != 0) IndexKernels::check_unusual_escapes(run, unusual);
    }
    if (run.in_string != 0 && (stops & ~escaped) == 0) {  // the string goes on
      if (backslashes == 0) skip_plain_avx512(run, all);
      continue;
    }
    Block block;
    block.quotes = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('"'));
    block.controls = stops & ~block.quotes;
    block.quotes &= ~escaped;
    block.blanks = _mm512_cmpeq_epi8_mask(_mm512_shuffle_epi8(table_avx512(kBlanks), bytes), bytes);
    block.punctuation = _mm512_cmpeq_epi8_mask(_mm512_shuffle_epi8(table_avx512(kPunctuation), bytes),
                                               _mm512_or_si512(bytes, _mm512_set1_epi8(0x20)));
    list_avx512(run, IndexKernels::tokens(run, block, insides_avx2(block.quotes)));
  }
  IndexKernels::end(index, run, _mm512_movepi8_mask(all) != 0);
}

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
         __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("pclmul");
}
// From Ice Lake and Zen 4 on: the generations before lower their clock for 512-bit work.
bool has_fast_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vbmi2");
}

#endif  // __x86_64__

using Kernel = void (*)(TokenIndex&);

Kernel kernel_named(std::string_view name) {
  if (name == "portable") return fill_portable;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (name == "avx2" && has_avx2()) return fill_avx2;
  if (name == "avx512" && has_fast_avx512()) return fill_avx512;
#endif
  return nullptr;
}

Kernel best_kernel() {
  for (const std::string_view name : {"avx512", "avx2"}) {
    if (const Kernel kernel = kernel_named(name)) return kernel;
  }
  return fill_portable;
}

constinit Kernel kernel_in_use = fill_portable;  // until dynamic initialisation has chosen
[[maybe_unused]] const bool kKernelChosen = (kernel_in_use = best_kernel(), true);

}  // namespace

bool TokenIndex::next_batch(uint32_t keep) {
  if (fault_ || at_ >= size_) return false;
  std::memmove(positions_.data(), positions_.data() + count_ - keep, keep * sizeof(uint32_t));
  count_ = keep;
  while (at_ < size_ && count_ < keep + kLookAhead && !fault_) kernel_in_use(*this);
  if (at_ >= size_) std::fill_n(positions_.data() + count_, kLookAhead, size_);
  return count_ != 0 && !fault_;
}

bool TokenIndex::is_utf8() const {
  return !not_ascii_ || simdjson::validate_utf8(reinterpret_cast<const char*>(document_), size_);
}

bool use_json_kernel(std::string_view name) {
  const Kernel kernel = kernel_named(name);
  if (kernel == nullptr) return false;
  kernel_in_use = kernel;
  return true;
}

std::string_view json_kernel() {
  for (const std::string_view name : {"avx512", "avx2"}) {
    if (kernel_named(name) == kernel_in_use) return name;
  }
  return "portable";
}

}  // namespace weir::routing
