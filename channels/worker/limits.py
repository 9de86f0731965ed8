"""The limits after which a worker process is replaced, and how they are written."""

import math
import secrets
from dataclasses import dataclass, fields

__all__ = ["Limits", "seconds", "size"]

_FACTORS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}

#: Workers that were started together are not all replaced at once: each takes up to so many
#: percent fewer messages than it may.
_SPREAD = 10


@dataclass(frozen=True)
class Limits:
    """What a process may take before another one takes its place; None where it may go on."""

    #: Seconds that a consumer may run.
    consumer_timeout: float | None = None
    #: Bytes of memory of its own: neither files nor what it shares with others.
    max_memory: int | None = None
    #: Messages that it handles.
    max_messages: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise ValueError(f"{field.name} must be more than 0, not {value!r}")

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return any(getattr(self, field.name) is not None for field in fields(self))

    def messages_of_one(self) -> int | None:
        """How many messages one process handles: ``max_messages``, or up to a tenth fewer."""
        if self.max_messages is None:
            return None
        return self.max_messages - secrets.randbelow(self.max_messages * _SPREAD // 100 + 1)


def seconds(text: str) -> float:
    """Seconds as an option has them. Raises ``ValueError`` for what is no number of them."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is no time")
    return value


def size(text: str) -> int:
    """Bytes as an option has them: 300M, 1.5G, 1000000. Raises ``ValueError`` for others.

    K, M and G are powers of 1024; an i and a B may follow.
    """
    number = text.strip().upper()
    number = number.removesuffix("B").removesuffix("I")
    unit = number[-1:] if number[-1:] in _FACTORS else ""
    return int(seconds(number.removesuffix(unit)) * _FACTORS[unit])
