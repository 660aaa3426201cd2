/* crc32.c: the CRC-32 of zip archives: by carry-less products where the CPU has them, else by zlib
 * V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009. */
#include "format/crc32.h"

#include <zlib.h>

#include "base/cpu.h"
#include "base/thread.h"

#if defined(__x86_64__)
#include <immintrin.h>

/* The CRC is the remainder of the message as a polynomial. A part of it that is n bits before the end may be replaced
 * by its product with the remainder of x^n, which is 32 bits longer than the polynomial: 64 bits become 96, added to
 * 128 bits further on. Bits are reflected: hence the factors, which are those of x^(n + 32) and x^(n - 32), times 2. */
#define CLMUL __attribute__((target("pclmul,sse4.1")))
#define WIDE_CLMUL __attribute__((target("vpclmulqdq,avx512f,pclmul")))

enum {
    BLOCK = 64,
    AHEAD = 4096, /* bytes: what the processor prefetches by itself ends with each page */
};

CLMUL static inline __m128i fold(__m128i sum, __m128i factors, __m128i next)
{
    const __m128i low = _mm_clmulepi64_si128(sum, factors, 0x00), high = _mm_clmulepi64_si128(sum, factors, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

WIDE_CLMUL static inline __m512i fold_wide(__m512i sum, __m512i factors, __m512i next)
{
    const __m512i low = _mm512_clmulepi64_epi128(sum, factors, 0x00);
    const __m512i high = _mm512_clmulepi64_epi128(sum, factors, 0x11);
    return _mm512_xor_si512(_mm512_xor_si512(low, high), next);
}

CLMUL static inline __m128i load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

/* Adds to the sum, which stands for all before the data, as many blocks as are a multiple of four. Returns how many. */
WIDE_CLMUL static size_t fold_fours(const uint8_t *data, size_t blocks, __m128i sum[4])
{
    const __m512i by_2048 = _mm512_broadcast_i32x4(_mm_set_epi64x(0x1322d1430, 0x11542778a));
    const __m512i by_512 = _mm512_broadcast_i32x4(_mm_set_epi64x(0x1c6e41596, 0x154442bd4));
    const size_t end = blocks / 4 * 4;
    __m512i wide[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_loadu_si512(sum)};
    for (size_t block = 0; block < end; block += 4) {
        for (size_t i = 0; i < 4; i++) {
            const uint8_t *from = data + BLOCK * (block + i);
            _mm_prefetch((const char *)from + AHEAD, _MM_HINT_T0); /* harmless beyond the end */
            wide[i] = fold_wide(wide[i], by_2048, _mm512_loadu_si512(from));
        }
    }
    for (int i = 1; i < 4; i++) {
        wide[i] = fold_wide(wide[i - 1], by_512, wide[i]);
    }
    _mm512_storeu_si512(sum, wide[3]);
    return end;
}

/* Folds whole blocks, of which there is one at least, into 16 bytes with the same CRC. */
CLMUL static void fold_blocks(const uint8_t *data, size_t blocks, bool wide, uint8_t rest[16])
{
    const __m128i by_512 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4), by_128 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    __m128i sum[4];
    for (int i = 0; i < 4; i++) {
        sum[i] = load(data + 16 * i);
    }
    sum[0] = _mm_xor_si128(sum[0], _mm_cvtsi32_si128(-1)); /* the CRC's initial value */
    size_t block = 1;
    if (wide) {
        block += fold_fours(data + BLOCK, blocks - 1, sum);
    }
    for (; block < blocks; block++) {
        _mm_prefetch((const char *)data + BLOCK * block + AHEAD, _MM_HINT_T0);
        for (int i = 0; i < 4; i++) {
            sum[i] = fold(sum[i], by_512, load(data + BLOCK * block + 16 * i));
        }
    }
    for (int i = 1; i < 4; i++) {
        sum[i] = fold(sum[i - 1], by_128, sum[i]);
    }
    _mm_storeu_si128((__m128i *)rest, sum[3]);
}

static uint32_t crc_of(struct bt_span bytes)
{
    const size_t blocks = bytes.size / BLOCK;
    const struct bt_cpu cpu = bt_cpu_features();
    if (blocks == 0 || !cpu.clmul) {
        return (uint32_t)crc32_z(0, bytes.data, bytes.size);
    }
    uint8_t rest[16];
    fold_blocks(bytes.data, blocks, cpu.wide_clmul, rest);
    const uLong crc = crc32_z(0xffffffff, rest, sizeof rest); /* zlib inverts it: the initial value is in already */
    return (uint32_t)crc32_z(crc, bytes.data + BLOCK * blocks, bytes.size % BLOCK);
}
#else
static uint32_t crc_of(struct bt_span bytes)
{
    return (uint32_t)crc32_z(0, bytes.data, bytes.size);
}
#endif

enum { PIECES = 64, PIECE = 1 << 20 };

struct pieces {
    struct bt_span bytes;
    size_t size; /* of each but the last */
    uint32_t crc[PIECES];
};

static struct bt_span piece_at(const struct pieces *p, int64_t i)
{
    const size_t start = p->size * (size_t)i, rest = p->bytes.size - start;
    return (struct bt_span){p->bytes.data + start, rest < p->size ? rest : p->size};
}

static void check_pieces(void *context, int64_t begin, int64_t end)
{
    struct pieces *p = context;
    for (int64_t i = begin; i < end; i++) {
        p->crc[i] = crc_of(piece_at(p, i));
    }
}

uint32_t bt_crc32(struct bt_span bytes)
{
    const int threads = bt_parallel_threads();
    if (threads <= 1 || bytes.size <= PIECE) {
        return crc_of(bytes);
    }
    struct pieces p = {.bytes = bytes, .size = (bytes.size + PIECES - 1) / PIECES};
    p.size = p.size > PIECE ? p.size : PIECE;
    const int64_t count = (int64_t)((bytes.size + p.size - 1) / p.size);
    bt_parallel_for(threads, count, 1, check_pieces, &p);
    uLong crc = p.crc[0];
    for (int64_t i = 1; i < count; i++) {
        crc = crc32_combine(crc, p.crc[i], (z_off_t)piece_at(&p, i).size);
    }
    return (uint32_t)crc;
}
