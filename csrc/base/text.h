/* text.h: a string that grows while it is written */
#ifndef BT_BASE_TEXT_H
#define BT_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Zero-initialise; data is NUL-terminated once something was added, made by bt_alloc and freed by bt_free. After a
 * failed allocation `failed` stays set and further additions do nothing. */
struct bt_text {
    char *data;
    size_t size, cap;
    bool failed;
};

void bt_text_add(struct bt_text *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The finished string (never NULL unless memory ran out), whose ownership goes to the caller; resets the builder. */
char *bt_text_take(struct bt_text *text);

#endif
