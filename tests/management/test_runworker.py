"""Tests of ``runworker``: its options in this process, its work in processes of its own."""

import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.layers.inmemory import ChannelLayer
from channels.management.commands.runworker import Command
from channels.readiness import is_ready
from channels.routing import null_consumer
from channels.worker import Worker, WorkerGroup
from tests.waiting import wait_until


class SharedLayer(ChannelLayer):
    """Stands for a layer that other processes reach."""

    is_local = False


@pytest.fixture
def shared() -> Iterator[ChannelLayerWrapper]:
    """A default layer that workers may use, with one routed channel beside the defaults."""
    layer = ChannelLayerWrapper(SharedLayer(), "default", {"thumbnail": null_consumer})
    old = channel_layers.set("default", layer)
    yield layer
    channel_layers.set("default", old)


def options(*arguments: str) -> dict[str, Any]:
    """The options of a command line."""
    return vars(Command().create_parser("manage.py", "runworker").parse_args(arguments))


def make_worker(layer: Any, *arguments: str) -> Worker:
    return Command().make_worker(layer, options(*arguments))


# -- Options ---------------------------------------------------------------------------------------


def test_by_default_it_is_one_worker_for_everything(shared):
    worker = make_worker(shared)

    assert type(worker) is Worker
    assert worker.signal_handlers
    assert (worker.only_channels, worker.exclude_channels) == ([], [])
    assert worker.prefetch == 1


def test_threads_make_a_group(shared):
    group = make_worker(shared, "--threads=3", "--prefetch=2", "--only-channels", "http.*")

    assert isinstance(group, WorkerGroup)
    assert group.n_threads == 3
    assert group.only_channels == ["http.*"]
    assert group.prefetch == 2


@pytest.mark.parametrize("hyphen", ["-", "_"])
def test_filters_may_be_repeated_in_either_spelling(shared, hyphen):
    only, exclude = f"--only{hyphen}channels", f"--exclude{hyphen}channels"

    worker = make_worker(shared, f"{only}=http.*", f"{only}=web*", exclude, "a", exclude, "b")

    assert worker.only_channels == ["http.*", "web*"]
    assert worker.exclude_channels == ["a", "b"]


def test_no_threads_are_refused(shared):
    with pytest.raises(CommandError, match="--threads must be 1 or more, not 0"):
        call_command("runworker", threads=0)


def test_a_prefetch_of_nothing_is_refused(shared):
    with pytest.raises(CommandError, match="--prefetch must be from 1 to 100, not 0"):
        call_command("runworker", prefetch=0)


def test_filters_that_leave_nothing_are_refused(shared):
    with pytest.raises(CommandError, match=r"exclude_channels=\['\*'\] leave none of"):
        call_command("runworker", exclude_channels=["*"])


@pytest.mark.parametrize("command", ["runworker", "runwsgi", "rundelay"])
def test_a_ready_file_that_cannot_be_written_is_refused(command, tmp_path):
    with pytest.raises(CommandError, match="--ready-file .* cannot be written: No such file"):
        call_command(command, ready_file=str(tmp_path / "missing" / "ready"))


def test_the_layer_in_memory_is_refused():
    with pytest.raises(CommandError, match="cannot span multiple processes"):
        call_command("runworker")


# -- Processes -------------------------------------------------------------------------------------

#: The layer of these projects: its messages come from a thread of the worker's own process.
SETTINGS = """
CHANNEL_LAYERS = {"default": {"BACKEND": "fed.FedLayer", "ROUTING": "routing.channel_routing"}}
"""

FED = """
import threading
from channels.layers.inmemory import ChannelLayer
from channels.signals import worker_process_ready, worker_ready

class FedLayer(ChannelLayer):
    is_local = False

def feed(sender, **kwargs):
    print("process ready")
    for n in range(3):
        sender.channel_layer.send("tasks", {"n": n})

def say(sender, **kwargs):
    # One write, whatever other threads say.
    print(f"worker ready {type(sender).__name__}\\n", end="")

worker_process_ready.connect(feed)
worker_ready.connect(say)
"""

TASKS = """
import threading
import time

together = threading.Barrier(3)

def task(message):
    print(f"task {message['n']} done")

def task_together(message):
    together.wait()
    print("together")

def slow_task(message):
    print("task started")
    time.sleep(0.5)  # stands for work that a signal must not end
    print("task finished")

channel_routing = {"tasks": %s}
"""


def fed_project(make_project: Any, task: str) -> Any:
    project = make_project(SETTINGS)
    project.write("fed.py", FED)
    project.write("routing.py", TASKS % task)
    return project


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_runs_consumers_until_a_signal_ends_it_in_order(make_project, number):
    project = fed_project(make_project, "task")
    worker = project.start("runworker", "-v", "2", "--ready-file", "ready")
    worker.wait_for("task 2 done")
    wait_until(lambda: is_ready(project.folder / "ready", worker.pid))

    worker.signal(number)

    assert worker.wait() == 0
    assert not (project.folder / "ready").exists()
    output = worker.output()
    assert "Traceback" not in output
    assert output.index("process ready") < output.index("worker ready Worker")
    assert re.search("Listening on channels http.request, tasks, websocket.connect", output)
    assert len(re.findall(r" - DEBUG - .* - tasks\n", output)) == 3
    assert f"{number.name}: running consumers are finished first" in output


def test_a_signal_waits_for_the_running_consumer(make_project):
    worker = fed_project(make_project, "slow_task").start("runworker")
    worker.wait_for("task started")

    worker.signal(signal.SIGTERM)

    assert worker.wait() == 0
    assert worker.output().count("task started") == worker.output().count("task finished")
    assert "- DEBUG -" not in worker.output()


def test_threads_run_consumers_at_the_same_time(make_project):
    worker = fed_project(make_project, "task_together").start("runworker", "--threads", "3")

    wait_until(lambda: worker.output().count("together") == 3, timeout=30)
    wait_until(lambda: worker.output().count("worker ready Worker") == 3, timeout=30)
    worker.signal(signal.SIGTERM)

    assert worker.wait() == 0
    assert worker.output().count("worker ready Worker") == 3


SEND_REQUEST = """send("http.request", {
            "reply_channel": "reply", "method": "GET", "http_version": "1.1",
            "path": "/static/site.css", "headers": [[b"host", b"a"]],
        })"""

SHOW_REPLY = """
from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.signals import consumer_finished

def show(sender, **kwargs):
    print(channel_layers["default"].receive(["reply"]))

consumer_finished.connect(show)
"""


def test_in_debug_mode_it_serves_static_files(make_project):
    project = fed_project(make_project, "task")
    project.write("fed.py", FED.replace('send("tasks", {"n": n})', SEND_REQUEST) + SHOW_REPLY)

    worker = project.start("runworker")

    worker.wait_for("color: green")


def test_without_channel_layers_it_says_which_setting_is_missing(make_project):
    worker = make_project("del CHANNEL_LAYERS").start("runworker")

    assert worker.wait() == 1
    assert "CommandError: There is no channel layer 'default'" in worker.output()
    assert "Traceback" not in worker.output()


def test_other_commands_do_without_channel_layers(make_project):
    check = make_project("del CHANNEL_LAYERS").start("check")

    assert check.wait() == 0
    assert "no issues" in check.output()
