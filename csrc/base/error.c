/* error.c: write, prefix and extend the one error message of a call */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum bertc_status bt_error_set(struct bertc_error *err, enum bertc_status status, const char *fmt, ...)
{
    if (err) {
        va_list args;
        va_start(args, fmt);
        err->status = status;
        err->code = 0;
        vsnprintf(err->text, sizeof err->text, fmt, args);
        va_end(args);
    }
    return status;
}

enum bertc_status bt_error_prefix(struct bertc_error *err, const char *fmt, ...)
{
    if (!err) {
        return BERTC_FORMAT;
    }
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);

    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    return bt_error_append(err, ": %s", old);
}

enum bertc_status bt_error_append(struct bertc_error *err, const char *fmt, ...)
{
    if (!err) {
        return BERTC_FORMAT;
    }
    size_t size = strlen(err->text);
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text + size, sizeof err->text - size, fmt, args);
    va_end(args);
    return err->status;
}

enum bertc_status bt_error_memory(struct bertc_error *err)
{
    return bt_error_set(err, BERTC_MEMORY, "out of memory");
}
