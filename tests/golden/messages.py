"""What the golden files hold: messages and envelopes with every type at its limits."""

from typing import Any

__all__ = ["ENVELOPES", "MESSAGES"]

MESSAGES: dict[str, dict[str, Any]] = {
    "empty": {},
    "constants": {"none": None, "true": True, "false": False},
    "integers-of-one-byte": {"values": [0, 1, 127, -1, -32]},
    "integers-of-two-bytes": {"values": [128, 255, -33, -128]},
    "integers-of-three-bytes": {"values": [256, 65535, -129, -32768]},
    "integers-of-five-bytes": {"values": [65536, 2**32 - 1, -32769, -(2**31)]},
    "integers-of-nine-bytes": {"values": [2**32, 2**63 - 1, -(2**31) - 1, -(2**63)]},
    "doubles": {"values": [0.0, -0.0, 0.1, 1e308, 5e-324, float("inf"), float("-inf")]},
    "strings-by-length": {"values": ["a" * n for n in (0, 1, 31, 32, 255)]},
    "strings-of-256": {"value": "b" * 256},
    "strings-of-65535": {"value": "c" * 65535},
    "strings-of-65536": {"value": "d" * 65536},
    "text-of-all-planes": {
        "ключ": "é ü ß 漢字 \u2028 \U0001f600 \0",
        "": "\x7f\x80\uffff\U0010ffff",
    },
    "bytes-by-length": {"values": [b"", b"\0", b"\xff" * 31, b"\x80" * 255]},
    "bytes-of-256": {"value": b"e" * 256},
    "bytes-of-65536": {"value": b"f" * 65536},
    "lists-by-length": {"values": [[], [None] * 15, [None] * 16]},
    "lists-of-65536": {"values": [False] * 65536},
    "tuples": {"headers": ((b"host", b"example.org"), (b"accept", b"*/*"))},
    "dicts-by-length": {
        "15": {f"{n:02}": n for n in range(15)},
        "16": {f"{n:02}": n for n in range(16)},
    },
    "key-order": {"z": 1, "a": 2, "m": {"y": 3, "b": 4}},
    "http.request": {
        "reply_channel": "daphne.response.0123456789abcdef!fedcba9876543210",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": "/caf\u00e9/",
        "root_path": "",
        "query_string": b"page=2&q=%C3%A9",
        "headers": [[b"host", b"example.org"], [b"x-twice", b"1"], [b"x-twice", b"2"]],
        "body": b"a=1",
        "body_channel": None,
        "client": ["2001:db8::1", 54321],
        "server": ["192.0.2.1", 443],
    },
    "websocket.receive": {
        "reply_channel": "daphne.response.0123456789abcdef!fedcba9876543210",
        "path": "/chat/",
        "bytes": None,
        "text": '{"hello": "world"}',
        "order": 1,
    },
}

ENVELOPES: dict[str, tuple[bytes, int, tuple[str, ...]]] = {
    "a-normal-channel": (b"\x80", 1_790_000_000_123, ()),
    "one-target": (b"\x81\xa1a\x01", 0, ("fedcba9876543210",)),
    "targets-at-their-limits": (b"", 2**64 - 1, ("", "a", "b" * 200)),
    "two-thousand-targets": (b"\x80", 1, tuple(f"{n:04}" for n in range(2000))),
}
