"""The compiled form of ``match``; ``match.pyi`` says what each class does."""

from cpython.unicode cimport PyUnicode_FromObject


cdef object _read(object content, dict stripped, str key):
    """The value of ``key`` as a str, cut where an include did so; None for no such value."""
    cdef object value = None
    if stripped is not None:
        value = stripped.get(key)
        if value is not None:
            return value
    if type(content) is dict:
        value = (<dict>content).get(key)
    elif key in content:
        value = content[key]
    if type(value) is str:
        return value
    if isinstance(value, bytes):
        return (<bytes>value).decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        return PyUnicode_FromObject(value)  # a subclass's plain text
    return None


cdef object _first(tuple nodes, object content, dict stripped, object message):
    """The first node's result that is not None."""
    cdef object result
    cdef Node node
    for node in nodes:
        result = node.resolve(content, stripped, message)
        if result is not None:
            return result
    return None


cdef class Filter:
    """One filter, taken apart."""

    cdef str key
    cdef object match
    cdef bint captures

    def __init__(self, key, match, captures):
        self.key = key
        self.match = match
        self.captures = captures


cdef class Node:
    cdef object resolve(self, object content, dict stripped, object message):
        return None


cdef class Leaf(Node):
    cdef tuple filters
    cdef object consumer

    def __init__(self, filters, consumer):
        self.filters = tuple([Filter(*each) for each in filters])
        self.consumer = consumer

    cdef object resolve(self, object content, dict stripped, object message):
        cdef dict kwargs = None
        cdef object value, found
        cdef Filter each
        for each in self.filters:
            value = _read(content, stripped, each.key)
            if value is None:
                return None
            found = each.match(value)
            if found is None:
                return None
            if each.captures:
                if kwargs is None:
                    kwargs = found.groupdict()
                else:
                    kwargs.update(found.groupdict())
        return (self.consumer, {} if kwargs is None else kwargs)


cdef class Branch(Node):
    cdef tuple filters
    cdef tuple children

    def __init__(self, filters, children):
        self.filters = tuple([Filter(*each) for each in filters])
        self.children = tuple(children)

    cdef object resolve(self, object content, dict stripped, object message):
        cdef dict kwargs = {}
        cdef dict inner = {} if stripped is None else stripped.copy()
        cdef object value, found, result
        cdef Filter each
        for each in self.filters:
            value = _read(content, stripped, each.key)
            if value is None:
                return None
            found = each.match(value)
            if found is None:
                return None
            if each.captures:
                kwargs.update(found.groupdict())
            inner[each.key] = (<str>value)[found.end():]
        result = _first(self.children, content, inner, message)
        if result is None or not kwargs:
            return result
        consumer, more = result
        kwargs.update(more)
        return (consumer, kwargs)


cdef class Opaque(Node):
    cdef object matches
    cdef object view

    def __init__(self, match, view):
        self.matches = match
        self.view = view

    cdef object resolve(self, object content, dict stripped, object message):
        result = self.matches(self.view(message, stripped) if stripped else message)
        if result is None:
            return None
        consumer, kwargs = result
        return (consumer, dict(kwargs))


cdef class Index(Node):
    cdef str key
    cdef bint backwards
    cdef list literals
    cdef list parents
    cdef list buckets
    cdef tuple rest

    def __init__(self, key, backwards, literals, parents, buckets, rest):
        self.key = key
        self.backwards = backwards
        self.literals = list(literals)
        self.parents = list(parents)
        self.buckets = [tuple(bucket) for bucket in buckets]
        self.rest = tuple(rest)

    cdef object resolve(self, object content, dict stripped, object message):
        return _first(self.candidates(content, stripped), content, stripped, message)

    cdef tuple candidates(self, object content, dict stripped):
        cdef object value = _read(content, stripped, self.key)
        cdef Py_ssize_t position
        if value is None:
            return self.rest
        if self.backwards:
            value = (<str>value).removesuffix("\n")[::-1]  # `$` also matches before a last newline
        # Whatever the value begins with is not after it, and begins the greatest literal that is
        # not after it.
        position = self.last_not_after(<str>value)
        while position >= 0:
            if (<str>value).startswith(<str>self.literals[position]):
                return <tuple>self.buckets[position]
            position = self.parents[position]
        return self.rest

    cdef Py_ssize_t last_not_after(self, str value):
        cdef Py_ssize_t low = 0
        cdef Py_ssize_t high = len(self.literals)
        cdef Py_ssize_t middle
        while low < high:
            middle = (low + high) // 2
            if value < <str>self.literals[middle]:
                high = middle
            else:
                low = middle + 1
        return low - 1


cdef class Table:
    cdef dict channels
    cdef tuple others

    def __init__(self, channels, others):
        self.channels = {name: tuple(nodes) for name, nodes in channels.items()}
        self.others = tuple(others)

    def match(self, channel, content, message):
        return _first(<tuple>self.channels.get(channel, self.others), content, None, message)
