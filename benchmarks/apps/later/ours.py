"""Messages through asgi.delay, and their consumer."""

from typing import Any

from channels import Channel

from .recording import record


def consume(message: Any) -> None:
    """What the worker runs."""
    record(message["due"])


def schedule(due: float, delay: float) -> None:
    """Have it run in ``delay`` seconds."""
    content = {"due": due}
    Channel("asgi.delay").send(
        {"channel": "record", "content": content, "delay": round(delay * 1000)}
    )
