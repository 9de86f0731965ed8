"""Claims: how any number of delay servers share the table, and what becomes of what they claimed.

Where the database can lock rows and skip locked ones, a claim is the lock of a transaction that
lasts while the messages are sent: a server that is killed lets go of it at once. Elsewhere (SQLite)
a transaction for so long would keep everybody from writing, so a claim is a lease: it stands in the
row with a time after which others may take it. It is renewed while its owner lives.

Nothing here knows of channels.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.db import connections, models, transaction

from channels.delay import instants
from channels.delay.models import DelayedMessage, DelayedMessages

__all__ = ["BATCH", "Batch", "Claims", "Leases", "Locks", "claims_for"]

#: Messages that are claimed at a time.
BATCH = 100

#: Microseconds for which a lease holds: longer than a living server may be kept from renewing it.
LEASE = 10_000_000

#: Microseconds after which rows that another server had locked are looked at again: it has deleted
#: them by then, or is busy, or it was killed.
LOCKED_AGAIN = 1_000_000


@dataclass
class Batch:
    """Messages that were claimed, and what is to be done with their rows."""

    rows: Sequence[DelayedMessage]
    #: Keys of those that were sent.
    sent: list[uuid.UUID] = field(default_factory=list)
    #: Those that stay, with what has changed in them: ``attempts``, ``error``, ``state``.
    changed: list[DelayedMessage] = field(default_factory=list)

    def keep(self) -> bool:
        """To be called before each send: whether the rows are still this server's."""
        return True


class Claims(Protocol):
    """A way to claim rows of the database ``using``."""

    using: str

    def claim(self, due: DelayedMessages) -> Any:
        """A context with a ``Batch`` of ``due``, whose end applies what was put into it.

        What is raised within is nobody's business but a bug's: it may undo what was put there.
        """


def claims_for(using: str) -> "Claims":
    """The way for the database ``using``."""
    if connections[using].features.has_select_for_update_skip_locked:
        return Locks(using)
    return Leases(using)


class Locks:
    """Claims are locks of rows, for as long as a transaction."""

    def __init__(self, using: str) -> None:
        self.using = using

    @contextmanager
    def claim(self, due: DelayedMessages) -> Iterator[Batch]:
        """See ``Claims``."""
        with transaction.atomic(using=self.using):
            batch = Batch(list(due.select_for_update(skip_locked=True)[:BATCH]))
            yield batch
            _apply(batch, self.using)


class LeasedBatch(Batch):
    """Messages of a lease."""

    def __init__(self, rows: Sequence[DelayedMessage], lease: models.QuerySet[Any]) -> None:
        super().__init__(rows)
        self._lease = lease
        self._renew_at = instants.now() + LEASE // 2

    def keep(self) -> bool:
        """See ``Batch``; the lease is renewed in its second half."""
        now = instants.now()
        if now < self._renew_at:
            return True
        self._renew_at = now + LEASE // 2
        count = self._lease.update(claimed_until=now + LEASE)
        return count == len(self.rows)


class Leases:
    """Claims stand in the rows, and are written in one statement each."""

    def __init__(self, using: str) -> None:
        self.using = using

    @contextmanager
    def claim(self, due: DelayedMessages) -> Iterator[Batch]:
        """See ``Claims``. What was not sent is let go of."""
        token = uuid.uuid4()
        table = DelayedMessage.objects.using(self.using)
        keys = due.unclaimed().values("pk")[:BATCH]
        until = instants.now() + LEASE
        claimed = table.filter(pk__in=keys).update(claimed_by=token, claimed_until=until)
        lease = table.filter(claimed_by=token)
        batch = LeasedBatch(list(lease.order_by("due_date", "pk")) if claimed else [], lease)
        yield batch
        if batch.rows:
            self._end(batch, token)

    def _end(self, batch: Batch, token: uuid.UUID) -> None:
        with transaction.atomic(using=self.using):
            _apply(batch, self.using, claimed_by=token)
            if len(batch.sent) < len(batch.rows):
                lease = DelayedMessage.objects.using(self.using).filter(claimed_by=token)
                lease.update(claimed_by=None, claimed_until=None)


def _apply(batch: Batch, using: str, **owner: Any) -> None:
    table = DelayedMessage.objects.using(using).filter(**owner)
    if batch.sent:
        table.filter(pk__in=batch.sent).delete()
    for message in batch.changed:
        changes = {name: getattr(message, name) for name in ("attempts", "error", "state")}
        table.filter(pk=message.pk).update(**changes)
