"""The first bytes of a connection: which version of HTTP its client speaks.

A client of HTTP/2 begins with a preface that is no request of HTTP/1.1 (RFC 9113, 3.4). It is
waited for as long as what came may become one, before any parser sees a byte, so it is found
however it is split, with TLS and without. An upgrade is asked for in a request of HTTP/1.1.
"""

from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from daphne.options import Options
from daphne.protocol.core import ConnectionContext, Core
from daphne.protocol.http1 import LAST_CHANCE, Http1Core
from daphne.protocol.operations import Close, Timer, Upgrade, Write
from daphne.protocol.request import Request

__all__ = ["OpeningCore", "speaks_http2"]

#: What a client of HTTP/2 says first.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"

_DEADLINE = "opening"


@cache
def _has_h2() -> bool:
    return find_spec("h2") is not None


def speaks_http2(options: Options) -> bool:
    """Whether HTTP/2 is wanted, and the library for it is there."""
    return options.http2 and _has_h2()


class OpeningCore(Core):
    """A connection whose protocol is not known yet."""

    __slots__ = ("_data",)

    kind = "new"

    def __init__(self, context: ConnectionContext) -> None:
        super().__init__(context)
        self._data = b""

    def connection_made(self) -> None:
        """See ``Core``: something has to come in time."""
        timeout = self.context.options.header_timeout
        if timeout is not None:
            self.emit(Timer(_DEADLINE, self.context.clock() + timeout))

    def receive_data(self, data: bytes) -> None:
        """See ``Core``."""
        if self._data:
            data = self._data + data
        if data.startswith(_PREFACE):
            core = import_module("daphne.protocol.http2").Http2Core(self.context)
            self.emit(Upgrade(core, data))
        elif _PREFACE.startswith(data):
            self._data = data
        else:
            self.emit(Upgrade(UpgradingCore(self.context), data))

    def receive_eof(self) -> None:
        """See ``Core``: what came is nothing."""
        self.emit(Close())

    def timer(self, name: str) -> None:
        """See ``Core``."""
        self.emit(Close())

    def shutdown(self) -> None:
        """See ``Core``: a client that has connected may be about to ask."""
        seconds = min(LAST_CHANCE, self.context.options.drain)
        if seconds:
            self.emit(Timer(_DEADLINE, self.context.clock() + seconds))
        else:
            self.emit(Close())


class UpgradingCore(Http1Core):
    """HTTP/1.1 whose client may go on in HTTP/2 (RFC 7540, 3.2)."""

    __slots__ = ()

    def _upgrade_to_http2(self, request: Request) -> bool:
        """Answer a request over HTTP/2, if it asks for that properly.

        Not over TLS, where ALPN decides; not with a body; and not where bytes follow, which cannot
        be told from requests of HTTP/1.1.
        """
        if self.context.secure or len(self._buffer):
            return False
        http2 = import_module("daphne.protocol.http2")
        settings = http2.read_settings_header(request.http2_settings)
        if settings is None:
            return False
        # A proxy that passes on an upgrade it does not know is a mere tunnel from then on: what
        # comes through it is the client's word.
        context = replace(self.context, trusted_peer=False)
        self._closed = True
        self._set_reading(True)
        self.emit(Write(_SWITCHING))
        self.emit(Upgrade(http2.Http2Core(context, http2.Upgraded(request, settings))))
        return True
