"""Class-based consumers of WebSockets.

A frame that a JSON consumer or a demultiplexer cannot take, since it holds no text, no valid JSON,
JSON that is nested too deeply, or no stream that is known, is an ``InvalidFrame``: the worker
closes that socket with 1008 and logs one line. ``invalid_frame`` may do something else instead.
"""

import copy
import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, NoReturn

from django.core.serializers.json import DjangoJSONEncoder

from channels.auth import (
    channel_and_http_session_user_from_http,
    channel_session_user,
    channel_session_user_from_http,
)
from channels.channel import Channel, Group
from channels.exceptions import (
    ChannelSocketException,
    ConsumeLater,
    DenyConnection,
    SendNotAvailableOnDemultiplexer,
)
from channels.generic.base import BaseConsumer, Handler, decorated
from channels.message import Message
from channels.sessions import channel_and_http_session, enforce_ordering, session_scope
from channels.sessions.ordering import enforces_ordering

__all__ = [
    "InvalidFrame",
    "JsonWebsocketConsumer",
    "WebsocketConsumer",
    "WebsocketDemultiplexer",
    "WebsocketMultiplexer",
]

logger = logging.getLogger("django.channels")

#: Arrays and objects inside each other that a frame may hold; deeper ones are made to exhaust the
#: stack.
JSON_DEPTH = 64

#: The close code of a frame that cannot be taken: policy violation (RFC 6455, 7.4.1).
_POLICY_VIOLATION = 1008


class InvalidFrame(ChannelSocketException, ValueError):
    """A frame from a client that its consumer cannot take; the message says why."""

    def run(self, message: Message) -> None:
        """Close the socket with 1008 and log one line."""
        logger.warning(
            "A frame on %r was refused and its socket closed: %s", message.get("path"), self
        )
        _reply_channel(message).send({"close": _POLICY_VIOLATION})


class WebsocketConsumer(BaseConsumer):
    """Takes the messages of a socket by ``connect``, ``receive`` and ``disconnect``.

    Its groups are joined before ``connect`` is called, and left before ``disconnect``.
    """

    method_mapping: ClassVar[Mapping[str, str]] = {
        "websocket.connect": "raw_connect",
        "websocket.receive": "raw_receive",
        "websocket.disconnect": "raw_disconnect",
    }

    #: Whether ``message.user`` is the user that the HTTP session of the handshake belongs to.
    http_user: bool = False

    #: The same, and ``message.http_session`` is that session.
    http_user_and_session: bool = False

    #: Whether the messages of a socket are handled in their order, one at a time. Behind a
    #: demultiplexer it concerns all of the socket.
    strict_ordering: bool = False

    #: The groups that a socket belongs to, as long as ``connection_groups`` is not overridden.
    groups: Iterable[str] | None = None

    @property
    def path(self) -> str:
        """The path of the socket's URL."""
        path: str = self.message["path"]
        return path

    def get_handler(self, message: Message, **kwargs: Any) -> Handler:
        handler = super().get_handler(message, **kwargs)
        if getattr(self, "slight_ordering", False):
            raise ValueError(
                f"{type(self).__name__}.slight_ordering is gone, since sockets are accepted "
                "explicitly; use strict_ordering"
            )
        is_connect = self._method_name(message) == "raw_connect"
        if self.http_user_and_session:
            if is_connect:
                handler = decorated(channel_and_http_session_user_from_http, handler)
            else:
                handler = decorated(channel_session_user, handler)
                handler = decorated(channel_and_http_session, handler)
        elif self.http_user:
            handler = decorated(
                channel_session_user_from_http if is_connect else channel_session_user, handler
            )
        if self.strict_ordering and "multiplexer" not in kwargs:
            handler = decorated(enforce_ordering, handler)
        return handler

    def connection_groups(self, *args: Any, **kwargs: Any) -> Iterable[str]:
        """The names of the groups of this socket; ``kwargs`` is what the routing captured."""
        return self.groups or ()

    # The messages

    def raw_connect(self, message: Message, **kwargs: Any) -> None:
        """Join the groups, and connect."""
        groups = self._groups(**kwargs)
        for group in groups:
            group.add(_reply_channel(message))
        try:
            self.connect(message, **kwargs)
        except DenyConnection:
            for group in groups:
                group.discard(_reply_channel(message))
            raise

    def raw_receive(self, message: Message, **kwargs: Any) -> None:
        """Take a frame apart."""
        if message.get("text") is not None:
            self.receive(text=message["text"], **kwargs)
        else:
            self.receive(bytes=message.get("bytes"), **kwargs)

    def raw_disconnect(self, message: Message, **kwargs: Any) -> None:
        """Leave the groups, and disconnect."""
        for group in self._groups(**kwargs):
            group.discard(_reply_channel(message))
        self.disconnect(message, **kwargs)

    def _groups(self, **kwargs: Any) -> list[Group]:
        layer = self.message.channel_layer
        return [Group(name, channel_layer=layer) for name in self.connection_groups(**kwargs)]

    # To be overridden, with what the routing captures and what else they take as named arguments.
    # It is for that that these have ``*args``: type checkers take any override of such a method.

    def connect(self, message: Message, *args: Any, **kwargs: Any) -> None:
        """Called for a new socket. Whatever overrides it has to accept it as well."""
        if "multiplexer" not in kwargs:
            _reply_channel(message).send({"accept": True})

    def receive(self, *args: Any, **kwargs: Any) -> None:
        """Called for a frame, with the one of ``text`` and ``bytes`` that it has."""

    def disconnect(self, message: Message, *args: Any, **kwargs: Any) -> None:
        """Called when a socket has closed."""

    # To be called

    def send(self, text: str | None = None, bytes: bytes | None = None, close: int = False) -> None:
        """Send a frame to the socket, and close it then where ``close`` is true or a close code.

        Raises ``ValueError`` without ``text`` and ``bytes``, and
        ``SendNotAvailableOnDemultiplexer`` behind a demultiplexer.
        """
        if "multiplexer" in self.kwargs:
            raise SendNotAvailableOnDemultiplexer(
                f"{type(self).__name__} is behind a demultiplexer: send by the multiplexer that "
                "its methods get"
            )
        _reply_channel(self.message).send(_frame(text, bytes, close))

    @classmethod
    def group_send(
        cls,
        name: str,
        text: str | None = None,
        bytes: bytes | None = None,
        close: int = False,
    ) -> None:
        """Send a frame to each socket of the group ``name``; see ``send``."""
        Group(name).send(_frame(text, bytes, close))

    def close(self, status: int | bool = True) -> None:
        """Close the socket, with the close code ``status`` where one is given (RFC 6455, 7.4)."""
        _reply_channel(self.message).send({"close": status})


class JsonWebsocketConsumer(WebsocketConsumer):
    """Takes and sends frames of JSON."""

    #: Arrays and objects inside each other that a frame may hold.
    json_depth: int = JSON_DEPTH

    def raw_receive(self, message: Message, **kwargs: Any) -> None:
        try:
            self.receive(self._content(message), **kwargs)
        except InvalidFrame as error:
            self.invalid_frame(error)

    def receive(self, content: Any, *args: Any, **kwargs: Any) -> None:
        """Called with the decoded content of a frame."""

    def invalid_frame(self, error: InvalidFrame) -> None:
        """Called for a frame that cannot be taken; raising ``error`` closes with 1008."""
        raise error

    def send(self, content: Any, close: int = False) -> None:  # type: ignore[override]
        """Send ``content`` as JSON; see ``WebsocketConsumer.send``."""
        super().send(text=self.encode_json(content), close=close)

    @classmethod
    def group_send(cls, name: str, content: Any, close: int = False) -> None:  # type: ignore[override]
        """Send ``content`` as JSON to each socket of the group ``name``."""
        WebsocketConsumer.group_send(name, text=cls.encode_json(content), close=close)

    @classmethod
    def decode_json(cls, text: str) -> Any:
        """The content of a frame; raises ``ValueError`` where it is no JSON."""
        return _decoder.decode(text)

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """The frame for a content: dates, decimals and the like as Django writes them."""
        return _encoder.encode(content)

    def _content(self, message: Message) -> Any:
        text = message.get("text")
        if text is None:
            raise InvalidFrame("it has no text, and so no JSON")
        try:
            content = self.decode_json(text)
        except (ValueError, RecursionError) as error:
            raise InvalidFrame(f"it is no valid JSON: {error}") from error
        brackets = text.count("[") + text.count("{")
        if brackets > self.json_depth and isinstance(content, (dict, list)):
            _check_depth(content, self.json_depth)
        return content


class WebsocketMultiplexer:
    """Sends on one stream of a socket.

    ``stream`` is its name, ``demultiplexer`` the consumer that made it, if one did.
    """

    demultiplexer: "WebsocketDemultiplexer | None" = None

    def __init__(self, stream: str, reply_channel: Channel) -> None:
        self.stream = stream
        self.reply_channel = reply_channel

    def send(self, payload: Any) -> None:
        """Send ``payload`` on the stream."""
        self.reply_channel.send(self.encode(self.stream, payload))

    @classmethod
    def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
        """The message that brings ``payload`` to a socket on ``stream``."""
        return {"text": cls.encode_json({"stream": stream, "payload": payload})}

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """The frame for a content; override it for another encoder."""
        return _encoder.encode(content)

    @classmethod
    def group_send(cls, name: str, stream: str, payload: Any, close: int = False) -> None:
        """Send ``payload`` on ``stream`` to each socket of the group ``name``."""
        message = cls.encode(stream, payload)
        if close:
            message["close"] = close
        Group(name).send(message)


class WebsocketDemultiplexer(JsonWebsocketConsumer):
    """Several streams over one socket, each with a consumer of its own.

    A frame is an object with the keys ``stream`` and ``payload``, an object. The stream's consumer
    gets the message with the payload as its text, as if it had a socket of its own, and the keyword
    argument ``multiplexer`` to send by. Each consumer gets every connect and disconnect. The socket
    is accepted once; one ``DenyConnection`` denies it.
    """

    #: The consumer, a class or a function, of each stream.
    consumers: ClassVar[Mapping[str, Callable[..., Any]]] = {}

    multiplexer_class: ClassVar[type[WebsocketMultiplexer]] = WebsocketMultiplexer

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for stream, consumer in cls.consumers.items():
            if isinstance(consumer, type) and issubclass(consumer, WebsocketDemultiplexer):
                raise ValueError(_nested(consumer, f"is the stream {stream!r} of {cls.__name__}"))

    def get_handler(self, message: Message, **kwargs: Any) -> Handler:
        self.strict_ordering = enforces_ordering(type(self))
        return super().get_handler(message, **kwargs)

    def dispatch(self, message: Message, **kwargs: Any) -> Any:
        """Call the handler of ``message``; the sessions of all streams are saved after it."""
        if "multiplexer" in kwargs:
            raise ValueError(_nested(type(self), "is behind another one"))
        with session_scope(message):
            return super().dispatch(message, **kwargs)

    def connect(self, message: Message, *args: Any, **kwargs: Any) -> None:
        """Connect each stream, and accept the socket; what they send follows."""
        held = _HeldChannel(_reply_channel(message))
        try:
            for stream in self.consumers:
                self._pass_on(stream, held, message.content, kwargs)
        except (DenyConnection, ConsumeLater):  # it comes again, to all streams
            raise
        except BaseException:
            held.release()
            raise
        held.release()

    def receive(self, content: Any, *args: Any, **kwargs: Any) -> None:
        """Hand a payload to its stream."""
        stream, payload = self._parts(content)
        text = {"text": self.encode_json(payload), "bytes": None}
        reply_channel = _reply_channel(self.message)
        self._pass_on(stream, reply_channel, {**self.message.content, **text}, kwargs)

    def disconnect(self, message: Message, *args: Any, **kwargs: Any) -> None:
        """Disconnect each stream, also where another one fails."""
        errors: list[Exception] = []
        for stream in self.consumers:
            try:
                self._pass_on(stream, _reply_channel(message), message.content, kwargs)
            except Exception as error:  # raised below
                errors.append(error)
        for other in errors[1:]:
            logger.error("Error at the disconnect of a stream: %s", other, exc_info=other)
        if errors:
            raise errors[0]

    def send(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not for demultiplexers: raises ``SendNotAvailableOnDemultiplexer``."""
        raise SendNotAvailableOnDemultiplexer(
            f"{type(self).__name__} has no stream of its own: send by the multiplexer of one"
        )

    @classmethod
    def group_send(cls, *args: Any, **kwargs: Any) -> NoReturn:
        """Not for demultiplexers: raises ``SendNotAvailableOnDemultiplexer``."""
        raise SendNotAvailableOnDemultiplexer(
            f"{cls.__name__} has no stream of its own: use "
            f"{cls.multiplexer_class.__name__}.group_send(name, stream, payload)"
        )

    @classmethod
    def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
        """The message that brings ``payload`` to a socket on ``stream``."""
        return cls.multiplexer_class.encode(stream, payload)

    def _parts(self, content: Any) -> tuple[str, dict[str, Any]]:
        """Stream and payload of a frame; raises ``InvalidFrame``."""
        if not isinstance(content, dict) or not {"stream", "payload"} <= content.keys():
            raise InvalidFrame("it is no object with the keys 'stream' and 'payload'")
        stream, payload = content["stream"], content["payload"]
        if not isinstance(stream, str) or stream not in self.consumers:
            raise InvalidFrame(f"there is no stream {stream!r:.100}")
        if not isinstance(payload, dict):
            raise InvalidFrame(f"its payload for stream {stream!r} is no object")
        return stream, payload

    def _pass_on(
        self, stream: str, reply_channel: Channel, content: dict[str, Any], kwargs: dict[str, Any]
    ) -> None:
        """Run the consumer of a stream.

        It gets this message, since that has what decorators have put on it, with another content.
        """
        message = self.message
        own = message.content, message.reply_channel
        message.content, message.reply_channel = content, reply_channel
        multiplexer = self.multiplexer_class(stream, reply_channel)
        multiplexer.demultiplexer = self
        try:
            self.consumers[stream](message, **{**kwargs, "multiplexer": multiplexer})
        finally:
            message.content, message.reply_channel = own


def _nested(inner: type[WebsocketDemultiplexer], where: str) -> str:
    return (
        f"{inner.__name__}, a demultiplexer, {where}, but frames name one stream: list its "
        "consumers, whose streams are 'outer.inner' say, in the outer one"
    )


class _HeldChannel(Channel):
    """A reply channel whose sends wait until it is known whether the socket is accepted."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel.name, channel_layer=channel.channel_layer)
        self._channel = channel
        self._sent: list[dict[str, Any]] | None = []

    def send(self, content: dict[str, Any], immediately: bool = False) -> None:
        if self._sent is None or immediately:
            self.release()
            self._channel.send(content, immediately)
        elif content != _ACCEPT:  # which each consumer would send by itself
            self._sent.append(copy.deepcopy(content))

    def release(self) -> None:
        """Accept the socket and send what was held; pass on what is sent from now on."""
        sent, self._sent = self._sent, None
        if sent is not None:
            for content in (_ACCEPT, *sent):
                self._channel.send(content)


_ACCEPT = {"accept": True}


def _reply_channel(message: Message) -> Channel:
    """The channel of the socket that a message came from; raises ``ValueError`` without one."""
    if message.reply_channel is None:
        raise ValueError(
            f"{message!r} has no reply_channel, so it came from no socket; WebSocket consumers "
            "take the messages of interface servers"
        )
    return message.reply_channel


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_encoder = DjangoJSONEncoder()


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is more than a number can be")
    return number


#: Takes no NaN and no infinity, which Python writes and no browser reads (RFC 8259, 6), nor what
#: becomes one.
_decoder = json.JSONDecoder(parse_constant=_no_number, parse_float=_number)


def _frame(text: str | None, bytes: bytes | None, close: Any) -> dict[str, Any]:
    """The message for a frame."""
    message: dict[str, Any] = {"close": close} if close else {}
    if text is not None:
        message["text"] = text
    elif bytes is not None:
        message["bytes"] = bytes
    else:
        raise ValueError("there is nothing to send: give text or bytes, or call close()")
    return message


def _check_depth(content: Any, depth: int) -> None:
    """Raise ``InvalidFrame`` where ``content`` is nested deeper than ``depth``."""
    level = [content]
    for _ in range(depth):
        children = [value.values() if isinstance(value, dict) else value for value in level]
        level = [one for each in children for one in each if isinstance(one, (dict, list))]
        if not level:
            return
    raise InvalidFrame(f"its JSON is nested deeper than {depth}")
