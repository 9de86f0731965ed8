"""The samples of the chapter Deploying: settings, and commands that run as they are printed.

Only ports are others, so that nothing is in the way of a project that runs on this machine.
"""

import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import call_command
from websockets.sync.client import connect

from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.signals import worker_process_ready
from channels.worker import Worker
from tests.documented.layers import assert_it_carries, two_layers
from tests.documented.samples import chapter
from tests.documented.site import listening_port
from tests.layers.ipc.segments import fresh_prefix, remove
from tests.layers.rabbitmq.brokers import broker
from tests.loggers import put_back
from tests.management.project import Process, Project
from tests.servers.redis import RedisServer
from tests.worker.workers import running

#: How the address of Redis is written in the samples.
REDIS = '("redis-server-name", 6379)'

ROUTING = """
def consumer(message):
    pass

channel_routing = {"thumbnail": consumer, "websocket.receive": consumer}
"""


@pytest.fixture(scope="module")
def deployed(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """A project with the chapter's settings and asgi.py."""
    samples = chapter("deploying")
    project = Project(tmp_path_factory.mktemp("deployed"))
    layer = samples["redis_layer"].replace(REDIS, repr(redis_server.address))
    settings = f"from settings import *\nINSTALLED_APPS = ['channels']\n{layer}"
    project.write("my_project/settings.py", settings + samples["ws_protocols"])
    project.write("my_project/routing.py", ROUTING)
    project.write("my_project/asgi.py", samples["asgi_module"])
    manage = (project.folder / "manage.py").read_text()
    project.write("manage.py", manage.replace('"settings"', '"my_project.settings"'))
    yield project
    project.end()


@pytest.fixture
def deployed_here(redis_server: RedisServer, project: Any) -> Iterator[ChannelLayerWrapper]:
    """The layer of that project as this process's default one."""
    project.write("my_project.routing", ROUTING)
    settings = chapter("deploying")["redis_layer"].replace(REDIS, repr(redis_server.address))
    layer, _ = two_layers(settings)
    layer.router.check_default()
    earlier = channel_layers.set("default", layer)
    yield layer
    channel_layers.set("default", earlier)
    layer.close()


@pytest.fixture
def run(deployed: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Process]]:
    """Runs a printed command, with further arguments, until the test's end."""
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")  # the tests' own; the project says which are its
    processes: list[Process] = []

    def start(command: str, *arguments: str) -> Process:
        program, *printed = shlex.split(command)
        python = [] if program == "python" else ["-m", program]
        processes.append(deployed.run(*python, *arguments, *printed))
        return processes[-1]

    yield start
    for process in processes:
        process.end()
        print(process.output())  # shown where the test failed


@pytest.mark.needs("redis-server")
def test_redis_layer(sample, redis_server):
    assert_it_carries(sample.replace(REDIS, repr(redis_server.address)))


@pytest.mark.compiled_only
def test_ipc_layer(sample):
    prefix = fresh_prefix()
    try:
        assert_it_carries(sample.replace("mysite", prefix))
    finally:
        remove(prefix)


@pytest.mark.compiled_only
@pytest.mark.needs("rabbitmq-server")
def test_rabbitmq_layer(sample):
    assert_it_carries(sample.replace("amqp://guest:guest@rabbitmq:5672/%2F", broker().url))


@pytest.mark.needs("redis-server")
def test_runworker(sample, deployed_here):
    assert listened_to(sample) >= {"http.request", "thumbnail", "websocket.receive"}


@pytest.mark.needs("redis-server")
def test_only_channels(sample, deployed_here):
    assert {name.split(".")[0] for name in listened_to(sample)} == {"http", "websocket"}


@pytest.mark.needs("redis-server")
def test_exclude_channels(sample, deployed_here):
    channels = listened_to(sample)

    assert "websocket.receive" in channels
    assert "thumbnail" not in channels


@pytest.mark.needs("redis-server")
def test_asgi_module(sample, project, redis_server, monkeypatch):
    # As in the processes of the tests below, but with the settings that this process has.
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.settings")
    layer = project.module("my_project.asgi", sample).channel_layer

    layer.send("some-channel", {"n": 1})
    assert layer.receive(["some-channel"]) == ("some-channel", {"n": 1})


@pytest.mark.compiled_only
@pytest.mark.needs("redis-server")
def test_daphne(sample, run):
    daphne = run(sample, "-p", "0")

    assert listening_port(daphne)
    assert "RedisChannelLayer" in daphne.output()


@pytest.mark.compiled_only
@pytest.mark.needs("redis-server")
def test_ws_protocols(sample, deployed, run):
    assert sample in (deployed.folder / "my_project/settings.py").read_text()
    runserver = run("python manage.py runserver --noreload 127.0.0.1:0")
    port = int(runserver.wait_for(r"server at http://127\.0\.0\.1:([1-9]\d*)/")[1])

    with connect(f"ws://127.0.0.1:{port}/", subprotocols=["graphql-ws"], proxy=None) as socket:
        assert socket.subprotocol == "graphql-ws"


@pytest.mark.compiled_only
@pytest.mark.needs("redis-server")
def test_daphne_ws_protocol(sample, run, deployed_here):
    daphne = run(sample, "-p", "0")
    address = f"ws://127.0.0.1:{listening_port(daphne)}/"

    with running(Worker(deployed_here, signal_handlers=False)):
        with connect(address, subprotocols=["graphql-ws"], proxy=None) as socket:
            assert socket.subprotocol == "graphql-ws"


@pytest.mark.compiled_only
@pytest.mark.needs("redis-server")
def test_daphne_on_any_address(sample, run):
    daphne = run(sample.replace("8000", "0"))

    assert daphne.wait_for(r"Listening on \S*?0\.0\.0\.0:\d+")


def listened_to(command):
    """The channels that a worker listens to, as this process runs it until it begins to receive."""
    python, script, *arguments = shlex.split(command)
    assert (python, script) == ("python", "manage.py")
    found = set()

    def stop(sender, **kwargs):
        found.update(sender.channels())
        sender.stop()

    worker_process_ready.connect(stop)
    try:
        with put_back("django.channels"):
            call_command(*arguments)
    finally:
        worker_process_ready.disconnect(stop)
    return found
