"""The load of the soak: numbered messages of many sockets, requests, group sends, delayed messages.

One thread runs all clients; the counts are those of the scenario that is under way.
"""

import itertools
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.soak.loop import Loop
from tests.soak.requests import Requests
from tests.soak.sockets import Socket
from tests.soak.tally import Tally
from tests.waiting import wait_until

__all__ = ["Rates", "Traffic"]

#: Seconds that the loop waits for something at most.
_TURN = 0.01


@dataclass(frozen=True)
class Rates:
    """How much there is of what."""

    #: WebSockets, and how many of them are in the group.
    sockets: int = 500
    members: int = 50
    #: Each a second, over all sockets.
    echoes: float = 100.0
    requests: float = 50.0
    group_sends: float = 1.0
    delayed: float = 5.0
    #: Milliseconds after which delayed messages are sent.
    delays: tuple[int, int] = (500, 3000)
    #: Seconds over which clients spread that were told to come back later.
    spread: float = 10.0


class Traffic:
    """A context manager; the sockets are open when it is entered."""

    def __init__(self, port: int, rates: Rates) -> None:
        self.rates = rates
        self.tally = Tally()
        self._loop = Loop()
        self._requests = Requests(self._loop, port, self._answered)
        callbacks = (self._opened, self._lost, self._came)
        paths = ["/room/"] * rates.members + ["/"] * (rates.sockets - rates.members)
        self.sockets = [Socket(self._loop, port, path, *callbacks, rates.spread) for path in paths]
        self._numbers = itertools.count(1)
        #: Which socket sent each message to the group.
        self._senders: dict[int, Socket] = {}
        self._turns = itertools.cycle(self.sockets)
        self._streams: list[_Stream] = []
        self._flowing = self._ending = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def __enter__(self) -> "Traffic":
        # Handshakes wait for workers: not all at a time.
        for number, each in enumerate(self.sockets):
            self._loop.at(time.monotonic() + number / 200, each.connect)
        self._thread.start()
        self.wait_until_open()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending = True
        self._thread.join(10)
        self._loop.end()

    @property
    def open_sockets(self) -> int:
        """How many are open now."""
        return sum(each.is_open for each in self.sockets)

    def wait_until_open(self, timeout: float = 120.0) -> None:
        """Wait until all sockets are open."""
        wait_until(lambda: self._check() or self.open_sockets == len(self.sockets), timeout)

    def works_since(self, mark: float) -> bool:
        """Whether something of each kind was sent after ``mark`` and has come, and no request that
        was sent after it failed.
        """
        tally = self.tally
        ledgers = (tally.echoes, tally.deliveries, tally.requests)
        return tally.last_failure < mark and all(each.latest > mark for each in ledgers)

    def begin(self) -> None:
        """Count from nothing, and let messages flow."""
        self.tally = Tally()
        rates = self.rates
        self._streams = [
            _Stream(rates.echoes, self._echo),
            _Stream(rates.requests, self._request),
            _Stream(rates.group_sends, self._send_to_group),
            _Stream(rates.delayed, self._delay),
        ]
        self._flowing = True

    def finish(self, patience: float = 20.0) -> Tally:
        """Send nothing more, and wait for what is under way; what is so then is lost."""
        self._flowing = False
        deadline = time.monotonic() + patience
        wait_until(
            lambda: self._check() or not self.tally.outstanding or time.monotonic() > deadline,
            patience + 30,
        )
        return self.tally

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    # -- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._ending:
                self._loop.turn(_TURN)
                if self._flowing:
                    now = time.monotonic()
                    for stream in self._streams:
                        stream.flow(now)
        except BaseException as failure:
            self._failure = failure

    def _echo(self) -> None:
        for _ in self.sockets:
            each = next(self._turns)
            if each.is_open:
                number = next(self._numbers)
                self.tally.echoes.send((each, number), time.monotonic())
                return each.send(f"e {number}")

    def _request(self) -> None:
        number = self._requests.begin()
        self.tally.requests.send(number, time.monotonic())

    def _send_to_group(self) -> None:
        members = [each for each in self.sockets if each.path == "/room/" and each.is_open]
        if not members:
            return
        number, now = next(self._numbers), time.monotonic()
        sender = random.choice(members)
        self.tally.group_sends.send((sender, number), now)
        self._senders[number] = sender
        for each in members:
            self.tally.deliveries.send((each, number), now)
        sender.send(f"g {number}")

    def _delay(self) -> None:
        each = random.choice(self.sockets)
        if each.is_open:
            number = next(self._numbers)
            self.tally.delayed.send((each, number), time.monotonic())
            each.send(f"d {number} {random.randint(*self.rates.delays)}")

    def _came(self, which: Socket, text: str) -> None:
        kind, number, *_ = text.split()
        key, now = (which, int(number)), time.monotonic()
        if kind == "e":
            self.tally.echoes.receive(key, now)
        elif kind == "d":
            self.tally.delayed.receive(key, now)
        else:
            self.tally.deliveries.receive(key, now)
            sent = (self._senders.get(key[1]), key[1])
            if sent in self.tally.group_sends.outstanding:
                self.tally.group_sends.receive(sent, now)

    def _answered(self, number: int, status: str) -> None:
        if number in self.tally.requests.outstanding:
            started = self.tally.requests.outstanding[number]
            self.tally.requests.receive(number, time.monotonic())
            self.tally.statuses[status] += 1
            if status != "200":
                self.tally.last_failure = max(self.tally.last_failure, started)

    def _opened(self, which: Socket) -> None:
        self.tally.reconnected += 1

    def _lost(self, which: Socket, code: str) -> None:
        if code.startswith("not opened"):
            self.tally.refusals[code.removeprefix("not opened: ")] += 1
            return
        self.tally.drops[code] += 1
        unsent = {number for each, number in self.tally.group_sends.outstanding if each is which}
        for ledger in (self.tally.echoes, self.tally.group_sends, self.tally.delayed):
            ledger.drop(lambda key: key[0] is which)
        self.tally.deliveries.drop(lambda key: key[0] is which or key[1] in unsent)


class _Stream:
    """Calls ``one`` so many times a second, and makes up for what it was late with."""

    def __init__(self, rate: float, one: Callable[[], object]) -> None:
        self._interval = 1 / rate if rate else float("inf")
        self._one = one
        self._due = time.monotonic() + random.random() * min(self._interval, 1.0)

    def flow(self, now: float) -> None:
        """Do what is due."""
        while self._due <= now:
            self._due += self._interval
            self._one()
