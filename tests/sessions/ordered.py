"""Consumers whose order shows, and what must be true of a crew's traffic in the end."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from channels.message import Message
from channels.routing import route
from channels.sessions import enforce_ordering, session_for_reply_channel
from tests.sessions.crews import Journal, Traffic
from tests.waiting import wait_until

__all__ = ["check", "routing_of"]


def routing_of(
    journal: Journal,
    connect: Callable[..., Any] = enforce_ordering,
    disconnect: Callable[..., Any] = enforce_ordering,
) -> list[Any]:
    """Consumers that count the frames in the session, write them down and answer."""

    def open_socket(message: Message) -> None:
        message.channel_session["sent"] = 0
        journal.consumed(message)
        message.reply_channel.send({"accept": True})

    @enforce_ordering
    def receive(message: Message) -> None:
        message.channel_session["sent"] += 1
        journal.consumed(message)
        message.reply_channel.send({"text": str(message.channel_session["sent"])})

    return [
        route("websocket.connect", connect(open_socket)),
        route("websocket.receive", receive),
        route("websocket.disconnect", disconnect(journal.consumed)),
    ]


def check(traffic: Traffic, journal: Journal) -> None:
    """Everything came in order, none was lost, none was tried in vain more than once."""
    expected = [{"text": str(number)} for number in range(1, traffic.messages + 1)]
    for name in traffic.names:
        assert traffic.replies[name] == expected
    traffic.disconnect()
    orders = list(range(traffic.messages + 2))
    wait_until(
        lambda: all(journal.orders("consumed")[name][-1:] == orders[-1:] for name in traffic.names)
    )
    for name in traffic.names:
        assert journal.orders("consumed")[name] == orders
    for name, given in journal.orders("given").items():
        assert max(Counter(given).values()) <= 2, name
    wait_until(lambda: not any(session_for_reply_channel(name).keys() for name in traffic.names))
