"""Whether the channel layer is there: a message to this server itself, and back."""

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from channels.outage import Backoff
from daphne.dispatch import Dispatch

__all__ = ["Probe"]

#: Seconds that a message may take; less than the second that those who ask usually wait.
_PATIENCE = 0.8


class Probe:
    """Sends messages to the server's own process channel, one at a time."""

    def __init__(self, reactor: Any, dispatch: Dispatch, channel: str) -> None:
        """``channel`` is the process channel that ``dispatch`` reads."""
        self._reactor = reactor
        self._dispatch = dispatch
        self._channel = channel
        self._count = 0
        self._local = ""
        self._started = 0.0
        self._timeout: Any = None
        self._asking: list[Deferred[str]] = []
        #: When ``until_it_answers`` asks next, or asked last; None where nobody waits for it.
        self._next: Any = None
        #: Told the seconds of each message that came back.
        self.observe: Callable[[float], object] = lambda seconds: None

    def ask(self) -> "Deferred[str]":
        """What is wrong with the layer, in words; empty if nothing.

        Several that ask at a time share one message.
        """
        deferred: Deferred[str] = Deferred()
        self._asking.append(deferred)
        if len(self._asking) == 1:
            self._count += 1
            self._local = f"probe{self._count}"
            self._started = self._reactor.seconds()
            self._timeout = self._reactor.callLater(_PATIENCE, self._too_late)
            self._dispatch.register(self._local, self)
            self._dispatch.send(self, None, self._channel + self._local, {}, self._local)
        return deferred

    def until_it_answers(self, answers: Callable[[], object]) -> None:
        """Call ``answers`` once a message has come back, unless ``give_up`` is called before."""
        self._ask_after(0.0, Backoff(), answers)

    def give_up(self) -> None:
        """Have ``until_it_answers`` ask no more."""
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None

    def _ask_after(self, delay: float, delays: Backoff, answers: Callable[[], object]) -> None:
        def ask() -> None:
            self.ask().addCallback(self._asked, delays, answers)

        self._next = self._reactor.callLater(delay, ask)

    def _asked(self, reason: str, delays: Backoff, answers: Callable[[], object]) -> None:
        if self._next is None:
            return
        if reason:
            self._ask_after(delays.next_delay(), delays, answers)
        else:
            answers()

    def _answer(self, reason: str) -> None:
        if self._timeout.active():
            self._timeout.cancel()
        self._dispatch.unregister(self._local)
        asking, self._asking = self._asking, []
        for deferred in asking:
            deferred.callback(reason)

    def _too_late(self) -> None:
        self._answer(f"the channel layer did not bring back a message within {_PATIENCE} s")

    # -- called by the dispatch -------------------------------------------------------------------

    def deliver(self, local: str, message: Mapping[str, Any], shared: dict[Any, Any]) -> None:
        """The message came back."""
        if local == self._local and self._asking:
            self.observe(self._reactor.seconds() - self._started)
            self._answer("")

    def sent(self, core: Any, key: object) -> None:
        """Never asked for."""

    def send_failed(self, core: Any, key: object, error: Exception) -> None:
        """The layer did not take it."""
        if key == self._local and self._asking:
            self._answer(f"the channel layer failed: {type(error).__name__}: {error}")

    def channel_made(self, core: Any, key: object, name: str) -> None:
        """Never asked for."""

    def room(self, core: Any, key: object) -> None:
        """Never asked for."""
