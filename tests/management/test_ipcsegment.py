"""The command that inspects and removes segments."""

import os
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from channels.layers.ipc import IPCChannelLayer
from channels.layers.ipc.segments import bell_paths, path_of
from tests.layers.ipc.segments import fresh_prefix, made_layer, needs_extension, remove

pytestmark = needs_extension


def run(*arguments, **options):
    out = StringIO()
    call_command("ipcsegment", *arguments, stdout=out, stderr=out, **options)
    return out.getvalue()


@pytest.fixture
def prefix():
    name = fresh_prefix()
    yield name
    remove(name)


def test_a_segment_is_described():
    with made_layer() as layer:
        layer.send("one", {})
        layer.send("two", {})
        layer.group_add("all", "serv!a")
        layer.announce_listening("worker", ["one"])
        found = run(layer.prefix)
        assert "2 message(s) in 2 channel(s)" in found
        assert "1 group(s) with 1 member(s)" in found
        assert "1 client(s)" in found
        assert "1 announcement(s)" in found
        assert "100 MiB at most" in found


def test_a_segment_that_is_not_there(prefix):
    assert f"There is no segment of prefix '{prefix}'" in run(prefix)
    assert "There is no segment" in run(prefix, "--remove")


def test_the_prefix_is_that_of_the_settings(prefix):
    config = {"BACKEND": "asgi_ipc.IPCChannelLayer", "ROUTING": [], "CONFIG": {"prefix": prefix}}
    with override_settings(CHANNEL_LAYERS={"default": config}):
        assert repr(prefix) in run()
    with override_settings(CHANNEL_LAYERS={}):
        assert "'asgi'" in run()


def test_a_stale_segment_is_removed_with_its_bells(prefix):
    layer = IPCChannelLayer(prefix)
    layer.send("one", {})
    os.mkfifo(path_of(prefix).with_name(path_of(prefix).name + ".0123456789abcdef"))
    layer.close()
    assert "Removed" in run(prefix, "--remove")
    assert not path_of(prefix).exists()
    assert not bell_paths(prefix)


def test_a_segment_in_use_is_removed_by_force_only():
    with made_layer() as layer:
        layer.send("one", {"n": 1})
        generation = layer.generation()
        with pytest.raises(CommandError, match="1 client.*--force"):
            run(layer.prefix, "--remove")
        assert layer.receive(["one"]) == ("one", {"n": 1})
        layer.send("one", {"n": 2})
        assert "Removed" in run(layer.prefix, "--remove", "--force")
        assert layer.receive(["one"]) == (None, None)
        assert layer.generation() != generation
        layer.send("one", {"n": 3})
        assert layer.receive(["one"]) == ("one", {"n": 3})


def test_what_is_no_segment_is_refused_and_can_be_removed(prefix):
    path_of(prefix).write_bytes(b"something else" * 1000)
    path_of(prefix).chmod(0o600)
    with pytest.raises(CommandError, match="no segment of this layer"):
        run(prefix)
    assert "Removed" in run(prefix, "--remove")
    assert not path_of(prefix).exists()
    IPCChannelLayer(prefix).close()


def test_a_bad_prefix_is_named():
    with pytest.raises(CommandError, match=r"'\.\./x'"):
        run("../x")
