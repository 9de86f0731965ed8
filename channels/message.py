"""``Message``: what consumers get (Channels documentation, Reference, Message).

The messages' formats are in ``channels.spec``; consumer atomicity is in ``channels.pending``, whose
store has its documented place here.
"""

import copy
from collections.abc import Callable, ItemsView, KeysView, ValuesView
from typing import TYPE_CHECKING, Any

from channels.channel import Channel
from channels.pending import PendingMessageStore, pending_message_store

if TYPE_CHECKING:
    from django.contrib.auth.models import _AnyUser
    from django.contrib.sessions.backends.base import SessionBase

__all__ = ["Message", "PendingMessageStore", "pending_message_store"]

_NO_MAKERS: dict[str, "Callable[[Message], object]"] = {}


class Message:
    """A message's content and where it came from.

    ``content`` is the dict that was received, ``channel`` the ``Channel`` that it came on,
    ``reply_channel`` the one that its sender listens to (None without), ``channel_layer`` the
    layer. Decorators and consumers may set further attributes; those of ``channels.sessions`` and
    ``channels.auth`` are declared here.
    """

    channel_session: "SessionBase"
    http_session: "SessionBase | None"
    user: "_AnyUser"

    #: Set by workers: takes the channel and content of a message that is to be run next, as soon as
    #: the consumer has ended, and what that one is to carry; returns False where the worker cannot.
    run_next: Callable[[str, dict[str, Any], list[dict[str, Any]]], bool] | None = None

    def __init__(
        self, content: dict[str, Any], channel_name: str | None, channel_layer: Any
    ) -> None:
        self.content = content
        self.channel_layer = channel_layer
        self.channel = self._channel(channel_name)
        self.reply_channel = self._channel(content.get("reply_channel"))
        #: Later messages of the same socket, in the hands of who has this one
        #: (``channels.sessions.ordering``).
        self.carried: list[dict[str, Any]] = []

    # ``Any`` stands for None, for which consumers of channels with replies need not look.
    def _channel(self, name: str | None) -> "Channel | Any":
        return Channel(name, channel_layer=self.channel_layer) if name else None

    def __getitem__(self, key: str) -> Any:
        return self.content[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.content[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self.content

    def keys(self) -> KeysView[str]:
        """The keys of the content."""
        return self.content.keys()

    def values(self) -> ValuesView[Any]:
        """The values of the content."""
        return self.content.values()

    def items(self) -> ItemsView[str, Any]:
        """The pairs of the content."""
        return self.content.items()

    def get(self, key: str, default: Any = None) -> Any:
        """The value of ``key``, else ``default``."""
        return self.content.get(key, default)

    def make_when_needed(self, name: str, make: "Callable[[Message], object]") -> None:
        """Have ``make(message)`` become the attribute ``name`` when that is looked at first.

        It gets the message, so that it need not hold it: then the message goes away at once when it
        is done with, and not when the garbage is collected.
        """
        attributes = vars(self)
        attributes.pop(name, None)
        attributes.setdefault("_makers", {})[name] = make

    if not TYPE_CHECKING:  # to which every attribute would be there, of any type

        def __getattr__(self, name: str) -> Any:
            make = vars(self).get("_makers", _NO_MAKERS).get(name)
            if make is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            value = vars(self)[name] = make(self)
            return value

    def copy(self) -> "Message":
        """A message of the same channel with a content of its own, at every depth."""
        name = self.channel.name if self.channel else None
        return type(self)(copy.deepcopy(self.content), name, self.channel_layer)

    def __repr__(self) -> str:
        channel = self.channel.name if self.channel else None
        return f"<{type(self).__name__} of {channel!r}, keys {sorted(self.content)}>"
