/* chars.h: check UTF-8, write it, and read numbers in whatever locale the process has */
#ifndef BT_FORMAT_CHARS_H
#define BT_FORMAT_CHARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Well-formed UTF-8 (no overlong forms, no surrogates, at most U+10FFFF). */
bool bt_chars_utf8(const char *text, size_t size);
/* Writes a code point of at most U+10FFFF; returns the number of bytes, 1 to 4. */
size_t bt_chars_put(char *out, uint32_t point);

/* An optional minus sign and digits, nothing else; false when it is something else or does not fit. */
bool bt_chars_int(const char *text, size_t size, int64_t *out);
/* A decimal floating-point number as C writes it, with the point as separator; false when it is something else. */
bool bt_chars_float(const char *text, size_t size, double *out);

#endif
