"""Tools for testing consumers and whole sites (Channels documentation, Testing Consumers).

Nothing is imported until it is asked for: the pytest plug-in lives in this package, and is loaded
also by test runs that have nothing to do with Django.
"""

from typing import TYPE_CHECKING

from channels.lazy import lazy_names

if TYPE_CHECKING:
    from channels.test.base import (
        ChannelTestCase,
        ChannelTestCaseMixin,
        TransactionChannelTestCase,
    )
    from channels.test.client import Client
    from channels.test.http import HttpClient
    from channels.test.liveserver import ChannelLiveServerTestCase
    from channels.test.routes import apply_routes
    from channels.test.websocket import WSClient

__all__ = [
    "ChannelLiveServerTestCase",
    "ChannelTestCase",
    "ChannelTestCaseMixin",
    "Client",
    "HttpClient",
    "TransactionChannelTestCase",
    "WSClient",
    "apply_routes",
]

#: Where each name lives.
_HOMES = {
    "ChannelLiveServerTestCase": "channels.test.liveserver",
    "ChannelTestCase": "channels.test.base",
    "ChannelTestCaseMixin": "channels.test.base",
    "Client": "channels.test.client",
    "HttpClient": "channels.test.http",
    "TransactionChannelTestCase": "channels.test.base",
    "WSClient": "channels.test.websocket",
    "apply_routes": "channels.test.routes",
}


if not TYPE_CHECKING:  # which would take any name for one of the module's
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
