"""Between the cores and the channel layer: one reader for all of a server's reply channels.

Every reply channel of a server is a local part of one process channel, so one receive serves all
sockets. A message goes to the connection with whose name its local part begins, or nowhere when
that is gone. How a layer waits without blocking is in ``daphne.layers``.
"""

import logging
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure

from channels.exceptions import ChannelFull
from channels.layers.entries import Delivery
from channels.outage import FailureLog
from daphne.layers import ReactorLayer
from daphne.protocol.core import NAME_LENGTH
from daphne.protocol.credit import farewell

__all__ = ["Dispatch", "Receiver", "Requester"]

logger = logging.getLogger("daphne.server")

#: Cores that get a message in one turn of the reactor, so that sockets are read meanwhile.
_PER_TURN = 500

#: Seconds of the first wait after the layer failed, and of the longest.
_FIRST_RETRY, _LAST_RETRY = 0.2, 10.0

#: Failures in a row after which the layer counts as lost; a single one may be a fail-over.
_LOST_AFTER = 2


class Receiver(Protocol):
    """Who messages are delivered to: the shell of one connection."""

    def deliver(self, local: str, message: Mapping[str, Any], shared: dict[Any, Any]) -> None:
        """A message for ``local`` came."""


class Requester(Protocol):
    """Who hears how a send went; ``core`` is handed back as it was given."""

    def sent(self, core: Any, key: object) -> None:
        """The layer took a message that was to be confirmed."""

    def send_failed(self, core: Any, key: object, error: Exception) -> None:
        """The layer refused it, or could not do what was asked."""

    def channel_made(self, core: Any, key: object, name: str) -> None:
        """The layer made a name."""

    def room(self, core: Any, key: object) -> None:
        """There may be room now."""


class _Nobody:
    """The requester of messages whose outcome interests nobody."""

    def sent(self, core: Any, key: object) -> None: ...

    def send_failed(self, core: Any, key: object, error: Exception) -> None: ...

    def channel_made(self, core: Any, key: object, name: str) -> None: ...

    def room(self, core: Any, key: object) -> None: ...


_NOBODY = _Nobody()


class _Fanout:
    """A delivery under way: the targets that have it not yet."""

    __slots__ = ("message", "next", "shared", "targets")

    def __init__(self, delivery: Delivery) -> None:
        self.targets: Sequence[str] = delivery.targets
        self.message = delivery.message
        self.next = 0
        #: One dictionary for all targets, in which the first core leaves the frame it built.
        self.shared: dict[Any, Any] = {}


class Dispatch:
    """Reads one process channel, and sends for all cores of a server."""

    def __init__(
        self, reactor: Any, layer: ReactorLayer, channel: str, shed: Callable[[str], None]
    ) -> None:
        """``shed(reason)`` closes every socket; their reply channels are dead."""
        self._reactor = reactor
        self._layer = layer
        self._channel = channel
        self._shed = shed
        self._receivers: dict[str, Receiver] = {}
        self._queue: deque[_Fanout] = deque()
        self._waiting: Deferred[list[Delivery]] | None = None
        self._call: Any = None
        self._generation: str | None = None
        self._failures = 0
        self._stopped = False
        #: Sends whose outcome is not known yet.
        self._pending = 0
        self._settling: list[Deferred[None]] = []
        #: The log of messages that nobody hears the outcome of; a lost layer fails one a socket.
        self._lost_sends = FailureLog(logger, traceback=False)
        #: Waits for room.
        self._rooms: set[Deferred[None]] = set()

    # -- registrations ----------------------------------------------------------------------------

    def register(self, name: str, receiver: Receiver) -> None:
        """Deliver messages to ``receiver`` whose local part begins with ``name``.

        That has ``NAME_LENGTH`` characters; one that is shorter stands for no other local part.
        """
        self._receivers[name] = receiver

    def unregister(self, name: str) -> None:
        """Drop these messages from now on."""
        self._receivers.pop(name, None)

    def __len__(self) -> int:
        """Names that are registered."""
        return len(self._receivers)

    def has_listener(self, channel: str) -> bool:
        """Whether somebody may read ``channel``; True when the layer cannot say."""
        try:
            return self._layer.has_listener(channel)
        except Exception:
            logger.exception("The channel layer failed to tell who listens to %r", channel)
            return True

    # -- receiving --------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to read."""
        self._generation = self._read_generation()
        self._turn()

    def stop(self) -> None:
        """Read no more; what is queued is dropped."""
        self._stopped = True
        self._queue.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        self._layer.stop()

    def _turn(self) -> None:
        """Deliver to at most ``_PER_TURN`` cores; go on in the next turn while there is more."""
        self._call = None
        budget = _PER_TURN
        while budget > 0 and not self._stopped:
            if self._queue:
                budget -= self._deliver(self._queue[0], budget)
            elif self._receive():
                budget -= 1
            else:
                return
        self._turn_after(0)

    def _turn_after(self, delay: float) -> None:
        if not self._stopped and self._call is None:
            self._call = self._reactor.callLater(delay, self._turn)

    def _deliver(self, fanout: _Fanout, budget: int) -> int:
        """Deliver one message to ``budget`` targets at most; how many there were."""
        start, message, shared = fanout.next, fanout.message, fanout.shared
        targets = fanout.targets[start : start + budget]
        fanout.next = start + len(targets)
        if fanout.next >= len(fanout.targets):
            self._queue.popleft()
        receivers = self._receivers
        for local in targets:
            receiver = receivers.get(local)  # that of a WebSocket is the name, and these are many
            if receiver is None:
                receiver = receivers.get(local[:NAME_LENGTH])
            if receiver is not None:
                receiver.deliver(local, message, shared)
            elif (send := farewell(self._channel + local, message)) is not None:
                self.send(_NOBODY, None, send.channel, send.message)
        return len(targets) or 1

    def _receive(self) -> bool:
        """Ask the layer for more; whether it answered at once."""
        try:
            deferred = self._layer.receive(self._channel)
        except Exception:
            self._failed(Failure())
            return False
        if deferred.called and not deferred.paused and isinstance(deferred.result, list):
            self._take(deferred.result)
            return True
        self._waiting = deferred
        deferred.addCallbacks(self._woken, self._failed)
        # What happened to the layer since the last look woke nobody: nobody was waiting.
        self._look_at_generation()
        return False

    def _woken(self, deliveries: list[Delivery]) -> None:
        self._waiting = None
        if self._stopped:
            return
        self._take(deliveries)
        self._turn_if_idle()

    def _turn_if_idle(self) -> None:
        if self._call is None and self._waiting is None:
            self._turn()

    def _take(self, deliveries: list[Delivery]) -> None:
        """Queue what came."""
        self._failures = 0
        for delivery in deliveries:
            self._queue.append(_Fanout(delivery))
        self._look_at_generation()

    def _look_at_generation(self) -> None:
        """Shed the sockets if the layer is not the one it was."""
        generation = self._read_generation()
        before, self._generation = self._generation, generation
        # The empty string: the layer did not know it yet.
        if generation != before and before:
            self._shed("the channel layer was emptied, or dropped this server's messages unread")

    def _read_generation(self) -> str | None:
        try:
            return self._layer.generation(self._channel)
        except Exception:
            logger.exception("The channel layer failed to tell its generation")
            return self._generation

    def _failed(self, failure: Failure) -> None:
        """Wait longer after each failure; shed the sockets once the layer counts as lost."""
        self._waiting = None
        if self._stopped or failure.check(CancelledError):
            return
        self._failures += 1
        delay = min(_LAST_RETRY, _FIRST_RETRY * 2 ** min(self._failures - 1, 10))
        delay *= random.uniform(0.5, 1.0)  # so that servers do not come back all at once
        logger.error(
            "Receiving from the channel layer failed (%s: %s); trying again in %.1f s",
            type(failure.value).__name__,
            failure.getErrorMessage(),
            delay,
        )
        if self._failures == _LOST_AFTER:
            self._shed("the channel layer does not answer")
        self._turn_after(delay)

    # -- sending ----------------------------------------------------------------------------------

    def send(
        self,
        requester: Requester,
        core: Any,
        channel: str,
        message: Any,
        key: object = None,
        confirmed: bool = False,
    ) -> None:
        """Send a message.

        Where ``key`` is not None, ``requester`` hears of a failure, and of success if that is to be
        ``confirmed``.
        """
        try:
            deferred = self._layer.send(channel, message)
        except Exception as error:
            self._report_failure(requester, core, channel, key, error)
            return
        if deferred.called and not deferred.paused and not isinstance(deferred.result, Failure):
            if confirmed:
                requester.sent(core, key)
            return
        self._pending += 1
        deferred.addCallbacks(
            self._send_done,
            self._send_failed,
            callbackArgs=(requester, core, key, confirmed),
            errbackArgs=(requester, core, channel, key),
        )

    def _send_done(
        self, _: object, requester: Requester, core: Any, key: object, confirmed: bool
    ) -> None:
        self._one_less()
        if confirmed:
            requester.sent(core, key)

    def _send_failed(
        self, failure: Failure, requester: Requester, core: Any, channel: str, key: object
    ) -> None:
        self._one_less()
        self._report_failure(requester, core, channel, key, _exception(failure))

    def _report_failure(
        self, requester: Requester, core: Any, channel: str, key: object, error: Exception
    ) -> None:
        if key is not None:
            requester.send_failed(core, key, error)
        elif not isinstance(error, ChannelFull):
            kind = type(error).__name__
            self._lost_sends.failed("Sending to %r failed: %s: %s", channel, kind, error)

    def _one_less(self) -> None:
        self._pending -= 1
        if not self._pending and self._settling:
            settling, self._settling = self._settling, []
            for deferred in settling:
                deferred.callback(None)

    def settled(self) -> "Deferred[None]":
        """Fires once the outcome of every send is known."""
        if not self._pending:
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self._settling.append(deferred)
        return deferred

    def new_channel(self, requester: Requester, core: Any, pattern: str, key: object) -> None:
        """Have the layer make a name; ``requester.channel_made`` or ``send_failed`` follows."""
        try:
            deferred = self._layer.new_channel(pattern)
        except Exception as error:
            requester.send_failed(core, key, error)
            return
        deferred.addCallbacks(
            lambda name: requester.channel_made(core, key, name),
            lambda failure: requester.send_failed(core, key, _exception(failure)),
        )

    def await_room(self, requester: Requester, core: Any, channel: str, key: object) -> None:
        """Wait for room in a channel; ``requester.room`` or ``send_failed`` follows."""
        try:
            deferred = self._layer.room(channel)
        except Exception as error:
            requester.send_failed(core, key, error)
            return
        self._rooms.add(deferred)
        deferred.addBoth(self._room_found, deferred)
        deferred.addCallbacks(
            lambda _: requester.room(core, key),
            lambda failure: requester.send_failed(core, key, _exception(failure)),
        )

    def _room_found(self, result: Any, deferred: "Deferred[None]") -> Any:
        self._rooms.discard(deferred)
        return result

    def stop_waiting(self) -> None:
        """Wait for room no more; who waited hears ``send_failed``, and may send something else."""
        for deferred in list(self._rooms):
            deferred.cancel()


def _exception(failure: Failure) -> Exception:
    """The exception of a failure; what is none (a KeyboardInterrupt) goes on to the reactor."""
    if isinstance(failure.value, Exception):
        return failure.value
    failure.raiseException()
