/* base64.h: bytes from base64 text (RFC 4648) */
#ifndef BT_FORMAT_BASE64_H
#define BT_FORMAT_BASE64_H

#include <stdbool.h>

#include "base/file.h"
#include "base/memory.h"

/* Decodes padded text without line breaks into the arena. False: not base64, or out of memory (then *memory is set). */
bool bt_base64_decode(const char *text, size_t size, struct bt_arena *arena, struct bt_span *out, bool *memory);

#endif
