# The writer: one pass that checks and writes, into memory on the stack, or a bytes object once that is
# too small. Every function says whether it could write; where not, the caller gives the message up.

cdef enum:
    # Most messages but bodies fit; a small frame on the stack costs nothing.
    SCRATCH_SIZE = 4096
    # What a header may take beyond what was asked for: it is reserved at its longest.
    LONGEST_HEAD = 9

cdef struct Writer:
    uint8_t* start
    uint8_t* at
    uint8_t* end
    PyObject* grown  # the bytes object that is written to, NULL while it is the scratch memory
    Py_ssize_t limit
    Py_ssize_t values
    uint8_t scratch[SCRATCH_SIZE]


def encode(message, limit=codec_fallback.DEFAULT_LIMIT):
    """Check ``message`` and return its bytes, at most ``limit``; see ``codec_fallback.encode``."""
    cdef Writer w
    cdef PyObject* result = NULL
    if PyDict_CheckExact(<PyObject*>message) and PyLong_CheckExact(<PyObject*>limit):
        result = encode_exact(&w, <PyObject*>message, <PyObject*>limit)
    if result == NULL:
        PyErr_Clear()
        return codec_fallback.encode(message, limit)
    encoded = <object>result
    Py_DECREF(result)
    return encoded


cdef PyObject* encode_exact(Writer* w, PyObject* message, PyObject* limit) noexcept:
    """The bytes of ``message``, or NULL, with or without an exception set."""
    w.limit = PyLong_AsSsize_t(limit)
    if w.limit > MAX_SIZE:
        w.limit = MAX_SIZE
    w.start = w.at = w.scratch
    w.end = w.start + SCRATCH_SIZE
    w.grown = NULL
    w.values = 0
    if not write_dict(w, message, 0) or w.at - w.start > w.limit:
        Py_XDECREF(w.grown)
        return NULL
    if w.grown == NULL:
        return PyBytes_FromStringAndSize(<char*>w.start, w.at - w.start)
    _PyBytes_Resize(&w.grown, w.at - w.start)  # sets NULL and an exception where it fails
    return w.grown


cdef inline bint reserve(Writer* w, Py_ssize_t size) noexcept:
    """Make room for a header and ``size`` bytes."""
    if w.end - w.at >= size + LONGEST_HEAD:
        return True
    return grow(w, size + LONGEST_HEAD)


cdef bint grow(Writer* w, Py_ssize_t size) noexcept:
    cdef Py_ssize_t written = w.at - w.start
    cdef Py_ssize_t capacity = 2 * (w.end - w.start)
    if written + size > w.limit + LONGEST_HEAD:
        return False
    if capacity < written + size + (written + size) // 8:
        capacity = written + size + (written + size) // 8
    if w.grown == NULL:
        w.grown = PyBytes_FromStringAndSize(NULL, capacity)
        if w.grown == NULL:
            return False
        memcpy(PyBytes_AS_STRING(w.grown), w.start, written)
    elif _PyBytes_Resize(&w.grown, capacity) < 0:
        return False
    w.start = <uint8_t*>PyBytes_AS_STRING(w.grown)
    w.at = w.start + written
    w.end = w.start + capacity
    return True


cdef bint write_value(Writer* w, PyObject* value, int depth) noexcept:
    """Write any value inside of ``depth`` containers. Frequent types first, subclasses last."""
    if PyUnicode_CheckExact(value):
        return write_text(w, value)
    if PyBytes_CheckExact(value):
        return write_data(w, value)
    if PyList_CheckExact(value):
        return write_list(w, value, depth)
    if PyLong_CheckExact(value):
        return write_int(w, value)
    if value == Py_None:
        return write_byte(w, 0xC0)
    if value == Py_False:
        return write_byte(w, 0xC2)
    if value == Py_True:
        return write_byte(w, 0xC3)
    if PyDict_CheckExact(value):
        return write_dict(w, value, depth)
    if PyTuple_CheckExact(value):
        return write_tuple(w, value, depth)
    if PyFloat_Check(value):
        return write_double(w, value)
    if PyUnicode_Check(value):
        return write_text(w, value)
    if PyLong_Check(value):
        return write_int(w, value)
    if PyBytes_Check(value):
        return write_data(w, value)
    return False


cdef inline bint write_byte(Writer* w, uint8_t value) noexcept:
    if not reserve(w, 0):
        return False
    w.at[0] = value
    w.at += 1
    return True


cdef bint write_text(Writer* w, PyObject* value) noexcept:
    cdef Py_ssize_t size
    cdef const char* data
    if PyUnicode_IS_COMPACT_ASCII(value):
        data = <const char*>PyUnicode_DATA(value)
        size = PyUnicode_GET_LENGTH(value)
    else:
        data = PyUnicode_AsUTF8AndSize(value, &size)
        if data == NULL:  # a lone surrogate
            return False
    if not reserve(w, size):
        return False
    if size < 32:
        w.at[0] = <uint8_t>(0xA0 | size)
        w.at += 1
    else:
        write_size(w, 0xD9, size)
    memcpy(w.at, data, size)
    w.at += size
    return True


cdef bint write_data(Writer* w, PyObject* value) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
    if not reserve(w, size):
        return False
    write_size(w, 0xC4, size)
    memcpy(w.at, PyBytes_AS_STRING(value), size)
    w.at += size
    return True


cdef inline void write_size(Writer* w, uint8_t tag, Py_ssize_t size) noexcept:
    """A length in 8, 16 or 32 bits after ``tag`` or one of the two tags that follow it."""
    w.at[0] = tag
    if size < 1 << 8:
        w.at[1] = <uint8_t>size
        w.at += 2
    elif size < 1 << 16:
        w.at[0] = tag + 1
        store16(w.at + 1, <uint16_t>size)
        w.at += 3
    else:
        w.at[0] = tag + 2
        store32(w.at + 1, <uint32_t>size)
        w.at += 5


cdef bint write_int(Writer* w, PyObject* value) noexcept:
    cdef int overflow = 0
    cdef long long n = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow or not reserve(w, 0):
        return False
    if -32 <= n < 128:
        w.at[0] = <uint8_t>n
        w.at += 1
    elif n >= 0:
        write_natural(w, <uint64_t>n)
    else:
        write_negative(w, n)
    return True


cdef void write_natural(Writer* w, uint64_t n) noexcept:
    if n < 1 << 8:
        w.at[0] = 0xCC
        w.at[1] = <uint8_t>n
        w.at += 2
    elif n < 1 << 16:
        w.at[0] = 0xCD
        store16(w.at + 1, <uint16_t>n)
        w.at += 3
    elif n < <uint64_t>1 << 32:
        w.at[0] = 0xCE
        store32(w.at + 1, <uint32_t>n)
        w.at += 5
    else:
        w.at[0] = 0xCF
        store64(w.at + 1, n)
        w.at += 9


cdef void write_negative(Writer* w, long long n) noexcept:
    if n >= -(1 << 7):
        w.at[0] = 0xD0
        w.at[1] = <uint8_t>n
        w.at += 2
    elif n >= -(1 << 15):
        w.at[0] = 0xD1
        store16(w.at + 1, <uint16_t>n)
        w.at += 3
    elif n >= -(<long long>1 << 31):
        w.at[0] = 0xD2
        store32(w.at + 1, <uint32_t>n)
        w.at += 5
    else:
        w.at[0] = 0xD3
        store64(w.at + 1, <uint64_t>n)
        w.at += 9


cdef bint write_double(Writer* w, PyObject* value) noexcept:
    cdef double number = PyFloat_AS_DOUBLE(value)
    cdef uint64_t bits
    if not reserve(w, 0):
        return False
    memcpy(&bits, &number, 8)
    w.at[0] = 0xCB
    store64(w.at + 1, bits)
    w.at += 9
    return True


cdef inline bint open_container(
    Writer* w, uint8_t short_tag, uint8_t long_tag, Py_ssize_t size, Py_ssize_t width, int depth
) noexcept:
    """Account for a container of ``size`` entries of ``width`` values, and write its header."""
    if depth >= MAX_DEPTH or size > MAX_VALUES:
        return False
    w.values += size * width
    if w.values > MAX_VALUES or not reserve(w, 0):
        return False
    if size < 16:
        w.at[0] = <uint8_t>(short_tag | size)
        w.at += 1
    elif size < 1 << 16:
        w.at[0] = long_tag
        store16(w.at + 1, <uint16_t>size)
        w.at += 3
    else:
        w.at[0] = long_tag + 1
        store32(w.at + 1, <uint32_t>size)
        w.at += 5
    return True


cdef bint write_list(Writer* w, PyObject* value, int depth) noexcept:
    cdef Py_ssize_t index, size = PyList_GET_SIZE(value)
    if not open_container(w, 0x90, 0xDC, size, 1, depth):
        return False
    for index in range(size):
        if not write_value(w, PyList_GET_ITEM(value, index), depth + 1):
            return False
    return True


cdef bint write_tuple(Writer* w, PyObject* value, int depth) noexcept:
    cdef Py_ssize_t index, size = PyTuple_GET_SIZE(value)
    if not open_container(w, 0x90, 0xDC, size, 1, depth):
        return False
    for index in range(size):
        if not write_value(w, PyTuple_GET_ITEM(value, index), depth + 1):
            return False
    return True


cdef bint write_dict(Writer* w, PyObject* value, int depth) noexcept:
    cdef Py_ssize_t position = 0
    cdef PyObject* key = NULL
    cdef PyObject* item = NULL
    if not open_container(w, 0x80, 0xDE, PyDict_Size(value), 2, depth):
        return False
    while PyDict_Next(value, &position, &key, &item):
        # A subclass of str may compare as it likes, and stand there twice: the fallback sees to it.
        if not PyUnicode_CheckExact(key) or not write_text(w, key):
            return False
        if not write_value(w, item, depth + 1):
            return False
    return True
