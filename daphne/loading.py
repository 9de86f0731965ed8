"""From ``module:path.to.layer`` to the channel layer, with an explanation where there is none."""

import importlib
from typing import Any

from daphne.exceptions import StartError

__all__ = ["load_layer"]


def load_layer(path: str) -> Any:
    """The channel layer that ``module:path.to.layer`` names.

    Raises ``StartError``; exceptions of the module itself go through as they are.
    """
    module_name, colon, attributes = path.partition(":")
    if not (module_name and colon and attributes) or path.startswith("."):
        raise StartError(
            f"{path!r} does not name a channel layer; write module:attribute, for example "
            "mysite.asgi:channel_layer"
        )
    target = _import(module_name)
    reached = module_name
    for name in attributes.split("."):
        try:
            target = getattr(target, name)
        except AttributeError:
            raise StartError(f"{path!r}: {reached!r} has no attribute {name!r}") from None
        reached += f".{name}"
    _check_layer(path, target)
    return target


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise StartError(
                f"there is no module {missing!r} in the current directory or on sys.path"
            ) from None
        raise


def _check_layer(path: str, target: object) -> None:
    """Tell a channel layer from what is given in its place by mistake."""
    if target is None:
        raise StartError(
            f"{path!r} is None: configure the setting CHANNEL_LAYERS, so that "
            "get_channel_layer() has something to give"
        )
    if all(callable(getattr(target, name, None)) for name in ("send", "receive", "new_channel")):
        return
    if callable(target):
        raise StartError(
            f"{path!r} is an application, as ASGI 3 servers run them, and not a channel layer; "
            "name the object that channels.asgi.get_channel_layer() gives. This server runs none "
            "of the application's code: workers do, see 'manage.py runworker'"
        )
    raise StartError(f"{path!r} is no channel layer but {type(target).__name__} {target!r:.80}")
