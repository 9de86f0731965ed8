"""``Channel`` and ``Group``: what application code sends with.

Both are thin facades over a channel layer, which is looked up at each use where none was given: so
they may be made before Django is configured, and follow a layer that a test puts in its place.
"""

from typing import Any

from channels import DEFAULT_CHANNEL_LAYER
from channels.asgi import channel_layers
from channels.exceptions import UnsupportedExtension
from channels.layers.extensions import layer_name
from channels.pending import pending_message_store

__all__ = ["Channel", "Group"]


class _Address:
    """A name on a channel layer."""

    def __init__(
        self,
        name: str | bytes,
        alias: str = DEFAULT_CHANNEL_LAYER,
        channel_layer: Any = None,
    ) -> None:
        self.name = name.decode("ascii") if isinstance(name, bytes) else name
        self._alias = alias
        self._channel_layer = channel_layer

    @property
    def channel_layer(self) -> Any:
        """The layer that was given, else the one that ``alias`` names in ``CHANNEL_LAYERS``.

        Raises ``InvalidChannelLayerError`` where the setting has no usable layer of that name.
        """
        if self._channel_layer is not None:
            return self._channel_layer
        return channel_layers[self._alias]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class Channel(_Address):
    """A channel to send to (Channels documentation, Reference, Channel)."""

    def send(self, content: dict[str, Any], immediately: bool = False) -> None:
        """Send ``content``: when the running consumer ends, or now with ``immediately`` and outside
        of consumers.

        Raises ``TypeError`` for anything but a dict and, where it is sent now, what the layer's
        ``send`` raises: ``ChannelFull``, ``MessageTooLarge``, ``TypeError`` for a name or value
        that no layer takes.
        """
        if not isinstance(content, dict):
            raise TypeError(
                f"a message to channel {self.name!r} must be a dict, not {type(content).__name__}"
            )
        if not immediately and pending_message_store.active:
            pending_message_store.append(self, content, is_plain=type(self) is Channel)
        else:
            self.channel_layer.send(self.name, content)

    def __str__(self) -> str:
        return self.name


class Group(_Address):
    """A named set of channels (Channels documentation, Reference, Group).

    Every method raises ``UnsupportedExtension`` where the layer has no groups.
    """

    def add(self, channel: "Channel | str") -> None:
        """Add ``channel``, or count its membership anew from now."""
        self._method("group_add")(self.name, _name_of(channel))

    def discard(self, channel: "Channel | str") -> None:
        """Remove ``channel`` if it is a member."""
        self._method("group_discard")(self.name, _name_of(channel))

    def send(self, content: dict[str, Any], immediately: bool = False) -> None:
        """Send ``content`` to each member, as ``Channel.send`` does to one; full members miss it.

        Raises ``ValueError`` for anything but a dict.
        """
        if not isinstance(content, dict):
            raise ValueError(
                f"a message to group {self.name!r} must be a dict, not {type(content).__name__}"
            )
        if not immediately and pending_message_store.active:
            pending_message_store.append(self, content)
        else:
            self._method("send_group")(self.name, content)

    def _method(self, name: str) -> Any:
        layer = self.channel_layer
        try:
            return getattr(layer, name)
        except AttributeError as error:
            raise UnsupportedExtension(
                f"Group({self.name!r}) needs the extension 'groups', which the channel layer "
                f"{layer_name(layer)} lacks; choose another BACKEND in CHANNEL_LAYERS"
            ) from error


def _name_of(channel: Channel | str) -> str:
    return channel.name if isinstance(channel, Channel) else channel
