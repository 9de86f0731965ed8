"""The interface server as a whole: options, layer, listeners, their life from start to end.

``Server`` builds the frozen options, wires connections to the channel layer and runs the reactor.
The ``daphne`` command is in ``daphne.cli``; what happens on a connection in
``daphne.http_protocol`` and ``daphne.protocol``.
"""

from daphne.reactor import coalesce, reactor  # isort: skip  (installs the reactor, so it comes first)

import importlib
import logging
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.logger import ILogObserver, STDLibLogObserver, globalLogBeginner
from twisted.python.failure import Failure

from channels.names import random_part
from channels.readiness import Readiness
from daphne.access import DropLog, SlowRequestLog
from daphne.deadlines import Deadlines
from daphne.dispatch import Dispatch
from daphne.endpoints import (
    build_endpoint_description_strings,
    describe,
    endpoint_from,
    listen_error,
)
from daphne.exceptions import ListenError
from daphne.http_protocol import HTTPFactory, most_connections
from daphne.layers import ReactorLayer, adapt
from daphne.meters import MeteredLayer, Meters
from daphne.observation import Observation
from daphne.options import Options, in_short
from daphne.probe import Probe
from daphne.protocol.core import ConnectionContext, Core
from daphne.protocol.engine import load_engine
from daphne.protocol.http1 import Http1Core
from daphne.protocol.opening import OpeningCore, speaks_http2
from daphne.udp import UdpServer, describe_udp
from daphne.workers import Workers

if TYPE_CHECKING:
    from daphne.admin import Admin

__all__ = ["Server", "build_endpoint_description_strings"]

logger = logging.getLogger("daphne.server")

ActionLogger = Callable[[str, str, dict[str, Any]], object]

#: Seconds after which memberships of a layer that does not say end (ASGI spec, Groups).
_GROUP_EXPIRY = 86400

#: Seconds that a shut-down waits for connections that were dropped, and for their last messages.
_LAST_WORDS = 2.0

#: Whether Twisted's log was redirected in this process.
_logging_begun = False


class Server:
    """An interface server over a channel layer."""

    def __init__(
        self,
        channel_layer: Any,
        host: str | None = None,
        port: int | None = None,
        endpoints: Sequence[str] | None = None,
        unix_socket: str | None = None,
        file_descriptor: int | None = None,
        signal_handlers: bool = True,
        action_logger: ActionLogger | None = None,
        http_timeout: float | None = 120,
        websocket_timeout: float | None = None,
        websocket_connect_timeout: float | None = 20,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 30,
        ws_protocols: Sequence[str] | None = None,
        root_path: str = "",
        proxy_forwarded_address_header: str | None = None,
        proxy_forwarded_port_header: str | None = None,
        proxy_forwarded_proto_header: str | None = None,
        force_sync: bool = False,
        verbosity: int = 1,
        websocket_handshake_timeout: float | None = 5,
        *,
        ready: Callable[["Server"], object] | None = None,
        announce: Callable[["Server", str], object] | None = None,
        workers: Workers | None = None,
        readiness: Readiness | None = None,
        make_core: Callable[[ConnectionContext], Core] | None = None,
        **limits: Any,
    ) -> None:
        """Take the options; nothing is opened yet.

        ``endpoints`` are Twisted's endpoint strings, or ``fd:fileno=N``. ``host``, ``port``,
        ``unix_socket`` and ``file_descriptor`` are the older, deprecated way to give them. Times
        are in seconds. ``websocket_timeout`` is the layer's ``group_expiry`` by default, and -1
        means that sockets may stay for ever. ``ready`` is called with the server once it listens,
        and so is ``announce``, with a line that says what listens where; by default it is logged.
        ``workers`` are started then, and finish what they run when the server has stopped.
        ``readiness`` is told when the layer has answered as well, and when the server stops.
        ``limits`` are further fields of ``daphne.options.Options``.

        Raises ``UserWarning`` where neither an endpoint nor an address for ``udp`` is given,
        ``TypeError`` for an unknown option.
        """
        self.channel_layer = channel_layer
        self.endpoints = [*(endpoints or ())]
        self.endpoints += _deprecated_endpoints(host, port, unix_socket, file_descriptor)
        if not self.endpoints and not limits.get("udp"):
            raise UserWarning("No endpoints: this server would not listen on anything.")
        if websocket_timeout is None:
            websocket_timeout = getattr(channel_layer, "group_expiry", None) or _GROUP_EXPIRY
        self.options = Options(
            http_timeout=http_timeout,
            websocket_timeout=None if websocket_timeout < 0 else websocket_timeout,
            websocket_connect_timeout=websocket_connect_timeout,
            websocket_handshake_timeout=websocket_handshake_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            ws_protocols=tuple(ws_protocols or ()),
            root_path=root_path,
            proxy_forwarded_address_header=proxy_forwarded_address_header,
            proxy_forwarded_port_header=proxy_forwarded_port_header,
            proxy_forwarded_proto_header=proxy_forwarded_proto_header,
            force_sync=force_sync,
            verbosity=verbosity,
            **limits,
        )
        self.signal_handlers = signal_handlers
        #: The process channel below which all reply channels of this server are.
        self.send_channel = f"daphne.response.{random_part()}!"
        #: One Deferred for each endpoint; each fires with its listening port.
        self.listeners: list[Deferred[Any]] = []
        self._ready = ready
        self._announce = announce or _log_start
        self._workers = workers
        self._readiness = readiness
        #: The end of the workers, once it is waited for.
        self._finishing: Deferred[bool] | None = None
        #: Whether connections were dropped when the server stopped, since they did not finish.
        self.cut_short = False
        #: Whether the end has begun.
        self.stopping = False
        #: Whether nothing is waited for any more.
        self._at_once = False
        #: What is listened on: the endpoint's string and its port.
        self._bound: list[tuple[str, Any]] = []
        self._error: ListenError | None = None
        self._runs_reactor = False
        self._shutting_down: Deferred[None] | None = None
        self._deadlines = Deadlines(reactor)
        if make_core is None:
            make_core = OpeningCore if speaks_http2(self.options) else Http1Core
        self._meters = Meters() if self.options.admin is not None else None
        self.factory = HTTPFactory(
            reactor,
            self.options,
            make_core,
            self.send_channel,
            self._deadlines,
            *self._action_loggers(action_logger),
        )
        self._dispatch = Dispatch(reactor, self._view(), self.send_channel, self.factory.shed)
        self.factory.attach(self._dispatch)
        self._probe = Probe(reactor, self._dispatch, self.send_channel)
        self._udp = UdpServer(reactor, self.options, self._view()) if self.options.udp else None
        self._admin = self._make_admin()

    def _view(self) -> ReactorLayer:
        """The channel layer as the reactor sees it; what it is used for is counted if need be."""
        view = adapt(self.channel_layer, reactor, self.options.force_sync)
        return view if self._meters is None else MeteredLayer(view, self._meters, reactor.seconds)

    def _action_loggers(self, given: ActionLogger | None) -> Iterator[ActionLogger]:
        if given is not None:
            yield given
        if self._meters is not None:
            yield self._meters
        if self.options.slow_request is not None:
            yield SlowRequestLog(self.options.slow_request)
        if self.options.websocket_slow_consumer == "drop":
            yield DropLog()

    def _make_admin(self) -> "Admin | None":
        if self._meters is None or self.options.admin is None:
            return None
        # Loaded only here: it takes prometheus_client.
        admin: type[Admin] = importlib.import_module("daphne.admin").Admin
        observation = Observation(
            reactor, self.channel_layer, self._meters, self.factory, self._probe, self._udp
        )
        return admin(reactor, self.options.admin, observation, self._deadlines)

    # -- running ----------------------------------------------------------------------------------

    def run(self) -> None:
        """Listen and serve until ``stop``, SIGTERM or SIGINT.

        Raises ``ListenError`` where one of the endpoints cannot be listened on.
        """
        _log_through_logging()
        load_engine()  # so that the first socket does not wait for the imports
        self.start()
        self._runs_reactor = True
        reactor.addSystemEventTrigger("before", "shutdown", self.shut_down)
        if self.signal_handlers:
            reactor.callWhenRunning(self._install_signal_handlers)
        reactor.run(installSignalHandlers=self.signal_handlers)
        if self._error is not None:
            raise self._error

    def start(self) -> None:
        """Begin to listen and to read the layer; the reactor is run by the caller.

        Raises ``ListenError`` where one of the endpoints cannot be listened on.
        """
        try:
            self._listen()
        except ListenError as error:
            self._listening_failed(error)
        if self._error is not None:
            raise self._error
        coalesce(self.options.coalesce)
        self._dispatch.start()
        if self._udp is not None:
            self._udp.start()
        DeferredList(self.listeners).addCallback(lambda _: reactor.callLater(0, self._listening))

    def _listen(self) -> None:
        """Open everything, the admin address first, which tells whether the rest is open."""
        if self._admin is not None:
            admin = f"the admin address {self.options.admin}"
            self._admin.listen().addErrback(self._not_listening, admin)
        for description in self.endpoints:
            listener = endpoint_from(reactor, description).listen(self.factory)
            self.listeners.append(listener)
            listener.addCallbacks(
                self._is_bound,
                self._not_listening,
                callbackArgs=(description,),
                errbackArgs=(description,),
            )
        if self._udp is not None:
            for where in self.options.udp:
                self._udp.listen(where)

    def stop(self) -> None:
        """End in order, and ``run`` with it; from any thread, as often as one likes."""
        reactor.callFromThread(self._stop)

    def _stop(self) -> None:
        if self.stopping:
            return
        self.stopping = True
        if self._runs_reactor:
            reactor.stop()
        else:
            self.shut_down()

    def abort(self) -> None:
        """End at once, without waiting for what has not finished; from any thread."""
        reactor.callFromThread(self._end_now)

    def _end_now(self) -> None:
        self._at_once = True
        self._stop()
        self._abort_rest()
        if self._finishing is not None:
            self._finishing.cancel()

    @property
    def addresses(self) -> list[Any]:
        """The addresses that are bound, as Twisted's address objects, with their real ports."""
        return [port.getHost() for _, port in self._bound]

    @property
    def udp_addresses(self) -> list[tuple[str, int]]:
        """Host and port of each UDP socket."""
        return [] if self._udp is None else self._udp.addresses

    @property
    def admin_address(self) -> Any:
        """The admin address that is bound, as Twisted's address object; None if there is none."""
        return next(iter(self._admin.addresses), None) if self._admin is not None else None

    # -- listening --------------------------------------------------------------------------------

    def _listening(self) -> None:
        """Say what listens where, in one line."""
        if self._error is not None or self.stopping:
            return
        where = [describe(port.getHost(), description) for description, port in self._bound]
        where += [describe_udp(address) for address in self.udp_addresses]
        if self._admin is not None:
            where += [f"{describe(address)} (admin)" for address in self._admin.addresses]
            self._admin.observation.listening = True
        limits, layer = _limits(self.options), self.channel_layer
        text = f"Listening on {', '.join(where)}; channel layer {layer}; {limits}"
        if self.options.http2 and not speaks_http2(self.options):
            text += "; no HTTP/2, since h2 is not installed"
        if self._workers is not None:
            self._workers.start()
            text += f"; {self._workers}"
        self._announce(self, text)
        if self._ready is not None:
            self._ready(self)
        if (readiness := self._readiness) is not None:
            self._probe.until_it_answers(lambda: readiness.ready(text))

    def _is_bound(self, port: Any, description: str) -> None:
        self._bound.append((description, port))

    def _not_listening(self, failure: Failure, description: str) -> None:
        self._listening_failed(listen_error(description, failure.value))

    def _listening_failed(self, error: ListenError) -> None:
        """Keep the error for ``run``; let go of what was bound so far."""
        self._error = error
        for _, port in self._bound:
            port.stopListening()
        self._bound.clear()
        self._close_others()
        if self._runs_reactor:
            self._stop()

    # -- the end ----------------------------------------------------------------------------------

    def shut_down(self) -> "Deferred[None]":
        """Stop accepting, let connections finish, drop those that do not; fires when done.

        Takes ``options.shutdown_timeout``, or what the drain of WebSockets needs, and little more,
        at most. Must be called in the reactor's thread.
        """
        if self._shutting_down is not None:
            return self._shutting_down
        done: Deferred[None] = Deferred()
        self._shutting_down = done
        self.stopping = True
        self._probe.give_up()
        if self._readiness is not None:
            self._readiness.stopping()
        if self._admin is not None:
            self._admin.leave()
        if self._udp is not None:
            self._udp.drain()
        closed = [port.stopListening() for _, port in self._bound]
        closed.append(self.factory.emptied())
        timeout = reactor.callLater(self._longest_end(), self._abort_rest)
        self.factory.shutdown()
        gatherResults([d for d in closed if d is not None]).addBoth(self._closed, timeout, done)
        return done

    def _longest_end(self) -> float:
        """Seconds after which connections are dropped that have not finished."""
        options = self.options
        drained = options.drain + options.websocket_close_timeout if options.drain else 0.0
        return max(options.shutdown_timeout, drained)

    def _abort_rest(self) -> None:
        """Drop the connections that did not finish in time, or when a second signal came."""
        if len(self.factory):
            self.cut_short = True
            logger.warning("Dropping %d connections that did not finish", len(self.factory))
        self.factory.abort()

    def _closed(self, _: object, timeout: Any, done: "Deferred[None]") -> None:
        """All connections are closed: let the last messages reach the layer, then end."""
        if timeout.active():
            timeout.cancel()
        self._dispatch.stop_waiting()
        settled = self._dispatch.settled()
        settled.addTimeout(_LAST_WORDS, reactor)
        settled.addErrback(lambda _: None)  # what did not get through by now is given up
        settled.addCallback(lambda _: self._close_others())
        settled.addCallback(self._finished, done)

    def _finished(self, _: object, done: "Deferred[None]") -> None:
        """Nothing more is sent or received here: let the workers finish, if there are any."""
        self._dispatch.stop()
        self._deadlines.stop()
        if self._workers is None:
            done.callback(None)
            return
        self._finishing = self._workers.finish(reactor, self.options.shutdown_timeout)
        self._finishing.addErrback(lambda _: False)
        self._finishing.addCallback(self._workers_finished, done)
        if self._at_once:
            self._finishing.cancel()

    def _workers_finished(self, finished: bool, done: "Deferred[None]") -> None:
        if not finished:
            self.cut_short = True
            logger.warning("Consumers that did not finish are cut off")
        done.callback(None)

    def _close_others(self) -> "Deferred[Any]":
        """Close what has no connections that anybody waits for; fires when that is done."""
        others = [other for other in (self._udp, self._admin) if other is not None]
        return DeferredList([other.stop() for other in others])

    def _install_signal_handlers(self) -> None:
        """Take SIGTERM and SIGINT from Twisted, so that a second one ends the waiting."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        reactor.callFromThread(self._end, signal.Signals(number).name)

    def _end(self, name: str) -> None:
        if not self.stopping:
            logger.info("%s: stopping", name)
            self._stop()
        else:
            self._end_now()


def _log_start(server: Server, text: str) -> None:
    logger.info("%s", text)


def _limits(options: Options) -> str:
    """The limits that an operator wants to know of, in a few words."""
    named = {
        "connections": in_short(most_connections(options)),
        "body": in_short(options.max_body),
        "message": in_short(options.websocket_max_message),
        "response": in_short(options.http_timeout, " s"),
        "socket": in_short(options.websocket_timeout, " s"),
        "drain": in_short(options.drain, " s"),
    }
    return "limits: " + ", ".join(f"{name} {limit}" for name, limit in named.items())


def _deprecated_endpoints(
    host: str | None, port: int | None, unix_socket: str | None, file_descriptor: int | None
) -> list[str]:
    """Endpoint strings for the arguments from before there were any."""
    descriptions = build_endpoint_description_strings(host, port, unix_socket, file_descriptor)
    if descriptions:
        warnings.warn(
            "host, port, unix_socket and file_descriptor of Server are deprecated; "
            f"use endpoints={descriptions!r}",
            DeprecationWarning,
            stacklevel=3,
        )
    return descriptions


def _log_through_logging() -> None:
    """Have Twisted's own messages go to Python's logging; once, since Twisted allows only that."""
    global _logging_begun
    if not _logging_begun:
        _logging_begun = True
        observer = cast(ILogObserver, STDLibLogObserver(name="daphne.twisted"))
        globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
        logging.getLogger("daphne.twisted").setLevel(logging.WARNING)
