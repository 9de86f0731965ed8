"""Fills the table up to a number of pending messages, and looks at it as a delay server does.

Prints milliseconds for a look that finds nothing, for one that sends a message, and the memory that
the process has in use. Started by ``delay.py``.
"""

import resource
import statistics
import sys
import time

import django

django.setup()

from channels.asgi import ChannelLayerWrapper  # noqa: E402  (after the set-up)
from channels.delay import instants  # noqa: E402
from channels.delay.alarm import Alarm  # noqa: E402
from channels.delay.delivery import Sender  # noqa: E402
from channels.delay.models import DelayedMessage  # noqa: E402
from channels.delay.rooms import Rooms  # noqa: E402
from channels.layers.inmemory import ChannelLayer  # noqa: E402

#: Looks of which the median counts.
LOOKS = 50


def rows(number: int, due: int) -> list[DelayedMessage]:
    """Messages, each due a second after the one before."""
    return [
        DelayedMessage(channel_name="a", content={"n": n}, due_date=due + n * 10**6)
        for n in range(number)
    ]


def fill(number: int) -> None:
    """See that so many are pending."""
    missing = number - DelayedMessage.objects.count()
    due = instants.now() + 86_400 * 10**6
    for begin in range(0, missing, 10_000):
        part = rows(min(10_000, missing - begin), due + begin * 10**6)
        DelayedMessage.objects.bulk_create(part, batch_size=1_000)


def milliseconds(sender: Sender, due: bool) -> float:
    """The median of some looks."""
    seconds = []
    for _ in range(LOOKS):
        if due:
            DelayedMessage.objects.bulk_create(rows(1, instants.now()))
        begin = time.perf_counter()
        sender._look()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds) * 1000


fill(int(sys.argv[1]))
layer = ChannelLayerWrapper(ChannelLayer(capacity=10_000), "default", {})
sender = Sender(layer, "default", Rooms(layer, lambda: None), Alarm(), 3600)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
idle, busy = milliseconds(sender, False), milliseconds(sender, True)
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
print(f"{idle:.2f} ms, with one that is due {busy:.2f} ms; memory grew by {grown:.1f} MiB")
