# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, embedsignature=False, binding=True
"""The frames of an open WebSocket as a client sends them (RFC 6455, section 5).

A reader is fed bytes in pieces of any size. Space is made for bytes that came, never for bytes that
a header announces. A message that arrives whole, in one frame, is unmasked straight into its
object; any other one is collected, and its text checked as it comes.

Messages that are compressed (RFC 7692) are inflated as they come, each by itself, and never to more
than a message may have.
"""

import zlib

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

include "wsframe_utf8.pxi"

__all__ = ["FrameReader"]

cdef enum:
    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA
    # Bytes of the longest header: two, eight of length, four of mask.
    LONGEST_HEADER = 14
    # Bytes of payload that a control frame may have.
    CONTROL = 125
    # The bit of a first frame that says that its message is compressed (RFC 7692, section 6).
    RSV1 = 0x40

# What a compressor has left away at the end of a message (RFC 7692, section 7.2.2).
cdef bytes FLUSHED = b"\x00\x00\xff\xff"


cdef inline void unmask(
    unsigned char* to, const unsigned char* at, Py_ssize_t size, const unsigned char* mask
) noexcept nogil:
    """Copy ``size`` bytes without their mask, of which ``mask`` holds eight bytes."""
    cdef uint64_t word, key
    cdef Py_ssize_t index = 0
    memcpy(&key, mask, 8)
    while index + 8 <= size:
        memcpy(&word, at + index, 8)
        word ^= key
        memcpy(to + index, &word, 8)
        index += 8
    while index < size:
        to[index] = at[index] ^ mask[index & 7]
        index += 1


cdef class FrameReader:
    """The reader of one connection; see ``wsframe.pyi`` for its arguments.

    ``deflate``: whether messages may be compressed, without context from one to the next.
    ``text``, ``binary`` and the others make the events that ``feed`` returns; ``close`` gets the
    payload of a close frame. Nothing is read after that frame, nor after a failure.
    """

    cdef object _text, _binary, _ping, _pong, _close, _failure
    cdef uint64_t _max_frame, _max_message, _max_fragments
    # The header that is being read.
    cdef unsigned char _header[LONGEST_HEADER]
    cdef unsigned char _header_size
    # The frame whose payload is being read, and eight bytes of its mask from where that stands.
    cdef bint _in_frame, _fin, _ended, _deflate
    cdef unsigned char _opcode
    cdef unsigned char _mask[8]
    cdef uint64_t _missing
    cdef bytearray _control
    # The message, where one has begun: its opcode, frames, bytes that they announced, and content.
    cdef unsigned char _message
    cdef uint64_t _fragments, _announced
    cdef bytearray _content
    cdef object _inflater
    cdef Utf8 _utf8

    def __init__(
        self,
        max_frame,
        max_message,
        max_fragments,
        deflate,
        text,
        binary,
        ping,
        pong,
        close,
        failure,
    ):
        self._deflate = deflate
        self._max_frame, self._max_message = max_frame, max_message
        self._max_fragments = max_fragments
        self._text, self._binary, self._ping, self._pong = text, binary, ping, pong
        self._close, self._failure = close, failure

    def feed(self, bytes data not None):
        """Take bytes as they come, and return the events that they completed."""
        cdef const unsigned char* at = <const unsigned char*>PyBytes_AS_STRING(data)
        cdef const unsigned char* end = at + PyBytes_GET_SIZE(data)
        cdef list events = []
        while not self._ended:
            if not self._in_frame:
                if not self._read_header(&at, end, events):
                    break
            elif self._missing and at == end:
                break
            self._read_payload(&at, end, events)
        return events

    # -- headers

    cdef bint _read_header(
        self, const unsigned char** at, const unsigned char* end, list events
    ) except -1:
        """Read a header; false where it is not there yet, or ends the input."""
        cdef unsigned char needed
        while True:
            needed = self._header_needed()
            while self._header_size < needed and at[0] < end:
                self._header[self._header_size] = at[0][0]
                self._header_size += 1
                at[0] += 1
            if self._header_size < needed:
                return False
            if self._header_size == 2 and not self._check_start(events):
                return False
            if self._header_needed() == needed:
                self._header_size = 0
                return self._begin_frame(needed, events)

    cdef unsigned char _header_needed(self) noexcept:
        """Bytes that the header has, by what is known of it."""
        cdef unsigned char length
        if self._header_size < 2:
            return 2
        length = self._header[1] & 0x7F
        return 6 if length < 126 else 8 if length == 126 else LONGEST_HEADER

    cdef bint _check_start(self, list events) except -1:
        """Refuse what the first two bytes say; false then."""
        cdef unsigned char opcode = self._header[0] & 0x0F
        cdef bint fin = self._header[0] & 0x80
        if self._header[0] & 0x70 and not self._is_compressed(opcode):
            return self._fail(events, 1002, "reserved bits are set")
        if not self._header[1] & 0x80:
            return self._fail(events, 1002, "a client must mask its frames")
        if opcode > PONG or BINARY < opcode < CLOSE:
            return self._fail(events, 1002, "reserved opcode")
        if opcode >= CLOSE:
            if not fin:
                return self._fail(events, 1002, "a control frame must not be fragmented")
            if self._header[1] & 0x7F > CONTROL:
                return self._fail(events, 1002, "a control frame may have 125 bytes")
        elif opcode == CONTINUATION and not self._message:
            return self._fail(events, 1002, "a continuation of nothing")
        elif opcode != CONTINUATION and self._message:
            return self._fail(events, 1002, "a message within a message")
        return True

    cdef bint _is_compressed(self, unsigned char opcode) noexcept:
        """Whether the reserved bits are those of a compressed message's first frame."""
        return self._deflate and self._header[0] & 0x70 == RSV1 and opcode in (TEXT, BINARY)

    cdef bint _begin_frame(self, unsigned char size, list events) except -1:
        """Begin the frame of a header that is whole; false where it is refused."""
        cdef uint64_t length = self._header[1] & 0x7F
        cdef unsigned char index
        if length >= 126:
            length = 0
            for index in range(2, size - 4):
                length = length << 8 | self._header[index]
            if length < (126 if size == 8 else 65536):
                return self._fail(events, 1002, "a length must have the shortest form")
            if length >> 63:
                return self._fail(events, 1002, "a length must have 63 bits")
        self._opcode = self._header[0] & 0x0F
        self._fin = self._header[0] & 0x80
        if self._opcode < CLOSE and not self._begin_part(length, events):
            return False
        memcpy(self._mask, self._header + size - 4, 4)
        memcpy(self._mask + 4, self._mask, 4)
        self._missing = length
        self._in_frame = True
        return True

    cdef bint _begin_part(self, uint64_t length, list events) except -1:
        """Count a frame of a message; false where that is over a limit."""
        if self._opcode != CONTINUATION:
            self._message = self._opcode
            self._fragments = self._announced = 0
            self._utf8.missing = 0
            if self._header[0] & RSV1:
                self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._fragments += 1
        self._announced += length
        if length > self._max_frame:
            return self._fail(events, 1009, f"a frame may have {self._max_frame} bytes")
        if self._announced > self._max_message:
            return self._fail(events, 1009, f"a message may have {self._max_message} bytes")
        if self._fragments > self._max_fragments:
            return self._fail(events, 1008, f"a message may have {self._max_fragments} frames")
        return True

    # -- payload

    cdef int _read_payload(
        self, const unsigned char** at, const unsigned char* end, list events
    ) except -1:
        cdef Py_ssize_t size = end - at[0]
        if <uint64_t>size > self._missing:
            size = <Py_ssize_t>self._missing
        if self._opcode >= CLOSE:
            if self._control is None:
                self._control = bytearray()
            self._append(self._control, at[0], size)
        elif self._inflater is not None:
            if not self._inflate(self._unmasked(at[0], size), events):
                return 0
        elif self._fin and self._fragments == 1 and <uint64_t>size == self._missing and (
            self._content is None
        ):
            self._whole_message(self._unmasked(at[0], size), events)
            at[0] += size
            return 0
        elif size:
            if self._content is None:
                self._content = bytearray()
            self._append(self._content, at[0], size)
            if not self._check_text(size, events):
                return 0
        self._turn_mask(size)
        self._missing -= size
        at[0] += size
        if not self._missing:
            self._end_frame(events)
        return 0

    cdef int _append(
        self, bytearray buffer, const unsigned char* at, Py_ssize_t size
    ) except -1:
        cdef Py_ssize_t before = PyByteArray_GET_SIZE(buffer)
        PyByteArray_Resize(buffer, before + size)
        unmask(<unsigned char*>PyByteArray_AS_STRING(buffer) + before, at, size, self._mask)
        return 0

    cdef bytes _unmasked(self, const unsigned char* at, Py_ssize_t size):
        content = PyBytes_FromStringAndSize(NULL, size)
        unmask(<unsigned char*>PyBytes_AS_STRING(content), at, size, self._mask)
        return content

    cdef bint _inflate(self, bytes data, list events) except -1:
        """Add what compressed ``data`` holds to the content; false where it is refused."""
        cdef uint64_t room
        if self._content is None:
            self._content = bytearray()
        if self._inflater.eof:  # zlib would collect what follows its last block, over and over
            return True
        room = self._max_message - PyByteArray_GET_SIZE(self._content)
        try:
            inflated = self._inflater.decompress(data, room + 1)
        except zlib.error:
            return self._fail(events, 1007, "compressed data must be that of deflate")
        if len(inflated) > room:
            return self._fail(events, 1009, f"a message may have {self._max_message} bytes")
        self._content += inflated
        return self._check_text(len(inflated), events)

    cdef bint _check_text(self, Py_ssize_t size, list events) except -1:
        """Check the latest ``size`` bytes of the content; false where they should be text."""
        cdef const unsigned char* end = <const unsigned char*>(
            PyByteArray_AS_STRING(self._content) + PyByteArray_GET_SIZE(self._content)
        )
        if self._message != TEXT or is_utf8(&self._utf8, end - size, size):
            return True
        return self._fail(events, 1007, "text must be UTF-8")

    cdef void _turn_mask(self, Py_ssize_t size) noexcept:
        """Have the mask begin where the next byte stands in the frame."""
        cdef unsigned char turned[8]
        cdef Py_ssize_t index
        if size & 3:
            for index in range(8):
                turned[index] = self._mask[(index + size) & 3]
            memcpy(self._mask, turned, 8)

    cdef int _whole_message(self, bytes content, list events) except -1:
        """A message of one frame that is all there."""
        self._in_frame = False
        if self._message == TEXT:
            self._deliver_text(PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content), events)
        else:
            events.append(self._binary(content))
        self._message = 0
        return 0

    cdef int _deliver_text(self, const char* at, Py_ssize_t size, list events) except -1:
        try:
            text = PyUnicode_DecodeUTF8(at, size, NULL)
        except UnicodeDecodeError:
            self._fail(events, 1007, "text must be UTF-8")
        else:
            events.append(self._text(text))
        return 0

    cdef int _end_frame(self, list events) except -1:
        self._in_frame = False
        if self._opcode >= CLOSE:
            self._deliver_control(events)
        elif self._fin:
            self._deliver_message(events)
        return 0

    cdef int _deliver_control(self, list events) except -1:
        payload, self._control = bytes(self._control), None
        if self._opcode == PING:
            events.append(self._ping(payload))
        elif self._opcode == PONG:
            events.append(self._pong(payload))
        else:
            self._stop()
            events.append(self._close(payload))
        return 0

    cdef int _deliver_message(self, list events) except -1:
        cdef bytearray content
        if self._inflater is not None:
            if not self._inflate(FLUSHED, events):
                return 0
            self._inflater = None
        content = bytearray() if self._content is None else self._content
        kind, self._content, self._message = self._message, None, 0
        if kind == TEXT:
            self._deliver_text(PyByteArray_AS_STRING(content), PyByteArray_GET_SIZE(content), events)
        else:
            events.append(self._binary(bytes(content)))
        return 0

    # -- the end

    cdef bint _fail(self, list events, int code, str reason) except -1:
        """Report a failure, after which nothing is read. Always false, for who returns it."""
        self._stop()
        events.append(self._failure(code, reason))
        return False

    cdef void _stop(self) noexcept:
        self._ended = True
        self._content = self._control = self._inflater = None
