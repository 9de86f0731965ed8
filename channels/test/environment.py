"""What a process needs to run the project as the test run does: its settings and import path.

A test run differs from the project's settings module: test databases, what the runner sets, what
tests override; and there may be no such module. So the values that are in force are handed over,
each one pickled, through a pipe that no other process has. Nothing here is for other sources.
"""

import contextlib
import os
import pickle
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.conf import UserSettingsHolder, global_settings, settings
from django.core.exceptions import AppRegistryNotReady, ImproperlyConfigured
from django.db import connections

__all__ = ["Environment"]

#: Django's own settings.
_DEFAULTS = vars(global_settings)


@dataclass(frozen=True)
class Environment:
    """The settings of this process: ``module`` is the dotted path of those that were loaded, if
    any, ``values`` the pickled settings that differ from Django's defaults."""

    path: list[str]
    module: str | None
    values: dict[str, bytes]
    applied: set[str] = field(default_factory=set)

    @classmethod
    def here(cls, **changes: Any) -> "Environment":
        """What is in force in this process, but for ``changes``.

        Raises ``ImproperlyConfigured`` for a setting that was overridden with what another process
        cannot have, such as a function defined in a test.
        """
        module = _settings_module()
        values = dict(_in_force()) | {"DATABASES": _databases()} | changes
        pickled = ((name, _pickled(name, value, module)) for name, value in values.items())
        found = {name: value for name, value in pickled if value is not None}
        return cls(list(sys.path), module, found)

    def apply(self) -> None:
        """Put the settings in force in a fresh process; its import path has been set."""
        if self.module is None:
            settings.configure()
        else:
            os.environ["DJANGO_SETTINGS_MODULE"] = self.module
        for name, value in self.values.items():
            with contextlib.suppress(AppRegistryNotReady):  # it names a consumer, say
                setattr(settings, name, pickle.loads(value))
                self.applied.add(name)

    def apply_rest(self) -> None:
        """Put those in force that need the apps, which are loaded now."""
        for name in self.values.keys() - self.applied:
            setattr(settings, name, pickle.loads(self.values[name]))


def _layers() -> list[Any]:
    """The settings that were loaded, and what overrides them, the innermost last."""
    settings.DEBUG  # noqa: B018  (loads them)
    layers: list[Any] = [settings._wrapped]  # type: ignore[misc]
    while isinstance(layers[-1], UserSettingsHolder):
        layers.append(layers[-1].default_settings)
    return layers[::-1]


def _settings_module() -> str | None:
    """The dotted path of the settings that were loaded; None where they were configured by hand."""
    return getattr(_layers()[0], "SETTINGS_MODULE", None)


def _in_force() -> Iterator[tuple[str, Any]]:
    """The settings that somebody made, with their values at this moment."""
    # Taken from where they are kept: to ask for a deprecated one gives a warning.
    values: dict[str, Any] = {}
    for layer in _layers():
        values |= vars(layer)
    is_overridden: Any = settings.is_overridden  # type: ignore[misc]  # stubs leave it out
    for name, value in values.items():
        if not name.isupper() or name == "SETTINGS_MODULE":
            continue
        is_default = name in _DEFAULTS and _DEFAULTS[name] == value
        if is_overridden(name) or not is_default:
            yield name, value


def _databases() -> dict[str, Any]:
    """The databases as they are used now: while tests run, those have names of their own."""
    return {alias: connections[alias].settings_dict for alias in connections}


def _pickled(name: str, value: Any, module: str | None) -> bytes | None:
    """The value for another process; None where that finds it in the settings module by itself."""
    try:
        return pickle.dumps(value)
    except Exception as error:  # whatever the objects in it raise
        loaded = sys.modules.get(module) if module else None
        if loaded is not None and getattr(loaded, name, None) is value:
            return None
        raise ImproperlyConfigured(
            f"the live server's processes cannot be given the setting {name}: {error}. Use values "
            "that can be pickled; in CHANNEL_LAYERS, the dotted path of a routing"
        ) from error
