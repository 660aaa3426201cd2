/* _core.h: what the files of the Python module share: its exception classes and types */
#ifndef BERTC_CORE_H
#define BERTC_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "bertc.h"

struct module_state {
    PyObject *error;
    PyObject *format_error;
    PyObject *unsupported_error;
    PyObject *input_error;
    PyTypeObject *model_type;
    PyTypeObject *state_type;
};

/* Raises the exception of an error's status; returns NULL. */
PyObject *bt_core_raise(const struct module_state *state, const struct bertc_error *err);

#endif
