"""``BaseConsumer``: a class whose methods take the messages of some channels."""

import functools
from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any, ClassVar

from channels.auth import channel_session_user
from channels.message import Message
from channels.routing import RouteClass
from channels.sessions import channel_session

__all__ = ["BaseConsumer", "Handler", "decorated"]

#: What takes a message, and what the routing captured.
Handler = Callable[..., Any]


def decorated(decorator: Callable[[Handler], Handler], handler: Handler) -> Handler:
    """``handler`` in a decorator for consumers; around a method it is put once, not every time."""
    if isinstance(handler, MethodType):
        return MethodType(_decorated(decorator, handler.__func__), handler.__self__)
    return decorator(handler)


@functools.lru_cache(maxsize=1024)
def _decorated(decorator: Callable[[Handler], Handler], function: Handler) -> Handler:
    return decorator(function)


class BaseConsumer:
    """The base of class-based consumers. An instance lives for one message: making it handles it.

    ``self.message`` is the message, ``self.kwargs`` what the routing captured. Channels that are
    not known before a message comes need other ``channel_names`` and ``dispatch``; the names have
    to stay the same as long as the process runs.
    """

    #: The name of the method for each channel.
    method_mapping: ClassVar[Mapping[str, str]] = {}

    #: Whether ``channel_session`` is put around the methods.
    channel_session: bool = False

    #: Whether ``channel_session_user`` is put around the methods, which includes the former.
    channel_session_user: bool = False

    def __init__(self, message: Message, **kwargs: Any) -> None:
        self.message = message
        self.kwargs = kwargs
        self.dispatch(message, **kwargs)

    @classmethod
    def channel_names(cls) -> set[str]:
        """The channels that a worker has to listen to."""
        return set(cls.method_mapping)

    @classmethod
    def as_route(cls, attrs: Mapping[str, Any] | None = None, **filters: Any) -> RouteClass:
        """A route to this class, or to a subclass of it with the class attributes ``attrs``.

        Raises what ``route_class`` raises for bad ``filters``.
        """
        consumer = type(cls.__name__, (cls,), {"__module__": cls.__module__, **(attrs or {})})
        return RouteClass(consumer if attrs else cls, **filters)

    def get_handler(self, message: Message, **kwargs: Any) -> Handler:
        """The method for ``message``, in its decorators; to be overridden to add others."""
        handler: Handler = getattr(self, self._method_name(message))
        if self.channel_session_user:
            return decorated(channel_session_user, handler)
        if self.channel_session:
            return decorated(channel_session, handler)
        return handler

    def dispatch(self, message: Message, **kwargs: Any) -> Any:
        """Call the handler of ``message``; what it returns."""
        return self.get_handler(message, **kwargs)(message, **kwargs)

    def _method_name(self, message: Message) -> str:
        channel = message.channel.name if message.channel else None
        try:
            return self.method_mapping[channel]  # type: ignore[index]  # None is in no mapping
        except KeyError:
            raise ValueError(
                f"{type(self).__name__} has no method for channel {channel!r}; add one to its "
                f"method_mapping, which knows {sorted(self.method_mapping)!r}"
            ) from None
