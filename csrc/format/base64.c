/* base64.c: bytes from base64 text (RFC 4648) */
#include "format/base64.h"

#include <string.h>

/* The six bits of a character, -1 when it is none of the alphabet. */
static int digit(char c)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

bool bt_base64_decode(const char *text, size_t size, struct bt_arena *arena, struct bt_span *out, bool *memory)
{
    *memory = false;
    if (size % 4 != 0) {
        return false;
    }
    size_t digits = size;
    while (digits > 0 && size - digits < 2 && text[digits - 1] == '=') {
        digits--;
    }
    uint8_t *bytes = bt_arena_alloc(arena, size / 4 * 3, 1);
    if (!bytes) {
        *memory = true;
        return false;
    }
    uint32_t bits = 0;
    size_t used = 0;
    for (size_t i = 0; i < digits; i++) {
        const int value = digit(text[i]);
        if (value < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 != 0) { /* 6, 12, 18, 24 bits are there: 4, 2 or 0 of them are left over */
            bytes[used++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
        }
    }
    *out = (struct bt_span){bytes, used};
    return true;
}
