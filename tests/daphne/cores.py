"""A core that does what a test tells it to, and the pieces around it."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from daphne.protocol.core import ConnectionContext, Core

__all__ = ["ScriptedCore", "Script"]


class ScriptedCore(Core):
    """Records its inputs and hands each to a script, which may emit operations."""

    def __init__(self, context: ConnectionContext, script: "Script") -> None:
        super().__init__(context)
        self.script = script
        #: ``(name of the input, its arguments)``, in order.
        self.heard: list[tuple[Any, ...]] = []
        self.drained_bytes = 0

    def _hear(self, name: str, *args: Any) -> None:
        self.heard.append((name, *args))
        action = self.script.actions.get(name)
        if action is not None:
            action(self, *args)

    def connection_made(self) -> None:
        self._hear("connection_made")

    def receive_data(self, data: bytes) -> None:
        self._hear("receive_data", data)

    def receive_eof(self) -> None:
        self._hear("receive_eof")

    def connection_lost(self) -> None:
        self._hear("connection_lost")

    def pause_writing(self) -> None:
        self._hear("pause_writing")

    def resume_writing(self) -> None:
        self._hear("resume_writing")

    def drained(self, count: int) -> None:
        self.drained_bytes += count

    def deliver(self, local: str, message: Mapping[str, Any], shared: dict[Any, Any]) -> None:
        self._hear("deliver", local, dict(message), shared)

    def sent(self, key: object) -> None:
        self._hear("sent", key)

    def send_failed(self, key: object, error: Exception) -> None:
        self._hear("send_failed", key, error)

    def channel_made(self, key: object, name: str) -> None:
        self._hear("channel_made", key, name)

    def room(self, key: object) -> None:
        self._hear("room", key)

    def timer(self, name: str) -> None:
        self._hear("timer", name)

    def shutdown(self) -> None:
        self._hear("shutdown")

    def names(self) -> list[str]:
        """Names of the inputs so far."""
        return [entry[0] for entry in self.heard]


class Script:
    """What the cores of a test do for each input, and the cores that were made."""

    def __init__(self, **actions: Callable[..., None]) -> None:
        self.actions = actions
        self.cores: list[ScriptedCore] = []
        self._lock = threading.Lock()

    def __call__(self, context: ConnectionContext) -> ScriptedCore:
        with self._lock:
            self.cores.append(ScriptedCore(context, self))
        return self.cores[-1]
