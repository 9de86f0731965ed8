"""The system checks: what is wrong with the project's layers, apps and installed packages, and what
to do.

A project without ``CHANNEL_LAYERS`` runs as plain Django, and no check fires.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from channels.asgi import import_backend
from channels.distributions import find_conflicts
from channels.exceptions import InvalidChannelLayerError
from channels.routing import Router

__all__ = ["check_app_order", "check_channel_layers", "check_distributions", "register"]


def register() -> None:
    """Have Django run the checks; called once by the app's ``ready``."""
    for check in (check_distributions, check_channel_layers, check_app_order):
        checks.register(check, "channels")


def check_distributions(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """E001: another distribution owns ``channels`` or ``daphne``."""
    if not _layers():
        return []
    return [
        checks.Error(_sentence(str(conflict)), hint=conflict.remedy, id="channels.E001")
        for conflict in find_conflicts()
    ]


def check_channel_layers(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """E002 to E006: a layer misses something, or a path that it names cannot be imported."""
    layers = _layers()
    if not isinstance(layers, Mapping):
        return [
            checks.Error(
                f"CHANNEL_LAYERS is a {type(layers).__name__}, not a dict.",
                hint='Write CHANNEL_LAYERS = {"default": {"BACKEND": ..., "ROUTING": ...}}.',
                id="channels.E002",
            )
        ]
    return [error for alias, config in layers.items() for error in _check_layer(alias, config)]


def check_app_order(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """W001: the app whose ``runserver`` command wins is not this one."""
    names = [config.name for config in apps.get_app_configs()]
    static_files = "django.contrib.staticfiles"
    if not _layers() or static_files not in names or "channels" not in names:
        return []
    if names.index("channels") < names.index(static_files):
        return []
    return [
        checks.Warning(
            f"'channels' stands after {static_files!r} in INSTALLED_APPS, so runserver is that of "
            f"{static_files!r}: it serves no WebSockets and runs no workers.",
            hint=f"Move 'channels' above {static_files!r} in INSTALLED_APPS.",
            id="channels.W001",
        )
    ]


def _layers() -> Any:
    return getattr(settings, "CHANNEL_LAYERS", None) or {}


def _check_layer(alias: str, config: Any) -> Iterator[checks.Error]:
    setting = f"CHANNEL_LAYERS[{alias!r}]"
    if not isinstance(config, Mapping):
        yield checks.Error(
            f"{setting} is a {type(config).__name__}, not a dict.",
            hint=f'Write {setting} = {{"BACKEND": ..., "ROUTING": ...}}.',
            id="channels.E002",
        )
        return
    if "BACKEND" not in config:
        yield checks.Error(
            f"{setting} has no BACKEND.",
            hint='Add the dotted path of a layer, such as "channels.layers.inmemory.ChannelLayer".',
            id="channels.E003",
        )
    else:
        yield from _check_backend(alias, config["BACKEND"])
    if "ROUTING" not in config:
        yield checks.Error(
            f"{setting} has no ROUTING.",
            hint='Add the dotted path of a routing list, such as "mysite.routing.channel_routing".',
            id="channels.E004",
        )
    else:
        yield from _check_routing(setting, config["ROUTING"])


def _check_backend(alias: str, path: Any) -> Iterator[checks.Error]:
    try:
        import_backend(alias, path)
    except InvalidChannelLayerError as error:
        yield checks.Error(
            _sentence(str(error)),
            hint="Correct BACKEND, or install what it names.",
            id="channels.E005",
        )


def _check_routing(setting: str, routing: Any) -> Iterator[checks.Error]:
    try:
        Router(routing)
    except (ImproperlyConfigured, ValueError) as error:
        yield checks.Error(
            f"ROUTING of {setting} cannot be used: {error}.",
            hint="Correct the routing, or the path that leads to it.",
            id="channels.E006",
        )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
