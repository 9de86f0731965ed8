"""The watch over sockets whose messages wait for one that may have been lost.

A message is lost when its worker is killed, or when nobody consumed it before it expired. The ones
behind it would wait for ever. So the worker that has one wait notes the socket here. A thread
sleeps until half of the layer's expiry is over, then looks, and has what waits not expire; it gives
up a socket where nothing has moved in two such times.
"""

import contextlib
import heapq
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import connections

from channels.channel import Channel
from channels.exceptions import ChannelFull

from .ends import GIVEN_UP, how_it_ended, mark_ended
from .leases import expiry_of, last_beat
from .stores import session_for_reply_channel
from .waiting import ORIGINAL_CHANNEL, WaitingRoom

__all__ = ["STATE_KEY", "Watcher", "give_up", "park_and_look", "watcher"]

logger = logging.getLogger("django.channels")

#: The key of a channel session under which it holds the order whose turn it is.
STATE_KEY = "__channels_next_order"

#: Close code where a message was lost: the server cannot go on (RFC 6455, 7.4.1).
_CANNOT_GO_ON = 1011


@dataclass
class _Watch:
    """One socket that messages of this process wait for."""

    #: Gives the layer; a watch does not keep it alive.
    layer: Callable[[], Any]
    reply_channel: str
    #: What its session said of the turn when it was last looked at.
    turn: int | None
    #: The highest order that waits.
    highest: int
    #: How often it was seen not to have moved since.
    still: int = 0
    #: The latest word that its consumer runs.
    beat: int | None = None
    deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Look again when half of the expiry has passed."""
        self.deadline = time.monotonic() + expiry_of(self.layer()) / 2

    def is_over(self) -> bool:
        """Whether it needs no more watching; gives the socket up where it has not moved."""
        layer, name = self.layer(), self.reply_channel
        if layer is None:
            return True
        turn = session_for_reply_channel(name).get(STATE_KEY)
        if (turn is None and self.turn is not None) or (turn is not None and turn > self.highest):
            return True
        if how_it_ended(layer, name) is not None:
            _let_go(layer, name, self.orders)
            return True
        self.still = 0 if turn != self.turn or self._runs(layer) else self.still + 1
        if self.still == 2:
            give_up(layer, name, turn, "a message was lost", highest=self.highest)
            return True
        self.turn = turn
        # Otherwise what waits would expire before it can be let go.
        room = WaitingRoom(layer, name)
        park_and_look(room, name, room.drain(self.orders))
        self.renew()
        return False

    @property
    def orders(self) -> range:
        """Those that may wait."""
        return range(self.turn or 0, self.highest + 1)

    def _runs(self, layer: Any) -> bool:
        """Whether the consumer of the message whose turn it is has run since the last look."""
        beat = last_beat(layer, self.reply_channel, wait=self.still == 1)
        runs = beat is not None and beat != self.beat
        self.beat = beat or self.beat
        return runs


class Watcher:
    """Looks after sockets, in a thread that begins with the first one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watches: dict[str, _Watch] = {}
        self._deadlines: list[tuple[float, str]] = []
        self._thread: threading.Thread | None = None

    def watch(self, layer: Any, reply_channel: str, turn: int | None, order: int) -> None:
        """Note that a message waits; ``turn`` is what the session says."""
        with self._changed:
            watch = self._watches.get(reply_channel)
            if watch is None:
                self._push(_Watch(_weakly(layer), reply_channel, turn, order))
                self._start()
            else:
                watch.highest = max(watch.highest, order)

    def hand_over(self, layer: Any) -> None:
        """Put what waits in ``layer`` back onto its channels, for workers that live on.

        For a worker that ends: they have it wait again, and watch instead.
        """
        with self._changed:
            ours = [name for name, watch in self._watches.items() if watch.layer() is layer]
            watches = [self._watches.pop(name) for name in ours]
        for watch in watches:
            room = WaitingRoom(layer, watch.reply_channel)
            for content in room.drain(watch.orders):
                with contextlib.suppress(ChannelFull):
                    room.requeue(content)

    def _push(self, watch: _Watch) -> None:
        """Watch for another while; a watch that began meanwhile becomes part of this one."""
        name = watch.reply_channel
        watch.highest = max(watch.highest, self._watches.get(name, watch).highest)
        self._watches[name] = watch
        heapq.heappush(self._deadlines, (watch.deadline, name))
        self._changed.notify()

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="ordering", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            watch = self._await_one()
            try:
                is_over = watch.is_over()
            except Exception:
                logger.exception("Cannot look after %r; trying again later:", watch.reply_channel)
                watch.renew()
                is_over = False
            finally:
                connections.close_all()
            with self._changed:
                if not is_over:
                    self._push(watch)

    def _await_one(self) -> _Watch:
        """The next watch whose time has come, which is no longer watched then."""
        with self._changed:
            while True:
                rest = self._deadlines[0][0] - time.monotonic() if self._deadlines else None
                if rest is None or rest > 0:
                    self._changed.wait(rest)
                    continue
                deadline, name = heapq.heappop(self._deadlines)
                watch = self._watches.get(name)
                if watch is not None and watch.deadline == deadline:
                    return self._watches.pop(name)


def park_and_look(room: WaitingRoom, reply_channel: str, contents: list[dict[str, Any]]) -> None:
    """Have messages wait again, and release the one whose turn came while they were away."""
    while contents:
        room.park(*contents)
        turn = session_for_reply_channel(reply_channel).get(STATE_KEY)
        if turn is None or turn not in {content["order"] for content in contents}:
            return
        content, contents = room.take(turn)
        if content is not None:
            room.park(*contents)
            return room.requeue(content)


def give_up(
    layer: Any,
    reply_channel: str,
    turn: int | None,
    reason: str,
    code: int = _CANNOT_GO_ON,
    *,
    highest: int,
) -> None:
    """Close a socket whose messages cannot be consumed in order any more.

    What waits, up to the order ``highest``, is dropped, but its ``websocket.disconnect`` is
    consumed, now or when it comes.
    """
    mark_ended(layer, reply_channel, GIVEN_UP)
    dropped = _let_go(layer, reply_channel, range(turn or 0, highest + 1))
    with contextlib.suppress(ChannelFull):  # then it does not read, and is closed for that
        Channel(reply_channel, channel_layer=layer).send({"close": code}, immediately=True)
    logger.error(
        "The messages of socket %r cannot be consumed in order: %s. It was the turn of order %s. "
        "The socket was closed with %d, and %d messages that waited were dropped.",
        reply_channel,
        reason,
        "0" if turn is None else turn,
        code,
        dropped,
    )


def _let_go(layer: Any, reply_channel: str, orders: range) -> int:
    """Drop what waits, but for the last message of the socket; how many were dropped."""
    room = WaitingRoom(layer, reply_channel)
    waiting = room.drain(orders)
    last = [each for each in waiting if each[ORIGINAL_CHANNEL] == "websocket.disconnect"]
    for content in last:
        room.requeue(content)
    return len(waiting) - len(last)


def _weakly(layer: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(layer)
    except TypeError:
        return lambda: layer


watcher = Watcher()


def _after_fork() -> None:
    """The thread is the parent's, and so is what it watches."""
    watcher.__init__()  # type: ignore[misc]


os.register_at_fork(after_in_child=_after_fork)
