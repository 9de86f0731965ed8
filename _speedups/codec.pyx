# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: embedsignature=False, binding=True
"""The compiled codec: msgpack written and read directly, every value checked on the way.

Both loops hold the interpreter lock and run no Python code, so nothing can change under them. They
know no errors: where one meets anything that it does not take, it gives up, and ``codec_fallback``
does the work again, which then raises the exception, or encodes the subclasses of containers. So
each error has one text, and this file only has to be right about what it accepts.
"""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from channels._speedups import codec_fallback

__all__ = ["decode", "encode", "pack_envelope", "unpack_envelope"]

cdef extern from *:
    """
    static inline void store16(uint8_t *at, uint16_t n) { at[0] = n >> 8; at[1] = n; }
    static inline void store32(uint8_t *at, uint32_t n) {
        store16(at, n >> 16);
        store16(at + 2, n);
    }
    static inline void store64(uint8_t *at, uint64_t n) {
        store32(at, n >> 32);
        store32(at + 4, n);
    }
    static inline uint16_t load16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }
    static inline uint32_t load32(const uint8_t *at) {
        return (uint32_t)load16(at) << 16 | load16(at + 2);
    }
    static inline uint64_t load64(const uint8_t *at) {
        return (uint64_t)load32(at) << 32 | load32(at + 4);
    }

    /* Whether no byte has its high bit set; eight at a time, without reading past the end. */
    static inline int is_ascii(const uint8_t *at, Py_ssize_t size) {
        uint64_t seen = 0, eight;
        while (size >= 8) {
            memcpy(&eight, at, 8);
            seen |= eight;
            at += 8;
            size -= 8;
            if (seen & 0x8080808080808080ULL) return 0;
        }
        while (size-- > 0) seen |= *at++;
        return !(seen & 0x8080808080808080ULL);
    }

    /* A slot number for a short key, from its ends and its length; a collision costs little. */
    static inline uint32_t slot_of(const uint8_t *at, Py_ssize_t size) {
        uint64_t head = 0, tail = 0;
        if (size >= 8) {
            memcpy(&head, at, 8);
            memcpy(&tail, at + size - 8, 8);
        } else if (size >= 4) {
            uint32_t half;
            memcpy(&half, at, 4);
            head = half;
            memcpy(&half, at + size - 4, 4);
            tail = half;
        } else if (size > 0) {
            head = at[0];
            tail = (uint64_t)at[size >> 1] << 8 | at[size - 1];
        }
        head = (head ^ (uint64_t)size) * 0x9E3779B97F4A7C15ULL;
        head ^= (tail ^ head >> 29) * 0xC2B2AE3D27D4EB4FULL;
        return (uint32_t)(head >> 40);
    }
    """
    void store16(uint8_t* at, uint16_t n) noexcept nogil
    void store32(uint8_t* at, uint32_t n) noexcept nogil
    void store64(uint8_t* at, uint64_t n) noexcept nogil
    uint16_t load16(const uint8_t* at) noexcept nogil
    uint32_t load32(const uint8_t* at) noexcept nogil
    uint64_t load64(const uint8_t* at) noexcept nogil
    bint is_ascii(const uint8_t* at, Py_ssize_t size) noexcept nogil
    uint32_t slot_of(const uint8_t* at, Py_ssize_t size) noexcept nogil

# Declared over PyObject*, and not taken from Cython's own declarations, so that no reference is
# counted where one is only looked at.
cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        PyObject* (*tp_alloc)(PyTypeObject* kind, Py_ssize_t items)
    PyObject* Py_None
    PyObject* Py_True
    PyObject* Py_False
    void Py_INCREF(PyObject* value)
    void Py_DECREF(PyObject* value)
    void Py_XDECREF(PyObject* value)
    void PyErr_Clear()
    PyObject* PyErr_Occurred()
    int PyUnicode_CheckExact(PyObject* value)
    int PyUnicode_Check(PyObject* value)
    int PyUnicode_IS_COMPACT_ASCII(PyObject* value)
    void* PyUnicode_DATA(PyObject* value)
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject* value)
    const char* PyUnicode_AsUTF8AndSize(PyObject* value, Py_ssize_t* size)
    PyObject* PyUnicode_New(Py_ssize_t size, unsigned int highest)
    PyObject* PyUnicode_DecodeUTF8(const char* data, Py_ssize_t size, const char* errors)
    Py_ssize_t PyObject_Hash(PyObject* value)
    int PyBytes_CheckExact(PyObject* value)
    int PyBytes_Check(PyObject* value)
    char* PyBytes_AS_STRING(PyObject* value)
    Py_ssize_t PyBytes_GET_SIZE(PyObject* value)
    PyObject* PyBytes_FromStringAndSize(const char* data, Py_ssize_t size)
    int _PyBytes_Resize(PyObject** value, Py_ssize_t size)
    int PyLong_CheckExact(PyObject* value)
    int PyLong_Check(PyObject* value)
    long long PyLong_AsLongLongAndOverflow(PyObject* value, int* overflow)
    unsigned long long PyLong_AsUnsignedLongLong(PyObject* value)
    Py_ssize_t PyLong_AsSsize_t(PyObject* value)
    PyObject* PyLong_FromLongLong(long long value)
    PyObject* PyLong_FromUnsignedLongLong(unsigned long long value)
    int PyFloat_Check(PyObject* value)
    double PyFloat_AS_DOUBLE(PyObject* value)
    PyObject* PyFloat_FromDouble(double value)
    int PyList_CheckExact(PyObject* value)
    Py_ssize_t PyList_GET_SIZE(PyObject* value)
    PyObject* PyList_GET_ITEM(PyObject* value, Py_ssize_t index)
    void PyList_SET_ITEM(PyObject* value, Py_ssize_t index, PyObject* item)
    PyObject* PyList_New(Py_ssize_t size)
    int PyTuple_CheckExact(PyObject* value)
    Py_ssize_t PyTuple_GET_SIZE(PyObject* value)
    PyObject* PyTuple_GET_ITEM(PyObject* value, Py_ssize_t index)
    void PyTuple_SET_ITEM(PyObject* value, Py_ssize_t index, PyObject* item)
    PyObject* PyTuple_New(Py_ssize_t size)
    int PyDict_CheckExact(PyObject* value)
    Py_ssize_t PyDict_Size(PyObject* value)
    int PyDict_Next(PyObject* value, Py_ssize_t* position, PyObject** key, PyObject** item)
    int PyDict_SetItem(PyObject* value, PyObject* key, PyObject* item)
    PyObject* PyDict_New()

cdef:
    Py_ssize_t MAX_SIZE = codec_fallback.MAX_SIZE
    Py_ssize_t MAX_VALUES = codec_fallback.MAX_VALUES
    int MAX_DEPTH = codec_fallback.MAX_DEPTH
    Py_ssize_t MAX_TARGETS = codec_fallback.MAX_TARGETS
    Py_ssize_t MAX_TARGET_LENGTH = codec_fallback.MAX_TARGET_LENGTH
    uint8_t VERSION = codec_fallback.VERSION
    object Envelope = codec_fallback.Envelope

include "codec_writer.pxi"
include "codec_reader.pxi"
include "codec_envelope.pxi"
