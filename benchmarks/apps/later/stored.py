"""Messages through send_later, each committed by itself; the consumer is that of ``ours``."""

from channels.delay import send_later


def schedule(due: float, delay: float) -> None:
    """Have it run in ``delay`` seconds."""
    send_later("record", {"due": due}, delay=round(delay * 1000))
