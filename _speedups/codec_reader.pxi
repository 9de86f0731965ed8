# The reader: a cursor that never passes the end, and containers that are made only when as many bytes
# follow as they announce values. Every function returns a new reference, or NULL where the caller
# gives the bytes up (with or without an exception set).

cdef enum:
    # Keys are few and come again with every message: a slot holds the latest of those that fall on it.
    KEY_SLOTS = 1024
    LONGEST_CACHED_KEY = 31

cdef struct Reader:
    const uint8_t* at
    const uint8_t* end
    Py_ssize_t values

cdef PyObject* key_slots[KEY_SLOTS]


def decode(data):
    """Return the message in ``data``; see ``codec_fallback.decode``."""
    cdef PyObject* result
    if not PyBytes_CheckExact(<PyObject*>data):
        data = memoryview(data).tobytes()
    result = decode_exact(<PyObject*>data)
    if result == NULL:
        PyErr_Clear()
        return codec_fallback.decode(data)
    message = <object>result
    Py_DECREF(result)
    return message


cdef PyObject* decode_exact(PyObject* data) noexcept:
    cdef Reader r
    cdef PyObject* message
    cdef uint8_t tag
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    if size == 0 or size > MAX_SIZE:
        return NULL
    r.at = <const uint8_t*>PyBytes_AS_STRING(data)
    r.end = r.at + size
    r.values = 0
    tag = r.at[0]
    if not (0x80 <= tag < 0x90 or tag == 0xDE or tag == 0xDF):
        return NULL
    message = read_value(&r, 0)
    if message != NULL and r.at != r.end:
        Py_DECREF(message)
        return NULL
    return message


cdef inline bint has(Reader* r, Py_ssize_t size) noexcept:
    return r.end - r.at >= size


cdef inline Py_ssize_t read_size(Reader* r, int width) noexcept:
    """A big-endian number of ``width`` bytes (1, 2 or 4), or -1 where they are not all there."""
    cdef Py_ssize_t size
    if not has(r, width):
        return -1
    if width == 1:
        size = r.at[0]
    elif width == 2:
        size = load16(r.at)
    else:
        size = load32(r.at)
    r.at += width
    return size


cdef inline PyObject* constant(PyObject* value) noexcept:
    Py_INCREF(value)
    return value


cdef PyObject* read_value(Reader* r, int depth) noexcept:
    """Read any value; ``depth`` containers are around it."""
    cdef uint8_t tag
    if not has(r, 1):
        return NULL
    tag = r.at[0]
    r.at += 1
    if tag < 0x80:
        return PyLong_FromLongLong(tag)
    if tag < 0x90:
        return read_dict(r, tag & 0x0F, depth)
    if tag < 0xA0:
        return read_list(r, tag & 0x0F, depth)
    if tag < 0xC0:
        return read_text(r, tag & 0x1F)
    if tag >= 0xE0:
        return PyLong_FromLongLong(<int>tag - 256)
    if tag >= 0xCC and tag <= 0xD3:
        return read_int(r, tag)
    if tag == 0xC0:
        return constant(Py_None)
    if tag == 0xC2:
        return constant(Py_False)
    if tag == 0xC3:
        return constant(Py_True)
    if tag >= 0xC4 and tag <= 0xC6:
        return read_data(r, read_size(r, 1 << (tag - 0xC4)))
    if tag >= 0xD9 and tag <= 0xDB:
        return read_text(r, read_size(r, 1 << (tag - 0xD9)))
    if tag == 0xCA or tag == 0xCB:
        return read_float(r, tag)
    if tag == 0xDC or tag == 0xDD:
        return read_list(r, read_size(r, 2 << (tag - 0xDC)), depth)
    if tag == 0xDE or tag == 0xDF:
        return read_dict(r, read_size(r, 2 << (tag - 0xDE)), depth)
    return NULL


cdef PyObject* read_int(Reader* r, uint8_t tag) noexcept:
    cdef int width = 1 << (tag & 3)
    cdef const uint8_t* at = r.at
    cdef uint64_t natural
    if not has(r, width):
        return NULL
    r.at += width
    if tag == 0xCC:
        return PyLong_FromLongLong(at[0])
    if tag == 0xCD:
        return PyLong_FromLongLong(load16(at))
    if tag == 0xCE:
        return PyLong_FromLongLong(load32(at))
    if tag == 0xCF:
        natural = load64(at)
        return NULL if natural >> 63 else PyLong_FromLongLong(<int64_t>natural)
    if tag == 0xD0:
        return PyLong_FromLongLong(<signed char>at[0])
    if tag == 0xD1:
        return PyLong_FromLongLong(<short>load16(at))
    if tag == 0xD2:
        return PyLong_FromLongLong(<int>load32(at))
    return PyLong_FromLongLong(<int64_t>load64(at))


cdef PyObject* read_float(Reader* r, uint8_t tag) noexcept:
    cdef const uint8_t* at = r.at
    cdef uint32_t half
    cdef uint64_t bits
    cdef float single
    cdef double number
    if not has(r, 4 if tag == 0xCA else 8):
        return NULL
    if tag == 0xCA:
        r.at += 4
        half = load32(at)
        memcpy(&single, &half, 4)
        return PyFloat_FromDouble(single)
    r.at += 8
    bits = load64(at)
    memcpy(&number, &bits, 8)
    return PyFloat_FromDouble(number)


cdef PyObject* read_data(Reader* r, Py_ssize_t size) noexcept:
    cdef const uint8_t* at = r.at
    if size < 0 or not has(r, size):
        return NULL
    r.at += size
    return PyBytes_FromStringAndSize(<const char*>at, size)


cdef PyObject* read_text(Reader* r, Py_ssize_t size) noexcept:
    cdef const uint8_t* at = r.at
    cdef PyObject* text
    if size < 0 or not has(r, size):
        return NULL
    r.at += size
    if not is_ascii(at, size):
        return PyUnicode_DecodeUTF8(<const char*>at, size, NULL)
    text = PyUnicode_New(size, 127)
    if text != NULL:
        memcpy(PyUnicode_DATA(text), at, size)
    return text


cdef PyObject* read_key(Reader* r) noexcept:
    cdef uint8_t tag
    if not has(r, 1):
        return NULL
    tag = r.at[0]
    r.at += 1
    if 0xA0 <= tag < 0xC0:
        return read_short_key(r, tag & 0x1F)
    if tag >= 0xD9 and tag <= 0xDB:
        return read_text(r, read_size(r, 1 << (tag - 0xD9)))
    return NULL


cdef PyObject* read_short_key(Reader* r, Py_ssize_t size) noexcept:
    """A key of at most LONGEST_CACHED_KEY bytes, the same object as before where it is known."""
    cdef const uint8_t* at = r.at
    cdef uint32_t slot
    cdef PyObject* known
    if not has(r, size):
        return NULL
    slot = slot_of(at, size) % KEY_SLOTS
    known = key_slots[slot]
    if (
        known != NULL
        and PyUnicode_GET_LENGTH(known) == size
        and memcmp(PyUnicode_DATA(known), at, size) == 0
    ):
        r.at += size
        Py_INCREF(known)
        return known
    return remember_key(read_text(r, size), slot)


cdef PyObject* remember_key(PyObject* key, uint32_t slot) noexcept:
    """Put an ASCII key, whose bytes are those of its str, into ``slot``."""
    cdef PyObject* previous = key_slots[slot]
    if key != NULL and PyUnicode_IS_COMPACT_ASCII(key):
        PyObject_Hash(key)  # now, so that each dict finds it there
        Py_INCREF(key)
        key_slots[slot] = key
        Py_XDECREF(previous)
    return key


cdef inline bint enter(Reader* r, Py_ssize_t values, int depth) noexcept:
    """Account for a container of ``values`` values; each takes at least one of the bytes left."""
    if depth >= MAX_DEPTH or values < 0 or not has(r, values):
        return False
    r.values += values
    return r.values <= MAX_VALUES


cdef PyObject* read_list(Reader* r, Py_ssize_t size, int depth) noexcept:
    cdef Py_ssize_t index
    cdef PyObject* items
    cdef PyObject* item
    if not enter(r, size, depth):
        return NULL
    items = PyList_New(size)
    if items == NULL:
        return NULL
    for index in range(size):
        item = read_value(r, depth + 1)
        if item == NULL:
            Py_DECREF(items)
            return NULL
        PyList_SET_ITEM(items, index, item)
    return items


cdef PyObject* read_dict(Reader* r, Py_ssize_t size, int depth) noexcept:
    cdef Py_ssize_t index
    cdef PyObject* entries
    if not enter(r, 2 * size, depth):
        return NULL
    entries = PyDict_New()
    if entries == NULL:
        return NULL
    for index in range(size):
        if not read_entry(r, entries, depth):
            Py_DECREF(entries)
            return NULL
    if PyDict_Size(entries) != size:  # a key came twice
        Py_DECREF(entries)
        return NULL
    return entries


cdef bint read_entry(Reader* r, PyObject* entries, int depth) noexcept:
    cdef bint done = False
    cdef PyObject* key = read_key(r)
    cdef PyObject* item = NULL
    if key != NULL:
        item = read_value(r, depth + 1)
        if item != NULL:
            done = PyDict_SetItem(entries, key, item) == 0
            Py_DECREF(item)
        Py_DECREF(key)
    return done
