"""The grammar of a host with or without a port, as Host and the headers of proxies have it."""

import re
from functools import lru_cache

__all__ = ["is_host"]

# RFC 3986, 3.2.2 and 3.2.3, without the comma, which proxies put between repeated headers. A step
# takes one character, in one way, so that a host that is none is found out in linear time.
_HOST = re.compile(
    rb"(?:(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+"
    rb"|\[[0-9A-Fa-f:.]+\]|\[[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+;=:-]+\])(?::[0-9]*)?"
)


@lru_cache(maxsize=256)
def is_host(value: bytes) -> bool:
    """Whether this is a host with or without a port."""
    return _HOST.fullmatch(value) is not None
