/* crc32.c: the CRC-32 of zip archives: by carry-less products where the CPU has them, else by zlib
 * V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009. */
#include "format/crc32.h"

#include <zlib.h>

#include "base/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>

/* The CRC is the remainder of the message as a polynomial. A part of it that is n bits before the end may be replaced
 * by its product with the remainder of x^n, which is 32 bits longer than the polynomial: 64 bits become 96, added to
 * 128 bits further on. Bits are reflected: hence the factors, which are those of x^(n + 32) and x^(n - 32), times 2. */
#define CLMUL __attribute__((target("pclmul,sse4.1")))

enum { AHEAD = 1024 }; /* bytes: what the processor prefetches by itself ends with each page */

CLMUL static inline __m128i fold(__m128i sum, __m128i factors, __m128i next)
{
    const __m128i low = _mm_clmulepi64_si128(sum, factors, 0x00), high = _mm_clmulepi64_si128(sum, factors, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

CLMUL static inline __m128i load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

/* Folds whole blocks of 64 bytes, of which there is one at least, into 16 bytes with the same CRC. */
CLMUL static void fold_blocks(const uint8_t *data, size_t blocks, uint8_t rest[16])
{
    const __m128i by_512 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4), by_128 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    __m128i sum[4];
    for (int i = 0; i < 4; i++) {
        sum[i] = load(data + 16 * i);
    }
    sum[0] = _mm_xor_si128(sum[0], _mm_cvtsi32_si128(-1)); /* the CRC's initial value */
    for (size_t block = 1; block < blocks; block++) {
        _mm_prefetch((const char *)data + 64 * block + AHEAD, _MM_HINT_T0); /* harmless beyond the end */
        for (int i = 0; i < 4; i++) {
            sum[i] = fold(sum[i], by_512, load(data + 64 * block + 16 * i));
        }
    }
    for (int i = 1; i < 4; i++) {
        sum[i] = fold(sum[i - 1], by_128, sum[i]);
    }
    _mm_storeu_si128((__m128i *)rest, sum[3]);
}

uint32_t bt_crc32(struct bt_span bytes)
{
    const size_t blocks = bytes.size / 64;
    if (blocks == 0 || !bt_cpu_features().clmul) {
        return (uint32_t)crc32_z(0, bytes.data, bytes.size);
    }
    uint8_t rest[16];
    fold_blocks(bytes.data, blocks, rest);
    const uLong crc = crc32_z(0xffffffff, rest, sizeof rest); /* zlib inverts it: the initial value is in already */
    return (uint32_t)crc32_z(crc, bytes.data + 64 * blocks, bytes.size % 64);
}
#else
uint32_t bt_crc32(struct bt_span bytes)
{
    return (uint32_t)crc32_z(0, bytes.data, bytes.size);
}
#endif
