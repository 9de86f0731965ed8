# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: embedsignature=False, binding=True
"""Redis' protocol, RESP 2: commands packed in one pass into bytes of the right size.

Replies are parsed by hiredis, here as in the fallback.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from hiredis import ProtocolError, Reader, ReplyError

__all__ = ["ProtocolError", "Reader", "ReplyError", "bulk", "pack"]


cdef inline Py_ssize_t digits_of(Py_ssize_t number) noexcept nogil:
    cdef Py_ssize_t digits = 1
    while number > 9:
        number //= 10
        digits += 1
    return digits


cdef inline char* write_size(char* at, char kind, Py_ssize_t number) noexcept nogil:
    """``kind``, the number in decimal, and the end of the line."""
    cdef Py_ssize_t digits = digits_of(number)
    cdef Py_ssize_t index
    at[0] = kind
    for index in range(digits, 0, -1):
        at[index] = 48 + <char>(number % 10)
        number //= 10
    at[digits + 1] = 13
    at[digits + 2] = 10
    return at + digits + 3


cdef inline char* write_value(char* at, bytes value) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
    at = write_size(at, 36, size)
    memcpy(at, PyBytes_AS_STRING(value), size)
    at[size] = 13
    at[size + 1] = 10
    return at + size + 2


cdef inline Py_ssize_t size_of(bytes value) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
    return digits_of(size) + size + 5


cdef bytes as_bytes(object value):
    if type(value) is bytes:
        return <bytes>value
    if type(value) is int:
        return b"%d" % value
    if isinstance(value, str):
        return (<str>value).encode()
    if isinstance(value, bytes):
        return bytes(value)
    raise TypeError(f"an argument of a command must be bytes, str or int, not {value!r}")


def pack(args):
    """The bytes of one command; see ``resp_fallback.pack``."""
    cdef list values = [as_bytes(value) for value in args]
    cdef Py_ssize_t size = digits_of(len(values)) + 3
    cdef char* at
    for value in values:
        size += size_of(<bytes>value)
    packed = PyBytes_FromStringAndSize(NULL, size)
    at = write_size(PyBytes_AS_STRING(packed), 42, len(values))
    for value in values:
        at = write_value(at, <bytes>value)
    return packed


def bulk(bytes head not None, bytes value not None):
    """``head`` with one more argument; see ``resp_fallback.bulk``."""
    cdef Py_ssize_t head_size = PyBytes_GET_SIZE(head)
    cdef char* at
    packed = PyBytes_FromStringAndSize(NULL, head_size + size_of(value))
    at = PyBytes_AS_STRING(packed)
    memcpy(at, PyBytes_AS_STRING(head), head_size)
    write_value(at + head_size, value)
    return packed
