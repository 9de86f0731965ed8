"""The table of delayed messages, and what may be done with a row of it.

The delay server's own queries, which claim rows, are in ``claims``.
"""

import json
import secrets
import time
import uuid
from typing import Any, ClassVar

from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from channels import DEFAULT_CHANNEL_LAYER, codec
from channels.asgi import channel_layers
from channels.delay import instants
from channels.delay.instants import InstantField
from channels.delay.waking import wake_on_commit

__all__ = ["AS_NEW", "DelayedMessage", "DelayedMessages", "new_key"]


def new_key() -> uuid.UUID:
    """A key that no message has had: version 7 of RFC 9562, so that later ones are higher."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    head = (milliseconds << 16) | 0x7000 | rest * 4096 // 1_000_000
    return uuid.UUID(int=(head << 64) | (2 << 62) | secrets.randbits(62))


#: What a message that was never tried has in its fields; 0 is the state of those to be sent.
AS_NEW = {"state": 0, "attempts": 0, "error": "", "claimed_by": None, "claimed_until": None}


class DelayedMessages(models.QuerySet["DelayedMessage"]):
    """Messages by their state."""

    def pending(self) -> "DelayedMessages":
        """Those that will be sent, due or not."""
        return self.filter(state=DelayedMessage.State.PENDING)

    def is_due(self) -> "DelayedMessages":
        """Those that may be sent now."""
        return self.pending().filter(due_date__lte=instants.now())

    def dead(self) -> "DelayedMessages":
        """Dead letters: those that could not be sent, and are not tried again."""
        return self.filter(state=DelayedMessage.State.DEAD)

    def unclaimed(self) -> "DelayedMessages":
        """Those that no delay server is sending now, as far as claims stand in the table."""
        now = instants.now()
        return self.filter(models.Q(claimed_until__isnull=True) | models.Q(claimed_until__lte=now))

    def cancel(self) -> int:
        """Remove those that no delay server is sending now; returns how many there were."""
        with transaction.atomic(using=self.db):
            rows = self.order_by().unclaimed()
            # Written first, which keeps claims away while Django reads the rows for its signals.
            rows.update(claimed_by=None)
            return rows.delete()[0]

    def send_now(self) -> int:
        """Have them sent now, dead letters too; returns how many there were."""
        now = instants.now()
        aliases = set(self.order_by().values_list("layer", flat=True))
        count = self.update(due_date=now, **AS_NEW)
        for alias in aliases:
            wake_on_commit(alias, now, self.db)
        return count

    def requeue(self) -> int:
        """Have the dead letters among them sent now; returns how many these were."""
        return self.dead().send_now()


class DelayedMessage(models.Model):
    """A message that is to be sent to a channel at some time (Channels documentation, Delay).

    ``content`` may be given as a dict or, as 1.x stored it, as JSON text; it is a dict when read.
    """

    class State(models.IntegerChoices):
        """What becomes of the message."""

        PENDING = 0, _("pending")
        DEAD = 1, _("dead letter")

    key = models.UUIDField(primary_key=True, default=new_key, editable=False)
    #: The alias of the channel layer that it is sent over.
    layer = models.CharField(max_length=100, default=DEFAULT_CHANNEL_LAYER)
    channel_name = models.CharField(max_length=512)
    #: The content as ``channels.codec`` encodes it.
    body = models.BinaryField()
    due_date = InstantField()
    state = models.PositiveSmallIntegerField(choices=State.choices, default=State.PENDING)
    #: How often its channel refused it.
    attempts = models.PositiveIntegerField(default=0)
    #: Why it was refused last, or is dead.
    error = models.TextField(blank=True, default="")
    #: The delay server that is sending it, where the database cannot lock rows, and until when
    #: nobody else may.
    claimed_by = models.UUIDField(null=True, default=None, editable=False)
    claimed_until = InstantField(null=True, default=None, editable=False)

    objects: ClassVar[models.Manager["DelayedMessage"]] = DelayedMessages.as_manager()

    class Meta:
        # Said here, so that the module can be imported where the app is not installed.
        app_label = "channels_delay"
        verbose_name = _("delayed message")
        verbose_name_plural = _("delayed messages")
        indexes = (
            # What is due is found, and in order, whatever the number of rows.
            models.Index(fields=["layer", "state", "due_date", "key"], name="channels_delay_due"),
        )

    def __str__(self) -> str:
        return f"{self.key} to {self.channel_name}"

    @property
    def content(self) -> dict[str, Any]:
        """The message itself. Raises ``InvalidStoredMessage`` for bytes that are none."""
        return codec.decode(bytes(self.body))

    @content.setter
    def content(self, content: dict[str, Any] | str) -> None:
        self.body = codec.encode(json.loads(content) if isinstance(content, str) else content)

    @property
    def delay(self) -> int:
        """Milliseconds until it is due, rounded up; negative where it was due before."""
        return -((instants.now() - instants.microseconds(self.due_date)) // 1000)

    @delay.setter
    def delay(self, milliseconds: float) -> None:
        due = instants.now() + round(milliseconds * 1000)
        self.due_date = instants.from_microseconds(due)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save it, and have the delay servers know when it is due."""
        super().save(*args, **kwargs)
        if self.state == self.State.PENDING:
            wake_on_commit(self.layer, instants.microseconds(self.due_date), self._state.db)

    def send(self, channel_layer: Any = None, requeue_delay: int = 1000) -> None:
        """Send it now, and delete it; where its channel is full it is due in ``requeue_delay`` ms.

        By hand: a delay server does better. Raises what the layer's ``send`` raises.
        """
        layer = channel_layer or channel_layers[self.layer]
        try:
            layer.send(self.channel_name, self.content)
        except layer.ChannelFull:
            self.delay = requeue_delay
            self.save()
        else:
            self.delete()

    def requeue(self) -> bool:
        """Have it sent now, if it is a dead letter; returns whether it was."""
        return bool(type(self)._default_manager.filter(pk=self.pk).requeue())
