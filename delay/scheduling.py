"""What applications call: send a message later, and change one's mind.

Rows are written at once, in the caller's transaction; the delay server needs not run. What is wrong
with a message is found here, whoever it comes from.
"""

import datetime
import uuid
from typing import Any

from django.conf import settings
from django.db import router
from django.utils import timezone

from channels import DEFAULT_CHANNEL_LAYER, codec, names
from channels.asgi import channel_layers
from channels.channel import Channel
from channels.delay import instants
from channels.delay.models import AS_NEW, DelayedMessage
from channels.delay.waking import wake_on_commit
from channels.layers.base import RESERVED_KEY

__all__ = ["cancel", "compose", "due_after", "reschedule", "send_later"]

_MILLISECOND = datetime.timedelta(milliseconds=1)

#: Microseconds; no time zone is further from UTC.
_DAY = 86_400_000_000


def send_later(
    channel: str | Channel,
    content: dict[str, Any],
    *,
    delay: int | datetime.timedelta | None = None,
    at: datetime.datetime | None = None,
    alias: str = DEFAULT_CHANNEL_LAYER,
) -> str:
    """Have ``content`` sent to ``channel`` of the layer ``alias``, and return the message's key.

    ``delay``: milliseconds from now as an int, or a ``timedelta``. ``at``: when; at once where that
    is past. It is stored in the caller's transaction: what rolls back is never sent.

    Raises ``TypeError`` for a bad name, content or delay, ``ValueError`` for a negative delay or
    one that no date can express, and for a naive ``at`` where ``USE_TZ`` is on, and
    ``MessageTooLarge``.
    """
    due = _due(delay, at)
    name = channel.name if isinstance(channel, Channel) else channel
    message = compose(channel_layers[alias], alias, name, content, due)
    message.save(force_insert=True)
    return str(message.key)


def cancel(key: str | uuid.UUID) -> bool:
    """Remove the message with ``key``, in the caller's transaction.

    False where there is none any more, or it is being sent just now. Raises ``ValueError`` for what
    is no key.
    """
    return bool(_row(key).cancel())


def reschedule(
    key: str | uuid.UUID,
    *,
    delay: int | datetime.timedelta | None = None,
    at: datetime.datetime | None = None,
) -> bool:
    """Have the message with ``key`` sent at another time; a dead letter becomes a new one.

    False where there is none any more, or it is being sent just now. Raises what ``send_later``
    raises for ``delay`` and ``at``, and ``ValueError`` for what is no key.
    """
    due = _due(delay, at)
    rows = _row(key)
    alias = rows.values_list("layer", flat=True).first()
    if alias is None or not rows.update(due_date=due, **AS_NEW):
        return False
    wake_on_commit(alias, due, rows.db)
    return True


def compose(
    layer: Any, alias: str, channel: str, content: dict[str, Any], due: int
) -> DelayedMessage:
    """The message to be stored, which ``layer`` will take when it is due.

    Raises what ``layer.send`` would raise.
    """
    names.check_channel_name(channel)
    body = codec.encode(content, getattr(layer, "message_limit", codec.DEFAULT_LIMIT))
    if RESERVED_KEY in content:
        raise ValueError(f"the message key {RESERVED_KEY!r} is reserved for layers; rename it")
    date = instants.from_microseconds(due)
    return DelayedMessage(layer=alias, channel_name=channel, body=body, due_date=date)


def due_after(milliseconds: int) -> int:
    """The instant that comes so much later than now. Raises ``ValueError`` beyond all dates."""
    due = instants.now() + milliseconds * 1000
    try:
        _check_date(due)
    except OverflowError as error:
        raise ValueError(f"no date is {milliseconds} ms from now; use a shorter delay") from error
    return due


def _check_date(due: int) -> None:
    """Raise ``OverflowError`` for an instant that has no date in some time zone."""
    for shift in (-_DAY, _DAY):
        instants.from_microseconds(due + shift)


def _due(delay: int | datetime.timedelta | None, at: datetime.datetime | None) -> int:
    if (delay is None) == (at is None):
        raise TypeError("give either delay or at")
    if at is not None:
        return _due_at(at)
    if isinstance(delay, datetime.timedelta):
        delay = delay // _MILLISECOND + bool(delay % _MILLISECOND)
    if not isinstance(delay, int) or isinstance(delay, bool):
        raise TypeError(
            f"delay must be an int of milliseconds or a timedelta, not {delay!r} "
            f"({type(delay).__name__})"
        )
    if delay < 0:
        raise ValueError(f"delay must not be negative, but it is {delay} ms; use 0 for now")
    return due_after(delay)


def _due_at(at: datetime.datetime) -> int:
    if not isinstance(at, datetime.datetime):
        raise TypeError(f"at must be a datetime, not {at!r} ({type(at).__name__})")
    if settings.USE_TZ and timezone.is_naive(at):
        raise ValueError(f"at must have a time zone where USE_TZ is on; {at!r} has none")
    try:
        due = instants.microseconds(at)
        _check_date(due)
    except OverflowError as error:
        raise ValueError(
            f"at must be a date in every time zone, but {at!r} is not; use one nearer to now"
        ) from error
    return due


def _row(key: str | uuid.UUID) -> Any:
    """The message of a key, unless a delay server is sending it; a query."""
    if not isinstance(key, uuid.UUID):
        key = uuid.UUID(key)
    using = router.db_for_write(DelayedMessage)
    return DelayedMessage.objects.using(using).filter(pk=key).unclaimed()
