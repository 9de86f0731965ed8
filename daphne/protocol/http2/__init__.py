"""HTTP/2 (RFC 9113) without I/O, with ``h2`` for the states of the protocol.

.. code-block:: text

    connection            one connection: what its client sends; begin to read here
      frames, guard         where a frame ends, and what floods of frames are
      settings              what we announce, and what of the client's settings counts
      multiplexer           its other half: serves the cores of streams, writes their frames
      streams               one stream: its core and what waits for its client
    exchange              the core of a stream that is a request
      request, response     from header fields to a checked request; from messages to them
      push                  server push
    websocket             the core of a stream that is a WebSocket (RFC 8441)

A stream is to its core what a connection is to the core of HTTP/1.1: the same operations mean the
same, and so the cores are the same but for how a head looks. Nothing else of the server imports
this package, since it takes a library that may be missing; ``daphne.protocol.opening`` loads it.
"""

from daphne.protocol.http2.connection import Http2Core, Upgraded
from daphne.protocol.http2.settings import read_settings_header

__all__ = ["Http2Core", "Upgraded", "read_settings_header"]
