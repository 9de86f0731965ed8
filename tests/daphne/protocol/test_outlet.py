"""What may wait for a client that does not read."""

from daphne.protocol.operations import Operation, Write
from daphne.protocol.outlet import Outlet


def outlet(limit: int = 10) -> tuple[Outlet, list[Operation]]:
    written: list[Operation] = []
    return Outlet(written.append, limit), written


def test_nothing_is_counted_while_the_transport_takes_it() -> None:
    one, written = outlet()
    assert all(one.write(Write(b"123456")) for _ in range(100))
    assert len(written) == 100


def test_what_would_exceed_the_limit_is_not_written() -> None:
    one, written = outlet()
    one.pause()
    assert one.write(Write(b"123456"))
    assert not one.write(Write(b"12345"))
    assert one.write(Write(b"1234"))
    assert not one.write(Write(b"1"))
    assert [write.data for write in written if isinstance(write, Write)] == [b"123456", b"1234"]


def test_what_has_left_makes_room() -> None:
    one, _ = outlet()
    one.pause()
    assert one.write(Write(b"1234567890"))
    one.drained(4)
    assert one.write(Write(b"1234")) and not one.write(Write(b"1"))
    one.drained(1000)
    assert one.write(Write(b"1234567890"))


def test_a_new_stop_is_counted_anew() -> None:
    one, _ = outlet()
    for _ in range(3):
        one.pause()
        assert one.write(Write(b"1234567890")) and not one.write(Write(b"1"))
        one.resume()
        assert one.write(Write(b"1234567890"))
