"""The layer in a project's settings, and where it cannot work."""

import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from channels import _speedups
from channels.asgi import ChannelLayerManager, InvalidChannelLayerError
from channels.exceptions import LayerNotInstalled, SegmentRefused
from channels.layers.ipc import IPCChannelLayer
from tests.layers.ipc.segments import fresh_prefix, made_layer, needs_extension, remove


def configured(**config):
    """The layer of a project with this CONFIG."""
    layer = {"BACKEND": "asgi_ipc.IPCChannelLayer", "ROUTING": [], "CONFIG": config}
    with override_settings(CHANNEL_LAYERS={"default": layer}):
        return ChannelLayerManager()["default"].channel_layer


@pytest.mark.parametrize("missing", ["not built", "pure", "not Linux"])
def test_a_missing_extension_is_improper_configuration(monkeypatch, missing):
    if missing == "not built":
        monkeypatch.setattr(_speedups, "PURE_PYTHON", False)
        monkeypatch.setattr(_speedups, "_is_built", lambda name: False)
        remedy = "CHANNELS_REQUIRE_EXTENSIONS=1 pip install"
    elif missing == "pure":
        monkeypatch.setattr(_speedups, "PURE_PYTHON", True)
        remedy = "unset CHANNELS_PURE_PYTHON"
    else:
        monkeypatch.setattr(_speedups, "_is_built", lambda name: False)
        monkeypatch.setattr(sys, "platform", "darwin")
        remedy = "use another layer"
    with pytest.raises(LayerNotInstalled, match=remedy):
        IPCChannelLayer(fresh_prefix())
    with pytest.raises(ImproperlyConfigured, match=rf"CHANNEL_LAYERS\['default'\].*{remedy}"):
        configured()


def test_without_the_extension_the_modules_load():
    program = (
        "import channels.layers.ipc as ipc\n"
        "from channels.exceptions import LayerNotInstalled\n"
        "try:\n    ipc.IPCChannelLayer()\nexcept LayerNotInstalled as error:\n    print(error)"
    )
    environment = os.environ | {"CHANNELS_PURE_PYTHON": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60
    )
    assert "CHANNELS_PURE_PYTHON=1 asks for none" in done.stdout, done.stderr


class TestConfigured:
    pytestmark = needs_extension

    def test_the_old_name_and_the_old_arguments_work(self):
        prefix = fresh_prefix()
        layer = configured(
            prefix=prefix,
            expiry=30,
            group_expiry=100,
            capacity=3,
            channel_capacity={"http.*": 7},
            message_memory=2 * 1024 * 1024,
            group_memory=1024 * 1024,
        )
        try:
            assert isinstance(layer, IPCChannelLayer)
            assert str(layer) == f"IPCChannelLayer(prefix={prefix})"
            assert not layer.is_local
            assert layer.get_capacity("http.request") == 7
            assert layer.extensions == ["groups", "flush", "statistics", "twisted", "asyncio"]
        finally:
            layer.close()
            remove(prefix)

    def test_the_defaults_are_those_of_1x(self):
        with made_layer() as layer:
            assert (layer.expiry, layer.group_expiry, layer.capacity) == (60, 86400, 10)
            assert layer.message_memory == 100 * 1024 * 1024
            assert layer.group_memory == 20 * 1024 * 1024

    @pytest.mark.parametrize(
        "config",
        [
            {"prefix": ""},
            {"prefix": "a/b"},
            {"prefix": "../x"},
            {"prefix": "a" * 101},
            {"prefix": None},
            {"prefix": b"asgi"},
            {"message_memory": 1000},
            {"message_memory": 2.5e6},
            {"group_memory": True},
            {"capacity": 0},
        ],
    )
    def test_bad_arguments_are_named(self, config):
        (name,) = config
        with pytest.raises(InvalidChannelLayerError, match=name):
            configured(**{"prefix": fresh_prefix()} | config)

    def test_processes_have_to_agree_about_memory(self):
        with made_layer(message_memory=2 * 1024 * 1024) as layer:
            with pytest.raises(SegmentRefused, match=f"another message_memory.*{layer.prefix}"):
                IPCChannelLayer(layer.prefix)
