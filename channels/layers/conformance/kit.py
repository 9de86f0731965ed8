"""The hooks of the conformance kit, and what its tests share."""

import contextlib
import functools
import importlib
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

from channels.layers.base import BaseChannelLayer
from channels.layers.extensions import EXTENSIONS

__all__ = ["Background", "Kit", "needs", "refused"]

T = TypeVar("T", bound=Callable[..., None] | type)

if not __debug__:
    raise ImportError("the conformance kit tests by assert statements: run Python without -O")


class Background(threading.Thread):
    """A call in a thread of its own; ``result`` waits for it."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(daemon=True)
        self._call = functools.partial(function, *args, **kwargs)
        self._value: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:  # handed to the thread that asks for the result
            self._error = error

    def result(self, timeout: float) -> Any:
        """What the call returned or raised; ``AssertionError`` where it takes longer."""
        self.join(timeout)
        assert not self.is_alive(), f"still running after {timeout} s"
        if self._error is not None:
            raise self._error
        return self._value


@contextlib.contextmanager
def refused(*errors: type[BaseException]) -> Iterator[None]:
    """The block has to raise one of ``errors``."""
    try:
        yield
    except errors:
        return
    raise AssertionError(f"none of {', '.join(error.__name__ for error in errors)} was raised")


def needs(*extensions: str) -> Callable[[T], T]:
    """Mark a test, or each test that a class defines, as one about layers with ``extensions``."""

    def mark(test: T) -> T:
        if isinstance(test, type):
            for name in [name for name in vars(test) if name.startswith("test_")]:
                mark(vars(test)[name])
        else:
            vars(test).setdefault("needed", set()).update(extensions)
        return test

    return mark


class Kit:
    """What a subclass says about its layer. Only ``make_layer`` has to be written."""

    #: The extensions of the layer. Tests that need another one are left out of the subclass, and
    #: one test sees to it that the layer claims these and no others.
    extensions: Collection[str] = EXTENSIONS

    #: Seconds of ``expiry`` and ``group_expiry`` in the tests of expiry. A layer whose clock is
    #: coarse or far away takes more.
    short_expiry = 0.4

    #: Seconds within which whatever should happen has happened. Nothing waits for them to pass.
    patience = 10.0

    #: Seconds for which a blocked receiver is watched, and how often it may run meanwhile.
    idle_window = 0.5
    idle_wakeups = 2

    #: Whether the clients of a store have their counts in common: each sees what all have sent and
    #: been refused. How many messages are pending every client has to see.
    shares_counts = True

    #: Whether channels with neither mark keep the order of one sender. A layer that spreads them
    #: over several servers keeps it roughly (ASGI spec, Approximate Global Ordering).
    keeps_order = True

    #: How many names ``new_channel`` has to make without a repetition.
    new_channel_names = 100_000

    #: Messages of each writer in the tests of concurrency.
    stress_messages = 300

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in dir(cls):
            if not set(cls.extensions).issuperset(getattr(getattr(cls, name), "needed", ())):
                setattr(cls, name, None)  # what cannot be called is no test to any runner

    def make_layer(self, **arguments: Any) -> BaseChannelLayer:
        """A layer with an empty store of its own.

        ``arguments`` are those of ``BaseChannelLayer`` that the test depends on.
        """
        raise NotImplementedError("a conformance test has to define make_layer(**arguments)")

    def second_client(self, layer: BaseChannelLayer) -> BaseChannelLayer:
        """Another client of the store of ``layer``, as a second process would have.

        Has to be written, unless the layer lives in one process and is shared as an object.
        """
        if layer.is_local:
            return layer
        raise NotImplementedError("a conformance test has to define second_client(layer)")

    def close_layer(self, layer: BaseChannelLayer) -> None:
        """Release what ``make_layer`` or ``second_client`` took."""

    def in_reactor(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call ``function`` in the thread of the running reactor; wait for its Deferred, if any.

        A suite that runs a reactor already has its own way here.
        """
        threads = importlib.import_module("twisted.internet.threads")
        return threads.blockingCallFromThread(_running_reactor(), function, *args)

    # For the tests

    _layers: list[BaseChannelLayer] | None = None

    @property
    def layer(self) -> BaseChannelLayer:
        """The layer of the test, made when first asked for, with a capacity of 5."""
        return self._layers[0] if self._layers else self.made(capacity=5)

    def made(self, **arguments: Any) -> BaseChannelLayer:
        """A layer that is closed after the test."""
        layer = self.make_layer(**arguments)
        self._layers = [*(self._layers or ()), layer]
        return layer

    def other_client(self, layer: BaseChannelLayer) -> BaseChannelLayer:
        """A second client that is closed after the test."""
        client = self.second_client(layer)
        if client is not layer:
            self._layers = [*(self._layers or ()), client]
        return client

    def teardown_method(self, method: object = None) -> None:
        """Close the layers of the test (pytest's hook)."""
        layers, self._layers = self._layers, None
        for layer in layers or ():
            self.close_layer(layer)

    def tearDown(self) -> None:
        """Close the layers of the test (unittest's hook)."""
        self.teardown_method()

    def eventually(self, condition: Callable[[], object]) -> None:
        """Wait until ``condition`` holds, ``patience`` seconds at most."""
        deadline = time.monotonic() + self.patience
        while not condition():
            assert time.monotonic() < deadline, f"not true within {self.patience} s: {condition}"
            time.sleep(0.005)  # between two looks; the deadline bounds it

    def nothing_waits(self, layer: BaseChannelLayer) -> bool:
        """Whether every message was received or has expired."""
        if layer.supports("statistics"):
            return layer.global_statistics()["messages_pending"] == 0
        return not layer.channels()

    def busy_elsewhere(self, layer: BaseChannelLayer) -> None:
        """Use a channel of its own for ``idle_window`` seconds, while somebody waits on others."""
        end = time.monotonic() + self.idle_window
        while time.monotonic() < end:
            layer.send("busy", {})
            layer.receive(["busy"])
            time.sleep(0.002)  # leaves the processor to a thread that polls

    def receives(
        self, layer: BaseChannelLayer, channels: list[str]
    ) -> tuple[str | None, dict[str, Any] | None]:
        """The next message, which is to be there within ``patience``."""
        received = layer.receive(channels, block=True, timeout=self.patience)
        assert received[0] is not None, f"nothing came on {channels} within {self.patience} s"
        return received

    def everything(
        self, layer: BaseChannelLayer, channels: list[str]
    ) -> list[tuple[str | None, dict[str, Any] | None]]:
        """All messages that are there."""
        found: list[tuple[str | None, dict[str, Any] | None]] = []
        while (received := layer.receive(channels))[0] is not None:
            found.append(received)
        return found

    def numbers(
        self, received: list[tuple[str | None, dict[str, Any] | None]], channel: str
    ) -> list[int]:
        """The numbers ``n`` of messages in their order, or sorted where ``channel`` keeps none."""
        found = [message["n"] for _, message in received if message]
        return found if self.keeps_order or "?" in channel or "!" in channel else sorted(found)


_reactor_lock = threading.Lock()


def _running_reactor() -> Any:
    """The reactor; if nobody runs it, it is run in a thread until the process ends."""
    reactor: Any = importlib.import_module("twisted.internet.reactor")
    with _reactor_lock:
        if not reactor.running:
            running = threading.Event()
            reactor.callWhenRunning(running.set)
            threading.Thread(target=reactor.run, args=(False,), daemon=True).start()
            assert running.wait(10), "the reactor did not start"
    return reactor
