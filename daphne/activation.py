"""Socket activation: sockets that systemd has bound and passes on (sd_listen_fds(3)).

Twisted takes the variables that tell of them out of the environment as soon as its endpoints are
imported, for endpoint strings such as ``systemd:domain=INET:index=0``. So this module reads them
when it is imported, and is imported before.
"""

import os
from collections.abc import Mapping

__all__ = ["passed_endpoints", "read_numbers"]

#: The first of the descriptors, which are numbered without a gap.
_FIRST = 3


def read_numbers(environ: Mapping[str, str]) -> range:
    """The descriptors that ``environ`` tells this process of."""
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return range(0)
    return range(_FIRST, _FIRST + int(count))


_numbers = read_numbers(os.environ)


def passed_endpoints() -> list[str]:
    """Endpoint strings of the sockets that were passed to this process, if there are any.

    They are not inherited any further.
    """
    for number in _numbers:
        os.set_inheritable(number, False)
    return [f"fd:fileno={number}" for number in _numbers]
