"""Sessions for consumers: of the socket, of the browser, and the order of a socket's messages.

``stores`` are the session objects over Django's engines, ``scope`` keeps them with a message and
saves them, ``decorators`` are what consumers use. Users are in ``channels.auth``.
"""

from .decorators import channel_and_http_session, channel_session, http_session
from .scope import session_scope
from .stores import session_for_reply_channel

__all__ = [
    "channel_and_http_session",
    "channel_session",
    "http_session",
    "session_for_reply_channel",
    "session_scope",
]
