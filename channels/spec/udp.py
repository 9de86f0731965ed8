"""The UDP message formats.

The source is the reference's "UDP ASGI Message Format".
"""

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict, cast

from channels.names import is_channel_name
from channels.spec.formats import Address, Field, Format, Message, address, byte_string, optional

__all__ = [
    "UDP_RECEIVE",
    "UDP_SEND",
    "UdpReceive",
    "UdpSend",
    "check_udp_receive",
    "check_udp_send",
    "udp_receive",
    "udp_send",
]

#: The channel of datagrams from clients.
UDP_RECEIVE = "udp.receive"

#: How the reply channels of datagrams begin; a server puts its random part before the ``!``.
UDP_SEND = "udp.send"


class UdpReceive(TypedDict):
    """A datagram came in (channel ``udp.receive``)."""

    reply_channel: str
    data: bytes
    client: Address
    server: NotRequired[Address | None]


class UdpSend(TypedDict):
    """A datagram to be sent to the client (the reply channel)."""

    data: bytes


def _reply_channel(value: object) -> bool:
    return (
        isinstance(value, str)
        and value.startswith(UDP_SEND)
        and "!" in value
        and is_channel_name(value)
    )


_RECEIVE = Format(
    UDP_RECEIVE,
    "ASGI spec, UDP, Receive",
    Field("reply_channel", _reply_channel, "the name of a process channel of 'udp.send'"),
    Field("data", byte_string, "a byte string"),
    Field("client", address, "[host as a str, port as an integer]"),
    Field("server", optional(address), "[host as a str, port as an integer] or None", None),
)
_SEND = Format("udp.send!", "ASGI spec, UDP, Send", Field("data", byte_string, "a byte string"))


def udp_receive(
    reply_channel: str, data: bytes, client: Sequence[Any], server: Sequence[Any] | None = None
) -> UdpReceive:
    """Build the message of one datagram; ``client`` and ``server`` are ``[host, port]``."""
    return {
        "reply_channel": reply_channel,
        "data": data,
        "client": list(client),
        "server": None if server is None else list(server),
    }


def check_udp_receive(message: Message, strict: bool = False) -> UdpReceive:
    """Return the message with its defaults.

    ``strict`` refuses unknown keys. Raises ``InvalidMessage``.
    """
    return cast(UdpReceive, _RECEIVE.check(message, strict))


def udp_send(data: bytes) -> UdpSend:
    """Build the message that has one datagram sent."""
    return {"data": data}


def check_udp_send(message: Message, strict: bool = False) -> UdpSend:
    """Return the message; ``strict`` refuses unknown keys. Raises ``InvalidMessage``."""
    return cast(UdpSend, _SEND.check(message, strict))
