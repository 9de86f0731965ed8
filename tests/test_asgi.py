"""Layers come from the settings, once for each alias, without the project's routing."""

import copy
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

import channels
from channels import asgi
from channels.asgi import (
    BACKEND_ALIASES,
    ChannelLayerManager,
    ChannelLayerWrapper,
    channel_layers,
    get_channel_layer,
    require_extension,
)
from channels.exceptions import InvalidChannelLayerError, UnsupportedExtension
from channels.layers.inmemory import ChannelLayer
from channels.routing import Router, null_consumer, route
from tests.waiting import wait_until

IN_MEMORY = "channels.layers.inmemory.ChannelLayer"
ROOT = Path(__file__).parent.parent


class Bare:
    """A layer with no extension, and with any argument."""

    extensions: list[str] = []

    def __init__(self, **kwargs: Any) -> None:
        self.kwargs = kwargs


@pytest.fixture
def manager() -> ChannelLayerManager:
    return ChannelLayerManager()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> str:
    """The BACKEND of a layer that is all the test's own."""
    module = type(sys)("bare_backend")
    module.Bare = Bare  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bare_backend", module)
    return "bare_backend.Bare"


def layers(**config: Any) -> Any:
    """Settings with one layer; a value of None leaves its key out."""
    merged = {"BACKEND": IN_MEMORY, "ROUTING": [], **config}
    kept = {key: value for key, value in merged.items() if value is not None}
    return override_settings(CHANNEL_LAYERS={"default": kept})


# The manager


def test_a_layer_is_made_from_its_settings(manager: ChannelLayerManager) -> None:
    with layers(CONFIG={"capacity": 7}):
        wrapper = manager["default"]
    assert isinstance(wrapper.channel_layer, ChannelLayer)
    assert wrapper.capacity == 7
    assert manager.backends == {"default": wrapper}


class Crowd:
    """Eight threads that ask for the same thing, which is made while all of them wait for it."""

    def __init__(self) -> None:
        self.asking: list[int] = []
        self.made = 0

    def make(self) -> None:
        """To be called by what is made."""
        self.made += 1
        wait_until(lambda: len(self.asking) == 8)

    def ask(self, question: Callable[[], Any]) -> list[Any]:
        """The threads' answers."""

        def answer(number: int) -> Any:
            self.asking.append(number)
            return question()

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(answer, range(8)))


def test_every_thread_gets_the_same_layer(
    manager: ChannelLayerManager, bare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Daphne's thread and the workers of runserver talk through one object."""
    crowd = Crowd()
    monkeypatch.setattr(Bare, "__init__", lambda layer: crowd.make())
    with layers(BACKEND=bare):
        found = crowd.ask(lambda: manager["default"].channel_layer)
    assert len(found) == 8
    assert len(set(map(id, found))) == crowd.made == 1


def test_a_layer_that_was_made_stays_whatever_becomes_of_the_settings(
    manager: ChannelLayerManager,
) -> None:
    wrapper = manager["default"]
    with layers(CONFIG={"capacity": 7}):
        assert manager["default"] is wrapper
        assert manager.make_backend("default").capacity == 7
        manager.set("default", None)
        assert manager["default"].capacity == 7
    with override_settings(CHANNEL_LAYERS={}):
        assert manager["default"].capacity == 7


def test_configs_follow_the_settings(manager: ChannelLayerManager) -> None:
    with override_settings(CHANNEL_LAYERS={"other": {}}):
        assert "other" in manager
        assert "default" not in manager
    assert "default" in manager


def test_a_layer_can_be_put_in_place_and_removed(manager: ChannelLayerManager) -> None:
    wrapper = ChannelLayerWrapper(Bare(), "default", [])
    assert manager.set("default", wrapper) is None
    assert manager["default"] is wrapper
    assert manager.set("default", None) is wrapper
    assert isinstance(manager["default"].channel_layer, ChannelLayer)


def test_each_made_backend_is_a_new_one(manager: ChannelLayerManager) -> None:
    first, second = manager.make_backend("default"), manager.make_backend("default")
    assert first.channel_layer is not second.channel_layer
    assert manager.backends == {}


def test_test_backends_take_the_test_config(manager: ChannelLayerManager) -> None:
    with layers(CONFIG={"capacity": 7}, TEST_CONFIG={"capacity": 3}):
        assert manager.make_test_backend("default").capacity == 3
        assert manager.backends == {}


def test_a_missing_test_config_is_named(manager: ChannelLayerManager) -> None:
    with layers(), pytest.raises(InvalidChannelLayerError, match="'default'.*no TEST_CONFIG"):
        manager.make_test_backend("default")


@pytest.mark.parametrize("config", [None, {}])
def test_an_empty_test_config_means_the_defaults(manager: ChannelLayerManager, config: Any) -> None:
    with override_settings(
        CHANNEL_LAYERS={"default": {"BACKEND": IN_MEMORY, "ROUTING": [], "TEST_CONFIG": config}}
    ):
        assert manager.make_test_backend("default").capacity == ChannelLayer().capacity


def test_a_wrong_test_config_is_named(manager: ChannelLayerManager) -> None:
    with (
        layers(TEST_CONFIG={"capacity": 0}),
        pytest.raises(InvalidChannelLayerError, match="does not take this TEST_CONFIG: capacity"),
    ):
        manager.make_test_backend("default")


@pytest.mark.parametrize("path", ["asgiref.inmemory.ChannelLayer", IN_MEMORY])
def test_backends_of_1_x_are_known(manager: ChannelLayerManager, path: str) -> None:
    with layers(BACKEND=path):
        assert isinstance(manager["default"].channel_layer, ChannelLayer)


def test_every_documented_backend_has_its_class() -> None:
    """All names of 1.x; each stands for a class below ``channels.layers``."""
    assert set(BACKEND_ALIASES) == {
        "asgiref.inmemory.ChannelLayer",
        "asgi_redis.RedisChannelLayer",
        "asgi_redis.core.RedisChannelLayer",
        "asgi_redis.RedisLocalChannelLayer",
        "asgi_redis.local.RedisLocalChannelLayer",
        "asgi_redis.RedisSentinelChannelLayer",
        "asgi_redis.sentinel.RedisSentinelChannelLayer",
        "asgi_ipc.IPCChannelLayer",
        "asgi_ipc.core.IPCChannelLayer",
        "asgi_rabbitmq.RabbitmqChannelLayer",
        "asgi_rabbitmq.RabbitmqLocalChannelLayer",
    }
    for name, target in BACKEND_ALIASES.items():
        assert target.startswith("channels.layers.")
        assert target.rpartition(".")[2] == name.rpartition(".")[2]


def test_an_alias_whose_class_is_missing_is_named_with_both(
    manager: ChannelLayerManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKEND_ALIASES, "old.Layer", "channels.layers.absent.Layer")
    with (
        layers(BACKEND="old.Layer"),
        pytest.raises(InvalidChannelLayerError, match=r"'old\.Layer' \(now 'channels\.layers\.ab"),
    ):
        manager["default"]


# What can be wrong in the settings


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"BACKEND": None}, r"CHANNEL_LAYERS\['default'\] has no BACKEND"),
        ({"ROUTING": None}, r"CHANNEL_LAYERS\['default'\] has no ROUTING"),
        ({"BACKEND": "no.such.Layer"}, "cannot import BACKEND 'no.such.Layer'.*'default'"),
        ({"BACKEND": "channels.layers.NoLayer"}, "cannot import BACKEND 'channels.layers.NoL"),
        ({"BACKEND": ".layers.Layer"}, r"cannot import BACKEND '\.layers\.Layer'.*it is relative"),
        ({"BACKEND": 5}, "BACKEND .*must be a dotted path in a str, not 5"),
        ({"BACKEND": ""}, "cannot import BACKEND ''"),
        ({"BACKEND": "channels.DEFAULT_CHANNEL_LAYER"}, "is no class, but 'default'"),
        ({"CONFIG": {"no_such_option": 1}}, "does not take this CONFIG: .*no_such_option"),
        ({"CONFIG": {"capacity": -1}}, r"\['default'\].*this CONFIG: capacity .*not -1"),
        ({"CONFIG": ["capacity"]}, r"CONFIG of CHANNEL_LAYERS\['default'\] must be a .*not a list"),
    ],
)
def test_a_wrong_layer_is_named(
    manager: ChannelLayerManager, config: dict[str, Any], text: str
) -> None:
    with layers(**config), pytest.raises(InvalidChannelLayerError, match=text):
        manager["default"]
    assert manager.backends == {}


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({}, "'default': the setting CHANNEL_LAYERS is missing; add"),
        (None, "'default': the setting CHANNEL_LAYERS is missing; add"),
        ({"other": {}}, "'default'; CHANNEL_LAYERS has 'other'"),
        ([1], "CHANNEL_LAYERS must be a dict of alias to layer, not list"),
        ({"default": IN_MEMORY}, r"CHANNEL_LAYERS\['default'\] must be a dict with BACKEND"),
    ],
)
def test_a_wrong_setting_is_named(manager: ChannelLayerManager, setting: Any, text: str) -> None:
    with (
        override_settings(CHANNEL_LAYERS=setting),
        pytest.raises(InvalidChannelLayerError, match=text),
    ):
        manager["default"]


def test_invalid_layer_errors_are_value_errors() -> None:
    assert issubclass(asgi.InvalidChannelLayerError, ValueError)


def test_a_drop_rate_is_for_debug_and_tests(
    manager: ChannelLayerManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given no test environment of Django, which this run may have
    monkeypatch.delattr(mail, "outbox", raising=False)
    config = {"drop_rate": 0.5}
    with layers(CONFIG=config, TEST_CONFIG=config):
        with pytest.raises(InvalidChannelLayerError, match="drop_rate .*DEBUG and tests; remove"):
            manager.make_backend("default")
        monkeypatch.setattr(mail, "outbox", [], raising=False)
        assert manager.make_backend("default").drop_rate == 0.5
        monkeypatch.delattr(mail, "outbox")
        with override_settings(DEBUG=True):
            assert manager.make_backend("default").drop_rate == 0.5
        assert manager.make_test_backend("default").drop_rate == 0.5


# Extensions


@pytest.mark.parametrize("required", [["groups"], {"default": ["flush", "groups"]}])
def test_a_required_extension_that_is_missing_is_named(
    manager: ChannelLayerManager, bare: str, required: Any
) -> None:
    with (
        layers(BACKEND=bare),
        override_settings(CHANNELS_REQUIRED_EXTENSIONS=required),
        pytest.raises(UnsupportedExtension) as raised,
    ):
        manager["default"]
    assert "CHANNELS_REQUIRED_EXTENSIONS" in str(raised.value)
    assert "default (" in str(raised.value)
    assert repr(next(iter(required if isinstance(required, list) else required["default"]))) in str(
        raised.value
    )


@pytest.mark.parametrize(
    "required", [["groups", "flush", "async"], {"other": ["nonsense"]}, [], ("statistics",)]
)
def test_a_layer_with_the_required_extensions_is_made(
    manager: ChannelLayerManager, required: Any
) -> None:
    with override_settings(CHANNELS_REQUIRED_EXTENSIONS=required):
        assert manager["default"].alias == "default"


@pytest.mark.parametrize("required", ["groups", 5, {"default": "groups"}])
def test_wrong_required_extensions_are_named(manager: ChannelLayerManager, required: Any) -> None:
    with (
        override_settings(CHANNELS_REQUIRED_EXTENSIONS=required),
        pytest.raises(ImproperlyConfigured, match="CHANNELS_REQUIRED_EXTENSIONS must be a list"),
    ):
        manager["default"]


def test_users_of_extensions_are_named() -> None:
    wrapper = ChannelLayerWrapper(Bare(), "default", [])
    with pytest.raises(UnsupportedExtension, match=r"^the long poll needs .*'groups'.*default \("):
        require_extension(wrapper, "groups", "the long poll")


# The wrapper


@pytest.fixture
def wrapper() -> ChannelLayerWrapper:
    return ChannelLayerWrapper(ChannelLayer(), "default", [route("task", null_consumer)])


def test_a_wrapper_hands_on_to_its_layer(wrapper: ChannelLayerWrapper) -> None:
    wrapper.send("task", {"a": 1})
    assert wrapper.receive(["task"]) == ("task", {"a": 1})
    assert wrapper.extensions is wrapper.channel_layer.extensions
    assert wrapper.ChannelFull is ChannelLayer.ChannelFull
    with pytest.raises(AttributeError, match="no_such_name"):
        wrapper.no_such_name  # noqa: B018


def test_an_attribute_of_a_wrapper_goes_before_the_layers(wrapper: ChannelLayerWrapper) -> None:
    wrapper.send = Mock()
    wrapper.send("task", {})
    wrapper.send.assert_called_once_with("task", {})
    assert wrapper.channel_layer.receive(["task"]) == (None, None)


def test_a_wrappers_text_is_alias_and_class(wrapper: ChannelLayerWrapper) -> None:
    kind = type(wrapper.channel_layer)
    assert str(wrapper) == f"default ({kind.__module__}.ChannelLayer)"


def test_a_wrapper_can_be_copied(wrapper: ChannelLayerWrapper) -> None:
    assert copy.copy(wrapper).channel_layer is wrapper.channel_layer


def test_a_layer_states_whether_it_is_local(wrapper: ChannelLayerWrapper) -> None:
    assert wrapper.local_only() is True
    assert ChannelLayerWrapper(Bare(), "default", []).local_only() is False


def test_the_router_is_made_once_and_when_asked_for(wrapper: ChannelLayerWrapper) -> None:
    assert wrapper.router is wrapper.router
    assert wrapper.router.channels == {"task"}


def test_every_thread_gets_the_same_router() -> None:
    crowd = Crowd()

    class Entry:
        def channel_names(self) -> set[str]:
            crowd.make()
            return {"task"}

        def match(self, message: Any) -> Any:
            return None

    wrapper = ChannelLayerWrapper(ChannelLayer(), "default", [Entry()])
    assert len(set(map(id, crowd.ask(lambda: wrapper.router)))) == 1
    assert crowd.made == 1


def test_a_wrong_routing_is_an_error_of_the_router_alone() -> None:
    wrapper = ChannelLayerWrapper(ChannelLayer(), "default", "no.such.routing")
    wrapper.send("task", {})
    for _ in range(2):
        with pytest.raises(ImproperlyConfigured, match="Cannot import routing 'no.such.routing'"):
            wrapper.router  # noqa: B018


def test_routing_and_router_can_be_assigned(wrapper: ChannelLayerWrapper) -> None:
    assert wrapper.router.channels == {"task"}
    wrapper.routing = [route("other", null_consumer)]
    assert wrapper.router.channels == {"other"}
    wrapper.router = Router([route("third", null_consumer)])
    assert wrapper.router.channels == {"third"}


# get_channel_layer, and projects without layers


def test_get_channel_layer_gives_the_layer_itself() -> None:
    assert get_channel_layer() is channel_layers["default"].channel_layer
    assert channels.channel_layers is channel_layers


def run(tmp_path: Path, program: str) -> str:
    """Run ``program`` in a project in ``tmp_path``; returns what it prints."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project whose routing and consumers say that they were imported."""
    (tmp_path / "settings.py").write_text(
        f"""
INSTALLED_APPS = ["channels"]
CHANNEL_LAYERS = {{"default": {{"BACKEND": "{IN_MEMORY}", "ROUTING": "mysite.channel_routing"}}}}
"""
    )
    (tmp_path / "mysite.py").write_text(
        "import consumers\nchannel_routing = {'task': 'consumers.consume'}\n"
    )
    (tmp_path / "consumers.py").write_text("def consume(message): pass\n")
    yield tmp_path


def test_get_channel_layer_imports_no_routing_and_no_consumer(project: Path) -> None:
    printed = run(
        project,
        """
        import os, sys
        os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
        from channels.asgi import channel_layers, get_channel_layer
        layer = get_channel_layer()
        layer.send("task", {"a": 1})
        assert layer.receive(["task"]) == ("task", {"a": 1})
        before = {"mysite", "consumers", "channels.handler"} & set(sys.modules)
        channel_layers["default"].router
        print(type(layer).__name__, before, {"mysite", "consumers"} & set(sys.modules) != set())
        """,
    )
    assert printed == "ChannelLayer set() True"


def test_an_app_may_ask_for_a_layer_while_django_is_set_up(project: Path) -> None:
    (project / "early").mkdir()
    (project / "early" / "__init__.py").touch()
    (project / "early" / "models.py").write_text(
        "from channels.asgi import get_channel_layer\nget_channel_layer().send('task', {})\n"
    )
    (project / "early_settings.py").write_text(
        "from settings import *\nINSTALLED_APPS = ['early', 'channels']\n"
    )
    printed = run(
        project,
        """
        import os
        os.environ["DJANGO_SETTINGS_MODULE"] = "early_settings"
        from channels.asgi import get_channel_layer
        print(get_channel_layer().receive(["task"]))
        """,
    )
    assert printed == "('task', {})"


def test_without_a_settings_module_its_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ImproperlyConfigured.* DJANGO_SETTINGS_MODULE"):
        run(tmp_path, "from channels.asgi import get_channel_layer; get_channel_layer()")


def test_a_project_without_layers_is_plain_django(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text('INSTALLED_APPS = ["channels"]\n')
    printed = run(
        tmp_path,
        """
        import os
        os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
        import django
        django.setup()
        from django.core.management import call_command
        call_command("check")
        from channels import Channel, channel_layers
        from channels.asgi import InvalidChannelLayerError
        assert "default" not in channel_layers
        try:
            Channel("task").send({})
        except InvalidChannelLayerError as error:
            print("CHANNEL_LAYERS is missing" in str(error))
        """,
    )
    assert printed.splitlines() == ["System check identified no issues (0 silenced).", "True"]
