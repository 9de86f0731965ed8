"""What mypy makes of the public API: ``R`` says which type it reveals in the line below."""

from typing import reveal_type

from channels import Channel, Group, channel_layers, route
from channels.auth import (
    channel_and_http_session_user_from_http,
    channel_session_user,
    channel_session_user_from_http,
    http_session_user,
)
from channels.generic.websockets import JsonWebsocketConsumer
from channels.layers.inmemory import ChannelLayer
from channels.layers.redis import RedisChannelLayer
from channels.message import Message
from channels.security.websockets import allowed_hosts_only
from channels.sessions import (
    channel_and_http_session,
    channel_session,
    enforce_ordering,
    http_session,
)
from channels.test import ChannelTestCase, WSClient, apply_routes


def consumer(message: Message, room: str, limit: int = 10) -> list[str]:
    """Any consumer."""
    return [room] * limit


# Functions keep their signatures.
# R: def (message: Message, room: str, limit: int =) -> list[str]
reveal_type(channel_session(consumer))
# R: def (message: Message, room: str, limit: int =) -> list[str]
reveal_type(http_session(consumer))
# R: def (message: Message, room: str, limit: int =) -> list[str]
reveal_type(channel_and_http_session(consumer))
# R: def (message: Message, room: str, limit: int =) -> list[str]
reveal_type(channel_session_user(consumer))
# R: def (message: Message, room: str, limit: int =) -> list[str]
reveal_type(http_session_user(consumer))
# R: def (message: Message, room: str, limit: int =) -> list[str]
reveal_type(channel_session_user_from_http(consumer))
# R: def (message: Message, room: str, limit: int =) -> list[str]
reveal_type(channel_and_http_session_user_from_http(consumer))
# R: def (message: Message, room: str, limit: int =) -> list[str] | None
reveal_type(enforce_ordering(consumer))
# R: def (message: Message, room: str, limit: int =) -> list[str] | None
reveal_type(enforce_ordering()(consumer))
# R: AllowedHostsOnlyOriginValidator[[message: Message, room: str, limit: int =], list[str]]
reveal_type(allowed_hosts_only(consumer))
# R: def (message: Message, room: str, limit: int =) -> list[str]
reveal_type(allowed_hosts_only(consumer).__call__)
# R: def (message: Message, room: str, limit: int =) -> list[str]
reveal_type(channel_session(allowed_hosts_only(consumer)))


class Decorated(JsonWebsocketConsumer):
    """Methods keep theirs, and their class."""

    @channel_session
    def with_session(self, message: Message, room: str) -> int:
        return 1

    @http_session
    def with_http_session(self, message: Message) -> int:
        return 1

    @channel_and_http_session
    def with_both(self, message: Message) -> int:
        return 1

    @channel_session_user
    def with_user(self, message: Message) -> int:
        return 1

    @http_session_user
    def with_http_user(self, message: Message) -> int:
        return 1

    @channel_session_user_from_http
    def with_user_from_http(self, message: Message) -> int:
        return 1

    @channel_and_http_session_user_from_http
    def with_all(self, message: Message) -> int:
        return 1

    @enforce_ordering
    def in_order(self, message: Message) -> int:
        return 1

    @allowed_hosts_only
    def of_hosts(self, message: Message, room: str) -> int:
        return 1

    @allowed_hosts_only
    @channel_session_user
    def of_hosts_with_user(self, message: Message) -> int:
        return 1


def methods(one: Decorated, message: Message) -> None:
    """Of the class and of an instance."""
    # R: def (self: Decorated, message: Message, room: str) -> int
    reveal_type(Decorated.with_session)
    # R: def (message: Message, room: str) -> int
    reveal_type(one.with_session)
    # R: def (message: Message) -> int
    reveal_type(one.with_http_session)
    # R: def (message: Message) -> int
    reveal_type(one.with_both)
    # R: def (message: Message) -> int
    reveal_type(one.with_user)
    # R: def (message: Message) -> int
    reveal_type(one.with_http_user)
    # R: def (message: Message) -> int
    reveal_type(one.with_user_from_http)
    # R: def (message: Message) -> int
    reveal_type(one.with_all)
    # R: def (message: Message) -> int | None
    reveal_type(one.in_order)
    # R: def (message: Message, room: str) -> int
    reveal_type(one.of_hosts)
    # R: def (message: Message) -> int
    reveal_type(one.of_hosts_with_user)
    # R: AllowedHostsOnlyOriginValidator[[self: Decorated, message: Message, room: str], int]
    reveal_type(Decorated.of_hosts)


def attributes(message: Message) -> None:
    """Of messages."""
    # R: Channel | Any
    reveal_type(message.channel)
    # R: Channel | Any
    reveal_type(message.reply_channel)
    # R: User | AnonymousUser
    reveal_type(message.user)
    # R: bool
    reveal_type(message.user.is_staff)
    # R: SessionBase
    reveal_type(message.channel_session)
    # R: Any
    reveal_type(message.channel_session["key"])
    # R: SessionBase | None
    reveal_type(message.http_session)
    # R: Any
    reveal_type(message["text"])
    # R: dict[str, Any]
    reveal_type(message.content)
    # R: Message
    reveal_type(message.copy())
    # R: bool
    reveal_type("text" in message)


class Tests(ChannelTestCase):
    """The tools for tests."""

    @apply_routes([])
    def test(self, number: int) -> str:
        # R: Message | None
        reveal_type(self.get_next_message("task"))
        # R: Message
        reveal_type(self.get_next_message("task", require=True))
        # R: Message | None
        reveal_type(WSClient().get_next_message("task"))
        # R: dict[str, str]
        reveal_type(WSClient().get_cookies())
        with apply_routes([route("task", consumer)]) as routes:
            # R: apply_routes
            reveal_type(routes)
        return ""


def layers() -> None:
    """Layers, and what is sent by."""
    # R: def (self: Tests, number: int) -> str
    reveal_type(Tests.test)
    # R: str
    reveal_type(Channel("task").name)
    # R: def (content: dict[str, Any], immediately: bool =)
    reveal_type(Group("everybody").send)
    # R: ChannelLayerWrapper
    reveal_type(channel_layers["default"])
    # R: set[str]
    reveal_type(channel_layers["default"].router.channels)
    layer = ChannelLayer(capacity=10)
    # R: str
    reveal_type(layer.new_channel("reply?"))
    # R: tuple[str, dict[str, Any]] | tuple[None, None]
    reveal_type(layer.receive(["task"], block=True))
    # R: tuple[str, dict[str, Any]] | tuple[None, None]
    reveal_type(RedisChannelLayer(hosts=["redis://localhost"]).receive(["task"]))
    # R: list[str]
    reveal_type(route("task", consumer).channels)
    # R: RouteClass
    reveal_type(Decorated.as_route(path="^/$"))
