"""The old name of ``channels.test``."""

import warnings

from channels.test.base import (
    ChannelTestCase,
    ChannelTestCaseMixin,
    Client,
    TransactionChannelTestCase,
    apply_routes,
)
from channels.test.websocket import WSClient

__all__ = [
    "ChannelTestCase",
    "ChannelTestCaseMixin",
    "Client",
    "HttpClient",
    "TransactionChannelTestCase",
    "WSClient",
    "apply_routes",
]

HttpClient = WSClient

warnings.warn(
    "channels.tests is now channels.test; change the import", DeprecationWarning, stacklevel=2
)
