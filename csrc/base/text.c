/* text.c: a string that grows while it is written */
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

static bool reserve(struct bt_text *text, size_t need)
{
    if (need <= text->cap) {
        return true;
    }
    size_t cap = text->cap ? text->cap * 2 : 256;
    while (cap < need) {
        cap *= 2;
    }
    char *data = bt_alloc(cap, 1);
    if (!data) {
        text->failed = true;
        return false;
    }
    if (text->size) {
        memcpy(data, text->data, text->size);
    }
    data[text->size] = '\0';
    bt_free(text->data);
    text->data = data;
    text->cap = cap;
    return true;
}

void bt_text_add(struct bt_text *text, const char *fmt, ...)
{
    if (text->failed) {
        return;
    }
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (size >= 0 && reserve(text, text->size + (size_t)size + 1)) {
        vsnprintf(text->data + text->size, (size_t)size + 1, fmt, again);
        text->size += (size_t)size;
    }
    va_end(again);
}

char *bt_text_take(struct bt_text *text)
{
    bt_text_add(text, "%s", "");
    char *data = text->failed ? NULL : text->data;
    if (text->failed) {
        bt_free(text->data);
    }
    *text = (struct bt_text){0};
    return data;
}
