"""The package's face: lazy names and a version that tools can read."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import channels

ROOT = Path(channels.__file__).parent.parent


def python(program: str, **environment: str) -> str:
    """Run ``program`` without any Django settings; returns what it prints."""
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_importing_the_package_loads_no_django() -> None:
    program = (
        "import sys, channels, channels.exceptions, channels.names; "
        "print(channels.__version__, [name for name in sys.modules if name.startswith('django')])"
    )
    assert python(program) == f"{channels.__version__} []"


def test_every_name_can_be_imported_without_settings() -> None:
    program = (
        "from channels import Channel, Group, channel_layers, include, route, route_class, "
        "DEFAULT_CHANNEL_LAYER; print(Channel('task').name, DEFAULT_CHANNEL_LAYER)"
    )
    assert python(program) == "task default"


def test_lazy_names_are_those_of_their_modules() -> None:
    for name, home in channels._HOMES.items():
        assert getattr(channels, name) is getattr(importlib.import_module(home), name)


def test_every_exported_name_is_there_and_listed() -> None:
    for name in channels.__all__:
        assert hasattr(channels, name)
        assert name in dir(channels)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'channels' has no attribute 'nothing'"):
        channels.nothing  # noqa: B018


def test_the_version_is_a_literal() -> None:
    """setuptools reads it without importing."""
    tree = ast.parse((ROOT / "channels" / "__init__.py").read_text())
    values = [
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "__version__"
        and isinstance(node.value, ast.Constant)
    ]
    assert values == [channels.__version__]
