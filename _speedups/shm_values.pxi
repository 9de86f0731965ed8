"""Between Python's values and bytes."""

cdef uint64_t nanoseconds(seconds) except? 0:
    """Seconds as nanoseconds, at most a hundred years."""
    return <uint64_t>(min(max(float(seconds), 0.0), 3.2e9) * MONOTONIC)


cdef uint64_t drawn() except? 0:
    """A random number that is not 0."""
    return int.from_bytes(os.urandom(8), "little") | 1


cdef object earliest(deadline, uint64_t until):
    """The earlier of a ``time.monotonic()`` or None, and nanoseconds of the same clock."""
    if until == 0xFFFFFFFFFFFFFFFF:
        return deadline
    other = until / MONOTONIC
    return other if deadline is None or other < deadline else deadline


cdef bytes pack_targets(tuple targets):
    """Names with their length in the byte before each."""
    cdef text_t text
    cdef char room[256]
    if not targets:
        return b""
    if len(targets) == 1:
        text = text_of(targets[0])
        if text.length > 255:
            raise ValueError(f"a name of {text.length} characters is too long")
        room[0] = <char>text.length
        memcpy(&room[1], text.at, text.length)
        return PyBytes_FromStringAndSize(room, text.length + 1)
    return b"".join([bytes([len(target)]) + target.encode("ascii") for target in targets])


cdef tuple unpack_targets(const char* at, Py_ssize_t size):
    cdef Py_ssize_t length
    found = []
    while size > 0:
        length = <uint8_t>at[0]
        found.append(ascii_str(at + 1, min(length, size - 1)))
        at += 1 + length
        size -= 1 + length
    return tuple(found)


cdef tuple one_stored(Names names, const char* at):
    """An entry as ``shm_take_entry`` writes it."""
    cdef uint32_t head[4]
    cdef const char* targets = at + 16
    memcpy(head, at, 16)
    return (
        names.queues[head[0]],
        unpack_targets(targets, head[2]) if head[1] else (),
        PyBytes_FromStringAndSize(targets + head[2], head[3]),
    )


cdef tuple first_stored(Names names, out_t* out):
    return one_stored(names, out.data)


cdef list all_stored(Names names, out_t* out):
    cdef uint32_t head[4]
    cdef size_t at = 0
    found = []
    while at < out.size:
        memcpy(head, out.data + at, 16)
        found.append(one_stored(names, out.data + at))
        at += 16 + head[2] + head[3]
    return found


cdef list numbered(out_t* out):
    """Names with a number each, as ``shm_out_name`` writes them; frees what was handed out."""
    cdef uint32_t head[2]
    cdef size_t at = 0
    found = []
    try:
        while at < out.size:
            memcpy(head, out.data + at, 8)
            found.append((ascii_str(out.data + at + 8, head[1]), head[0]))
            at += 8 + head[1]
    finally:
        shm_out_end(out)
    return found
