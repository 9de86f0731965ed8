"""Endpoint strings such as ``fd:fileno=0``, a socket that listens already, for Twisted programs.

Daphne itself does not need it, see ``daphne.endpoints``. What makes Twisted find it is in
``plugins``, from where it is installed as ``twisted/plugins/fd_endpoint.py``.
"""

from typing import Any

from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import IPlugin
from zope.interface import implementer

from daphne.endpoints import endpoint_from

__all__ = ["FDEndpointParser", "parser"]


@implementer(IPlugin, IStreamServerEndpointStringParser)
class FDEndpointParser:
    """Parses ``fd:fileno=N`` and ``fd:N``."""

    prefix = "fd"

    def parseStreamServer(self, reactor: Any, fileno: str) -> Any:  # noqa: N802  (Twisted's name)
        """The endpoint for the listening socket of that number."""
        return endpoint_from(reactor, f"{self.prefix}:fileno={int(fileno)}")


parser = FDEndpointParser()
