"""Every exception of the framework and of the channel layers.

.. code-block:: text

    ChannelsError
    ├── ChannelLayerError
    │   ├── ChannelFull
    │   ├── MessageTooLarge
    │   ├── InvalidStoredMessage (ValueError)
    │   ├── LayerUnavailable (ConnectionError)
    │   ├── LayerNotInstalled
    │   ├── SegmentRefused
    │   ├── GroupMemoryFull
    │   └── UnsupportedExtension
    ├── InvalidChannelLayerError (ValueError)
    ├── InvalidMessage (ValueError)
    ├── ConsumeLater
    ├── ResponseLater
    ├── RequestTimeout
    ├── RequestAborted
    ├── ResponseAborted
    ├── LiveServerError
    ├── ChannelSocketException
    │   ├── DenyConnection
    │   └── WebsocketCloseException
    └── SendNotAvailableOnDemultiplexer

Wrong types of names and messages raise the built-in ``TypeError``; the server's own exceptions
are in ``daphne.exceptions``.
"""

from typing import Any

__all__ = [
    "ChannelFull",
    "ChannelLayerError",
    "ChannelSocketException",
    "ChannelsError",
    "ConsumeLater",
    "DenyConnection",
    "GroupMemoryFull",
    "InvalidChannelLayerError",
    "InvalidMessage",
    "InvalidStoredMessage",
    "LayerNotInstalled",
    "LayerUnavailable",
    "LiveServerError",
    "MessageTooLarge",
    "RequestAborted",
    "RequestTimeout",
    "ResponseAborted",
    "ResponseLater",
    "SegmentRefused",
    "SendNotAvailableOnDemultiplexer",
    "UnsupportedExtension",
    "WebsocketCloseException",
]


class ChannelsError(Exception):
    """The root of all exceptions of this package."""


class ChannelLayerError(ChannelsError):
    """An operation on a channel layer that did not succeed."""


class ChannelFull(ChannelLayerError):
    """The channel is at its capacity: its readers are slower than its writers."""


class MessageTooLarge(ChannelLayerError):
    """The encoded message is over the layer's limit; the sender has to split it."""


class InvalidStoredMessage(ChannelLayerError, ValueError):
    """Bytes read from a layer that are no message: another version, a stranger, or damage."""


class LayerUnavailable(ChannelLayerError, ConnectionError):
    """The store behind the layer does not answer, or refuses.

    It is down, out of memory, rejects the password, or took too long; the message says which server
    it was and what to do. Whether a message was stored that was being sent is not known. Trying
    again later may succeed: workers and interface servers do so by themselves.
    """


class LayerNotInstalled(ChannelLayerError):
    """The layer cannot work here: its extension was not built, or the system is another.

    ``channels.asgi`` raises Django's ``ImproperlyConfigured`` in its place.
    """


class SegmentRefused(ChannelLayerError):
    """Shared memory that this process cannot use: a stranger's, damaged, or of another version."""


class GroupMemoryFull(ChannelLayerError):
    """There is no memory for one more member of a group."""


class UnsupportedExtension(ChannelLayerError):
    """The configured layer lacks an extension that the application asks for."""


class InvalidChannelLayerError(ChannelsError, ValueError):
    """An error in the setting ``CHANNEL_LAYERS``."""


class InvalidMessage(ChannelsError, ValueError):
    """A message that does not follow the format of its protocol (ASGI spec, Message Formats)."""


class ConsumeLater(ChannelsError):
    """Raised by a consumer to have the message put back onto its channel and tried again later."""


class ResponseLater(ChannelsError):
    """Raised by a view to send no response now: something else answers on the reply channel."""


class RequestTimeout(ChannelsError):
    """The client did not send the whole body in time."""


class RequestAborted(ChannelsError):
    """The client went away before it had sent the whole body."""


class ResponseAborted(ChannelsError):
    """Whoever makes a response could not go on with it after it had begun.

    The interfaces for other servers raise it, so that these cut the connection.
    """


class LiveServerError(ChannelsError):
    """A process of a test's live server did not start, or ended by itself; it says why."""


class ChannelSocketException(ChannelsError):
    """Base of the exceptions by which a consumer ends its socket; the worker calls ``run``."""

    def run(self, message: Any) -> None:
        """Act on the socket that ``message`` came from.

        Subclasses say what happens; sends go to ``message.reply_channel``.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define run(message)")


class DenyConnection(ChannelSocketException):
    """Raised by a ``websocket.connect`` consumer to refuse the handshake with a 403."""

    def run(self, message: Any) -> None:
        """Reject the connection; raises ``ValueError`` elsewhere than on ``websocket.connect``."""
        if message.channel.name != "websocket.connect":
            raise ValueError(
                f"DenyConnection was raised by a consumer of {message.channel.name!r}; a "
                "connection can only be denied on 'websocket.connect'. Raise "
                "WebsocketCloseException to close an open socket."
            )
        message.reply_channel.send({"close": True})


class WebsocketCloseException(ChannelSocketException):
    """Raised by a WebSocket consumer to close its socket.

    ``code`` is the close code to send, 1000 or 3000 to 4999 (RFC 6455, 7.4); None means 1000.
    Raises ``ValueError`` for any other.
    """

    def __init__(self, code: int | None = None) -> None:
        if code is not None and code != 1000 and not 3000 <= code <= 4999:
            raise ValueError(
                f"close code {code!r} is not one for applications; use 1000 or 3000 to 4999"
            )
        super().__init__(code)
        self.code = code

    def run(self, message: Any) -> None:
        """Close the socket."""
        message.reply_channel.send({"close": self.code or True})


class SendNotAvailableOnDemultiplexer(ChannelsError):
    """``send`` was called on a consumer behind a demultiplexer; its multiplexer sends."""
