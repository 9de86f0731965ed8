"""Tests of ``channelstats``: its options in this process, its refreshing in processes."""

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings

from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.exceptions import LayerUnavailable
from channels.layers.inmemory import ChannelLayer
from channels.routing import null_consumer
from tests.management.project import ROOT, Project


class SharedLayer(ChannelLayer):
    """Stands for a layer that other processes reach."""

    is_local = False


@pytest.fixture
def use() -> Iterator[Callable[..., ChannelLayer]]:
    """Makes a layer the default one, with a routing."""
    old = channel_layers.backends.get("default")

    def use(layer: ChannelLayer, routing: Any = ()) -> ChannelLayer:
        channel_layers.set("default", ChannelLayerWrapper(layer, "default", routing))
        return layer

    yield use
    channel_layers.set("default", old)


def run(*arguments: str) -> str:
    output = io.StringIO()
    call_command("channelstats", *arguments, stdout=output)
    return output.getvalue()


def test_once_prints_a_table_with_the_routed_channels(use):
    use(SharedLayer(), {"thumbnail": null_consumer}).send("thumbnail", {})

    lines = run("--once").splitlines()

    assert re.fullmatch(r"default \(.*SharedLayer\)  \d\d:\d\d:\d\d", lines[0])
    assert lines[2].split() == ["CHANNEL", "PENDING", "OLDEST", "RATE", "TOTAL", "FULL", "DROPPED"]
    assert lines[3].split()[:2] == ["thumbnail", "1"]
    names = [line.split()[0] for line in lines[4:]]
    assert names == [
        "http.request", "websocket.connect", "websocket.disconnect", "websocket.receive", "all"
    ]  # fmt: skip


def test_json_has_every_channel_and_every_figure(use):
    layer = use(SharedLayer())
    for n in range(40):
        layer.send(f"channel.{n}", {})

    found = json.loads(run("--once", "--json"))

    assert found["all"] == layer.global_statistics() | {
        key: found["all"][key] for key in ("messages_max_age", "messages_count_per_second")
    }
    assert len([name for name in found["channels"] if name.startswith("channel.")]) == 40
    assert found["channels"]["channel.3"]["messages_pending"] == 1
    assert found["layer"].startswith("default (")
    assert found["time"] > 0


def test_another_layer_is_chosen_by_its_alias():
    config = {"BACKEND": f"{__name__}.SharedLayer", "ROUTING": []}
    with override_settings(CHANNEL_LAYERS={"default": config, "other": config}):
        channel_layers["other"].send("tasks", {})
        try:
            assert "tasks" in run("--once", "--layer", "other")
        finally:
            channel_layers.set("other", None)


@pytest.mark.parametrize(
    ("option", "value"),
    [*(("--interval", value) for value in ("0", "inf", "nan", "1e10", "1e300")), ("--limit", "0")],
)
def test_options_that_cannot_work_are_refused(use, option, value):
    use(SharedLayer())

    with pytest.raises(CommandError, match=f"{option} must be"):
        run(option, value)


def test_the_layer_in_memory_is_refused(use):
    use(ChannelLayer())

    with pytest.raises(CommandError, match="cannot span multiple processes"):
        run("--once")


def test_a_layer_without_statistics_is_refused(use):
    class Silent(SharedLayer):
        provides = ("groups",)

    use(Silent())

    with pytest.raises(CommandError, match="channelstats needs the extension 'statistics'"):
        run("--once")


def test_a_layer_that_is_away_is_an_error(use):
    class Away(SharedLayer):
        def _queues(self) -> list[str]:
            raise LayerUnavailable("no answer from the store")

    use(Away())

    with pytest.raises(CommandError, match="no answer"):
        run("--once")


def test_a_broken_routing_hides_no_figures(use):
    use(SharedLayer(), "nowhere.routing").send("tasks", {})
    errors = io.StringIO()

    output = io.StringIO()
    call_command("channelstats", "--once", stdout=output, stderr=errors)

    assert "tasks" in output.getvalue()
    assert "The routing of default" in errors.getvalue()


# -- Processes -------------------------------------------------------------------------------------

#: The layer of these projects: each look at it sends it one more message.
SETTINGS = """
CHANNEL_LAYERS = {"default": {"BACKEND": "fed.FedLayer", "ROUTING": []}}
"""

FED = """
from channels.exceptions import LayerUnavailable
from channels.layers.inmemory import ChannelLayer

class FedLayer(ChannelLayer):
    is_local = False
    looks = 0

    def channels(self):
        self.looks += 1
        if self.looks == 2:
            raise LayerUnavailable("gone for a moment")
        self.send("tasks", {})
        return super().channels()
"""


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    project = make_project(SETTINGS)
    project.write("fed.py", FED)
    return project


def test_tables_follow_one_another_until_ctrl_c_ends_it_in_order(project):
    process = project.start("channelstats", "--interval", "0.01")
    process.wait_for(r"tasks +3 ")

    process.signal(signal.SIGINT)

    assert process.wait() == 0, process.output()
    assert re.search(r"tasks +1 ", process.output())
    assert "gone for a moment" in process.output()
    assert "Traceback" not in process.output()
    assert "\x1b" not in process.output()  # what is no terminal gets no control sequences


def test_json_is_one_object_for_each_look(project):
    process = project.start("channelstats", "--json", "--interval=0.01")
    process.wait_for(r'"messages_pending": 4')
    process.signal(signal.SIGTERM)
    process.wait()

    looks = [json.loads(line) for line in process.output().splitlines() if line.startswith("{")]

    assert [look["all"]["messages_pending"] for look in looks[:3]] == [1, 2, 3]


def test_a_terminal_is_written_over(project):
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "channelstats", "--interval", "0.01"],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=end,
        stderr=subprocess.DEVNULL,
    )
    os.close(end)
    try:
        output = b""
        while not re.search(rb"tasks +3 ", output):
            output += os.read(terminal, 65536)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)

    assert output.count(b"\x1b[2J") == 1  # cleared once, then written over from the first cell
    assert output.count(b"\x1b[H") >= 3
