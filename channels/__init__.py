"""Real-time Django with plain synchronous code.

Nothing is imported until it is asked for, so that ``import channels`` needs no configured Django
and an interface server that uses the layers alone loads no part of it. The names below come from
their modules on first use.
"""

from typing import TYPE_CHECKING

from channels.lazy import lazy_names

if TYPE_CHECKING:
    from channels.asgi import channel_layers
    from channels.channel import Channel, Group
    from channels.routing import include, route, route_class

__all__ = [
    "DEFAULT_CHANNEL_LAYER",
    "Channel",
    "Group",
    "__version__",
    "channel_layers",
    "include",
    "route",
    "route_class",
]

__version__ = "1.2.0.dev0"

#: The alias in ``CHANNEL_LAYERS`` that is used where none is given.
DEFAULT_CHANNEL_LAYER = "default"

#: Where each lazy name lives.
_HOMES = {
    "Channel": "channels.channel",
    "Group": "channels.channel",
    "channel_layers": "channels.asgi",
    "include": "channels.routing",
    "route": "channels.routing",
    "route_class": "channels.routing",
}


if not TYPE_CHECKING:  # which would take any name for one of the module's
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
