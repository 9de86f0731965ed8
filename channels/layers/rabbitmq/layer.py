"""The RabbitMQ layer: the primitives over an engine in a thread of its own.

How the pieces lie on the broker is in ``docs/rabbitmq.md``.
"""

import ast
import re
import sys
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from pika import URLParameters
from pika.connection import Parameters

from channels import codec
from channels.layers.entries import Stored
from channels.layers.forms import OwnForms, load
from channels.layers.rabbitmq.counts import Counts
from channels.layers.rabbitmq.engine import Engine
from channels.layers.rabbitmq.failures import broker_name
from channels.layers.rabbitmq.handed import Handed
from channels.layers.rabbitmq.receiving import Request, Rests
from channels.layers.rabbitmq.rooms import Wait
from channels.layers.rabbitmq.thread import EngineThread
from channels.layers.rabbitmq.topology import Topology
from channels.layers.sealing import SealedChannelLayer
from channels.layers.waiting import Listening, ThreadWaiter, Waiter

__all__ = ["RabbitmqChannelLayer"]

T = TypeVar("T")

#: Seconds within which the broker has to answer, unless the layer is told another number.
TIMEOUT = 5.0


class RabbitmqChannelLayer(OwnForms, SealedChannelLayer):
    """A layer over RabbitMQ 3.10 or later.

    ``url``: where the broker is, as in ``amqp://user:password@host:5672/vhost`` or ``amqps://``;
    several URLs are the nodes of one cluster, and are tried in turn.
    ``symmetric_encryption_keys``: the first one encrypts, all decrypt; None stores in clear.
    ``prefix``: the beginning of the names on the broker, one for each project in a virtual host.
    ``timeout``: seconds within which the broker has to answer; past it a call raises
    ``LayerUnavailable``, and a message may or may not have been stored.

    The other arguments are those of ``BaseChannelLayer``. Raises ``ValueError`` for arguments out
    of range.
    """

    twisted_forms = "channels.layers.rabbitmq.twisted"
    asyncio_forms = "channels.layers.rabbitmq.asyncio"

    def __init__(
        self,
        url: str | Collection[str],
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[str | re.Pattern[str], int] | None = None,
        symmetric_encryption_keys: Collection[str | bytes] | None = None,
        prefix: str = "asgi",
        *,
        timeout: float = TIMEOUT,
        message_limit: int = codec.DEFAULT_LIMIT,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__(
            expiry,
            group_expiry,
            capacity,
            channel_capacity,
            symmetric_encryption_keys=symmetric_encryption_keys,
            message_limit=message_limit,
            drop_rate=drop_rate,
        )
        if not timeout > 0:
            raise ValueError(f"timeout must be a positive number of seconds, not {timeout!r}")
        self.timeout = timeout
        self.parameters = _parameters(url, timeout)
        #: What errors call the broker.
        self.broker = broker_name(self.parameters)
        self.prefix = prefix
        self.topology = Topology(prefix, expiry)
        self.rests = Rests()
        self.handed = Handed(expiry)
        self.counts = Counts()
        self._lock = threading.Lock()
        self._thread: EngineThread | None = None
        #: Whether the engine has known the state of the layer.
        self._known = False
        #: The engine in the reactor, where there is one, and its link.
        self._reactor_engine: Engine | None = None
        self._reactor_link: Any = None

    # The engine

    def _engine_thread(self) -> EngineThread:
        """The thread of this process, started when it is first needed."""
        thread = self._thread
        if thread is None:
            with self._lock:
                thread = self._thread
                if thread is None:
                    thread = EngineThread(
                        lambda link: Engine(self, link), self.timeout, self.broker
                    )
                    self._thread = thread
        return thread

    def _ask(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        """The outcome of a coroutine of the engine: ``function`` is one of ``Engine``."""
        thread = self._engine_thread()

        async def begin() -> T:
            return await function(thread.engine, *args, **kwargs)

        return thread.result(begin)

    def _take_now(self, listening: Listening, limit: int | None) -> list[Stored]:
        """What there is; what comes too late is kept for the next receive."""
        thread = self._engine_thread()
        return thread.result(
            lambda: thread.engine.take_now(listening, limit),
            lambda taken: thread.engine.put_back(taken),
        )

    def reactor_engine(self) -> Engine:
        """The engine in the reactor, made when it is first needed; in the reactor's thread."""
        if self._reactor_engine is None:
            self._reactor_link = load(self.twisted_forms).ReactorLink()
            self._reactor_engine = Engine(self, self._reactor_link)
        return self._reactor_engine

    def call_in_reactor(self, function: Callable[[], object]) -> None:
        """Call ``function`` in the reactor's thread; any thread, and a signal handler, may ask."""
        self._reactor_link.call(function)

    def ask(self, request: Request) -> None:
        """Have the thread's engine serve ``request``."""
        thread = self._engine_thread()
        thread.check_free()
        thread.call(lambda: thread.engine.ask(request))

    def withdraw(self, request: Request) -> None:
        """Have the thread's engine end ``request``."""
        thread = self._engine_thread()
        thread.call(lambda: thread.engine.withdraw(request))

    def _after_fork(self) -> None:
        super()._after_fork()
        self._reactor_engine = None
        thread, self._thread, self._known = self._thread, None, False
        self._lock = threading.Lock()
        self.rests = Rests()
        self.handed = Handed(self.expiry)
        self.counts = Counts()
        if thread is not None:
            thread.abandon()

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            thread, self._thread, self._known = self._thread, None, False
        if thread is not None:
            thread.stop()
        engine, self._reactor_engine = self._reactor_engine, None
        if engine is not None:
            self.call_in_reactor(engine.close)

    def poke(self, queue: str) -> None:
        """There is something for those who wait for ``queue`` in this process."""
        if (thread := self._thread) is not None:
            thread.call(lambda: thread.engine.serve(queue))
        if (engine := self._reactor_engine) is not None:
            self.call_in_reactor(lambda: engine.serve(queue))

    def is_first(self, engine: Engine) -> bool:
        """Whether ``engine`` is the one that counts what the layer's engines have in common."""
        return engine is (self._reactor_engine or (self._thread and self._thread.engine))

    def drop(self, queue: str, count: int, reason: str) -> None:
        """Count messages that were dropped."""
        self._drops.add(queue, count, reason)

    # Messages

    def _push(self, queue: str, targets: tuple[str, ...], body: bytes) -> bool:
        return self._ask(Engine.push, queue, targets, body)

    def _push_group(self, group: str, body: bytes) -> list[tuple[str, int]]:
        return self._ask(Engine.push_group, group, body)

    def _take_one(self, listening: Listening, waiter: Waiter | None = None) -> Stored | None:
        taken = self._take_now(listening, None)
        return taken[0] if taken else None

    def _take(self, listening: Listening, limit: int, waiter: Waiter | None = None) -> list[Stored]:
        return self._take_now(listening, limit)

    def _await_one(
        self, listening: Listening, deadline: float | None, token: object
    ) -> Stored | None:
        waiter = ThreadWaiter()
        request = Request(listening, None, waiter.notify)
        with self._waiting(waiter):
            self.ask(request)
            try:
                self._await(request, waiter, deadline, token)
            except BaseException:  # of a signal handler: what comes is kept for the next receive
                self._abandon(request)
                raise
        return request.taken[0] if request.taken else None

    def _await(
        self, request: Request, waiter: ThreadWaiter, deadline: float | None, token: object
    ) -> None:
        while request.taken is None:
            left = float("inf") if deadline is None else deadline - time.monotonic()
            if left <= 0 or token is not self.interruption:
                self.withdraw(request)
                deadline, token = None, self.interruption
            else:
                waiter.wait(left)

    def _abandon(self, request: Request) -> None:
        thread = self._engine_thread()

        def put_back() -> None:
            thread.engine.put_back(request.taken or ())

        def withdraw() -> None:
            request.finished = put_back
            if request.taken is None:
                thread.engine.withdraw(request)
            else:
                put_back()

        thread.call(withdraw)

    # Room

    def _room(self, queue: str, waiter: Waiter | None = None) -> bool:
        count, capacity = self._ask(Engine.fill, queue)
        return count < capacity

    def _await_room(self, queue: str, deadline: float | None) -> bool:
        if self._room(queue):
            return True
        thread = self._engine_thread()
        waiter = ThreadWaiter()
        wait = Wait(queue, waiter.notify)
        thread.call(lambda: thread.engine.await_room(wait))
        while not wait.there:
            left = float("inf") if deadline is None else deadline - time.monotonic()
            if left <= 0:
                thread.call(lambda: thread.engine.give_up_room(wait))
                break
            waiter.wait(left)
        return wait.there

    def _withdraw(self, waiter: Waiter) -> None:
        """No waiter stands in a line here: requests do."""

    # Groups

    def _group_add(self, group: str, queue: str, targets: tuple[str, ...]) -> None:
        until = time.time() + self.group_expiry
        self._ask(
            Engine.operate, do="add", group=group, queue=queue, local="".join(targets), until=until
        )

    def _group_discard(self, group: str, queue: str, targets: tuple[str, ...]) -> None:
        self._ask(Engine.operate, do="discard", group=group, queue=queue, local="".join(targets))

    def _group_channels(self, group: str) -> list[str]:
        return self._ask(Engine.group_channels, group)

    # What is known about channels

    def _knowing(self) -> Engine:
        """The engine to look at; one that knows the state of the layer, but in the reactor, which
        waits for nothing."""
        if self._reactor_engine is not None:
            return self._reactor_engine
        if _in_reactor():
            return self.reactor_engine()
        thread = self._engine_thread()
        if not self._known:
            self._ask(Engine.ready)
            self._known = True
        return thread.engine

    def _exists(self, channel: str) -> bool:
        return self._knowing().exists(channel)

    def _queues(self) -> list[str]:
        return list(self._ask(Engine.depths))

    def _generation(self, queue: str | None) -> str:
        return self._knowing().generation(queue)

    def _clear(self) -> None:
        self._ask(Engine.empty)

    def _statistics(self, queue: str | None) -> dict[str, int | float]:
        depths = self._ask(Engine.depths, None if queue is None else [queue])
        age = self._ask(Engine.ages, depths) if depths else 0.0
        pending = sum(count for count, _ in depths.values())
        return self.counts.statistics(queue, pending, age)

    # What workers listen to

    def _announce(self, listener: str, channels: frozenset[str]) -> None:
        until = time.time() + self.announcement_expiry
        self._ask(
            Engine.operate,
            do="announce",
            listener=listener,
            channels=sorted(channels),
            until=until,
        )

    def _is_listened_to(self, queue: str) -> bool:
        announced = self._knowing().listened()
        return not announced or any(queue in channels for channels in announced)


def _in_reactor() -> bool:
    """Whether the calling thread runs the reactor."""
    threadable: Any = sys.modules.get("twisted.python.threadable")
    return threadable is not None and bool(threadable.isInIOThread())


def _parameters(url: str | Collection[str], timeout: float) -> list[Parameters]:
    urls = [url] if isinstance(url, str) else list(url)
    if not urls or not all(isinstance(one, str) for one in urls):
        raise ValueError("url must be a URL such as amqp://host/, or a list of them")
    return [_parameters_of(one, timeout) for one in urls]


class _BrokerParameters(URLParameters):  # type: ignore[misc]  # pika has no types
    """pika's, with the TLS settings as the URL has them."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        options = parse_qs(urlsplit(url).query).get("ssl_options")
        self.tls: dict[str, Any] = ast.literal_eval(options[-1]) or {} if options else {}


def _parameters_of(url: str, timeout: float) -> Parameters:
    if not url.startswith(("amqp://", "amqps://")):
        raise ValueError(f"url must begin with amqp:// or amqps://, not {url[:7]!r}")
    try:
        parameters = _BrokerParameters(url)
    except (TypeError, ValueError) as error:  # TypeError: there is a user, and no password
        raise ValueError(
            "url cannot be read; it should look like amqp://user:password@host:5672/vhost"
        ) from error
    parameters.stack_timeout = parameters.socket_timeout = timeout
    return parameters
