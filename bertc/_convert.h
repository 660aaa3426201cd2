/* _convert.h: Python values and NumPy arrays to the core's values, and back */
#ifndef BERTC_CONVERT_H
#define BERTC_CONVERT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "bertc.h"

/* Functions that return int or an object follow CPython: -1 or NULL with an exception set. */

/* A str of text that may come from a file, so that bytes other than UTF-8 become escapes. */
PyObject *bt_convert_text(const char *text);

/* Reads None, bool, int, float, str, C-contiguous arrays, tuples, lists and dicts. `value` is zeroed before, borrows
 * from `object`, and is cleared after, also on failure. */
int bt_convert_argument(struct bertc_value *value, PyObject *object);
void bt_convert_clear(struct bertc_value *value);

/* A bound call's arguments: values and whether each is given, one per parameter. */
struct bt_arguments {
    Py_ssize_t count;
    struct bertc_value *values;
    bool *given;
};

/* Fills a zeroed struct from a tuple, in which ... stands for a default; cleared after, also on failure. */
int bt_convert_arguments(struct bt_arguments *arguments, PyObject *tuple);
void bt_convert_arguments_clear(struct bt_arguments *arguments);

/* The result as Python sees it, with new arrays not filled yet: outputs[slot] is where each one's data belongs. */
PyObject *bt_convert_result(const struct bertc_value *value, void **outputs);

/* Of the result of a packed call, filled by now: what belongs to one sequence, as views. It is the item-th of the batch
 * and has the rows [begin, end) of tensors by token. */
PyObject *bt_convert_sequence(const struct bertc_value *value, PyObject *result, Py_ssize_t item, Py_ssize_t begin,
                              Py_ssize_t end);

/* The tensor of an aligned array of native numbers, whose strides may be any, whole and not negative; it borrows
 * the array's data. `bfloat16`: the array, of uint16, has the bits of such numbers. */
int bt_convert_stored(struct bt_tensor *tensor, PyObject *array, bool bfloat16);

/* A read-only view of a weight that keeps `owner` alive; bfloat16 shows as its bits, uint16. */
PyObject *bt_convert_weight(const struct bt_tensor *tensor, PyObject *owner);

#endif
