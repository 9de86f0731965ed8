"""The names, arguments and lifetimes of what the layer declares on the broker.

``docs/rabbitmq.md`` says what each of them is for. A colon is in no channel's name, so the layer's
own queues and those of channels are never the same.
"""

import re
from typing import Any

__all__ = ["OP", "STATE_LIFETIME", "Topology"]

#: The routing key of what every client has to see.
OP = "op"

#: Seconds without any client after which groups and the rest of the layer's state are forgotten.
STATE_LIFETIME = 86_400.0

#: Bytes of messages that a process channel holds: each of them may be as large as a message can
#: be, and one interface server must not use up the memory of the broker.
PROCESS_CHANNEL_BYTES = 64 * 1024 * 1024

#: Seconds that the queue of a channel exists at least when nobody uses it.
QUEUE_LIFETIME = 60.0

#: A prefix and a name of 200 characters have to fit into the 255 bytes of AMQP.
_PREFIX = re.compile(r"[a-zA-Z0-9._\-]{1,40}")


class Topology:
    """What a layer with this ``prefix`` and this ``expiry``, in seconds, declares.

    Raises ``ValueError`` for a bad prefix.
    """

    def __init__(self, prefix: str, expiry: float) -> None:
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise ValueError(
                "prefix must be 1 to 40 letters, digits, dots, hyphens or underscores, "
                f"not {prefix!r}"
            )
        #: The exchange that operations and expired messages are published to.
        self.journal = f"{prefix}:journal"
        #: The queue that puts them into one order.
        self.sequencer = f"{prefix}:sequencer"
        #: The exchange that hands them to all clients, in that order.
        self.feed = f"{prefix}:feed"
        #: The queue that keeps them for clients to come.
        self.log = f"{prefix}:log"
        #: The queue that all clients consume, to be counted.
        self.clients = f"{prefix}:clients"
        #: Seconds that the queue of a channel outlives its last use.
        self.queue_lifetime = 2 * expiry + QUEUE_LIFETIME
        #: Seconds for which a declaration of it may be relied on: what is put into it then
        #: lasts as long as the expiry.
        self.declared_for = self.queue_lifetime - expiry - QUEUE_LIFETIME / 2
        self._prefix = prefix

    def client(self, name: str) -> str:
        """The queue of one client."""
        return f"{self._prefix}:client:{name}"

    def queue(self, name: str, evictions: int) -> str:
        """The queue of a channel, another one after each eviction."""
        return f"{self._prefix}.{name}:{evictions}" if evictions else f"{self._prefix}.{name}"

    def channel(self, queue: str) -> tuple[str, int]:
        """The channel and the evictions that the name of a queue stands for."""
        name, _, evictions = queue.removeprefix(f"{self._prefix}.").partition(":")
        return name, int(evictions or 0)

    def queue_arguments(self, name: str, capacity: int) -> dict[str, Any]:
        """The arguments of the queue of a channel."""
        arguments: dict[str, Any] = {
            "x-max-length": capacity,
            "x-overflow": "reject-publish",
            "x-expires": round(self.queue_lifetime * 1000),
            "x-dead-letter-exchange": self.journal,
            "x-dead-letter-routing-key": OP,
        }
        if name.endswith("!"):
            arguments["x-max-length-bytes"] = PROCESS_CHANNEL_BYTES
        return arguments

    @property
    def sequencer_arguments(self) -> dict[str, Any]:
        """Its messages expire at once, and so go on to the feed one after the other."""
        return {
            "x-message-ttl": 0,
            "x-dead-letter-exchange": self.feed,
            "x-expires": round(STATE_LIFETIME * 1000),
        }

    @property
    def clients_arguments(self) -> dict[str, Any]:
        """It holds no message."""
        return {"x-max-length": 0, "x-expires": round(STATE_LIFETIME * 1000)}

    @property
    def log_arguments(self) -> dict[str, Any]:
        """One client reads it at a time, and the next where that one ended."""
        return {"x-single-active-consumer": True, "x-expires": round(STATE_LIFETIME * 1000)}
