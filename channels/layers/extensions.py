"""The extensions of channel layers: their names, and the refusal to start without one that is
needed.

(ASGI spec, Extensions.) What each extension does is in ``channels.layers.base``.
"""

from typing import Any

from channels.exceptions import UnsupportedExtension

__all__ = ["EXTENSIONS", "has_extension", "layer_name", "require_extension"]

#: Every extension that the reference names.
EXTENSIONS = ("groups", "flush", "statistics", "twisted", "asyncio")

#: Other spellings in use, and the reference's own.
_SPELLINGS = {"async": "asyncio"}


def has_extension(layer: Any, extension: str) -> bool:
    """Whether ``layer`` provides ``extension``, in either spelling."""
    offered = {_SPELLINGS.get(name, name) for name in layer.extensions}
    return _SPELLINGS.get(extension, extension) in offered


def require_extension(layer: Any, extension: str, user: str) -> None:
    """Raise ``UnsupportedExtension`` unless ``layer`` provides ``extension``.

    ``user`` says who asks ("the delay server", "the setting ..."); it stands in the error's
    message.
    """
    if has_extension(layer, extension):
        return
    offered = ", ".join(layer.extensions) or "none"
    raise UnsupportedExtension(
        f"{user} needs the extension {extension!r}, which the channel layer "
        f"{layer_name(layer)} lacks (it has {offered}); choose another BACKEND in CHANNEL_LAYERS"
    )


def layer_name(layer: Any) -> str:
    """What errors call ``layer``: its own text where it has one, else its class."""
    described = str(layer)
    if described != object.__repr__(layer):
        return described
    return f"{type(layer).__module__}.{type(layer).__qualname__}"
