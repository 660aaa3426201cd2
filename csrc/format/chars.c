/* chars.c: check UTF-8, write it, and read numbers in whatever locale the process has */
#include "format/chars.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Bytes of the well-formed sequence at text (the Unicode standard's table 3-7), 0 when there is none. */
static size_t sequence_size(const unsigned char *text, size_t size)
{
    static const struct {
        unsigned char first, last;               /* of the lead byte */
        unsigned char second_first, second_last; /* of the byte after it */
        unsigned char size;
    } forms[] = {
        {0x00, 0x7f, 0x00, 0xff, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (text[0] < forms[i].first || text[0] > forms[i].last) {
            continue;
        }
        if (size < forms[i].size) {
            return 0;
        }
        if (forms[i].size > 1 && (text[1] < forms[i].second_first || text[1] > forms[i].second_last)) {
            return 0;
        }
        for (size_t k = 2; k < forms[i].size; k++) {
            if ((text[k] & 0xc0) != 0x80) {
                return 0;
            }
        }
        return forms[i].size;
    }
    return 0;
}

bool bt_chars_utf8(const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t step = sequence_size((const unsigned char *)text + at, size - at);
        if (step == 0) {
            return false;
        }
        at += step;
    }
    return true;
}

size_t bt_chars_put(char *out, uint32_t point)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t size = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (point & 0x3f));
        point >>= 6;
    }
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[size] | point);
    return size;
}

bool bt_chars_int(const char *text, size_t size, int64_t *out)
{
    bool negative = size > 0 && text[0] == '-';
    size_t at = negative ? 1 : 0;
    if (at == size) {
        return false;
    }
    int64_t value = 0; /* counted downwards, where the range is one larger */
    for (; at < size; at++) {
        if (text[at] < '0' || text[at] > '9') {
            return false;
        }
        if (!bt_mul_i64(value, 10, &value) || !bt_add_i64(value, '0' - text[at], &value)) {
            return false;
        }
    }
    if (!negative && value == INT64_MIN) {
        return false;
    }
    *out = negative ? value : -value;
    return true;
}

bool bt_chars_float(const char *text, size_t size, double *out)
{
    char copy[1100]; /* the longest double that printf writes has some 1080 characters */
    if (size == 0 || size >= sizeof copy || !strchr("+-.0123456789", text[0])) {
        return false;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';

    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (plain == (locale_t)0) {
        return false;
    }
    char *end;
    *out = strtod_l(copy, &end, plain);
    freelocale(plain);
    return end == copy + size;
}
