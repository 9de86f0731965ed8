"""Stored bytes that the codec refuses, and the reasons that it gives."""

import struct

from channels import codec as public

#: Of no message: what is wrong with them, the bytes, and what the refusal begins with.
REFUSED = {
    "nothing": (b"", "at byte 0, they end before the map"),
    "a list": (b"\x90", "at byte 0, something other than a map begins"),
    "text": (b"hello", "at byte 0, something other than a map begins"),
    "a pickle": (b"\x80\x04\x95", "at byte 1, more follows after the end"),
    "trailing bytes": (b"\x80\x80", "at byte 1, more follows after the end"),
    "no value": (b"\x81\xa1a", "at byte 3, they end before a value"),
    "half a map header": (b"\xde\x00", "at byte 0, a value is cut off"),
    "half a list header": (b"\x81\xa1a\xdd\x00\x00\x00", "at byte 3, a value is cut off"),
    "half a string": (b"\x81\xa1a\xa3ab", "at byte 3, a value is cut off"),
    "half a string header": (b"\x81\xa1a\xd9", "at byte 3, a value is cut off"),
    "half a key": (b"\x81\xa3ab", "at byte 1, a value is cut off"),
    "half bytes": (b"\x81\xa1a\xc4\x05abcd", "at byte 3, a value is cut off"),
    "half an int": (b"\x81\xa1a\xcd\x00", "at byte 3, a value is cut off"),
    "half a double": (b"\x81\xa1a\xcb\x00\x00\x00", "at byte 3, a value is cut off"),
    "4 GiB of text": (b"\x81\xa1a\xdb\xff\xff\xff\xff", "at byte 3, a value is cut off"),
    "4 GiB of bytes": (b"\x81\xa1a\xc6\xff\xff\xff\xff", "at byte 3, a value is cut off"),
    "2^32 items": (b"\x81\xa1a\xdd\xff\xff\xff\xff", "at byte 3, a container announces more"),
    "2^32 entries": (b"\xdf\xff\xff\xff\xff", "at byte 0, a container announces more"),
    "an int key": (b"\x81\x01\x01", "at byte 1, a key is no string"),
    "a bytes key": (b"\x81\xc4\x01a\x01", "at byte 1, a key is no string"),
    "a list as key": (b"\x81\x90\x01", "at byte 1, a key is no string"),
    "a repeated key": (b"\x82\xa1a\x01\xa1a\x02", "at byte 0, a map repeats a key"),
    "the unused type": (b"\x81\xa1a\xc1", "at byte 3, a value has the type 0xc1"),
    "an extension": (b"\x81\xa1a\xd4\x05x", "at byte 3, a value has the type 0xd4"),
    "a timestamp": (b"\x81\xa1a\xd6\xff\0\0\0\0", "at byte 3, a value has the type 0xd6"),
    "a long extension": (b"\x81\xa1a\xc7\x01\x05x", "at byte 3, a value has the type 0xc7"),
    "an int of 64 bits": (b"\x81\xa1a\xcf" + b"\xff" * 8, "at byte 3, an integer is outside"),
    "the int 2^63": (b"\x81\xa1a\xcf\x80" + b"\0" * 7, "at byte 3, an integer is outside"),
    "bad UTF-8": (b"\x81\xa1a\xa1\xff", "at byte 3, a string is not UTF-8"),
    "a coded surrogate": (b"\x81\xa1a\xa3\xed\xa0\x80", "at byte 3, a string is not UTF-8"),
    "an overlong slash": (b"\x81\xa1a\xa2\xc0\xaf", "at byte 3, a string is not UTF-8"),
    "a key of bad UTF-8": (b"\x81\xa1\xff\x01", "at byte 1, a string is not UTF-8"),
}


def head(count, version=public.VERSION):
    """The head of an envelope that announces ``count`` targets."""
    return struct.pack(">BQH", version, 5, count)
