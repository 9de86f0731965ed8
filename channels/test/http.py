"""The old name of ``WSClient``."""

import warnings

from channels.test.websocket import WSClient

__all__ = ["HttpClient"]

HttpClient = WSClient

warnings.warn(
    "channels.test.http.HttpClient is now channels.test.WSClient; change the import",
    DeprecationWarning,
    stacklevel=2,
)
