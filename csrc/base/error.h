/* error.h: a status code and a sentence that says where, what was found and what was expected */
#ifndef BT_BASE_ERROR_H
#define BT_BASE_ERROR_H

/* Every fallible function returns one of these; 0 is success. */
enum bertc_status {
    BERTC_OK = 0,
    BERTC_MEMORY,      /* an allocation failed                                            */
    BERTC_IO,          /* the system refused to open or map a file; `code` holds errno     */
    BERTC_FORMAT,      /* the bytes are not what their format asks for                     */
    BERTC_UNSUPPORTED, /* well-formed, but bertc does not implement it; the text names it  */
    BERTC_INPUT,       /* the caller's arguments do not fit the model                      */
};

/* Filled by the function that fails. The text is one sentence without a trailing newline. */
struct bertc_error {
    enum bertc_status status;
    int code; /* errno, for BERTC_IO */
    char text[768];
};

#if defined(__GNUC__)
#define BT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define BT_PRINTF(fmt, args)
#endif

/* Writes the message (err may be NULL) and returns status, so that `return bt_error_set(...)` reads well. */
enum bertc_status bt_error_set(struct bertc_error *err, enum bertc_status status, const char *fmt, ...) BT_PRINTF(3, 4);

/* Puts "context: " before an existing message: callers add the file, member or op that they know of. Returns
 * err->status. */
enum bertc_status bt_error_prefix(struct bertc_error *err, const char *fmt, ...) BT_PRINTF(2, 3);

/* Adds text at the end of an existing message. Returns err->status. */
enum bertc_status bt_error_append(struct bertc_error *err, const char *fmt, ...) BT_PRINTF(2, 3);

/* The same sentence everywhere for a failed allocation. */
enum bertc_status bt_error_memory(struct bertc_error *err);

#endif
