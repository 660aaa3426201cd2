/* _state_dict.h: the State type: weights by name, of a file or of arrays */
#ifndef BERTC_STATE_DICT_H
#define BERTC_STATE_DICT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "bertc.h"

PyTypeObject *bt_state_dict_type(PyObject *module); /* makes it; NULL with an exception set */

/* The weights of a State object, which must outlive all models of them. */
struct bt_state *bt_state_dict_get(PyObject *state);

/* functions of the module */
PyObject *bt_state_dict_load(PyObject *module, PyObject *path);          /* read_file(path) */
PyObject *bt_state_dict_load_memory(PyObject *module, PyObject *args); /* read_memory(buffer, name) */
PyObject *bt_state_dict_make(PyObject *module, PyObject *items); /* from_arrays([(name, array, bfloat16), ...]) */

#endif
