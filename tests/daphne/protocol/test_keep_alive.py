"""When a client is pinged; what follows from it for a socket is in test_websocket_keepalive."""

from daphne.protocol.keep_alive import KeepAlive
from daphne.protocol.operations import Operation, Timer


class Clock:
    """A keep-alive with its clock and the deadline that it armed."""

    def __init__(self, interval: float | None = 20.0, timeout: float | None = 30.0) -> None:
        self.now = 100.0
        self.at: float | None = None
        self.armed = 0
        self.keep_alive = KeepAlive(self.take, lambda: self.now, interval, timeout)
        self.keep_alive.start()

    def take(self, operation: Operation) -> None:
        assert isinstance(operation, Timer) and operation.name == "ping"
        self.at = operation.at
        self.armed += 1

    def go_on(self, seconds: float) -> KeepAlive:
        self.now += seconds
        return self.keep_alive


def test_a_ping_is_due_after_the_interval() -> None:
    clock = Clock()
    assert clock.at == 120.0
    assert clock.go_on(20.0).ping_is_due()


def test_then_the_answer_has_the_timeout() -> None:
    clock = Clock()
    keep_alive = clock.go_on(20.0)
    assert not keep_alive.unanswered
    keep_alive.ping_is_due()
    assert keep_alive.unanswered and clock.at == 150.0


def test_an_answer_puts_off_the_next_ping() -> None:
    clock = Clock()
    clock.go_on(20.0).ping_is_due()
    clock.go_on(1.0).hear()
    assert not clock.keep_alive.unanswered and clock.at == 141.0


def test_traffic_moves_no_deadline_until_it_fires() -> None:
    clock = Clock()
    for _ in range(19):
        clock.go_on(1.0).hear()
    assert clock.armed == 1
    assert not clock.go_on(1.0).ping_is_due()
    assert clock.at == 139.0


def test_without_a_timeout_nothing_follows_from_silence() -> None:
    clock = Clock(timeout=0.0)
    assert clock.go_on(20.0).ping_is_due()
    assert not clock.keep_alive.unanswered and clock.at == 140.0


def test_without_an_interval_there_is_no_deadline() -> None:
    for interval in (None, 0.0):
        assert Clock(interval=interval).armed == 0


def test_once_stopped_nothing_arms_it_again() -> None:
    clock = Clock()
    clock.go_on(20.0).ping_is_due()
    clock.keep_alive.stop()
    clock.go_on(1.0).hear()
    assert clock.at is None
