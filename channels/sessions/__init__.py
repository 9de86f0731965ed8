"""Sessions for consumers: of the socket, of the browser, and the order of a socket's messages.

``stores`` are the session objects over Django's engines, ``scope`` keeps them with a message and
saves them, ``decorators`` are what consumers use. ``ordering`` has messages consumed in turn, with
``waiting`` and ``watching``; ``ends`` tells of sockets that have ended, ``sockets`` is for workers.
Users are in ``channels.auth``.
"""

from .decorators import channel_and_http_session, channel_session, http_session
from .ordering import enforce_ordering
from .scope import session_scope
from .stores import session_for_reply_channel
from .waiting import requeue_messages, wait_channel_name

__all__ = [
    "channel_and_http_session",
    "channel_session",
    "enforce_ordering",
    "http_session",
    "requeue_messages",
    "session_for_reply_channel",
    "session_scope",
    "wait_channel_name",
]
