"""How delay servers learn that something is due earlier than they thought.

Each of them is a member of one group of the channel layer, and whoever stores a message tells the
group when it is due, once it is committed. So it works with any database, across machines, and with
a connection pool between, and needs nothing that the message itself does not need. A server that
misses it, because the layer lost it, looks by itself after its ``--sleep``.
"""

import logging
from typing import Any

from django.db import transaction

from channels.asgi import channel_layers
from channels.outage import FailureLog

__all__ = ["GROUP", "NEVER", "due_in", "wake", "wake_on_commit"]

logger = logging.getLogger("django.channels")

#: The group of a layer's delay servers.
GROUP = "channels.delay"

_failures = FailureLog(logger)


#: When nothing is due: the last of 64 bits.
NEVER = 2**63 - 1


def wake(layer: Any, due: int, **more: str) -> None:
    """Tell the delay servers of ``layer`` that a message is due at ``due``, in microseconds.

    ``joined``, in ``more``, is the name of a server that is new, so that the others know of it.
    A layer that fails is logged: the message is stored, and will be sent.
    """
    if not getattr(layer, "supports_groups", "groups" in layer.extensions):
        return
    try:
        layer.send_group(GROUP, {"due": due, **more})
    except Exception:
        _failures.failed("Layer %s did not tell the delay servers of a message:", layer)


def wake_on_commit(alias: str, due: int, using: str | None) -> None:
    """``wake`` when the transaction of the database ``using`` is committed; now outside of one."""
    transaction.on_commit(lambda: _wake_alias(alias, due), using=using)


def due_in(content: dict[str, Any]) -> int:
    """What ``wake`` said; 0, which has them look at once, where it was somebody else."""
    due = content.get("due")
    return due if isinstance(due, int) else 0


def _wake_alias(alias: str, due: int) -> None:
    try:
        layer = channel_layers[alias]
    except Exception:
        _failures.failed("There is no layer %r to tell the delay servers of a message:", alias)
    else:
        wake(layer, due)
