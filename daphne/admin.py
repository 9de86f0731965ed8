"""The admin address: ``/metrics``, ``/healthz`` and ``/readyz``, for those who run the server.

It is served by the same connections and protocol cores as everything else, with an application of
its own in place of the channel layer: so it answers when the layer is away, and its connections
are counted apart from the clients'. It has no access control. Nobody but its users should reach
the address.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.python.failure import Failure

from channels.exceptions import ChannelFull
from channels.spec import HTTP_REQUEST, WEBSOCKET_CONNECT, http_response, websocket_reply
from daphne.deadlines import Deadlines
from daphne.dispatch import Dispatch, Receiver, Requester
from daphne.endpoints import admin_endpoint, endpoint_from
from daphne.exposition import Exposition
from daphne.http_protocol import HTTPFactory
from daphne.observation import Observation
from daphne.options import Options
from daphne.protocol.core import NAME_LENGTH
from daphne.protocol.http1 import Http1Core

__all__ = ["Admin"]

logger = logging.getLogger("daphne.admin")

#: Connections at a time. They come out of the files that ``--max-connections`` leaves.
_MOST_CONNECTIONS = 16

#: The prefix of reply channels, which lead back here and to no layer.
_PREFIX = "daphne.admin!"

_TEXT = "text/plain; charset=utf-8"

Page = Callable[[Mapping[str, Any]], "Deferred[Any]"]


class Admin:
    """The admin address of a server."""

    def __init__(
        self, reactor: Any, where: str, observation: Observation, deadlines: Deadlines
    ) -> None:
        """``where`` is as ``admin_endpoint`` takes it; nothing is opened yet."""
        self.observation = observation
        self._reactor = reactor
        self._where = where
        self._ports: list[Any] = []
        options = Options(max_connections=_MOST_CONNECTIONS, max_body=0, http_timeout=10.0)
        self._factory = HTTPFactory(reactor, options, Http1Core, _PREFIX, deadlines)
        self._factory.attach(cast(Dispatch, _Application(observation)))

    @property
    def addresses(self) -> list[Any]:
        """The bound address, once it is."""
        return [port.getHost() for port in self._ports]

    def listen(self) -> "Deferred[Any]":
        """Fires when it listens; raises ``ListenError``, or fires with an error."""
        endpoint = endpoint_from(self._reactor, admin_endpoint(self._where))
        listening: Deferred[Any] = endpoint.listen(self._factory)
        return listening.addCallback(self._ports.append)

    def leave(self) -> None:
        """The server begins to stop: say so, or leave an address that was handed over.

        Its socket is shared with a successor, whom the next connection is to meet. Who is connected
        here may ask once more, and hears nothing of a change that does not concern the address.
        """
        if self._where.startswith("fd:"):
            self.stop()
        else:
            self.observation.draining = True

    def stop(self) -> "Deferred[Any]":
        """Listen no more, and close the connections; who has just connected may still ask.

        Fires once nothing listens, and the path of a unix socket is gone.
        """
        ports, self._ports = self._ports, []
        self._factory.shutdown()
        return DeferredList([maybeDeferred(port.stopListening) for port in ports])


class _Application:
    """Answers requests where a dispatch would send them to the channel layer."""

    def __init__(self, observation: Observation) -> None:
        self._observation = observation
        self._exposition = Exposition(observation)
        self._receivers: dict[str, Receiver] = {}
        self._pages: dict[str, Page] = {
            "/metrics": self._metrics,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
        }

    # -- the pages --------------------------------------------------------------------------------

    def _healthz(self, request: Mapping[str, Any]) -> "Deferred[Any]":
        """The process is alive and its reactor turns, or this would not be said."""
        return succeed(_page(200, "ok\n"))

    def _readyz(self, request: Mapping[str, Any]) -> "Deferred[Any]":
        """Whether the server should get traffic, and if not, why."""
        return self._observation.obstacles().addCallback(
            lambda found: (
                _page(503, "".join(f"{one}\n" for one in found)) if found else _page(200, "ready\n")
            )
        )

    def _metrics(self, request: Mapping[str, Any]) -> "Deferred[Any]":
        accept = b",".join(value for name, value in request["headers"] if name == b"accept")
        done = self._observation.probe_layer()
        done.addCallback(self._probed)
        return done.addCallback(self._render, accept.decode("latin-1"))

    def _probed(self, reason: str) -> "Deferred[Any]":
        self._exposition.layer_up = not reason
        return self._observation.statistics() if not reason else succeed({})

    def _render(self, statistics: Any, accept: str) -> Any:
        self._exposition.statistics = statistics
        content, content_type = self._exposition.render(accept)
        return _page(200, content, content_type)

    # -- in place of a dispatch -------------------------------------------------------------------

    def register(self, name: str, receiver: Receiver) -> None:
        """Answers for the connection of this name go to ``receiver``."""
        self._receivers[name] = receiver

    def unregister(self, name: str) -> None:
        """They go nowhere."""
        self._receivers.pop(name, None)

    def has_listener(self, channel: str) -> bool:
        """Nothing but requests is of interest."""
        return False

    def send(
        self,
        requester: Requester,
        core: Any,
        channel: str,
        message: Any,
        key: object,
        confirmed: bool,
    ) -> None:
        """Answer a request; refuse a WebSocket."""
        if confirmed:
            requester.sent(core, key)
        if channel == HTTP_REQUEST:
            self._answer(message)
        elif channel == WEBSOCKET_CONNECT:
            self._deliver(websocket_reply(accept=False), message)

    def new_channel(self, requester: Requester, core: Any, pattern: str, key: object) -> None:
        """Only a body needs one, and there is none."""
        requester.send_failed(core, key, ChannelFull(pattern))

    def await_room(self, requester: Requester, core: Any, channel: str, key: object) -> None:
        """Nothing is ever full."""
        requester.room(core, key)

    def _answer(self, message: Mapping[str, Any]) -> None:
        page = self._pages.get(message["path"])
        if page is None:
            self._deliver(_page(404, "There are /metrics, /healthz and /readyz.\n"), message)
        elif message["method"] not in ("GET", "HEAD"):
            refusal = _page(405, "GET and HEAD are answered.\n", allow="GET, HEAD")
            self._deliver(refusal, message)
        else:
            page(message).addErrback(_failed).addCallback(self._deliver, message)

    def _deliver(self, answer: Any, message: Mapping[str, Any]) -> None:
        local = message["reply_channel"][len(_PREFIX) :]
        receiver = self._receivers.get(local[:NAME_LENGTH])
        if receiver is not None:
            receiver.deliver(local, answer, {})


def _page(status: int, content: str | bytes, content_type: str = _TEXT, **headers: str) -> Any:
    body = content.encode() if isinstance(content, str) else content
    headers |= {"content-type": content_type, "cache-control": "no-store"}
    headers["content-length"] = str(len(body))
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    return http_response(status, pairs, body)


def _failed(failure: Failure) -> Any:
    """A page could not be made: a defect, which the log tells of."""
    logger.error("A page of the admin address failed", exc_info=failure.value)
    return _page(500, "The page could not be made; see the log.\n")
