/* libFuzzer drives the compiled core, which is built with it, from a Python that holds its tables:
 * see `fuzz_core.py --coverage`. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>

PyMODINIT_FUNC PyInit__core(void);

static PyObject *check;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    PyImport_AppendInittab("_fuzzed_core", PyInit__core);
    Py_InitializeEx(0);
    PyRun_SimpleString("import os, sys\n"
                       "sys.path[:0] = os.environ['FUZZ_PATH'].split(os.pathsep)\n");
    PyObject *module = PyImport_ImportModule("benchmarks.tokenizer.fuzz_core");
    check = module ? PyObject_CallMethod(module, "make_check", NULL) : NULL;
    if (check == NULL) {
        PyErr_Print();
        exit(1);
    }
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    PyObject *text = PyUnicode_DecodeUTF8((const char *)data, (Py_ssize_t)size, "surrogateescape");
    PyObject *result = text ? PyObject_CallOneArg(check, text) : NULL;
    Py_XDECREF(text);
    if (result == NULL) {
        PyErr_Print();
        abort();
    }
    Py_DECREF(result);
    return 0;
}
