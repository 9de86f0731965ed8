"""Class-based consumers (Channels documentation, Generic Consumers).

``base`` has the dispatch of messages to methods, ``websockets`` the consumers of WebSockets, with
JSON, and with several streams over one socket.
"""

from channels.generic.base import BaseConsumer

__all__ = ["BaseConsumer"]
