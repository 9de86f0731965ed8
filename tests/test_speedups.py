"""The chooser between compiled modules and their fallbacks, and what each module's import needs."""

import ast
import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from channels import _speedups
from tests.implementations import built, find_implementations
from tests.importing import PACKAGES, find_modules, import_each_alone

FOLDER = PACKAGES["channels._speedups"]

#: Floors 0 to 3, which know neither Django nor Twisted.
LOGIC = (
    "channels._speedups",
    "channels.codec",
    "channels.distributions",
    "channels.exceptions",
    "channels.layers",
    "channels.literals",
    "channels.names",
    "channels.spec",
    "daphne.protocol",
)

#: The exceptions among them: a layer's side for the reactor, the tests of that side, and an engine
#: whose library loads Twisted by itself.
KNOWS_TWISTED = (
    "channels.layers.conformance",
    "channels.layers.rabbitmq.tls",
    "channels.layers.rabbitmq.twisted",
    "channels.layers.redis.twisted",
    "channels.layers.twisted",
    "daphne.protocol.engine_autobahn",
)

#: Loads the libraries below our modules, and none of ours, so that they are not loaded for each.
LIBRARIES_LOADED = "import asyncio, importlib.metadata, logging, ssl, msgpack, pika, redis"

TWISTED_LOADED = """
import twisted.internet.endpoints, twisted.internet.protocol, twisted.internet.threads
import twisted.python.log, twisted.internet.epollreactor
"""

DJANGO_READY = (
    TWISTED_LOADED
    + """
import django, django.conf, django.test, django.core.handlers.base, django.views.debug
django.conf.settings.configure(
    SECRET_KEY="x",
    INSTALLED_APPS=[f"django.contrib.{app}" for app in (
        "admin", "auth", "contenttypes", "messages", "sessions", "staticfiles"
    )],
    STATIC_URL="/static/",
)
django.setup()
"""
)


def belongs(name, packages):
    return any(name == package or name.startswith(f"{package}.") for package in packages)


MODULES = find_modules()
WITH_TWISTED = [name for name in MODULES if belongs(name, ["daphne"]) and not belongs(name, LOGIC)]
WITHOUT_DJANGO = ["channels", *(name for name in MODULES if belongs(name, LOGIC))]
WITH_DJANGO = [name for name in MODULES if name not in {*WITH_TWISTED, *WITHOUT_DJANGO}]


@pytest.fixture(scope="module")
def logic_outcomes():
    return import_each_alone(WITHOUT_DJANGO, LIBRARIES_LOADED)


@pytest.fixture(scope="module")
def server_outcomes():
    return import_each_alone(WITH_TWISTED, TWISTED_LOADED)


@pytest.fixture(scope="module")
def framework_outcomes():
    return import_each_alone(WITH_DJANGO, DJANGO_READY)


@pytest.mark.parametrize("name", WITHOUT_DJANGO)
def test_modules_of_logic_load_alone_without_django_or_twisted(logic_outcomes, name):
    outcome = logic_outcomes[name]
    assert outcome["error"] is None
    assert "django" not in outcome["loaded"]
    if not belongs(name, KNOWS_TWISTED):
        assert "twisted" not in outcome["loaded"]


@pytest.mark.parametrize("name", WITH_TWISTED)
def test_modules_of_the_server_load_alone_without_django(server_outcomes, name):
    outcome = server_outcomes[name]
    assert outcome["error"] is None
    assert "django" not in outcome["loaded"]


@pytest.mark.parametrize("name", WITH_DJANGO)
def test_modules_of_the_framework_load_alone(framework_outcomes, name):
    assert framework_outcomes[name]["error"] is None


# --- The chooser


def chosen_with(**environment):
    """What the chooser says in a fresh process: COMPILED, then the file of each chosen module."""
    program = (
        "from channels import _speedups as s\n"
        "print(s.COMPILED, s.PURE_PYTHON, *(getattr(s, name).__name__ for name in s.MODULES))"
    )
    inherited = {k: v for k, v in os.environ.items() if k != "CHANNELS_PURE_PYTHON"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.split()


def names(ending=""):
    return [f"channels._speedups.{name}{ending}" for name in _speedups.MODULES]


def test_pure_python_asks_for_the_fallbacks():
    assert chosen_with(CHANNELS_PURE_PYTHON="1") == ["False", "True", *names("_fallback")]


@pytest.mark.parametrize("value", ["", "0", "true", "yes"])
def test_only_a_one_asks_for_the_fallbacks(value):
    assert chosen_with(CHANNELS_PURE_PYTHON=value) == chosen_with()


@pytest.mark.skipif(not all(map(built, _speedups.MODULES)), reason="not everything is built here")
def test_what_was_built_is_used():
    assert chosen_with() == ["True", "False", *names()]


@pytest.mark.skipif(
    os.environ.get("CHANNELS_REQUIRE_EXTENSIONS") != "1",
    reason="CHANNELS_REQUIRE_EXTENSIONS=1 asks for the compiled modules",
)
@pytest.mark.parametrize("name", [*_speedups.MODULES, *_speedups.COMPILED_ONLY])
def test_required_extensions_are_built(name):
    if name == "shm" and sys.platform != "linux":
        pytest.skip("exists on Linux only")
    spec = importlib.util.find_spec(f"channels._speedups.{name}")
    assert spec is not None, f"{name} is not compiled: run setup.py build_ext --inplace"
    assert not spec.origin.endswith(".py")


@pytest.mark.parametrize("name", _speedups.MODULES)
def test_the_package_offers_the_module_that_was_chosen(name):
    module = getattr(_speedups, name)
    compiled = built(name) and not _speedups.PURE_PYTHON
    assert module.__name__.endswith("_fallback") is not compiled


@pytest.mark.parametrize("name", _speedups.COMPILED_ONLY)
def test_what_has_no_fallback_is_available_where_it_was_built(name):
    assert _speedups.is_available(name) is (built(name) and not _speedups.PURE_PYTHON)
    program = f"from channels import _speedups as s; print(s.is_available({name!r}))"
    environment = os.environ | {"CHANNELS_PURE_PYTHON": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "False\n"


def test_other_attributes_do_not_exist():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _speedups.nothing  # noqa: B018  (the access is the test)


def test_each_compiled_module_has_its_fallback_and_its_stub():
    modules = {*_speedups.MODULES, *_speedups.COMPILED_ONLY}
    assert {path.stem for path in FOLDER.glob("*.pyx")} == modules
    for name in modules:
        assert (FOLDER / f"{name}.pyi").is_file()
        assert (FOLDER / f"{name}_fallback.py").is_file() is (name in _speedups.MODULES)


# --- One interface


def described(stub: Path):
    """Each function and class that a stub describes, with the parameters of functions."""
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, [argument.arg for argument in node.args.args]
        elif isinstance(node, ast.ClassDef):
            yield node.name, None


@pytest.mark.parametrize("name", _speedups.MODULES)
def test_every_form_offers_what_the_stub_describes(name):
    for implementation in find_implementations(name):
        for public, parameters in described(FOLDER / f"{name}.pyi"):
            offered = getattr(implementation.imported_module, public)
            if parameters is None:
                assert isinstance(offered, type)
            else:
                assert list(inspect.signature(offered).parameters) == parameters
