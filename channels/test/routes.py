"""``apply_routes``: other routes than the settings', for a while."""

import functools
import inspect
import unittest
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

from channels import DEFAULT_CHANNEL_LAYER
from channels.asgi import channel_layers
from channels.routing import include

__all__ = ["applied_routing", "apply_routes"]

T = TypeVar("T", bound=Callable[..., Any])

#: The routings in force, by alias, the innermost last: layers that a test case puts in place
#: meanwhile take them over.
_applied: dict[str, list[Any]] = {}

#: The attributes of a decorated test case and of one of its tests that is running.
_CLASS_ROUTES = "_channels_class_routes"
_ENTERED = "_channels_routes_entered"


class apply_routes:
    """Has ``routes`` in place of the routing of the layers ``aliases``.

    ``routes`` is a route, a list of them, or a list of such lists; also whatever else a ROUTING may
    be. A context manager, and a decorator for functions, for test cases (each test, with its
    ``setUp``) and for other classes (each method named ``test...``). Raises what is wrong with the
    routes: ``ImproperlyConfigured`` or ``ValueError``.
    """

    def __init__(self, routes: Any, aliases: Iterable[str] = (DEFAULT_CHANNEL_LAYER,)) -> None:
        self.routes = _as_routing(routes)
        self.aliases = [aliases] if isinstance(aliases, str) else list(aliases or ())
        self._entered: list[ExitStack] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for alias in self.aliases:
                stack.enter_context(channel_layers[alias].routed(self.routes))
                _applied.setdefault(alias, []).append(self.routes)
                stack.callback(_applied[alias].pop)
            self._entered.append(stack.pop_all())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered.pop().close()

    def __call__(self, tested: T) -> T:
        if not isinstance(tested, type):
            return self._decorated(tested)
        if issubclass(tested, unittest.TestCase):
            self._decorate_test_case(tested)
        else:
            self._decorate_methods(tested)
        return tested

    def _decorated(self, function: T) -> T:
        if inspect.iscoroutinefunction(function):

            async def call_async(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return functools.wraps(function)(call_async)  # type: ignore[return-value]

        def call(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return functools.wraps(function)(call)  # type: ignore[return-value]

    def _decorate_test_case(self, case: type[unittest.TestCase]) -> None:
        # Those of its bases come first, so that its own win.
        setattr(case, _CLASS_ROUTES, (*getattr(case, _CLASS_ROUTES, ()), self))
        set_up = case.setUp

        @functools.wraps(set_up)
        def with_routes(test: unittest.TestCase) -> None:
            _enter_routes_of_class(test)
            set_up(test)

        setattr(case, "setUp", with_routes)  # noqa: B010  (types forbid it the other way)

    def _decorate_methods(self, owner: type) -> None:
        for name, value in list(vars(owner).items()):
            if name.startswith("test") and inspect.isfunction(value):
                setattr(owner, name, self._decorated(value))


def _enter_routes_of_class(test: unittest.TestCase) -> None:
    """Enter them, unless the ``setUp`` of a subclass has."""
    if not getattr(test, _ENTERED, False):
        setattr(test, _ENTERED, True)
        test.addCleanup(delattr, test, _ENTERED)
        for routes in getattr(type(test), _CLASS_ROUTES):
            test.enterContext(routes)


def applied_routing(alias: str) -> Any:
    """The routing that ``apply_routes`` has put in force for ``alias``, or None."""
    routings = _applied.get(alias)
    return routings[-1] if routings else None


def _as_routing(routes: Any) -> Any:
    if isinstance(routes, (str, Mapping)):
        return routes
    if not isinstance(routes, (list, tuple)):
        return [routes]
    return [include(item) if isinstance(item, (list, tuple)) else item for item in routes]
