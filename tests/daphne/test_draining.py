"""Ending many connections: HTTP at once, WebSockets in turns."""

from contextlib import ExitStack

import pytest
from twisted.internet.task import Clock
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from daphne.draining import Drain
from tests.reactor import in_reactor
from tests.waiting import wait_until


class Connection:
    """Notes when it is shut down."""

    def __init__(self, clock: Clock, takes_turns: bool) -> None:
        self.clock = clock
        self.takes_turns = takes_turns
        self.ended: float | None = None

    def shutdown(self) -> None:
        assert self.ended is None
        self.ended = self.clock.seconds()


def ends(sockets: int, seconds: float, others: int = 0) -> tuple[list[float], list[float]]:
    """When each of some WebSockets and other connections is shut down."""
    clock = Clock()
    held = [Connection(clock, True) for _ in range(sockets)]
    idle = [Connection(clock, False) for _ in range(others)]
    Drain(clock, [*held, *idle], seconds)
    clock.pump([0.001] * int(seconds * 1000 + 200))
    assert not clock.getDelayedCalls()
    return sorted(c.ended for c in held), sorted(c.ended for c in idle)


def test_websockets_are_spread_evenly():
    held, idle = ends(10, 5.0, others=3)
    assert idle == [0, 0, 0]
    assert held[0] == 0
    gaps = [after - before for before, after in zip(held, held[1:], strict=False)]
    assert all(abs(gap - 0.5) < 0.01 for gap in gaps)


def test_many_share_a_turn_and_all_end_in_time():
    held, _ = ends(3000, 2.0)
    assert max(held) < 2.02
    for part in range(4):
        share = [one for one in held if part * 0.5 <= one < (part + 1) * 0.5]
        assert 600 < len(share) < 900


def test_without_seconds_all_end_at_once_some_in_each_turn():
    held, idle = ends(1200, 0.0, others=1200)
    assert max(held + idle) < 0.01
    assert len(set(held)) > 1


def test_nothing_to_end_leaves_nothing_to_do():
    assert ends(0, 5.0) == ([], [])


def test_what_becomes_a_websocket_meanwhile_ends_last():
    clock = Clock()
    early = [Connection(clock, True) for _ in range(2)]
    drain = Drain(clock, early, 4.0)
    clock.pump([0.1] * 5)
    late, other = Connection(clock, True), Connection(clock, False)
    drain.add(late)
    drain.add(other)
    clock.pump([0.01] * 500)
    assert other.ended is not None and other.ended < 0.6
    assert late.ended is not None and 4.0 <= late.ended < 4.1
    assert sorted(c.ended for c in early)[1] < 2.1
    latest = Connection(clock, True)
    drain.add(latest)
    clock.pump([0.01])
    assert latest.ended is not None


def test_a_drain_that_was_stopped_ends_nothing():
    clock = Clock()
    connections = [Connection(clock, True) for _ in range(2)]
    Drain(clock, connections, 4.0).stop()
    clock.pump([0.1] * 50)
    assert [c.ended for c in connections].count(None) == 1


def test_a_server_that_stops_closes_websockets_in_turns_by_1012(serve):
    one = serve(drain=0.6, shutdown_timeout=10)
    application = one.application(
        websocket_connect=lambda m: {"accept": True}, websocket_disconnect=lambda m: None
    )
    codes = []
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(connect(one.url, open_timeout=10, ping_interval=None))
            for _ in range(3)
        ]
        in_reactor(one.server.shut_down)
        for socket in sockets:
            with pytest.raises(ConnectionClosed) as caught:
                socket.recv(timeout=10)
            codes.append(caught.value.rcvd and caught.value.rcvd.code)
    assert codes == [1012] * 3
    wait_until(lambda: len(application.messages("websocket.disconnect")) == 3)
    assert {m["code"] for m in application.messages("websocket.disconnect")} == {1012}
