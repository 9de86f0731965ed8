"""Socket activation: sockets that systemd has bound and passes on (sd_listen_fds(3))."""

import os
from collections.abc import MutableMapping

__all__ = ["passed_endpoints"]

#: The first of the descriptors, which are numbered without a gap.
_FIRST = 3


def passed_endpoints(environ: MutableMapping[str, str]) -> list[str]:
    """Endpoint strings of the sockets that were passed to this process, if there are any.

    The variables that tell of them are removed, since they are for no other process, and the
    descriptors are not inherited any further.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = environ.get("LISTEN_FDS", "")
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        environ.pop(name, None)
    numbers = range(_FIRST, _FIRST + (int(count) if count.isdecimal() else 0))
    for number in numbers:
        os.set_inheritable(number, False)
    return [f"fd:fileno={number}" for number in numbers]
