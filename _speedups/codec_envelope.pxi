# The envelope: version, deadline, targets, body. As with messages, what is refused is left to the
# fallback.

cdef enum:
    HEAD_SIZE = 11


def pack_envelope(body, deadline_ms, targets=()):
    """Put an encoded message into its envelope; see ``codec_fallback.pack_envelope``."""
    cdef PyObject* result = NULL
    cdef uint64_t deadline
    if PyBytes_CheckExact(<PyObject*>body) and PyLong_CheckExact(<PyObject*>deadline_ms):
        if type(targets) is list:
            targets = tuple(targets)
        deadline = PyLong_AsUnsignedLongLong(<PyObject*>deadline_ms)
        if type(targets) is tuple and PyErr_Occurred() == NULL:
            result = pack_exact(<PyObject*>body, deadline, <PyObject*>targets)
    if result == NULL:
        PyErr_Clear()
        return codec_fallback.pack_envelope(body, deadline_ms, targets)
    packed = <object>result
    Py_DECREF(result)
    return packed


cdef PyObject* pack_exact(PyObject* body, uint64_t deadline, PyObject* targets) noexcept:
    cdef Py_ssize_t targets_size = size_of_targets(targets)
    cdef Py_ssize_t body_size = PyBytes_GET_SIZE(body)
    cdef Py_ssize_t index, size
    cdef PyObject* target
    cdef PyObject* packed
    cdef uint8_t* at
    if targets_size < 0:
        return NULL
    packed = PyBytes_FromStringAndSize(NULL, HEAD_SIZE + targets_size + body_size)
    if packed == NULL:
        return NULL
    at = <uint8_t*>PyBytes_AS_STRING(packed)
    at[0] = VERSION
    store64(at + 1, deadline)
    store16(at + 9, <uint16_t>PyTuple_GET_SIZE(targets))
    at += HEAD_SIZE
    for index in range(PyTuple_GET_SIZE(targets)):
        target = PyTuple_GET_ITEM(targets, index)
        size = PyUnicode_GET_LENGTH(target)
        at[0] = <uint8_t>size
        memcpy(at + 1, PyUnicode_DATA(target), size)
        at += 1 + size
    memcpy(at, PyBytes_AS_STRING(body), body_size)
    return packed


cdef Py_ssize_t size_of_targets(PyObject* targets) noexcept:
    """Bytes that ``targets`` take with their lengths; -1 where one is not fit."""
    cdef Py_ssize_t index, length, size = PyTuple_GET_SIZE(targets)
    cdef PyObject* target
    if size > MAX_TARGETS:
        return -1
    for index in range(PyTuple_GET_SIZE(targets)):
        target = PyTuple_GET_ITEM(targets, index)
        if not PyUnicode_CheckExact(target) or not PyUnicode_IS_COMPACT_ASCII(target):
            return -1
        length = PyUnicode_GET_LENGTH(target)
        if length > MAX_TARGET_LENGTH:
            return -1
        size += length
    return size


def unpack_envelope(data):
    """Take an envelope apart; see ``codec_fallback.unpack_envelope``."""
    cdef PyObject* result
    if not PyBytes_CheckExact(<PyObject*>data):
        data = memoryview(data).tobytes()
    result = unpack_exact(<PyObject*>data)
    if result == NULL:
        PyErr_Clear()
        return codec_fallback.unpack_envelope(data)
    envelope = <object>result
    Py_DECREF(result)
    return envelope


cdef PyObject* unpack_exact(PyObject* data) noexcept:
    """The envelope in ``data``: an instance of the named tuple, filled without a call of it."""
    cdef Reader r
    cdef uint64_t deadline
    cdef PyTypeObject* kind = <PyTypeObject*>Envelope
    cdef PyObject* envelope
    cdef PyObject* parts[3]
    cdef int index
    r.at = <const uint8_t*>PyBytes_AS_STRING(data)
    r.end = r.at + PyBytes_GET_SIZE(data)
    if not has(&r, HEAD_SIZE) or r.at[0] != VERSION:
        return NULL
    deadline = load64(r.at + 1)
    parts[1] = read_targets(&r)
    if parts[1] == NULL:
        return NULL
    parts[0] = PyLong_FromUnsignedLongLong(deadline)
    parts[2] = PyBytes_FromStringAndSize(<const char*>r.at, r.end - r.at)
    envelope = kind.tp_alloc(kind, 3)
    if parts[0] == NULL or parts[2] == NULL or envelope == NULL:
        Py_XDECREF(envelope)
        for index in range(3):
            Py_XDECREF(parts[index])
        return NULL
    for index in range(3):
        PyTuple_SET_ITEM(envelope, index, parts[index])
    return envelope


cdef PyObject* read_targets(Reader* r) noexcept:
    """The tuple of targets; moves the cursor from the start to the body."""
    cdef Py_ssize_t index, count
    cdef PyObject* targets
    cdef PyObject* target
    count = load16(r.at + 9)
    r.at += HEAD_SIZE
    if count > MAX_TARGETS or not has(r, count):
        return NULL
    targets = PyTuple_New(count)
    if targets == NULL:
        return NULL
    for index in range(count):
        target = read_target(r)
        if target == NULL:
            Py_DECREF(targets)
            return NULL
        PyTuple_SET_ITEM(targets, index, target)
    return targets


cdef PyObject* read_target(Reader* r) noexcept:
    cdef Py_ssize_t size = read_size(r, 1)
    if size < 0 or size > MAX_TARGET_LENGTH or not has(r, size) or not is_ascii(r.at, size):
        return NULL
    return read_text(r, size)
