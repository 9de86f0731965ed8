# UTF-8, checked while it arrives (RFC 3629, section 4), so that bad text is refused at its first
# wrong byte. ``Utf8`` is what has to be known between two pieces.

cdef struct Utf8:
    unsigned char missing  # continuation bytes that the character still needs
    unsigned char low  # the bounds of the next one
    unsigned char high


cdef inline bint begin_character(Utf8* state, unsigned char byte) noexcept nogil:
    """Take the first byte of a character that is not ASCII; false where there is none like it.

    The bounds of its second byte keep out overlong forms, surrogates and what is beyond U+10FFFF.
    """
    state.low = 0x80
    state.high = 0xBF
    if 0xC2 <= byte <= 0xDF:
        state.missing = 1
        return True
    if 0xE0 <= byte <= 0xEF:
        state.missing = 2
        if byte == 0xE0:
            state.low = 0xA0
        elif byte == 0xED:
            state.high = 0x9F
        return True
    if 0xF0 <= byte <= 0xF4:
        state.missing = 3
        if byte == 0xF0:
            state.low = 0x90
        elif byte == 0xF4:
            state.high = 0x8F
        return True
    return False


cdef bint is_utf8(Utf8* state, const unsigned char* at, Py_ssize_t size) noexcept nogil:
    """Take the next bytes of a text; false where they cannot be part of one."""
    cdef const unsigned char* end = at + size
    cdef uint64_t word
    while at < end:
        if state.missing:
            if not state.low <= at[0] <= state.high:
                return False
            state.low = 0x80
            state.high = 0xBF
            state.missing -= 1
            at += 1
            continue
        while end - at >= 8:  # most text is ASCII
            memcpy(&word, at, 8)
            if word & 0x8080808080808080ULL:
                break
            at += 8
        while at < end and at[0] < 0x80:
            at += 1
        if at < end:
            if not begin_character(state, at[0]):
                return False
            at += 1
    return True
