"""No setting, no argument of a layer and no public name is missing of the documentation."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import channels
import channels.layers
from channels.asgi import BACKEND_ALIASES, import_backend
from channels.layers.base import BaseChannelLayer
from tests.documentation.blocks import ROOT

pytestmark = pytest.mark.compiled_only  # it is about pages

TEXT = (ROOT / "docs/settings.md").read_text()
BACKENDS = sorted({*BACKEND_ALIASES.values(), "channels.layers.redis.RedisClusterChannelLayer"})

#: The arguments that every layer has.
COMMON = set(inspect.signature(BaseChannelLayer).parameters)


def section(title: str) -> str:
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert found, f"docs/settings.md has no heading {title!r}"
    return found[1]


def rows(title: str) -> dict[str, str]:
    """The defaults of a section's table by what they are of."""
    return dict(re.findall(r"^\| `(\w+)` \| `?(.*?)`? \|", section(title), re.MULTILINE))


def own_arguments(backend: type) -> dict[str, inspect.Parameter]:
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(backend).parameters
    return {
        name: parameter
        for name, parameter in parameters.items()
        if name not in COMMON and parameter.kind not in kinds
    }


def test_the_arguments_of_every_layer_are_told():
    assert set(rows("Arguments of every layer")) == COMMON


@pytest.mark.parametrize("path", BACKENDS)
def test_the_arguments_of_a_layer_are_told_with_their_defaults(path):
    told, has = rows(path), own_arguments(import_backend("default", path))

    if "Local" not in path:  # these have the table of another one
        assert set(told) == set(has)
    for name, default in told.items():
        if name != "clock" and has[name].default is not inspect.Parameter.empty:
            assert default == repr(has[name].default), name


def test_every_setting_is_told():
    code = "".join(
        path.read_text()
        for folder in ("channels", "delay", "daphne")
        for path in (ROOT / folder).rglob("*.py")
    )
    read = set(re.findall(r"(?:settings\.|\")(CHANNELS?_[A-Z_]+)", code))

    environment = set(re.findall("CHANNELS_[A-Z_]+", section("Environment")))
    environment |= set(re.findall('ENVIRONMENT = "(CHANNELS_[A-Z_]+)"', code))  # between processes
    assert read - environment - {"CHANNEL_LAYERS"} == set(rows("Single settings"))


# -- modules --------------------------------------------------------------------------------------

#: Packages all of whose public names are for projects.
PUBLIC = [
    *("channels", "channels.auth", "channels.binding", "channels.delay", "channels.exceptions"),
    *("channels.generic", "channels.handler", "channels.routing", "channels.sessions"),
    *("channels.security.websockets", "channels.signals", "channels.spec", "channels.test"),
    *("channels.worker", "daphne.exceptions", "daphne.options", "daphne.cli"),
]

DOCUMENTED = set(
    re.findall(
        r"automodule:: (\S+)",
        "".join(page.read_text() for page in Path(ROOT / "docs/reference").glob("*.md")),
    )
)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_in_the_reference(name):
    parts = [module for module in DOCUMENTED if f"{module}.".startswith(f"{name}.")]
    told = {public for part in parts for public in importlib.import_module(part).__all__}
    for public in set(importlib.import_module(name).__all__) - told:
        home = getattr(getattr(importlib.import_module(name), public), "__module__", None)
        assert home in DOCUMENTED or public in ("__version__", "DEFAULT_CHANNEL_LAYER"), public


def test_every_layer_of_the_package_is_in_the_reference():
    packages = {
        f"channels.layers.{found.name}"
        for found in pkgutil.iter_modules(channels.layers.__path__)
        if found.ispkg
    }
    assert packages <= DOCUMENTED
