"""The database-backed delay server: messages that are sent when they are due.

``manage.py rundelay`` runs it (``worker``); ``send_later``, ``cancel`` and ``reschedule`` are for
applications (``scheduling``). The names below are loaded when they are first used, because Django
imports this package before it has models.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from channels.delay.scheduling import cancel, reschedule, send_later

__all__ = ["cancel", "reschedule", "send_later"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module("channels.delay.scheduling"), name)
        return globals().setdefault(name, value)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
