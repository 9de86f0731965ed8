"""Exact counts of what was sent and what came of it."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Ledger", "Tally", "percentile"]


def percentile(values: Iterable[float], part: float) -> float | None:
    """The value below which ``part`` (0 to 1) of the values are; None where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else None


class Ledger:
    """Messages of one kind, each under a key; none is forgotten."""

    def __init__(self) -> None:
        self.sent = self.received = self.doubled = self.lost_with_socket = self.late = 0
        #: When each was sent that nothing has come of yet.
        self.outstanding: dict[Any, float] = {}
        self._given_up: set[Any] = set()
        self._received: set[Any] = set()
        self._times: list[float] = []
        #: When the latest of those that have come was sent.
        self.latest = 0.0

    def send(self, key: Any, now: float) -> None:
        """Note that it was sent."""
        self.sent += 1
        self.outstanding[key] = now

    def receive(self, key: Any, now: float) -> None:
        """Note that it, or its answer, has come."""
        started = self.outstanding.pop(key, None)
        if started is not None:
            self.received += 1
            self._received.add(key)
            self._times.append(now - started)
            self.latest = max(self.latest, started)
        elif key in self._received:
            self.doubled += 1
        elif key in self._given_up:
            self.late += 1

    def drop(self, belongs: Callable[[Any], bool]) -> None:
        """Note that those which ``belongs`` says yes to cannot come any more: their socket left."""
        for key in [key for key in self.outstanding if belongs(key)]:
            del self.outstanding[key]
            self._given_up.add(key)
            self.lost_with_socket += 1

    def summary(self) -> dict[str, Any]:
        """The counts, where what has not come by now is lost; times are milliseconds."""
        times = {
            "p50_ms": percentile(self._times, 0.5),
            "p99_ms": percentile(self._times, 0.99),
            "max_ms": max(self._times, default=None),
        }
        return {
            "sent": self.sent,
            "received": self.received,
            "doubled": self.doubled,
            "lost": len(self.outstanding),
            "lost_with_socket": self.lost_with_socket,
            **{name: value and round(value * 1000, 1) for name, value in times.items()},
        }


@dataclass
class Tally:
    """What happened in one scenario."""

    #: Messages of sockets, which come back.
    echoes: Ledger = field(default_factory=Ledger)
    #: Messages to a group, one for each member.
    deliveries: Ledger = field(default_factory=Ledger)
    #: Messages to a group, each once: received as soon as one member has it.
    group_sends: Ledger = field(default_factory=Ledger)
    #: Messages that were sent later.
    delayed: Ledger = field(default_factory=Ledger)
    #: Requests; received are those with any answer.
    requests: Ledger = field(default_factory=Ledger)
    #: How often a request came to each status, or to "closed" or "timeout".
    statuses: Counter[str] = field(default_factory=Counter)
    #: How often a socket was lost with each close code.
    drops: Counter[str] = field(default_factory=Counter)
    #: How often an attempt to connect again came to what.
    refusals: Counter[str] = field(default_factory=Counter)
    #: How often a socket was open again.
    reconnected: int = 0
    #: When the latest request was sent that failed.
    last_failure: float = 0.0

    @property
    def ledgers(self) -> dict[str, Ledger]:
        """The ledgers by their names."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Ledger)}

    @property
    def outstanding(self) -> int:
        """How many messages and requests are under way."""
        return sum(len(ledger.outstanding) for ledger in self.ledgers.values())

    @property
    def lost(self) -> int:
        """Messages that were lost while their sockets stayed open, each counted once.

        One to a group counts as lost where any member has not got it.
        """
        to_group = {number for _, number in self.deliveries.outstanding}
        to_group |= {number for _, number in self.group_sends.outstanding}
        return len(self.echoes.outstanding) + len(self.delayed.outstanding) + len(to_group)

    @property
    def dropped(self) -> int:
        """Sockets that were lost."""
        return sum(self.drops.values())

    @property
    def doubled(self) -> int:
        """Messages that came more than once."""
        return self.echoes.doubled + self.deliveries.doubled + self.delayed.doubled

    @property
    def failed_requests(self) -> int:
        """Requests that were not answered by 200."""
        return sum(self.statuses.values()) - self.statuses["200"]

    def summary(self) -> dict[str, Any]:
        """All counts."""
        found: dict[str, Any] = {name: ledger.summary() for name, ledger in self.ledgers.items()}
        return {
            **found,
            "statuses": dict(self.statuses),
            "messages_lost": self.lost,
            "failed_requests": self.failed_requests,
            "sockets_dropped": self.dropped,
            "close_codes": dict(self.drops),
            "refusals": dict(self.refusals),
            "reconnected": self.reconnected,
        }
